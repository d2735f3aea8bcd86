/**
 * JavaScript errors as errors that Python knows (wire-format 8.3): a Python caller's `get()` raises a class it can
 * catch wherever one matches.
 *
 * Rule 1: only an error whose class is exactly a built-in becomes Python's; a subclass keeps its own name, in the made-up
 * module `celeriac` (Python makes a class of that name on the spot).
 * Rule 2: an error that came from another worker keeps its type, module and arguments.
 * Rule 3: whatever was thrown, something comes out: task code's errors are data.
 */
import { isMapping } from './mapping.js'
import { pyRepr } from './python-repr.js'
import { isRemoteError, type RemoteError } from './remote-error.js'
import { tracebackText } from './traceback-text.js'

/** How an error is translated. */
export interface RemoteErrorOptions {
  /** Module of classes that Python does not have. Default `celeriac`. */
  readonly module?: string
}

type PythonClass = readonly [module: string, type: string]

const BUILTINS = 'builtins'
const CELERY = 'celery.exceptions'
const BILLIARD = 'billiard.exceptions'
const KOMBU = 'kombu.exceptions'

/** By the class's own name. */
const BUILT_IN: ReadonlyMap<string, PythonClass> = new Map([
  ['Error', [BUILTINS, 'Exception']],
  ['EvalError', [BUILTINS, 'Exception']],
  ['TypeError', [BUILTINS, 'TypeError']],
  ['SyntaxError', [BUILTINS, 'SyntaxError']],
  ['RangeError', [BUILTINS, 'ValueError']],
  ['URIError', [BUILTINS, 'ValueError']],
  ['ReferenceError', [BUILTINS, 'NameError']],
  ['AssertionError', [BUILTINS, 'AssertionError']],
  ['TimeoutError', [BUILTINS, 'TimeoutError']],
])

/** Node's system errors by `code`; any other with an `errno` is an OSError. */
const SYSTEM: ReadonlyMap<string, PythonClass> = new Map([
  ['EACCES', [BUILTINS, 'PermissionError']],
  ['EPERM', [BUILTINS, 'PermissionError']],
  ['ENOENT', [BUILTINS, 'FileNotFoundError']],
  ['EEXIST', [BUILTINS, 'FileExistsError']],
  ['EISDIR', [BUILTINS, 'IsADirectoryError']],
  ['ENOTDIR', [BUILTINS, 'NotADirectoryError']],
  ['EAGAIN', [BUILTINS, 'BlockingIOError']],
  ['EINTR', [BUILTINS, 'InterruptedError']],
  ['ESRCH', [BUILTINS, 'ProcessLookupError']],
  ['ECHILD', [BUILTINS, 'ChildProcessError']],
  ['EPIPE', [BUILTINS, 'BrokenPipeError']],
  ['ESHUTDOWN', [BUILTINS, 'BrokenPipeError']],
  ['ECONNREFUSED', [BUILTINS, 'ConnectionRefusedError']],
  ['ECONNRESET', [BUILTINS, 'ConnectionResetError']],
  ['ECONNABORTED', [BUILTINS, 'ConnectionAbortedError']],
  ['ETIMEDOUT', [BUILTINS, 'TimeoutError']],
  ['ENOTFOUND', ['socket', 'gaierror']],
  ['EAI_AGAIN', ['socket', 'gaierror']],
])

/** celeriac's own errors by `code`, with the class name that must go with it. */
const OWN: ReadonlyMap<string, readonly [name: string, ...PythonClass]> = new Map([
  ['SOFT_TIME_LIMIT_EXCEEDED', ['SoftTimeLimitExceeded', BILLIARD, 'SoftTimeLimitExceeded']],
  ['TIME_LIMIT_EXCEEDED', ['TimeLimitExceededError', BILLIARD, 'TimeLimitExceeded']],
  ['WORKER_LOST', ['WorkerLostError', BILLIARD, 'WorkerLostError']],
  ['IGNORE', ['Ignore', CELERY, 'Ignore']],
  ['REJECT', ['Reject', CELERY, 'Reject']],
  ['RETRY', ['Retry', CELERY, 'Retry']],
  ['TASK_REVOKED', ['TaskRevokedError', CELERY, 'TaskRevokedError']],
  ['TASK_NOT_REGISTERED', ['TaskNotRegisteredError', CELERY, 'NotRegistered']],
  ['MAX_RETRIES_EXCEEDED', ['MaxRetriesExceededError', CELERY, 'MaxRetriesExceededError']],
  ['CHORD', ['ChordError', CELERY, 'ChordError']],
  ['RESULT_TIMEOUT', ['ResultTimeoutError', CELERY, 'TimeoutError']],
  ['CONFIG', ['ConfigError', CELERY, 'ImproperlyConfigured']],
  ['UNKNOWN_SETTING', ['UnknownSettingError', CELERY, 'ImproperlyConfigured']],
  ['UNKNOWN_SCHEME', ['UnknownSchemeError', CELERY, 'ImproperlyConfigured']],
  ['QUEUE_NOT_FOUND', ['QueueNotFoundError', CELERY, 'QueueNotFound']],
  ['INVALID_TASK', ['InvalidTaskError', CELERY, 'InvalidTaskError']],
  ['INVALID_ARGUMENT', ['InvalidArgumentError', BUILTINS, 'ValueError']],
  ['MISSING_DRIVER', ['MissingDriverError', BUILTINS, 'ModuleNotFoundError']],
  ['NOT_SUPPORTED', ['NotSupportedError', BUILTINS, 'NotImplementedError']],
  ['BACKEND_DISABLED', ['BackendDisabledError', BUILTINS, 'NotImplementedError']],
  ['SYNC_SUBTASK', ['SyncSubtaskError', BUILTINS, 'RuntimeError']],
  ['CONNECTION_LOST', ['ConnectionLostError', BUILTINS, 'ConnectionError']],
  ['BROKER_UNAVAILABLE', ['BrokerUnavailableError', KOMBU, 'OperationalError']],
  ['BACKEND_UNAVAILABLE', ['BackendUnavailableError', CELERY, 'BackendError']],
  ['DECODE_ERROR', ['DecodeError', KOMBU, 'DecodeError']],
  ['ENCODE_ERROR', ['EncodeError', KOMBU, 'EncodeError']],
  ['CONTENT_REFUSED', ['ContentRefusedError', KOMBU, 'ContentDisallowed']],
])

