import type { RemoteError } from '../../protocol/remote-error.js'
import { spreadParentFailure } from './follow-up.js'
import type { Host } from './host.js'
import type { TaskRequest } from './request.js'
import { Run } from './run.js'
import type { RunGate } from './run-gate.js'

/** How long a run that was given up may take to end the effect it had begun, before its failure is stored anyway. */
const boundMs = 5000

/**
 * Records that a run hit its hard limit (`on_timeout` in `celery/worker/request.py`; surface TSK-110, WRK-052): FAILURE
 * `TimeLimitExceeded(seconds)` is stored, the chord part counted, the failure spread to the rest of the chain, errbacks
 * called. As in Celery 5.6, `onFailure` and the `task_failure` signal are not. Never rejects: what fails is logged.
 *
 * `gate` is the gate of the run that was given up, closed by the caller.
 */
export async function recordTimeOut(
  request: TaskRequest,
  host: Host,
  seconds: number,
  gate: RunGate,
): Promise<void> {
  const task = host.task(request.message.task)
  if (task === undefined) return
  const error: RemoteError = {
    type: 'TimeLimitExceeded',
    module: 'billiard.exceptions',
    args: [seconds],
    traceback: undefined,
  }
  try {
    await gate.idle(host.clock, boundMs)
    const run = new Run(task, host, request, {})
    if (run.storesErrors) await run.store(run.record('FAILURE', error))
    await spreadParentFailure(request, task, error, host)
  } catch (thrown) {
    host.logger.error(
      { err: thrown, task_id: request.message.id },
      `Cannot record that ${task.name}[${request.message.id}] exceeded its time limit`,
    )
  }
}
