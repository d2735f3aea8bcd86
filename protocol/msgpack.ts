/**
 * msgpack as kombu uses it: `packb(use_bin_type=True)` and `unpackb(raw=False)` (wire-format 3.4), with msgpackr.
 *
 * Rule 1: msgpackr is given only what it writes and reads as Python does. Values are copied to plain ones before they
 * are packed, so that no code of the caller runs meanwhile; bytes are scanned before they are unpacked.
 * Rule 2: what msgpackr has no way to say travels through it as a 64-bit integer standing in for it. Written: it has
 * no whole floats nor `-0` (2.0 becomes the integer 2), packs integers past 32 bits as floats, and positive bigints as
 * int64 where Python writes uint64. Read: it cannot tell 2.0 from 2, and drops a byte order mark. Its extensions could
 * say some of that, but they are registered for the whole process, where the application may use msgpackr too.
 * Rule 3: msgpackr renames a key `__proto__`, and has text for all keys of an object: then it reads maps as `Map`.
 */
import { DecodeError, EncodeError, ProtocolError } from './errors.js'
import { MAX_DEPTH } from './json-reader.js'
import { type DelicateValue, scanMsgpack } from './msgpack-scan.js'
import { onDemand } from './on-demand.js'
import { plainForm, refused } from './plain-form.js'
import { Decimal, Float, PlainDate, PlainTime, TimeDelta, Uuid } from './values.js'

const msgpackr = onDemand('msgpackr', ({ Packr, RESET_BUFFER_MODE, Unpackr }: typeof import('msgpackr')) => ({
  packr: new Packr({
    useRecords: false,
    variableMapSize: true,
    encodeUndefinedAsNil: true,
    useToJSON: false,
  }),
  toObjects: new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true }),
  toMaps: new Unpackr({ useRecords: false, mapsAsObjects: false, copyBuffers: true }),
  fresh: RESET_BUFFER_MODE,
}))

/** What a 64-bit number or a double fills, with its first byte. */
const WIDE = 9

/** How `decodeMsgpack` reads. */
export interface MsgpackDecodeOptions {
  /** Whole floats become `Float`. Default false. */
  readonly exact?: boolean
}

/** Packs a value. Throws `EncodeError` for integers past 64 bits, dates, decimals, UUIDs, sets, lone surrogates. */
export function encodeMsgpack(value: unknown): Uint8Array {
  const copy = new PackableCopy()
  try {
    const plain = copy.of(value)
    // A copy of its own, as msgpackr writes the next body over this one.
    const { packr, fresh } = msgpackr()
    const body = Buffer.from(packr.pack(plain, fresh))
    if (copy.wide.length > 0) writeWide(body, copy.wide)
    return body
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EncodeError(`Cannot write msgpack: ${reason}`, { cause })
  }
}

/** Unpacks one value that fills the body. Throws `DecodeError`. A map with bytes for keys becomes a `Map`. */
export function decodeMsgpack(body: Uint8Array, options: MsgpackDecodeOptions = {}): unknown {
  // A view of our own, as msgpackr leaves a member on what it reads.
  const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  try {
    const { toObjects, toMaps } = msgpackr()
    const { delicate, hasPlainKeys } = scanMsgpack(buffer, options)
    if (delicate.length === 0 && hasPlainKeys) return toObjects.unpack(buffer)
    return settled(toMaps.unpack(withStandIns(buffer, delicate)), delicate)
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DecodeError(`Cannot read msgpack: ${reason}`, { cause })
  }
}

/** A tree of what msgpackr packs as Python would; `wide` holds, in order, what the zero bigints stand for. */
class PackableCopy {
  /** Numbers are to be doubles, bigints 64-bit integers. */
  readonly wide: (number | bigint)[] = []
  readonly #open = new Set<object>()

  of(value: unknown): unknown {
    switch (typeof value) {
      case 'undefined':
        return null
      case 'boolean':
        return value
      case 'string':
        if (/\p{Surrogate}/u.test(value)) {
          throw refused('a lone surrogate', 'msgpack', '', 'send well-formed text')
        }
        return value
      case 'number':
        if (Object.is(value, -0)) return this.#wide(value)
        if (!Number.isSafeInteger(value) || isShort(value)) return value
        return this.#wide(BigInt(value))
      case 'bigint':
        if (isShort(value)) return Number(value)
        if (value >= 1n << 64n || value < -(1n << 63n)) {
          throw refused('an integer past 64 bits', 'msgpack', '', 'send it as text')
        }
        return this.#wide(value)
      case 'object':
        return value === null ? null : this.#object(value)
      default:
        throw refused(`a ${typeof value}`, 'msgpack', '', 'send plain data')
    }
  }

