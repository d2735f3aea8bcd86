/**
 * Calls the error callbacks of a failed task (`_call_task_errbacks` in `celery/backends/base.py`; surface CNV-121 to
 * CNV-125). Only for FAILURE: neither a retry, a revoke, `Ignore` nor `Reject` calls them.
 */
import type { RemoteError } from '../../protocol/remote-error.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import type { Applier } from './applier.js'
import { applySignature } from './apply-signature.js'
import type { RequestInfo } from './context.js'
import type { ResultTuple } from './freeze.js'
import type { Host } from './host.js'
import { DirectTask } from './running-task.js'
import { readShape } from './signature-shape.js'

/** The task that failed. */
export interface Failed {
  readonly request: RequestInfo
  readonly errbacks: readonly SignatureData[]
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
): Promise<ResultTuple | undefined> {
  const asTasks: SignatureData[] = []
  for (const errback of errbacks) {
    const task = host.task(readShape(errback).task)
    if (task?.errbackStyle === 'request') await callInline(host, errback, request, error)
    else asTasks.push(errback)
  }
  if (asTasks.length === 0) return undefined
  const options = { parent_id: request.id, root_id: request.rootId || request.id }
  return (await applySignature(applier, groupOf(asTasks), { args: [request.id], options })).tuple
}

/** An errback that throws is logged: it must not change what is known of the task that failed (surface CNV-123). */
async function callInline(
  host: Host,
  errback: SignatureData,
  request: RequestInfo,
  error: RemoteError,
): Promise<void> {
  const shape = readShape(errback)
  const task = host.task(shape.task)
  if (task === undefined) return
  const args = shape.immutable ? shape.args : [request, error, error.traceback, ...shape.args]
  const { kwargs } = shape
  try {
    await task.run(new DirectTask({ task, host, args, kwargs, hostname: request.hostname }), args, kwargs)
  } catch (thrown) {
    host.logger.error(
      { err: thrown, task_id: request.id, errback: shape.task },
      `Error callback ${shape.task} of ${request.task}[${request.id}] raised`,
    )
  }
}

/** A group signature of plain signatures. */
export function groupOf(tasks: readonly SignatureData[]): SignatureData {
  return {
    task: 'celery.group',
    args: [],
    kwargs: { tasks },
    options: {},
    subtask_type: 'group',
    immutable: false,
  }
}
