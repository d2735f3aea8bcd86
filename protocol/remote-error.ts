/**
 * Errors in Celery's stored shape (`prepare_exception` and `exception_to_python` of `celery/backends/base.py`,
 * wire-format 8.3).
 *
 * Rule 1: written with `exc_type`, `exc_message` (a list) and `exc_module`, in that order.
 * Rule 2: read in every form that any Celery has written: without module, with one text as message, from pickle.
 * Rule 3: an argument that the serializer refuses is replaced by its Python repr, as Python does; the error is never
 * lost for it.
 */
import { DecodeError } from './errors.js'
import { asMapping, describe, own } from './mapping.js'
import { pyRepr } from './python-repr.js'

/** An error in Celery's stored shape, so that it survives threads, processes and languages (wire-format 8.3). */
export interface RemoteError {
  /** `exc_type`: the qualified class name. */
  readonly type: string
  /** `exc_module`; `undefined` when the store has null or nothing. */
  readonly module: string | undefined
  /** `exc_message`: the constructor's arguments. */
  readonly args: readonly unknown[]
  readonly traceback: string | undefined
}

/** Whether a value has the shape of a `RemoteError`. */
export function isRemoteError(value: unknown): value is RemoteError {
  if (typeof value !== 'object' || value === null) return false
  const candidate = value as Partial<RemoteError>
  return typeof candidate.type === 'string' && Array.isArray(candidate.args) && 'module' in candidate
}

/**
 * The stored form. `canEncode` says whether the result serializer takes a value; arguments that it refuses become
 * their repr. Without it nothing is checked.
 */
export function encodeRemoteError(
  error: RemoteError,
  canEncode: (value: unknown) => boolean = () => true,
): Readonly<Record<string, unknown>> {
  const args = canEncode(error.args)
    ? error.args
    : error.args.map((item) => (canEncode(item) ? item : reprOf(item)))
  return { exc_type: error.type, exc_message: args, exc_module: error.module ?? null }
}

function reprOf(value: unknown): string {
  try {
    return pyRepr(value)
  } catch {
    return `<${typeof value} object>`
  }
}

/**
 * Reads a stored error; `traceback` is the field of that name beside it. Throws `DecodeError` for text, numbers and
 * mappings without `exc_type` (Python: TypeError, ValueError; surface RES-016, RES-017).
 */
export function decodeRemoteError(stored: unknown, traceback?: string): RemoteError {
  if (stored === null || stored === undefined) {
    return { type: 'Exception', module: 'builtins', args: ['No error was stored'], traceback }
  }
  if (isRemoteError(stored)) return { ...stored, traceback: traceback ?? stored.traceback }
  const mapping = asMapping(stored)
  if (mapping === undefined) {
    throw new DecodeError(
      `The result of a failed task is ${describe(stored)}, not a mapping with exc_type, exc_message and exc_module.`,
    )
  }
  const type = own(mapping, 'exc_type')
  if (typeof type !== 'string' || type === '') {
    throw new DecodeError('The stored error of a task has no exc_type.')
  }
  const module = own(mapping, 'exc_module')
  return {
    type,
    module: typeof module === 'string' && module !== '' ? module : undefined,
    args: messageArgs(own(mapping, 'exc_message')),
    traceback,
  }
}

/** A list is the constructor's arguments; anything else is the only one; absent is the empty text of Python's reader. */
function messageArgs(message: unknown): readonly unknown[] {
  if (Array.isArray(message)) return message
  return [message === undefined ? '' : message]
}

/** One line for people: the arguments as Python's `str(exc)` prints them. */
export function remoteErrorMessage(error: RemoteError): string {
  if (error.args.length === 0) return ''
  const [only] = error.args
  if (error.args.length === 1) return typeof only === 'string' ? only : reprOf(only)
  return `(${error.args.map(reprOf).join(', ')})`
}

/** `repr(exc)` as Python prints it, for events and logs: `ValueError('boom', 42)`. */
export function remoteErrorRepr(error: RemoteError): string {
  const name = error.type.slice(error.type.lastIndexOf('.') + 1)
  return `${name}(${error.args.map(reprOf).join(', ')})`
}