  #wide(value: number | bigint): bigint {
    this.wide.push(value)
    return 0n
  }

  #object(value: object): unknown {
    if (value instanceof Float) return Number.isInteger(value.value) ? this.#wide(value.value) : value.value
    if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    for (const type of [Date, Decimal, Uuid, PlainDate, PlainTime, TimeDelta, Set]) {
      if (value instanceof type) throw refused(`a ${type.name}`, 'msgpack', '', 'send text, or use json')
    }
    if (this.#open.size > MAX_DEPTH)
      throw refused(`more than ${MAX_DEPTH} levels`, 'msgpack', '', 'flatten it')
    if (this.#open.has(value)) throw refused('a circular reference', 'msgpack', '', 'send a tree')
    this.#open.add(value)
    const copy = this.#container(value, plainForm(value, 'msgpack'))
    this.#open.delete(value)
    return copy
  }

  #container(value: object, plain: unknown): unknown {
    if (Array.isArray(plain)) {
      const items: unknown[] = []
      for (let index = 0; index < plain.length; index++) items.push(this.of(plain[index]))
      return items
    }
    if (plain instanceof Map) return this.#map([...plain])
    return plain === value ? this.#map(Object.entries(value)) : this.of(plain)
  }

  /** A `Map` keeps the order of keys that look like numbers, and takes `__proto__`. */
  #map(entries: readonly (readonly [unknown, unknown])[]): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>()
    for (const [key, item] of entries) {
      if (item === undefined) continue
      if (typeof key !== 'string' && !(key instanceof Uint8Array)) {
        throw refused(`a map key of type ${typeof key}`, 'msgpack', '', 'Python reads only text and bytes')
      }
      map.set(this.of(key), this.of(item))
    }
    return map
  }
}

/** Whether an integer fits into 32 bits. */
function isShort(value: number | bigint): boolean {
  return value >= -0x80000000 && value < 0x100000000
}

/** Puts the true values where the stand-ins are; only stand-ins were packed with 64 bits. */
function writeWide(body: Buffer, wide: readonly (number | bigint)[]): void {
  let next = 0
  for (const { start, value: found } of scanMsgpack(body, { maxDepth: Number.POSITIVE_INFINITY }).delicate) {
    if (typeof found === 'string') continue
    const value = wide[next++]
    if (typeof value === 'number') {
      body[start] = 0xcb
      body.writeDoubleBE(value, start + 1)
    } else if (value !== undefined) {
      body[start] = value < 0n ? 0xd3 : 0xcf
      body.writeBigUInt64BE(BigInt.asUintN(64, value), start + 1)
    }
  }
  if (next !== wide.length)
    throw new EncodeError(`Cannot write msgpack: ${next} of ${wide.length} wide numbers`)
}

/** The body with a uint64, its index, in place of each delicate value. */
function withStandIns(body: Buffer, delicate: readonly DelicateValue[]): Buffer {
  const size = delicate.reduce((sum, { start, end }) => sum + WIDE - (end - start), body.length)
  const standing = Buffer.allocUnsafe(size)
  let to = 0
  let from = 0
  for (const [index, { start, end }] of delicate.entries()) {
    to += body.copy(standing, to, from, start)
    standing[to] = 0xcf
    standing.writeBigUInt64BE(BigInt(index), to + 1)
    to += WIDE
    from = end
  }
  body.copy(standing, to, from)
  return standing
}

/** The tree with delicate values for their stand-ins, and objects for maps whose keys are text. */
function settled(value: unknown, delicate: readonly DelicateValue[]): unknown {
  if (typeof value === 'bigint') return delicate[Number(value)]?.value
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) value[index] = settled(value[index], delicate)
    return value
  }
  if (!(value instanceof Map)) return value
  const map = new Map<unknown, unknown>()
  let hasBytes = false
  for (const [key, item] of value) {
    const name = settled(key, delicate)
    hasBytes ||= typeof name !== 'string'
    map.set(name, settled(item, delicate))
  }
  // fromEntries defines members, so that __proto__ is data.
  return hasBytes ? map : Object.fromEntries(map as Map<string, unknown>)
}
