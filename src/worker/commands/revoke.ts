/**
 * `revoke` and `terminate` (`celery/worker/control.py` _revoke; surface CTL-040 to CTL-042, RES-006, ACK-025).
 *
 * Rule 1: the ids are marked at once, before anything is waited for. Rule 2: REVOKED is stored at once, for ids that
 * nobody has ever seen too; a task that runs on overwrites it, as in Celery. Rule 3: a result store that is away keeps
 * no task from being terminated.
 */
import { epochMsToIso } from '../../../protocol/iso-time.js'
import { pyRepr } from '../../../protocol/python-repr.js'
import { pause } from '../../clock.js'
import { remoteError } from '../endings.js'
import { type CommandContext, type ControlCommand, ok } from './command.js'
import { PythonError } from './python-error.js'
import { signalName } from './signal-name.js'

/** Results stored side by side; ids may come by the thousand. */
const atOnce = 50
/** Milliseconds that storing may hold up the rest of the command. */
const storeTimeoutMs = 5000

/** `revoke`: the tasks must not run here; with `terminate` those that run are stopped. */
export const revoke: ControlCommand = {
  name: 'revoke',
  required: ['task_id'],
  run: (context, args) => revokeTasks(context, args['task_id'], isTrue(args['terminate']), args['signal']),
}

/** `terminate`: `revoke` with `terminate`. */
export const terminate: ControlCommand = {
  name: 'terminate',
  required: ['signal', 'task_id'],
  run: (context, args) => revokeTasks(context, args['task_id'], true, args['signal']),
}

async function revokeTasks(
  context: CommandContext,
  taskId: unknown,
  terminates: boolean,
  signal: unknown,
): Promise<unknown> {
  const { worker, logger } = context
  const ids = idsOf(taskId)
  for (const id of ids) worker.revoke(id)
  const storing = new AbortController()
  const late = pause(context.app.clock, storeTimeoutMs, storing.signal).catch(() => {})
  await Promise.race([storeAll(context, ids), late])
  storing.abort()
  if (!terminates) {
    logger.info({ ids }, `Tasks flagged as revoked: ${ids.join(', ')}`)
    const set = ids.length === 0 ? 'set()' : `{${ids.map((id) => pyRepr(id)).join(', ')}}`
    return ok(`tasks ${set} flagged as revoked`)
  }
  const how = signalName(signal)
  const terminated = ids.filter((id) => {
    if (worker.ledger.find(id) === undefined) return false
    logger.info({ id }, `Terminating ${id} (${how})`)
    return worker.revoke(id, { terminate: true, signal: how })
  })
  return ok(terminated.length === 0 ? 'terminate: tasks unknown' : `terminate: ${terminated.join(', ')}`)
}

function idsOf(taskId: unknown): readonly string[] {
  const given = taskId === null || taskId === undefined ? [] : Array.isArray(taskId) ? taskId : [taskId]
  const wrong = given.find((id) => typeof id !== 'string')
  if (wrong === undefined) return [...new Set<string>(given)]
  throw new PythonError('TypeError', `task ids are texts, not ${typeof wrong}`)
}

/** Python's truth of what the argument may be. */
function isTrue(value: unknown): boolean {
  return Boolean(value) && !(Array.isArray(value) && value.length === 0)
}

async function storeAll(context: CommandContext, ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += atOnce) {
    await Promise.all(ids.slice(at, at + atOnce).map((id) => storeRevoked(context, id)))
  }
}

/** `mark_as_revoked` without a request: no children, no name, whatever the task may have been. Never rejects. */
async function storeRevoked({ app, logger }: CommandContext, taskId: string): Promise<void> {
  const { backend, clock } = app
  if (!backend.enabled || taskId === '') return
  try {
    await backend.store({
      taskId,
      state: 'REVOKED',
      result: remoteError('TaskRevokedError', 'celery.exceptions', ['revoked']),
      traceback: undefined,
      children: undefined,
      dateDone: epochMsToIso(clock.now()),
    })
  } catch (error) {
    logger.warn({ err: error, id: taskId }, `Failed to mark task ${taskId} as revoked in backend`)
  }
}
