/** How a body ended, before anything is stored; the order of the checks is Celery's (`trace_task`). */
import { Ignore, Reject, Retry, SoftTimeLimitExceeded } from '../errors.js'
import { autoretryCountdown, isAutoretried } from './retry.js'
import type { Run } from './run.js'
import { RunAbandoned } from './run-gate.js'

/** What a body did. */
export type Ending =
  | { readonly kind: 'returned'; readonly value: unknown }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'retried'; readonly retry: Retry }
  | { readonly kind: 'ignored'; readonly ignore: Ignore }
  | { readonly kind: 'rejected'; readonly reject: Reject }

/**
 * Runs `before_start` and the body. An error in `before_start` counts as the body's, but is not retried by autoretry
 * (surface TSK-065). Throws only `RunAbandoned`.
 */
export async function runBody(run: Run): Promise<Ending> {
  try {
    const { beforeStart } = run.task.handlers
    if (beforeStart !== undefined) await beforeStart(run.self, run.id, run.args, run.kwargs)
    const value = await bodyWithAutoretry(run)
    return { kind: 'returned', value }
  } catch (thrown) {
    return classify(await settle(thrown), run)
  }
}

async function bodyWithAutoretry(run: Run): Promise<unknown> {
  try {
    const { argsError } = run.request.body
    if (argsError !== undefined) throw new TypeError(argsError)
    const value = await run.task.run(run.self, run.args, run.kwargs)
    // A retry() whose promise was forgotten is still under way: it ends the run, as Python's would have.
    if (run.state.pendingRetry !== undefined) await run.state.pendingRetry
    return value
  } catch (thrown) {
    const error = becauseOfLimit(await settle(thrown), run.signal)
    const { options } = run.task
    if (error instanceof RunAbandoned || !isAutoretried(error, options)) throw error
    const limit = run.state.maxRetries === undefined ? options.retryKwargs.maxRetries : run.state.maxRetries
    return run.self.retry({
      exc: error,
      countdown: autoretryCountdown(options, run.request.message.retries, run.host.random),
      ...(limit === undefined ? {} : { maxRetries: limit }),
    })
  }
}

function classify(error: unknown, run: Run): Ending {
  if (error instanceof RunAbandoned) throw error
  if (error instanceof Reject) return { kind: 'rejected', reject: error }
  if (error instanceof Ignore) return { kind: 'ignored', ignore: error }
  if (error instanceof Retry) return { kind: 'retried', retry: error }
  return { kind: 'failed', error: becauseOfLimit(error, run.signal) }
}

/** `throw self.retry()`, Python's idiom, throws a promise: what it rejects with is what was meant. */
async function settle(thrown: unknown): Promise<unknown> {
  if (!(thrown instanceof Promise)) return thrown
  try {
    return await thrown
  } catch (error) {
    return error
  }
}

/** Libraries that end because their signal aborted often throw an `AbortError` of their own; the limit is the cause. */
function becauseOfLimit(error: unknown, signal: AbortSignal): unknown {
  const { reason } = signal
  if (!(reason instanceof SoftTimeLimitExceeded) || !(error instanceof Error)) return error
  const isAbort = error.name === 'AbortError' || error.cause === reason
  return isAbort ? reason : error
}