/**
 * The stored shape of whatever was thrown. Built-ins become Python's (`RangeError` is a ValueError), system errors their
 * `OSError` classes with `[errno, message]`, celeriac's own errors Celery's; other classes keep their name in `module`.
 */
export function remoteErrorFrom(error: unknown, options: RemoteErrorOptions = {}): RemoteError {
  try {
    return translate(error, options.module ?? 'celeriac')
  } catch {
    // an error whose own members throw when they are read
    return {
      type: 'Exception',
      module: BUILTINS,
      args: ['An unreadable error was thrown'],
      traceback: undefined,
    }
  }
}

function translate(error: unknown, ownModule: string): RemoteError {
  if (!isErrorLike(error)) return fromOtherValue(error)
  const traceback = tracebackText(error)
  const { excType, excModule } = error
  if (typeof excType === 'string' && excType !== '') {
    const module = typeof excModule === 'string' && excModule !== '' ? excModule : undefined
    return {
      type: excType,
      module,
      args: Array.isArray(error.args) ? error.args : [messageOf(error)],
      traceback,
    }
  }
  const code = typeof error.code === 'string' ? error.code : ''
  const name = className(error)
  const known = OWN.get(code)
  if (known !== undefined && known[0] === name) {
    return { type: known[2], module: known[1], args: ownArgs(code, error), traceback }
  }
  const system =
    SYSTEM.get(code) ?? (isSystemError(error, code) ? ([BUILTINS, 'OSError'] as const) : undefined)
  if (system !== undefined) {
    const { errno } = error
    const args = typeof errno === 'number' ? [Math.abs(errno), messageOf(error)] : [messageOf(error)]
    return { type: system[1], module: system[0], args, traceback }
  }
  const builtIn = BUILT_IN.get(name)
  if (builtIn !== undefined) {
    return {
      type: builtIn[1],
      module: builtIn[0],
      args: messageOf(error) === '' ? [] : [messageOf(error)],
      traceback,
    }
  }
  return { type: name, module: ownModule, args: [messageOf(error)], traceback }
}

/** What may be found on a thrown error, none of it certain. */
interface ErrorLike extends Error {
  readonly code?: unknown
  readonly errno?: unknown
  readonly syscall?: unknown
  readonly excType?: unknown
  readonly excModule?: unknown
  readonly args?: unknown
  readonly limit?: unknown
  readonly reason?: unknown
  readonly requeue?: unknown
  readonly taskName?: unknown
}

/** Nothing keeps `message` text: libraries put whole objects there. */
function messageOf({ message }: ErrorLike): string {
  const found: unknown = message
  if (typeof found === 'string') return found
  return isMapping(found) || Array.isArray(found) ? pyRepr(found) : String(found ?? '')
}

/** Errors of other realms and DOMExceptions too. */
function isErrorLike(value: unknown): value is ErrorLike {
  if (value instanceof Error) return true
  if (typeof value !== 'object' || value === null) return false
  const { name, message } = value as Partial<Error>
  return typeof name === 'string' && typeof message === 'string'
}

function isSystemError(error: ErrorLike, code: string): boolean {
  return /^E[A-Z0-9]+$/.test(code) && typeof error.errno === 'number' && typeof error.syscall === 'string'
}

/** The class's name; `error.name` where the class says nothing (`Error`, Node's internal ones, DOMException). */
function className(error: ErrorLike): string {
  const made: unknown = error.constructor?.name
  const own: unknown =
    typeof made === 'string' && !/^(?:_?Error|NodeError|DOMException|Object|)$/.test(made) ? made : error.name
  return typeof own !== 'string' || own === '' ? 'Error' : own
}

function ownArgs(code: string, error: ErrorLike): readonly unknown[] {
  if (code === 'SOFT_TIME_LIMIT_EXCEEDED' && typeof error.limit === 'number') return [error.limit]
  if (code === 'REJECT') return [error.reason ?? null, error.requeue === true]
  if (code === 'TASK_NOT_REGISTERED' && typeof error.taskName === 'string') return [error.taskName]
  return [messageOf(error)]
}

/** Thrown values that are no errors: JavaScript allows it, Python has no word for it. */
function fromOtherValue(value: unknown): RemoteError {
  if (isRemoteError(value)) return value
  const args = isMapping(value) || typeof value === 'string' ? [value] : [`${String(value)} was thrown`]
  return { type: 'Exception', module: BUILTINS, args, traceback: undefined }
}
