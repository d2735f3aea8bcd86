/**
 * What the server sends, before amqplib reads it: deliveries go straight to their consumers (amqp-reader.ts), the rest is
 * passed on.
 *
 * py-amqp writes whole numbers beyond 32 bits with the type octet `L` (RabbitMQ and every other client read it), which
 * amqplib 2.3 does not know: it would end the connection, and again at every redelivery. The same eight bytes under `l`
 * mean the same, so the headers that amqplib reads are mended.
 *
 * Rule 1: everything happens in the order of the bytes: what comes before a delivery has been read when it is handed over.
 * Rule 2: a message is handed over whole. One that is not understood, that is of several body frames, or that is large
 *         and cut in two goes to amqplib, which calls the same consumer.
 * Rule 3: of what is passed on only content headers are looked into; bytes are changed in place and passed on as they
 *         come, but for a header that is cut in two, which waits for its rest.
 */
import { AmqpReader, type Incoming } from './amqp-reader.js'

/** Takes a delivery of its channel; false for one that amqplib must see. */
export type Taker = (incoming: Incoming) => boolean

const [methodFrame, contentHeader, bodyFrame, frameEnd] = [1, 2, 3, 0xce]
const frameHeader = 7
const frameOverhead = frameHeader + 1
/** Class and method, as one number: `basic.deliver`. */
const deliver = (60 << 16) | 60
const basicClass = 60
/** A body that is larger does not wait here for its rest. */
const longestWait = 64 * 1024
/** What `#endOf` says of a frame that is not all there, and of one that is another than was looked for. */
const [cut, other] = [-1, 0]
/** Class, weight, body size. */
const beforeFlags = 12
const [hasType, hasEncoding, hasHeaders] = [0x8000, 0x4000, 0x2000]

const octet = (letter: string): number => letter.charCodeAt(0)
const newLong = octet('L')
const oldLong = octet('l')
/** Bytes of a value after its type octet. */
const fixed: ReadonlyMap<number, number> = new Map([
  ...[...'tbB'].map((letter) => [octet(letter), 1] as const),
  ...[...'sUu'].map((letter) => [octet(letter), 2] as const),
  ...[...'Iif'].map((letter) => [octet(letter), 4] as const),
  ...[...'LldT'].map((letter) => [octet(letter), 8] as const),
  [octet('D'), 5],
  [octet('V'), 0],
])
const counted = new Set([...'Sx'].map(octet))
const table = octet('F')
const array = octet('A')

/** Goes through the bytes of one connection, from a frame's first byte on. */
export class IncomingFrames {
  readonly #reader = new AmqpReader()
  readonly #takers = new Map<number, Taker>()
  readonly #largest: number
  /** Came, and was not gone through to its end; `#from` is where to go on. */
  #bytes: Buffer | undefined
  #from = 0
  /** Of the next bytes, those of a frame that is not looked into. */
  #skip = 0
  /** Waits for what follows. */
  #rest: Buffer | undefined

  /** `largest` is the longest frame that may come, in bytes. */
  constructor(largest: number) {
    this.#largest = largest
  }

  /** From now on deliveries of this channel go to `taker`; what is returned leaves them to amqplib again. */
  setTaker(channel: number, taker: Taker): () => void {
    this.#takers.set(channel, taker)
    return () => {
      // Another channel may have its number by then.
      if (this.#takers.get(channel) === taker) this.#takers.delete(channel)
    }
  }

  /** Takes bytes in, once `next` has given null. */
  push(chunk: Buffer): void {
    this.#bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = undefined
    this.#from = 0
  }

  /** Hands over the deliveries that come next, and gives the bytes behind them; null when there are no more. */
  next(): Buffer | null {
    const bytes = this.#bytes
    if (bytes === undefined) return null
    let start = this.#from
    let offset = start + this.#skip
    this.#skip = 0
    while (offset < bytes.length) {
      const left = bytes.length - offset
      const type = bytes[offset]
      if (left < frameHeader || (type === methodFrame && left < frameHeader + 4))
        return this.#hold(bytes, start, offset)
      if (type === methodFrame && bytes.readUInt32BE(offset + frameHeader) === deliver) {
        if (offset > start) return this.#pass(bytes, start, offset)
        const end = this.#take(bytes, offset)
        if (end === cut) return this.#hold(bytes, start, offset)
        if (end !== other) {
          start = end
          offset = end
          continue
        }
      }
      const end = offset + bytes.readUInt32BE(offset + 3) + frameOverhead
      if (type === contentHeader && end - offset <= this.#largest) {
        if (end > bytes.length) return this.#hold(bytes, start, offset)
        mendHeader(bytes, offset + frameHeader, end - 1)
      }
      offset = end
    }
    this.#bytes = undefined
    this.#skip = offset - bytes.length
    return start < bytes.length ? bytes.subarray(start) : null
  }

  /** Passes on what comes before a delivery. */
  #pass(bytes: Buffer, start: number, offset: number): Buffer {
    this.#from = offset
    return bytes.subarray(start, offset)
  }

