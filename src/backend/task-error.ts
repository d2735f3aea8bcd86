import { isRemoteError, type RemoteError, remoteErrorMessage } from '../../protocol/remote-error.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import {
  ChordError,
  RemoteTaskError,
  TaskRevokedError,
  TimeLimitExceededError,
  WorkerLostError,
} from '../errors.js'

/** Celery's and billiard's own failures, by the class name that both sides store. */
const CLASSES: ReadonlyMap<string, typeof RemoteTaskError> = new Map<string, typeof RemoteTaskError>([
  ['TaskRevokedError', TaskRevokedError],
  ['TimeLimitExceeded', TimeLimitExceededError],
  ['WorkerLostError', WorkerLostError],
  ['ChordError', ChordError],
])
/** A task's own class may have one of those names: only these modules mean Celery's. */
const MODULES = new Set(['celery.exceptions', 'billiard.exceptions', 'billiard.einfo', 'celeriac'])

/**
 * The stored error of a task as an error of ours, with a message like Python's `ValueError: boom`
 * (`exception_to_python`, surface RES-016). State REVOKED is always a `TaskRevokedError`.
 */
export function toTaskError(meta: ResultMeta): RemoteTaskError {
  const stored: RemoteError = isRemoteError(meta.result)
    ? meta.result
    : { type: 'Exception', module: 'builtins', args: [meta.result], traceback: meta.traceback }
  const error: RemoteError = { ...stored, traceback: stored.traceback ?? meta.traceback }
  const text = remoteErrorMessage(error)
  const message = text === '' ? error.type : `${error.type}: ${text}`
  if (meta.state === 'REVOKED') return new TaskRevokedError(meta.taskId, error, message)
  const isCelerys = error.module === undefined || MODULES.has(error.module)
  const Class = (isCelerys ? CLASSES.get(error.type) : undefined) ?? RemoteTaskError
  return new Class(meta.taskId, error, message)
}
