/**
 * msgpack as kombu uses it: `packb(use_bin_type=True)` and `unpackb(raw=False)` (wire-format 3.4).
 *
 * Rule 1: text is the str family and bytes the bin family; map keys are one of these, as Python reads no others.
 * Rule 2: a claimed length is believed only as far as there are bytes; nothing is allocated on its word.
 */
import { isUtf8 } from 'node:buffer'
import { DecodeError, EncodeError, ProtocolError } from './errors.js'
import { MAX_DEPTH } from './json-reader.js'
import { plainForm, refused } from './plain-form.js'
import { Decimal, Float, PlainDate, PlainTime, TimeDelta, Uuid } from './values.js'

/** How `decodeMsgpack` reads. */
export interface MsgpackDecodeOptions {
  /** Whole floats become `Float`. Default false. */
  readonly exact?: boolean
}

/** Packs a value. Throws `EncodeError` for integers past 64 bits, dates, decimals, UUIDs, sets, lone surrogates. */
export function encodeMsgpack(value: unknown): Uint8Array {
  const packer = new Packer()
  try {
    packer.write(value)
    return packer.finished()
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EncodeError(`Cannot write msgpack: ${reason}`, { cause })
  }
}

/** Unpacks one value that fills the body. Throws `DecodeError`. A map with bytes for keys becomes a `Map`. */
export function decodeMsgpack(body: Uint8Array, options: MsgpackDecodeOptions = {}): unknown {
  const unpacker = new Unpacker(body, options.exact ?? false)
  try {
    return unpacker.whole()
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new DecodeError('The msgpack body ends in the middle of a value', { cause })
  }
}

/** First bytes of a family: largest length that fits into the first byte, its base, then the 8, 16, 32 bit heads. */
interface Family {
  readonly fixed: number
  readonly base: number
  readonly heads: readonly [number | undefined, number, number]
}
const STRING: Family = { fixed: 31, base: 0xa0, heads: [0xd9, 0xda, 0xdb] }
const BYTES: Family = { fixed: -1, base: 0, heads: [0xc4, 0xc5, 0xc6] }
const ARRAY: Family = { fixed: 15, base: 0x90, heads: [undefined, 0xdc, 0xdd] }
const MAP: Family = { fixed: 15, base: 0x80, heads: [undefined, 0xde, 0xdf] }

class Packer {
  #buffer = Buffer.allocUnsafe(256)
  #length = 0
  readonly #open = new Set<object>()

  finished(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Makes room for `count` bytes; returns where they go. */
  #room(count: number): number {
    const at = this.#length
    if (at + count > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + count))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#length += count
    return at
  }

  #byte(byte: number): void {
    const at = this.#room(1)
    this.#buffer[at] = byte
  }

  #head(family: Family, length: number): void {
    if (length <= family.fixed) {
      this.#byte(family.base | length)
      return
    }
    const [short, medium, long] = family.heads
    if (short !== undefined && length < 0x100) {
      this.#byte(short)
      this.#byte(length)
    } else if (length < 0x10000) {
      this.#byte(medium)
      const at = this.#room(2)
      this.#buffer.writeUInt16BE(length, at)
    } else {
      this.#byte(long)
      const at = this.#room(4)
      this.#buffer.writeUInt32BE(length, at)
    }
  }

  write(value: unknown): void {
    switch (typeof value) {
      case 'undefined':
        this.#byte(0xc0)
        return
      case 'boolean':
        this.#byte(value ? 0xc3 : 0xc2)
        return
      case 'string':
        this.#string(value)
        return
      case 'number':
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#integer(value)
        else this.#float(value)
        return
      case 'bigint':
        this.#bigint(value)
        return
      case 'object':
        if (value === null) this.#byte(0xc0)
        else this.#object(value)
        return
      default:
        throw refused(`a ${typeof value}`, 'msgpack', '', 'send plain data')
    }
  }

  #string(text: string): void {
    if (/\p{Surrogate}/u.test(text)) throw refused('a lone surrogate', 'msgpack', '', 'send well-formed text')
    const length = Buffer.byteLength(text)
    this.#head(STRING, length)
    const at = this.#room(length)
    this.#buffer.write(text, at)
  }

  #float(value: number): void {
    this.#byte(0xcb)
    const at = this.#room(8)
    this.#buffer.writeDoubleBE(value, at)
  }

  #integer(value: number): void {
    if (value >= 0) {
      if (value < 0x80) {
        this.#byte(value)
        return
      }
      if (value < 0x100) {
        this.#sized(0xcc, 1, value)
        return
      }
      if (value < 0x10000) {
        this.#sized(0xcd, 2, value)
        return
      }
      if (value < 0x100000000) {
        this.#sized(0xce, 4, value)
        return
      }
    } else {
      if (value >= -0x20) {
        this.#byte(0x100 + value)
        return
      }
      if (value >= -0x80) {
        this.#sized(0xd0, 1, value + 0x100)
        return
      }
      if (value >= -0x8000) {
        this.#sized(0xd1, 2, value + 0x10000)
        return
      }
      if (value >= -0x80000000) {
        this.#sized(0xd2, 4, value + 0x100000000)
        return
      }
    }
    this.#bigint(BigInt(value))
  }

  #sized(head: number, bytes: number, value: number): void {
    this.#byte(head)
    const at = this.#room(bytes)
    this.#buffer.writeUIntBE(value, at, bytes)
  }

  #bigint(value: bigint): void {
    if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) {
      const small = Number(value)
      if (small >= -0x80000000 && small < 0x100000000) {
        this.#integer(small)
        return
      }
    }
    if (value >= 1n << 64n || value < -(1n << 63n)) {
      throw refused('an integer past 64 bits', 'msgpack', '', 'send it as text')
    }
    this.#byte(value < 0n ? 0xd3 : 0xcf)
    const at = this.#room(8)
    this.#buffer.writeBigUInt64BE(BigInt.asUintN(64, value), at)
  }

  #object(value: object): void {
    if (value instanceof Float) {
      this.#float(value.value)
      return
    }
    if (value instanceof Uint8Array) {
      this.#head(BYTES, value.length)
      const at = this.#room(value.length)
      this.#buffer.set(value, at)
      return
    }
    for (const type of [Date, Decimal, Uuid, PlainDate, PlainTime, TimeDelta, Set]) {
      if (value instanceof type) throw refused(`a ${type.name}`, 'msgpack', '', 'send text, or use json')
    }
    if (this.#open.size > MAX_DEPTH)
      throw refused(`more than ${MAX_DEPTH} levels`, 'msgpack', '', 'flatten it')
    if (this.#open.has(value)) throw refused('a circular reference', 'msgpack', '', 'send a tree')
    this.#open.add(value)
    const plain = plainForm(value, 'msgpack')
    if (Array.isArray(plain)) {
      this.#head(ARRAY, plain.length)
      for (let index = 0; index < plain.length; index++) this.write(plain[index])
    } else if (plain instanceof Map) this.#map([...plain])
    else if (plain === value) this.#map(Object.entries(value))
    else this.write(plain)
    this.#open.delete(value)
  }

  #map(all: readonly (readonly [unknown, unknown])[]): void {
    const entries = all.filter(([, item]) => item !== undefined)
    this.#head(MAP, entries.length)
    for (const [key, item] of entries) {
      if (typeof key !== 'string' && !(key instanceof Uint8Array)) {
        throw refused(`a map key of type ${typeof key}`, 'msgpack', '', 'Python reads only text and bytes')
      }
      this.write(key)
      this.write(item)
    }
  }
}