  #hold(bytes: Buffer, start: number, offset: number): Buffer | null {
    this.#bytes = undefined
    this.#rest = bytes.subarray(offset)
    return offset === start ? null : bytes.subarray(start, offset)
  }

  /** Hands over the message that begins here; gives where it ends, `cut`, or `other` for one that amqplib is to read. */
  #take(bytes: Buffer, method: number): number {
    const channel = bytes.readUInt16BE(method + 1)
    const taker = this.#takers.get(channel)
    if (taker === undefined) return other
    const header = this.#endOf(bytes, method, methodFrame, channel)
    if (header <= 0) return header
    const body = this.#endOf(bytes, header, contentHeader, channel)
    if (body <= 0) return body
    const payload = header + frameHeader
    // A header without flags is none; sizes beyond 32 bits are for amqplib.
    if (body - payload <= beforeFlags + 2 || bytes.readUInt16BE(payload) !== basicClass) return other
    if (bytes.readUInt32BE(payload + 4) !== 0) return other
    const size = bytes.readUInt32BE(payload + 8)
    const end = size === 0 ? body : this.#endOf(bytes, body, bodyFrame, channel)
    if (end === cut && size > longestWait) return other
    if (end <= 0) return end
    if (size > 0 && end - body - frameOverhead !== size) return other
    const incoming = this.#reader.read(bytes, { method, header, body, end })
    return incoming !== undefined && taker(incoming) ? end : other
  }

  /** Where the frame at `offset` ends, which must be of this type and channel: else `other`, or `cut`. */
  #endOf(bytes: Buffer, offset: number, type: number, channel: number): number {
    if (bytes.length - offset < frameHeader) return cut
    if (bytes[offset] !== type || bytes.readUInt16BE(offset + 1) !== channel) return other
    const size = bytes.readUInt32BE(offset + 3) + frameOverhead
    if (size > this.#largest) return other
    const end = offset + size
    if (end > bytes.length) return cut
    return bytes[end - 1] === frameEnd ? end : other
  }
}

/** Looks into the properties between `start` and `end`; gives up on what it does not understand. */
function mendHeader(bytes: Buffer, start: number, end: number): void {
  let offset = start + beforeFlags
  const flags = bytes.readUInt16BE(offset)
  if ((flags & hasHeaders) === 0) return
  const found = bytes.indexOf(newLong, offset)
  if (found < 0 || found >= end) return
  offset += 2
  for (const flag of [hasType, hasEncoding]) if (flags & flag) offset += 1 + (bytes[offset] ?? 0)
  const length = bytes.readUInt32BE(offset)
  mendFields(bytes, offset + 4, Math.min(end, offset + 4 + length), true)
}

function mendFields(bytes: Buffer, start: number, end: number, isNamed: boolean): void {
  let offset = start
  while (offset < end) {
    if (isNamed) offset += 1 + (bytes[offset] ?? 0)
    if (offset >= end) return
    const type = bytes[offset] ?? 0
    if (type === newLong) bytes[offset] = oldLong
    offset += 1
    const size = fixed.get(type)
    if (size !== undefined) {
      offset += size
      continue
    }
    if (offset + 4 > end) return
    const length = bytes.readUInt32BE(offset)
    offset += 4
    if (type === table || type === array)
      mendFields(bytes, offset, Math.min(end, offset + length), type === table)
    else if (!counted.has(type)) return
    offset += length
  }
}
