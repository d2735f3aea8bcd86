/**
 * Reads deliveries from AMQP frames: method, content header and body of one message at once.
 *
 * amqplib makes some thirty slices, texts and objects of the headers of a task message, which was nearly half of all that
 * the worker did for a small task. Most of those texts are the same in every message, and are found again here.
 *
 * Rule 1: what comes out is what envelopeOf (amqp-envelope.ts) makes of what amqplib reads.
 * Rule 2: what is not understood in full (a type octet that amqplib does not know either, a length that is wrong) is left
 *         alone: amqplib reads it, and refuses it in its own way.
 */
import type { Envelope, MessageProperties } from '../../protocol/envelope.js'
import { fromTable } from './amqp-envelope.js'

/** A message that the server has handed to a consumer. */
export interface Incoming {
  readonly consumerTag: string
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly envelope: Envelope
}

/** Where the frames of one message begin in a buffer, and where the last one ends; a body that is empty has none. */
export interface MessagePlace {
  readonly method: number
  readonly header: number
  readonly body: number
  readonly end: number
}

type Table = Record<string, unknown>

/** Bytes before the payload of a frame; there, before a method's arguments and a content header's flags; behind it. */
const [frameHeader, beforeArguments, beforeFlags, frameEnd] = [7, 4, 12, 1]
/** Longer texts are seldom the same, and are not remembered. */
const longestKnown = 64
/** A power of two. */
const knownTexts = 512

const octet = (letter: string): number => letter.charCodeAt(0)
const [text, table, array, bytes, boolean, none] = ['S', 'F', 'A', 'x', 't', 'V'].map(octet)
const [int8, uint8, int16, uint16, int32, uint32] = ['b', 'B', 's', 'u', 'I', 'i'].map(octet)
const [int64, newInt64, float, double, time, decimal] = ['l', 'L', 'f', 'd', 'T', 'D'].map(octet)

/** The header names of a task in Celery's order: an object that is written as a whole costs a fraction of one that grows. */
const taskNames = [
  'lang', 'task', 'id', 'shadow', 'eta', 'expires', 'group', 'group_index', 'retries', 'timelimit', 'root_id', 'parent_id',
  'argsrepr', 'kwargsrepr', 'origin', 'ignore_result', 'replaced_task_nesting', 'stamped_headers', 'stamps',
] // biome-ignore format: a table

/** As they are written, behind their lengths. */
const taskNameBytes = taskNames.map((name) => Buffer.from([name.length, ...Buffer.from(name)]))

/** What the reader gives up for. */
class NotUnderstood extends Error {}

/** Reads the deliveries of one connection. */
export class AmqpReader {
  /** Texts, by what `#short` makes of their bytes; those bytes, and how many they are. */
  readonly #known: string[] = new Array(knownTexts).fill('')
  readonly #knownBytes = new Uint8Array(knownTexts * longestKnown)
  readonly #knownLengths = new Uint8Array(knownTexts)
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  /** Nothing may be read from here on. */
  #end = 0
  /** A value came that has another form here than in amqplib. */
  #isForeign = false

  /** Undefined where amqplib has to read it. */
  read(chunk: Buffer, { method, header, body, end }: MessagePlace): Incoming | undefined {
    this.#bytes = chunk
    this.#isForeign = false
    try {
      this.#at = method + frameHeader + beforeArguments
      this.#end = header - frameEnd
      const consumerTag = this.#shortText()
      const deliveryTag = this.#uint64()
      const redelivered = (this.#octet() & 1) !== 0
      const exchange = this.#shortText()
      const routingKey = this.#shortText()
      this.#at = header + frameHeader + beforeFlags
      this.#end = body - frameEnd
      const envelope = this.#envelope(
        chunk.subarray(Math.min(end, body + frameHeader), Math.max(body, end - frameEnd)),
      )
      return { consumerTag, deliveryTag, redelivered, exchange, routingKey, envelope }
    } catch (error) {
      // Tables in tables without end: there is no room left for another call.
      if (error instanceof NotUnderstood || error instanceof RangeError) return undefined
      throw error
    }
  }

  #envelope(body: Buffer): Envelope {
    const flags = this.#uint16()
    // Bits without a property, one of which says that more flags follow.
    if ((flags & 0x3) !== 0) throw new NotUnderstood()
    const contentType = (flags & 0x8000) !== 0 ? this.#shortText() : ''
    const contentEncoding = (flags & 0x4000) !== 0 ? this.#shortText() : ''
    const headers = (flags & 0x2000) !== 0 ? this.#headers() : {}
    return { body, contentType, contentEncoding, headers, properties: this.#properties(flags) }
  }

