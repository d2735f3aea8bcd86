/**
 * kombu's JSON (kombu/utils/json.py, wire-format 0 and 3.2), both ways.
 *
 * Rule 1: `JSON.parse` and `JSON.stringify` do the work wherever they give exactly what Python would; a look at
 * the text or value decides, and costs a fraction of them. Everything else takes the reader and writer here.
 * Rule 2: whatever is wrong with the input is a `DecodeError`, with the value an `EncodeError`.
 */
import { isUtf8 } from 'node:buffer'
import { DecodeError, EncodeError, ProtocolError, SizeLimitError } from './errors.js'
import { JsonReader, MAX_DEPTH } from './json-reader.js'
import type { CustomType } from './json-types.js'
import { JsonWriter } from './json-writer.js'

/** How `decodeJson` reads. */
export interface JsonDecodeOptions {
  /** The user's own `__type__` markers. Default none. */
  readonly types?: readonly CustomType[]
  /** Whole floats become `Float`, so that encoding again loses nothing. Default false: plain numbers. */
  readonly exact?: boolean
  /** Most bytes (of text: UTF-16 units) read. Default 256 MiB. */
  readonly maxBytes?: number
}

/** How `encodeJson` writes. */
export interface JsonEncodeOptions {
  /** The user's own types. Default none. */
  readonly types?: readonly CustomType[]
  /** `python` gives the very text of Python's `json.dumps`. Default `compact`. */
  readonly style?: 'compact' | 'python'
}

/** Most bytes a body may have by default: 256 MiB, far past any sane message and below what could end a process. */
export const DEFAULT_MAX_BYTES = 256 * 1024 * 1024

const NONE: readonly CustomType[] = []
/** Digits of an integer that may be past 2^53. */
const LONG_INTEGER = 16
/** `__type__` spelled with escapes. */
const ESCAPED_ASCII = /\\u00[4-7]/i
const ANY_FLOAT = /\d[.eE]/

/** Reads JSON from bytes or text. Throws `DecodeError`, and `SizeLimitError` past `maxBytes`. */
export function decodeJson(body: Uint8Array | string, options: JsonDecodeOptions = {}): unknown {
  const { types = NONE, exact = false, maxBytes = DEFAULT_MAX_BYTES } = options
  if (body.length > maxBytes) {
    throw new SizeLimitError(`A JSON body of ${body.length} bytes is over the limit of ${maxBytes}`)
  }
  try {
    const text = typeof body === 'string' ? body : utf8Text(body)
    if (isOrdinary(text) && !(exact && ANY_FLOAT.test(text))) {
      try {
        return JSON.parse(text)
      } catch {
        // NaN, Infinity or a fault: the reader takes the first two and says where the third is.
      }
    }
    return new JsonReader(text, { types, exact }).read()
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new DecodeError(`Cannot read JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}

/** Bytes as strict UTF-8. Throws `DecodeError`. */
export function utf8Text(body: Uint8Array): string {
  if (!isUtf8(body)) throw new DecodeError('The body is not valid UTF-8')
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
}

/** Whether `JSON.parse` reads the text as Python and kombu would, or refuses it. */
function isOrdinary(text: string): boolean {
  if (text.includes('__type__') || hasLongInteger(text)) return false
  if (text.includes('\\u00') && ESCAPED_ASCII.test(text)) return false
  return text.length < 2 * MAX_DEPTH || hasFewBrackets(text) || isShallow(text)
}

/** True when there are too few brackets, also inside strings, for too deep a nesting: a search costs less than a walk. */
function hasFewBrackets(text: string): boolean {
  let left = MAX_DEPTH
  for (const bracket of ['{', '[']) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1))
      if (--left < 0) return false
  }
  return true
}

/** Whether so many digits stand in a row; inside a string they only cost the slow path. One of them stands at each step. */
function hasLongInteger(text: string): boolean {
  for (let at = LONG_INTEGER - 1; at < text.length; at += LONG_INTEGER) {
    if (!isDigit(text.charCodeAt(at))) continue
    let first = at
    while (isDigit(text.charCodeAt(first - 1))) first--
    let end = at + 1
    while (isDigit(text.charCodeAt(end))) end++
    if (end - first >= LONG_INTEGER) return true
  }
  return false
}

/** False for NaN, past either end. */
function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** Counts brackets outside strings. */
function isShallow(text: string): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 34) {
      for (;;) {
        at = text.indexOf('"', at + 1)
        if (at === -1) return true
        let before = at - 1
        while (text.charCodeAt(before) === 92) before--
        if ((at - before) % 2 === 1) break
      }
    } else if (code === 91 || code === 123) {
      if (++depth > MAX_DEPTH) return false
    } else if (code === 93 || code === 125) depth--
  }
  return true
}

/**
 * Writes a value as JSON text. `undefined` is null, and absent as a member; `Map` is an object; `Date`, bytes and
 * the classes of values.ts are typed values. Throws `EncodeError` for what Python could not read back: functions,
 * symbols, sets, cycles, promises, errors, more than 1000 levels.
 */
export function encodeJson(value: unknown, options: JsonEncodeOptions = {}): string {
  const { types = NONE, style = 'compact' } = options
  try {
    if (style === 'compact' && types.length === 0 && isPlain(value, 0)) return JSON.stringify(value) ?? 'null'
    return new JsonWriter({ types, style }).write(value)
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new EncodeError(`Cannot write JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}

/** The compact text of a value that `depth` others hold, where no rule but JavaScript's own is needed; else undefined. */
export function plainJson(value: unknown, depth: number): string | undefined {
  return isPlain(value, depth) ? (JSON.stringify(value) ?? 'null') : undefined
}

/** Whether `JSON.stringify` writes the value as `JsonWriter` would. */
function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return true
    case 'number':
      // NaN fails both comparisons; a negative zero would lose its sign.
      return (
        value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER && (value !== 0 || 1 / value > 0)
      )
    case 'object': {
      if (value === null) return true
      if (depth > MAX_DEPTH) return false
      if (Array.isArray(value)) {
        for (let index = 0; index < value.length; index++) if (!isPlain(value[index], depth + 1)) return false
        return true
      }
      const prototype: unknown = Object.getPrototypeOf(value)
      if (prototype !== Object.prototype && prototype !== null) return false
      const record = value as Record<string, unknown>
      for (const key in record) if (!isPlain(record[key], depth + 1)) return false
      return true
    }
    default:
      return false
  }
}
