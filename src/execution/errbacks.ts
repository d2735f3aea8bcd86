/**
 * Calls the error callbacks of a failed task (`_call_task_errbacks` in `celery/backends/base.py`; surface CNV-121 to
 * CNV-125). Only for FAILURE: neither a retry, a revoke, `Ignore` nor `Reject` calls them.
 */
import type { RemoteError } from '../../protocol/remote-error.js'
import type { AnyResult } from '../backend/any-result.js'
import { signatureFromData } from '../canvas/algebra.js'
import type { Member } from '../canvas/members.js'
import type { Linkable } from '../canvas/send-options.js'
import type { Applier } from './applier.js'
import { applySignature, groupOf } from './apply-signature.js'
import type { RequestInfo } from './context.js'
import type { Host, RunnableTask } from './host.js'
import { DirectTask } from './running-task.js'

/** The task that failed. */
export interface Failed {
  readonly request: RequestInfo
  readonly errbacks: readonly Linkable[]
  readonly error: RemoteError
}

/**
 * Those that take a request are called here, one after the other; all others are sent as one group of tasks with the
 * failed id as their argument, whose result is returned. Throws what sending throws.
 */
export async function callErrbacks(
  host: Host,
  applier: Applier,
  { request, errbacks, error }: Failed,
): Promise<AnyResult | undefined> {
  const asTasks: Member[] = []
  for (const data of errbacks) {
    const errback = signatureFromData(host, data)
    const task = host.task(errback.task)
    if (task?.errbackStyle === 'request') await callInline(host, task, errback, request, error)
    else asTasks.push(errback)
  }
  if (asTasks.length === 0) return undefined
  const options = { parent_id: request.id, root_id: request.rootId || request.id }
  return applySignature(applier, groupOf(host, asTasks), { args: [request.id], options })
}

/** An errback that throws is logged: it must not change what is known of the task that failed (surface CNV-123). */
async function callInline(
  host: Host,
  task: RunnableTask,
  errback: Member,
  request: RequestInfo,
  error: RemoteError,
): Promise<void> {
  const args = errback.immutable ? errback.args : [request, error, error.traceback, ...errback.args]
  const { kwargs } = errback
  try {
    await task.run(new DirectTask({ task, host, args, kwargs, hostname: request.hostname }), args, kwargs)
  } catch (thrown) {
    host.logger.error(
      { err: thrown, task_id: request.id, errback: errback.task },
      `Error callback ${errback.task} of ${request.task}[${request.id}] raised`,
    )
  }
}
