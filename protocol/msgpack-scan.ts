/**
 * Reads msgpack bytes without making values of them: is it data that Python writes, and what in it is delicate?
 *
 * msgpackr believes what it reads: it takes extensions and keys of any type, replaces bad UTF-8, and nests until the
 * stack ends. What passes here holds none of that.
 * Rule 1: a claimed length is believed only as far as there are bytes; nothing is allocated on its word.
 * Rule 2: text is UTF-8 and map keys are text or bytes, as `unpackb(raw=False, strict_map_key=True)` reads no others.
 */
import { isUtf8 } from 'node:buffer'
import { DecodeError } from './errors.js'
import { MAX_DEPTH } from './json-reader.js'
import { Float } from './values.js'

/** A value that msgpackr would change, and the bytes that it fills: 64-bit integers, text with a BOM, whole floats. */
export interface DelicateValue {
  readonly start: number
  readonly end: number
  readonly value: unknown
}

/** What `scanMsgpack` found. */
export interface MsgpackScan {
  /** In the order of the bytes. */
  readonly delicate: readonly DelicateValue[]
  /** False when a map key is bytes or ends in `__proto__`: such a map is no object that can be filled by assignment. */
  readonly hasPlainKeys: boolean
}

/** How `scanMsgpack` reads. */
export interface MsgpackScanOptions {
  /** Whole floats are delicate: their value is a `Float`. Default false. */
  readonly exact?: boolean
  /** Levels of nesting. Default `MAX_DEPTH`. */
  readonly maxDepth?: number
}

/** Checks that one value fills the body (wire-format 3.4). Throws `DecodeError`. */
export function scanMsgpack(body: Buffer, options: MsgpackScanOptions = {}): MsgpackScan {
  const scanner = new Scanner(body, options.exact ?? false, options.maxDepth ?? MAX_DEPTH)
  scanner.whole()
  return scanner
}

class Scanner implements MsgpackScan {
  readonly delicate: DelicateValue[] = []
  hasPlainKeys = true
  readonly #body: Buffer
  readonly #isExact: boolean
  readonly #maxDepth: number
  #at = 0

  constructor(body: Buffer, isExact: boolean, maxDepth: number) {
    this.#body = body
    this.#isExact = isExact
    this.#maxDepth = maxDepth
  }

  whole(): void {
    this.#value(0)
    if (this.#at < this.#body.length) {
      throw new DecodeError(`${this.#body.length - this.#at} bytes after the end of the msgpack value`)
    }
  }

  /** Moves past `count` bytes; returns where they start. */
  #skip(count: number): number {
    const at = this.#at
    if (at + count > this.#body.length) {
      throw new DecodeError('The msgpack body ends in the middle of a value')
    }
    this.#at += count
    return at
  }

  #length(bytes: number): number {
    return this.#body.readUIntBE(this.#skip(bytes), bytes)
  }

  #value(depth: number): void {
    if (depth > this.#maxDepth) {
      throw new DecodeError(`msgpack is nested deeper than ${this.#maxDepth} levels`)
    }
    const start = this.#skip(1)
    const head = this.#body[start] ?? 0
    if (head < 0x80 || head >= 0xe0) return
    if (head < 0x90) this.#map(head & 0x0f, depth)
    else if (head < 0xa0) this.#array(head & 0x0f, depth)
    else if (head < 0xc0) this.#string(start, head & 0x1f)
    else this.#headed(start, head, depth)
  }

  /** Values whose first byte says only their type. */
  #headed(start: number, head: number, depth: number): void {
    switch (head) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return
      case 0xc4:
      case 0xc5:
      case 0xc6:
        this.#skip(this.#length(1 << (head - 0xc4)))
        return
      case 0xca:
        this.#float(start, this.#body.readFloatBE(this.#skip(4)))
        return
      case 0xcb:
        this.#float(start, this.#body.readDoubleBE(this.#skip(8)))
        return
      case 0xcc:
      case 0xcd:
      case 0xce:
        this.#skip(1 << (head - 0xcc))
        return
      case 0xcf:
        this.#mark(start, narrowed(this.#body.readBigUInt64BE(this.#skip(8))))
        return
      case 0xd0:
      case 0xd1:
      case 0xd2:
        this.#skip(1 << (head - 0xd0))
        return
      case 0xd3:
        this.#mark(start, narrowed(this.#body.readBigInt64BE(this.#skip(8))))
        return
      case 0xd9:
      case 0xda:
      case 0xdb:
        this.#string(start, this.#length(1 << (head - 0xd9)))
        return
      case 0xdc:
      case 0xdd:
        this.#array(this.#length(head === 0xdc ? 2 : 4), depth)
        return
      case 0xde:
      case 0xdf:
        this.#map(this.#length(head === 0xde ? 2 : 4), depth)
        return
      default:
        throw new DecodeError(
          `Unsupported msgpack type 0x${head.toString(16)} (extension types are not data)`,
        )
    }
  }

  #mark(start: number, value: unknown): void {
    this.delicate.push({ start, end: this.#at, value })
  }

  #float(start: number, value: number): void {
    if (this.#isExact && Number.isInteger(value)) this.#mark(start, new Float(value))
  }

  #string(start: number, length: number): void {
    const at = this.#skip(length)
    const body = this.#body
    const end = this.#at
    if (length > 32) {
      if (!isUtf8(body.subarray(at, end))) throw notUtf8()
    } else {
      // Most text is short and ASCII: cheaper to look at than to make a view of.
      for (let index = at; index < end; index++) {
        if ((body[index] ?? 0) < 0x80) continue
        if (!isUtf8(body.subarray(index, end))) throw notUtf8()
        break
      }
    }
    // msgpackr's TextDecoder drops a byte order mark at the start of text.
    if (length > 2 && body[at] === 0xef && body[at + 1] === 0xbb && body[at + 2] === 0xbf) {
      this.#mark(start, body.toString('utf8', at, end))
    }
  }

  #array(length: number, depth: number): void {
    for (let index = 0; index < length; index++) this.#value(depth + 1)
  }

  #map(length: number, depth: number): void {
    const body = this.#body
    for (let index = 0; index < length; index++) {
      const head = body[this.#at] ?? 0xa0
      const isText = (head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb)
      if (!isText && (head < 0xc4 || head > 0xc6)) {
        throw new DecodeError(
          `A msgpack map key that starts with 0x${head.toString(16)}: only text and bytes are allowed`,
        )
      }
      this.#value(depth + 1)
      const end = this.#at
      if (!isText || (body[end - 9] === 0x5f && body.toString('latin1', end - 9, end) === '__proto__')) {
        this.hasPlainKeys = false
      }
      this.#value(depth + 1)
    }
  }
}

function notUtf8(): DecodeError {
  return new DecodeError('A msgpack string is not valid UTF-8')
}

function narrowed(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}
