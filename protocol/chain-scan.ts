/**
 * Finds the steps of a chain in the JSON of a task's body without making values of them (wire-format 1.1.3).
 *
 * Rule 1: the whole body is checked as strictly as the general reader would, so that steps which are passed on unread can
 * be read by whoever comes to them. What only that reader can judge (`__type__`, deep nesting, endless integers) and all
 * that is wrong is left to it.
 * Rule 2: plain functions over bytes and positions, -1 for what cannot be gone on with: a look at each byte is to cost a
 * tenth of making values and writing them again.
 */
import { isUtf8 } from 'node:buffer'

/** Where the list of steps stands: its brackets, and the commas between the steps. */
export interface ChainPlace {
  readonly open: number
  readonly close: number
  readonly commas: readonly number[]
}

/** Shorter bodies are read at once. */
const SHORTEST = 1024
/** Deeper ones are left to the general reader. */
const MAX_DEPTH = 200
/** Longer numbers, too. */
const MAX_NUMBER = 300
/** Characters at the end of a body that tell whether there is a chain, mostly. */
const TAIL = 40

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const BACKSLASH = 0x5c
const OPEN_MAP = 0x7b
/** From an opening bracket to the closing one. */
const TO_CLOSE = 2

/** Undefined for a body without steps, and for all that rule 1 leaves to the general reader. */
export function findChain(body: Uint8Array): ChainPlace | undefined {
  if (body.length < SHORTEST) return undefined
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  // So ends every body outside of chains, however large its arguments are.
  if (NO_CHAIN.test(bytes.toString('latin1', bytes.length - TAIL)) || !isUtf8(bytes)) return undefined
  let at = opened(bytes, 0, OPEN_LIST)
  for (let item = 0; item < 2 && at !== -1; item++) {
    at = valueEnd(bytes, at, 1)
    if (at !== -1) at = opened(bytes, at, COMMA)
  }
  if (at !== -1) at = opened(bytes, at, OPEN_MAP)
  return at === -1 ? undefined : inEmbed(bytes, at)
}

/** `at` stands behind the bracket of the third item. */
function inEmbed(bytes: Buffer, from: number): ChainPlace | undefined {
  let place: ChainPlace | undefined
  let at = from
  for (;;) {
    const key = afterSpace(bytes, at)
    const end = bytes[key] === QUOTE ? textEnd(bytes, key + 1) : -1
    at = end === -1 ? -1 : opened(bytes, end, COLON)
    if (at === -1) return undefined
    const name = bytes.toString('latin1', key + 1, end - 1)
    // A name with escapes may be any.
    if (name.includes('\\')) return undefined
    if (name === 'chain') {
      // Of two, the last would count.
      if (place !== undefined) return undefined
      place = stepsAt(bytes, at)
      at = place === undefined ? -1 : place.close + 1
    } else at = valueEnd(bytes, at, 2)
    if (at === -1) return undefined
    at = afterSpace(bytes, at)
    if (bytes[at] !== COMMA) break
    at++
  }
  at = opened(bytes, at, OPEN_MAP + TO_CLOSE)
  if (at !== -1) at = opened(bytes, at, OPEN_LIST + TO_CLOSE)
  return at !== -1 && afterSpace(bytes, at) === bytes.length ? place : undefined
}

/** A list of mappings, at least one. */
function stepsAt(bytes: Buffer, from: number): ChainPlace | undefined {
  const open = afterSpace(bytes, from)
  if (bytes[open] !== OPEN_LIST) return undefined
  const commas: number[] = []
  let at = open + 1
  for (;;) {
    at = afterSpace(bytes, at)
    if (bytes[at] !== OPEN_MAP) return undefined
    at = valueEnd(bytes, at, 3)
    if (at === -1) return undefined
    at = afterSpace(bytes, at)
    if (bytes[at] !== COMMA) break
    commas.push(at++)
  }
  return bytes[at] === OPEN_LIST + TO_CLOSE ? { open, close: at, commas } : undefined
}

