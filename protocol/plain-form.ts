/**
 * What an object of no class of ours is on the wire, the same for every serializer.
 *
 * Rule 1: what JavaScript would write as `{}`, losing everything in silence, is refused with advice.
 * Rule 2: an object that says what it becomes (`toJSON`) becomes that.
 */
import { EncodeError, ProtocolError } from './errors.js'

type AnyClass = abstract new (...args: never) => object

const OPAQUE: readonly (readonly [type: AnyClass, advice: string])[] = [
  [Promise, 'await it first'],
  [Error, 'send its name and message'],
  [RegExp, 'send its source'],
  [WeakMap, 'send plain data'],
  [WeakSet, 'send plain data'],
  [ArrayBuffer, 'wrap it in a Uint8Array'],
]

/**
 * An array, `Map`, plain object, or what `toJSON` and boxed primitives stand for. `at` is a place in the value for
 * the message, or empty; `key` is handed to `toJSON`. Throws `EncodeError`.
 */
export function plainForm(value: object, format: string, at = '', key = ''): unknown {
  if (Array.isArray(value) || value instanceof Map) return value
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return value.valueOf()
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    try {
      return value.toJSON(key)
    } catch (cause) {
      if (cause instanceof ProtocolError) throw cause
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new EncodeError(`toJSON${at} failed: ${reason}`, { cause })
    }
  }
  for (const [type, advice] of OPAQUE) {
    if (value instanceof type) throw refused(`a ${type.name}`, format, at, advice)
  }
  if (ArrayBuffer.isView(value)) {
    throw refused(`a ${value.constructor.name}`, format, at, 'send an array or a Uint8Array')
  }
  return value
}

/** The error for a value that a format has no form for. */
export function refused(what: string, format: string, at: string, advice: string): EncodeError {
  return new EncodeError(`Cannot write ${what}${at} as ${format}: ${advice}`)
}