class Unpacker {
  readonly #buffer: Buffer
  readonly #isExact: boolean
  #at = 0

  constructor(body: Uint8Array, isExact: boolean) {
    this.#buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    this.#isExact = isExact
  }

  whole(): unknown {
    const value = this.#value(0)
    if (this.#at < this.#buffer.length) {
      throw new DecodeError(`${this.#buffer.length - this.#at} bytes after the end of the msgpack value`)
    }
    return value
  }

  /** Moves past `count` bytes; returns where they start. */
  #skip(count: number): number {
    const at = this.#at
    if (at + count > this.#buffer.length) {
      throw new DecodeError('The msgpack body ends in the middle of a value')
    }
    this.#at += count
    return at
  }

  #unsigned(bytes: number): number {
    return this.#buffer.readUIntBE(this.#skip(bytes), bytes)
  }

  #signed(bytes: number): number {
    return this.#buffer.readIntBE(this.#skip(bytes), bytes)
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw new DecodeError(`msgpack is nested deeper than ${MAX_DEPTH} levels`)
    const head = this.#unsigned(1)
    if (head < 0x80) return head
    if (head < 0x90) return this.#map(head & 0x0f, depth)
    if (head < 0xa0) return this.#array(head & 0x0f, depth)
    if (head < 0xc0) return this.#string(head & 0x1f)
    if (head >= 0xe0) return head - 0x100
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#bytes(this.#unsigned(1 << (head - 0xc4)))
      case 0xca:
        return this.#float(this.#buffer.readFloatBE(this.#skip(4)))
      case 0xcb:
        return this.#float(this.#buffer.readDoubleBE(this.#skip(8)))
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned(1 << (head - 0xcc))
      case 0xcf:
        return narrowed(this.#buffer.readBigUInt64BE(this.#skip(8)))
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.#signed(1 << (head - 0xd0))
      case 0xd3:
        return narrowed(this.#buffer.readBigInt64BE(this.#skip(8)))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#unsigned(1 << (head - 0xd9)))
      case 0xdc:
      case 0xdd:
        return this.#array(this.#unsigned(head === 0xdc ? 2 : 4), depth)
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(head === 0xde ? 2 : 4), depth)
      default:
        throw new DecodeError(
          `Unsupported msgpack type 0x${head.toString(16)} (extension types are not data)`,
        )
    }
  }

  #float(value: number): unknown {
    return this.#isExact && Number.isInteger(value) ? new Float(value) : value
  }

  #bytes(length: number): Uint8Array {
    const at = this.#skip(length)
    return Buffer.from(this.#buffer.subarray(at, at + length))
  }

  #string(length: number): string {
    const at = this.#skip(length)
    const bytes = this.#buffer.subarray(at, at + length)
    if (!isUtf8(bytes)) throw new DecodeError('A msgpack string is not valid UTF-8')
    return bytes.toString('utf8')
  }

  #array(length: number, depth: number): unknown[] {
    const items: unknown[] = []
    for (let index = 0; index < length; index++) items.push(this.#value(depth + 1))
    return items
  }

  #map(length: number, depth: number): unknown {
    const map = new Map<unknown, unknown>()
    let hasBytes = false
    for (let index = 0; index < length; index++) {
      const key = this.#value(depth + 1)
      if (typeof key !== 'string' && !(key instanceof Uint8Array)) {
        throw new DecodeError(`A msgpack map key of type ${typeof key}: only text and bytes are allowed`)
      }
      hasBytes ||= typeof key !== 'string'
      map.set(key, this.#value(depth + 1))
    }
    // fromEntries defines members, so that __proto__ is data.
    return hasBytes ? map : Object.fromEntries(map as Map<string, unknown>)
  }
}

function narrowed(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}
