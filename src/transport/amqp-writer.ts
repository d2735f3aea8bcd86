/**
 * Writes publishes as AMQP frames: method, content header and body of many messages into one buffer, for one write.
 *
 * amqplib makes an object of options, a copy of the headers, four buffers and a turn through two streams of each message,
 * which costs more than all the rest of a publish.
 *
 * Rule 1: a message is written whole or, where AMQP cannot carry it, not at all.
 * Rule 2: whole numbers go out as py-amqp writes them, as int32 or int64: small types are read with the wrong sign by
 *         Python. What a header holds of another client's types (decimals, times) goes out as it came (amqp-envelope.ts).
 * Rule 3: a content header must fit into one frame; a body is split over as many as it needs.
 */
import type { Envelope } from '../../protocol/envelope.js'
import { bodyBuffer, isDecimal } from './amqp-envelope.js'
import type { Outgoing } from './transport.js'

/** Larger ones are passed on as they are, rather than copied. */
const copiedBody = 16 * 1024
/** Holds a hundred messages of the usual size beside the largest header. */
const spare = 128 * 1024
/** Where the server knows no limit, what amqplib takes as one. */
const unlimitedHeader = 1024 * 1024
const [methodFrame, headerFrame, bodyFrame, frameEnd] = [1, 2, 3, 0xce]
const overhead = 8
const basicClass = 60
const publishMethod = 40
const int32Max = 2_147_483_647

type Table = Readonly<Record<string, unknown>>
type TextProperty = {
  readonly [K in keyof Envelope['properties']]-?: string extends Envelope['properties'][K] ? K : never
}[keyof Envelope['properties']]

const octet = (letter: string): number => letter.charCodeAt(0)
const [typeText, typeInt32, typeInt64, typeDouble, typeBoolean] = ['S', 'I', 'l', 'd', 't'].map(octet) as [
  number,
  number,
  number,
  number,
  number,
]
const [typeNull, typeBytes, typeTime, typeDecimal, typeTable, typeArray] = ['V', 'x', 'T', 'D', 'F', 'A'].map(
  octet,
) as [number, number, number, number, number, number]

/** The publishes of one channel, between two writes. */
export class AmqpWriter {
  readonly #channel: number
  readonly #frameMax: number
  readonly #largestHeader: number
  #buffer: Buffer = Buffer.alloc(0)
  /** What is written and not taken begins here. */
  #taken = 0
  #at = 0
  /** Nothing of a header may lie behind this. */
  #limit = 0
  #full: Buffer[] = []

  /** `frameMax` is what both sides agreed on, in bytes. */
  constructor(channel: number, frameMax: number) {
    this.#channel = channel
    this.#frameMax = frameMax
    this.#largestHeader = Math.min(frameMax, unlimitedHeader)
  }

  /** Adds a message. Throws `TypeError` or `RangeError`, with nothing added, for one that AMQP cannot carry. */
  add({ envelope, to, mandatory = true }: Outgoing): void {
    const body = bodyBuffer(envelope)
    const isCopied = body.length <= copiedBody && body.length + overhead <= this.#frameMax
    this.#makeRoom(isCopied ? body.length + overhead : 0)
    const start = this.#at
    try {
      this.#method(to, mandatory)
      this.#header(envelope, body.length)
    } catch (error) {
      this.#at = start
      throw error
    }
    if (body.length === 0) return
    if (isCopied) {
      this.#beginFrame(bodyFrame, body.length)
      this.#buffer.set(body, this.#at)
      this.#at += body.length
      this.#buffer[this.#at++] = frameEnd
      return
    }
    this.#split(body)
  }

  /** What was added since the last call, in its order. */
  take(): readonly Buffer[] {
    this.#cut()
    const full = this.#full
    this.#full = []
    return full
  }

  #cut(): void {
    if (this.#at > this.#taken) this.#full.push(this.#buffer.subarray(this.#taken, this.#at))
    this.#taken = this.#at
  }

