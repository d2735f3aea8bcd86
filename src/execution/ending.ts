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
 * (surface TSK-065). Gives the ending at once for a body that returned at once. Throws only `RunAbandoned`.
 */
export function runBody(run: Run): Ending | Promise<Ending> {
  if (run.task.handlers.beforeStart !== undefined) return runPrepared(run)
  let value: unknown
  try {
    value = callBody(run)
  } catch (thrown) {
    return endAfterThrow(thrown, run)
  }
  if (isThenable(value) || run.state.pendingRetry !== undefined) return endOf(value, run)
  return { kind: 'returned', value }
}

async function runPrepared(run: Run): Promise<Ending> {
  try {
    await run.task.handlers.beforeStart?.(run.self, run.id, run.args, run.kwargs)
  } catch (thrown) {
    return classify(await settle(thrown), run)
  }
  try {
    return await endOf(callBody(run), run)
  } catch (thrown) {
    return endAfterThrow(thrown, run)
  }
}

function callBody(run: Run): unknown {
  const { argsError } = run.request.body
  if (argsError !== undefined) throw new TypeError(argsError)
  return run.task.run(run.self, run.args, run.kwargs)
}

async function endOf(returned: unknown, run: Run): Promise<Ending> {
  try {
    const value = await returned
    // A retry() whose promise was forgotten is still under way: it ends the run, as Python's would have.
    if (run.state.pendingRetry !== undefined) await run.state.pendingRetry
    return { kind: 'returned', value }
  } catch (thrown) {
    return endAfterThrow(thrown, run)
  }
}

/** What the body threw, unless `autoretry_for` makes a retry of it. */
async function endAfterThrow(thrown: unknown, run: Run): Promise<Ending> {
  const error = becauseOfLimit(await settle(thrown), run.signal)
  const { options } = run.task
  if (error instanceof RunAbandoned || !isAutoretried(error, options)) return classify(error, run)
  const limit = run.state.maxRetries === undefined ? options.retryKwargs.maxRetries : run.state.maxRetries
  try {
    return await run.self.retry({
      exc: error,
      countdown: autoretryCountdown(options, run.request.message.retries, run.host.random),
      ...(limit === undefined ? {} : { maxRetries: limit }),
    })
  } catch (ending) {
    return classify(ending, run)
  }
}

function isThenable(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  return 'then' in value && typeof value.then === 'function'
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