/** Behind the value that begins at `from`, or after space there. */
function valueEnd(bytes: Uint8Array, from: number, depth: number): number {
  const at = afterSpace(bytes, from)
  const byte = bytes[at] as number
  if (byte === QUOTE) return textEnd(bytes, at + 1)
  if (byte === OPEN_MAP || byte === OPEN_LIST) return membersEnd(bytes, at, depth)
  if (byte === 0x6e) return wordEnd(bytes, at, NULL)
  if (byte === 0x66) return wordEnd(bytes, at, FALSE)
  if (byte === 0x74) return wordEnd(bytes, at, TRUE)
  return numberEnd(bytes, at)
}

/** Behind the list or mapping whose bracket is at `from`. */
function membersEnd(bytes: Uint8Array, from: number, depth: number): number {
  if (depth >= MAX_DEPTH) return -1
  const open = bytes[from] as number
  const close = open + TO_CLOSE
  let at = afterSpace(bytes, from + 1)
  if (bytes[at] === close) return at + 1
  for (;;) {
    if (open === OPEN_MAP) {
      at = bytes[at] === QUOTE ? textEnd(bytes, at + 1) : -1
      if (at !== -1) at = opened(bytes, at, COLON)
      if (at === -1) return -1
    }
    at = valueEnd(bytes, at, depth + 1)
    if (at === -1) return -1
    at = afterSpace(bytes, at)
    const next = bytes[at++]
    if (next === close) return at
    if (next !== COMMA) return -1
    at = afterSpace(bytes, at)
  }
}

/** Behind the quote that closes a text, from behind the one that opens it. */
function textEnd(bytes: Uint8Array, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at++] as number
    if (byte > QUOTE ? byte !== BACKSLASH : byte === 0x20 || byte === 0x21) continue
    if (byte === QUOTE) return at - from === 9 && isType(bytes, from) ? -1 : at
    // A control character, or the end of the body.
    if (byte !== BACKSLASH) return -1
    const escaped = bytes[at++] as number
    if (escaped === 0x75) {
      if (!isHarmlessUnit(bytes, at)) return -1
      at += 4
    } else if (!ESCAPES.has(escaped)) return -1
  }
}

/** Whether the text at `from` is `__type__`. */
function isType(bytes: Uint8Array, from: number): boolean {
  return bytes[from] === 0x5f && wordEnd(bytes, from, TYPE) !== -1
}

/** Four hex digits; but for those of ASCII, in which `__type__` could be hidden. */
function isHarmlessUnit(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < from + 4; at++) {
    const byte = bytes[at] as number
    const isHex = (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)
    if (!isHex) return false
  }
  const [first, second, third = 0] = [bytes[from], bytes[from + 1], bytes[from + 2]]
  return !(first === 0x30 && second === 0x30 && third >= 0x34 && third <= 0x37)
}

function wordEnd(bytes: Uint8Array, from: number, word: Uint8Array): number {
  for (let index = 0; index < word.length; index++) if (bytes[from + index] !== word[index]) return -1
  return from + word.length
}

/** A number, or Python's `NaN` and `Infinity`. */
function numberEnd(bytes: Uint8Array, from: number): number {
  let at = from
  let onlyDigits = true
  for (;;) {
    const byte = bytes[at] as number
    if (byte >= 0x30 && byte <= 0x39) at++
    else if (
      byte >= 0x2b &&
      byte !== COMMA &&
      byte !== OPEN_LIST + TO_CLOSE &&
      byte !== OPEN_MAP + TO_CLOSE
    ) {
      onlyDigits = false
      at++
    } else break
  }
  if (onlyDigits && at > from && at - from < MAX_NUMBER && (bytes[from] !== 0x30 || at === from + 1))
    return at
  if (at - from >= MAX_NUMBER) return -1
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, at - from).toString('latin1')
  return NUMBER.test(text) ? at : -1
}

/** Behind `byte`, which must come next, after any space. */
function opened(bytes: Uint8Array, from: number, byte: number): number {
  const at = afterSpace(bytes, from)
  return bytes[at] === byte ? at + 1 : -1
}

function afterSpace(bytes: Uint8Array, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at] as number
    if (byte > 0x20) return at
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at++
  }
}

const NO_CHAIN = /"chain": ?null, ?"chord": ?null}\]$/
const NULL = Buffer.from('null')
const FALSE = Buffer.from('false')
const TRUE = Buffer.from('true')
const TYPE = Buffer.from('__type__')
const ESCAPES: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'))
const NUMBER = /^(?:NaN|-?Infinity|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/