  #makeRoom(bodySize: number): void {
    // method and header frame, with a margin for names
    const needed = this.#largestHeader + bodySize + 1024
    if (this.#buffer.length - this.#at < needed) {
      this.#cut()
      this.#buffer = Buffer.allocUnsafeSlow(needed + spare)
      this.#taken = 0
      this.#at = 0
    }
  }

  #split(body: Buffer): void {
    const most = this.#frameMax - overhead
    for (let from = 0; from < body.length; from += most) {
      const part = body.subarray(from, Math.min(body.length, from + most))
      this.#beginFrame(bodyFrame, part.length)
      this.#cut()
      this.#full.push(part)
      this.#buffer[this.#at++] = frameEnd
      this.#makeRoom(0)
    }
  }

  #method({ exchange, routingKey }: Outgoing['to'], mandatory: boolean): void {
    const start = this.#at
    this.#limit = this.#buffer.length
    this.#beginFrame(methodFrame, 0)
    this.#short(basicClass)
    this.#short(publishMethod)
    this.#short(0)
    this.#shortText(exchange)
    this.#shortText(routingKey)
    this.#buffer[this.#at++] = mandatory ? 1 : 0
    this.#endFrame(start)
  }

  #header({ contentType, contentEncoding, headers, properties: p }: Envelope, size: number): void {
    const start = this.#at
    this.#limit = start + this.#largestHeader - 1
    this.#beginFrame(headerFrame, 0)
    this.#short(basicClass)
    this.#short(0)
    this.#long(Math.floor(size / 2 ** 32))
    this.#long(size >>> 0)
    const flagsAt = this.#at
    this.#at += 2
    let flags = 0x2000
    if (contentType !== '') {
      flags |= 0x8000
      this.#shortText(contentType)
    }
    if (contentEncoding !== '') {
      flags |= 0x4000
      this.#shortText(contentEncoding)
    }
    this.#table(headers)
    if (p.deliveryMode !== undefined) {
      flags |= 0x1000
      this.#octet(p.deliveryMode)
    }
    if (p.priority !== undefined) {
      flags |= 0x0800
      this.#octet(p.priority)
    }
    flags |= this.#property(p, 'correlationId', 0x0400)
    flags |= this.#property(p, 'replyTo', 0x0200)
    flags |= this.#property(p, 'expiration', 0x0100)
    flags |= this.#property(p, 'messageId', 0x0080)
    if (p.timestamp !== undefined) {
      flags |= 0x0040
      this.#need(8)
      this.#at = this.#buffer.writeBigUInt64BE(BigInt(Math.trunc(p.timestamp)), this.#at)
    }
    flags |= this.#property(p, 'type', 0x0020)
    flags |= this.#property(p, 'userId', 0x0010)
    flags |= this.#property(p, 'appId', 0x0008)
    this.#buffer.writeUInt16BE(flags, flagsAt)
    this.#endFrame(start)
  }

  #property(p: Envelope['properties'], name: TextProperty, flag: number): number {
    const value = p[name]
    if (value === undefined) return 0
    this.#shortText(value)
    return flag
  }

  #beginFrame(type: number, size: number): void {
    const buffer = this.#buffer
    buffer[this.#at] = type
    buffer[this.#at + 1] = this.#channel >>> 8
    buffer[this.#at + 2] = this.#channel & 0xff
    this.#at += 3
    this.#long(size)
  }

  #endFrame(start: number): void {
    this.#buffer.writeUInt32BE(this.#at - start - 7, start + 3)
    this.#buffer[this.#at++] = frameEnd
  }

  #need(bytes: number): void {
    if (this.#at + bytes > this.#limit)
      throw new RangeError(`its headers do not fit into a frame of ${this.#largestHeader} bytes`)
  }

  #octet(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 255)
      throw new RangeError(`${value} is no number from 0 to 255`)
    this.#need(1)
    this.#buffer[this.#at++] = value
  }

  #short(value: number): void {
    this.#buffer[this.#at] = value >>> 8
    this.#buffer[this.#at + 1] = value & 0xff
    this.#at += 2
  }

  #long(value: number): void {
    const buffer = this.#buffer
    buffer[this.#at] = value >>> 24
    buffer[this.#at + 1] = (value >>> 16) & 0xff
    buffer[this.#at + 2] = (value >>> 8) & 0xff
    buffer[this.#at + 3] = value & 0xff
    this.#at += 4
  }

  /** Text behind its length in one octet. */
  #shortText(text: string): void {
    if (typeof text !== 'string') throw new TypeError(`a text is needed, not ${typeof text}`)
    const at = this.#at
    this.#at += 1
    const length = this.#text(text)
    if (length > 255) throw new RangeError(`a text of ${length} bytes is too long where AMQP has at most 255`)
    this.#buffer[at] = length
  }

  /** The bytes of a text, and how many they are. */
  #text(text: string): number {
    const at = this.#at
    const { length } = text
    this.#need(length)
    const buffer = this.#buffer
    // For short texts, most of all, a call out of JavaScript costs more than a loop.
    let i = length <= 64 ? 0 : -1
    if (i === 0) {
      for (; i < length; i += 1) {
        const code = text.charCodeAt(i)
        if (code > 127) break
        buffer[at + i] = code
      }
    }
    if (i === length) {
      this.#at = at + length
      return length
    }
    this.#need(Buffer.byteLength(text))
    const written = buffer.write(text, at)
    this.#at = at + written
    return written
  }

  #table(table: Table): void {
    this.#need(4)
    const start = this.#at
    this.#at += 4
    for (const name of Object.keys(table)) {
      const value = table[name]
      if (value === undefined) continue
      this.#shortText(name)
      this.#field(value)
    }
    this.#buffer.writeUInt32BE(this.#at - start - 4, start)
  }

  #array(values: readonly unknown[]): void {
    this.#need(4)
    const start = this.#at
    this.#at += 4
    for (const value of values) this.#field(value ?? null)
    this.#buffer.writeUInt32BE(this.#at - start - 4, start)
  }

  #field(value: unknown): void {
    this.#need(9)
    const buffer = this.#buffer
    switch (typeof value) {
      case 'string':
        this.#longText(value)
        return
      case 'number':
        this.#number(value)
        return
      case 'boolean':
        buffer[this.#at] = typeBoolean
        buffer[this.#at + 1] = value ? 1 : 0
        this.#at += 2
        return
      case 'bigint':
        buffer[this.#at] = typeInt64
        this.#at = buffer.writeBigInt64BE(value, this.#at + 1)
        return
      case 'object':
        this.#object(value)
        return
      default:
        this.#longText(String(value))
    }
  }

  #longText(text: string): void {
    const at = this.#at
    this.#buffer[at] = typeText
    this.#at = at + 5
    this.#buffer.writeUInt32BE(this.#text(text), at + 1)
  }

  #number(value: number): void {
    const at = this.#at
    if (Number.isInteger(value) && Math.abs(value) <= int32Max) {
      this.#buffer[at] = typeInt32
      this.#at = at + 1
      this.#long(value | 0)
      return
    }
    const isWhole = Number.isSafeInteger(value)
    this.#buffer[at] = isWhole ? typeInt64 : typeDouble
    this.#at = isWhole
      ? this.#buffer.writeBigInt64BE(BigInt(value), at + 1)
      : this.#buffer.writeDoubleBE(value, at + 1)
  }

  #object(value: object | null): void {
    const buffer = this.#buffer
    const at = this.#at
    if (value === null) {
      buffer[at] = typeNull
      this.#at += 1
    } else if (Array.isArray(value)) {
      buffer[at] = typeArray
      this.#at += 1
      this.#array(value)
    } else if (value instanceof Uint8Array) {
      buffer[at] = typeBytes
      this.#at += 1
      this.#long(value.length)
      this.#need(value.length)
      buffer.set(value, this.#at)
      this.#at += value.length
    } else if (value instanceof Date) {
      buffer[at] = typeTime
      this.#at = buffer.writeBigUInt64BE(BigInt(Math.trunc(value.getTime() / 1000)), at + 1)
    } else if (isDecimal(value)) {
      const { places, digits } = value.value
      buffer[at] = typeDecimal
      this.#at += 1
      this.#octet(places)
      this.#at = buffer.writeUInt32BE(digits, this.#at)
    } else {
      buffer[at] = typeTable
      this.#at += 1
      this.#table(value as Table)
    }
  }
}
