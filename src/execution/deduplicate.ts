import type { ResultMeta } from '../../protocol/result-meta.js'
import { Reject } from '../errors.js'
import { sendFollowUps } from './follow-up.js'
import type { Outcome } from './outcome.js'
import type { Run } from './run.js'

/**
 * Finds out whether a redelivered message has succeeded before, so that it does not run twice (surface TSK-072). Only
 * for late-acked tasks with `worker_deduplicate_successful_tasks` and a backend that keeps results.
 *
 * What the first run may not have sent (its stored result has no children) is sent now. Throws `Reject` with requeue
 * when that fails.
 */
export async function findEarlierSuccess(run: Run): Promise<Outcome | undefined> {
  const { request } = run
  const isSought =
    keepsSuccesses(run) && request.deliveryInfo.redelivered && !request.isEager && run.id !== ''
  if (!isSought) return undefined
  const done: Outcome = { kind: 'succeeded', resultRepr: 'None', seconds: 0 }
  if (run.successes?.has(run.id)) return done
  const stored = await fetchQuietly(run)
  if (stored?.state !== 'SUCCESS') return undefined
  run.log.completedBefore()
  const hasFollowUps = request.body.callbacks.length > 0 || request.body.chain.length > 0
  const wereSent = stored.children !== undefined && stored.children.length > 0
  if (hasFollowUps && !wereSent) await sendOrReject(run, stored.result)
  rememberSuccess(run)
  return done
}

/** Recognises another delivery of this task from now on without asking the backend. */
export function rememberSuccess(run: Run): void {
  if (run.successes !== undefined && keepsSuccesses(run)) run.successes.add(run.id)
}

/** Only then is anything looked for. */
function keepsSuccesses({ host, task }: Run): boolean {
  return host.execution.deduplicateSuccessful && task.options.acksLate && host.backend.persistent
}

/** A backend that is away is no reason not to run (surface TSK-072). */
async function fetchQuietly(run: Run): Promise<ResultMeta | undefined> {
  try {
    return await run.host.backend.fetch(run.id)
  } catch (error) {
    run.host.logger.warn(
      { err: error, task_id: run.id },
      `Cannot tell whether ${run.task.name}[${run.id}] has succeeded before; running it`,
    )
    return undefined
  }
}

async function sendOrReject(run: Run, value: unknown): Promise<void> {
  try {
    await sendFollowUps(run, value)
  } catch (error) {
    run.host.logger.error(
      { err: error, task_id: run.id },
      `Failed to dispatch chain/callbacks for deduplicated task ${run.id}`,
    )
    throw new Reject(error, true)
  }
}