  #properties(flags: number): MessageProperties {
    const properties: { -readonly [K in keyof MessageProperties]: MessageProperties[K] } = {}
    if ((flags & 0x1000) !== 0) {
      const mode = this.#octet()
      if (mode === 1 || mode === 2) properties.deliveryMode = mode
    }
    if ((flags & 0x0800) !== 0) properties.priority = this.#octet()
    if ((flags & 0x0400) !== 0) properties.correlationId = this.#shortText()
    if ((flags & 0x0200) !== 0) properties.replyTo = this.#shortText()
    if ((flags & 0x0100) !== 0) properties.expiration = this.#shortText()
    if ((flags & 0x0080) !== 0) properties.messageId = this.#shortText()
    if ((flags & 0x0040) !== 0) properties.timestamp = this.#uint64()
    if ((flags & 0x0020) !== 0) properties.type = this.#shortText()
    if ((flags & 0x0010) !== 0) properties.userId = this.#shortText()
    if ((flags & 0x0008) !== 0) properties.appId = this.#shortText()
    if ((flags & 0x0004) !== 0) properties.clusterId = this.#shortText()
    return properties
  }

  #headers(): Table {
    const end = this.#beginTable()
    const read = this.#taskHeaders(end)
    while (this.#at < end) read[this.#shortText()] = this.#field()
    this.#endTable(end)
    return this.#isForeign ? fromTable(read) : read
  }

  /** As many fields as stand in the order of `taskNames`. */
  #taskHeaders(end: number): Table {
    const read = this.#bytes
    const values: unknown[] = []
    let at = this.#at
    for (const name of taskNameBytes) {
      const { length } = name
      if (at + length >= end) break
      let i = 0
      while (i < length && read[at + i] === name[i]) i += 1
      if (i < length) break
      at += length
      // Half of them are not set.
      if (read[at] === none) {
        values.push(null)
        at += 1
        continue
      }
      this.#at = at
      values.push(this.#field())
      at = this.#at
    }
    this.#at = at
    return values.length === taskNames.length
      ? taskTable(values)
      : Object.fromEntries(values.map((value, index) => [taskNames[index], value]))
  }

  #table(): Table {
    const read: Table = {}
    const end = this.#beginTable()
    while (this.#at < end) {
      const name = this.#shortText()
      // What amqplib gives a decimal or a time, too.
      if (name === '!') this.#isForeign = true
      read[name] = this.#field()
    }
    this.#endTable(end)
    return read
  }

  #array(): unknown[] {
    const read: unknown[] = []
    const end = this.#beginTable()
    while (this.#at < end) read.push(this.#field())
    this.#endTable(end)
    return read
  }

  /** Where it ends. */
  #beginTable(): number {
    const length = this.#uint32()
    const end = this.#at + length
    if (end > this.#end) throw new NotUnderstood()
    return end
  }

  #endTable(end: number): void {
    if (this.#at !== end) throw new NotUnderstood()
  }

  #field(): unknown {
    const type = this.#octet()
    switch (type) {
      case text:
        return this.#text(this.#uint32())
      case none:
        return null
      case int32:
        return this.#uint32() | 0
      case array:
        return this.#array()
      case table:
        return this.#table()
      case boolean:
        return this.#octet() !== 0
      case int64:
      case newInt64:
        return this.#int64()
      case double:
        return this.#bytes.readDoubleBE(this.#take(8))
      case time:
        this.#isForeign = true
        return { '!': 'timestamp', value: this.#uint64() }
      case bytes: {
        const length = this.#uint32()
        const from = this.#take(length)
        return this.#bytes.subarray(from, from + length)
      }
      default:
        return this.#seldom(type)
    }
  }

  #seldom(type: number): unknown {
    switch (type) {
      case decimal: {
        const places = this.#octet()
        return { '!': 'decimal', value: { places, digits: this.#uint32() } }
      }
      case float:
        return this.#bytes.readFloatBE(this.#take(4))
      case uint32:
        return this.#uint32()
      case uint16:
        return this.#uint16()
      case int16:
        return (this.#uint16() << 16) >> 16
      case uint8:
        return this.#octet()
      case int8:
        return (this.#octet() << 24) >> 24
      default:
        throw new NotUnderstood()
    }
  }

  /** The place of the next bytes, which are read by that. */
  #take(length: number): number {
    const at = this.#at
    if (at + length > this.#end) throw new NotUnderstood()
    this.#at = at + length
    return at
  }

  #octet(): number {
    return this.#bytes[this.#take(1)] as number
  }

  #uint16(): number {
    const at = this.#take(2)
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number)
  }

  #uint32(): number {
    const at = this.#take(4)
    const read = this.#bytes
    const high = ((read[at] as number) << 16) | ((read[at + 1] as number) << 8) | (read[at + 2] as number)
    return high * 256 + (read[at + 3] as number)
  }

  #uint64(): number {
    return this.#uint32() * 2 ** 32 + this.#uint32()
  }

  #int64(): number {
    return (this.#uint32() | 0) * 2 ** 32 + this.#uint32()
  }

  /** Behind its length in one octet. */
  #shortText(): string {
    return this.#text(this.#octet())
  }

  #text(length: number): string {
    const from = this.#take(length)
    return length > longestKnown
      ? this.#bytes.toString('utf8', from, from + length)
      : this.#short(from, length)
  }

  /** The same text again where it was met before. */
  #short(from: number, length: number): string {
    if (length === 0) return ''
    const read = this.#bytes
    const hash =
      length * 41 +
      (read[from] as number) * 31 +
      (read[from + (length >> 1)] as number) * 17 +
      (read[from + length - 1] as number)
    const place = hash & (knownTexts - 1)
    const bytes = this.#knownBytes
    const at = place * longestKnown
    if (this.#knownLengths[place] === length) {
      let i = 0
      while (i < length && bytes[at + i] === read[from + i]) i += 1
      if (i === length) return this.#known[place] as string
    }
    const made = read.toString('utf8', from, from + length)
    this.#known[place] = made
    this.#knownLengths[place] = length
    for (let i = 0; i < length; i += 1) bytes[at + i] = read[from + i] as number
    return made
  }
}

/** An object literal, for the sake of `taskNames`. */
function taskTable(v: readonly unknown[]): Table {
  return {
    lang: v[0],
    task: v[1],
    id: v[2],
    shadow: v[3],
    eta: v[4],
    expires: v[5],
    group: v[6],
    group_index: v[7],
    retries: v[8],
    timelimit: v[9],
    root_id: v[10],
    parent_id: v[11],
    argsrepr: v[12],
    kwargsrepr: v[13],
    origin: v[14],
    ignore_result: v[15],
    replaced_task_nesting: v[16],
    stamped_headers: v[17],
    stamps: v[18],
  }
}
