/**
 * Envelopes from AMQP's properties and field tables, and tables for declarations (wire-format 7.5, 7.6). Publishes are
 * written by amqp-writer.ts, and most deliveries read by amqp-reader.ts.
 *
 * Rule 1: a body is bytes on both sides. Rule 2: whole numbers go out as py-amqp writes them, as int32 or int64: small
 * types are read with the wrong sign by Python. Rule 3: a header of a type that we have no use for travels on as it
 * came: timestamps are `Date`s, decimals keep their form.
 */
import type { Message } from 'amqplib'
import type { Envelope, MessageProperties } from '../../protocol/envelope.js'

type Table = Record<string, unknown>

const int32Max = 2_147_483_647

/** The body as a `Buffer`: the same bytes. */
export function bodyBuffer({ body }: Envelope): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

/** The envelope of a message that amqplib has read, and which is nobody else's: its headers are used as they are. */
export function envelopeOf({ content, properties: p }: Pick<Message, 'content' | 'properties'>): Envelope {
  return {
    body: content,
    contentType: text(p.contentType) ?? '',
    contentEncoding: text(p.contentEncoding) ?? '',
    headers: fromTable(p.headers ?? {}),
    properties: propertiesOf(p),
  }
}

/** Only what is there: this runs for every message, and most of it never is. */
function propertiesOf(p: Message['properties']): MessageProperties {
  const properties: { -readonly [K in keyof MessageProperties]: MessageProperties[K] } = {}
  const mode: unknown = p.deliveryMode
  if (typeof p.correlationId === 'string') properties.correlationId = p.correlationId
  if (typeof p.replyTo === 'string') properties.replyTo = p.replyTo
  if (typeof p.priority === 'number') properties.priority = p.priority
  if (mode === 1 || mode === 2) properties.deliveryMode = mode
  if (typeof p.expiration === 'string') properties.expiration = p.expiration
  if (typeof p.messageId === 'string') properties.messageId = p.messageId
  if (typeof p.timestamp === 'number') properties.timestamp = p.timestamp
  if (typeof p.type === 'string') properties.type = p.type
  if (typeof p.userId === 'string') properties.userId = p.userId
  if (typeof p.appId === 'string') properties.appId = p.appId
  if (typeof p.clusterId === 'string') properties.clusterId = p.clusterId
  return properties
}

/** A field table for amqplib, with every number's type said. */
export function amqpTable(table: Readonly<Record<string, unknown>>): Table {
  const written: Table = {}
  for (const name of Object.keys(table)) {
    const value = table[name]
    if (value !== undefined) written[name] = fieldValue(value)
  }
  // an own '!' would be read as amqplib's way to name a type; an inherited one is not
  return Object.hasOwn(written, '!') ? (Object.create(written) as Table) : written
}

function fieldValue(value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      if (!Number.isInteger(value)) return { '!': 'double', value }
      if (Math.abs(value) <= int32Max) return { '!': 'int32', value }
      return { '!': Number.isSafeInteger(value) ? 'int64' : 'double', value }
    case 'bigint':
      return { '!': 'int64', value }
    case 'string':
    case 'boolean':
      return value
    case 'object':
      if (value === null) return null
      if (Array.isArray(value)) return value.map((each) => fieldValue(each ?? null))
      if (value instanceof Uint8Array) return Buffer.from(value)
      if (value instanceof Date) return { '!': 'timestamp', value: Math.trunc(value.getTime() / 1000) }
      return isDecimal(value) ? value : amqpTable(value as Table)
    default:
      return String(value)
  }
}

/** A table as amqplib reads it; in place, for few values are of a kind that has another form here. */
export function fromTable(table: Table): Table {
  for (const name of Object.keys(table)) {
    const value = table[name]
    if (typeof value === 'object' && value !== null) table[name] = fromField(value)
  }
  return table
}

function fromField(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(fromField)
  const tagged = value as { '!'?: unknown; value?: unknown }
  if (tagged['!'] === 'timestamp' && typeof tagged.value === 'number') return new Date(tagged.value * 1000)
  return isDecimal(value) ? value : fromTable(value as Table)
}

/** A decimal in amqplib's form. */
export interface AmqpDecimal {
  readonly '!': 'decimal'
  readonly value: { readonly places: number; readonly digits: number }
}

/** True for a decimal, rather than a table that has a key `!`. */
export function isDecimal(value: object): value is AmqpDecimal {
  const { '!': type, value: inner } = value as { '!'?: unknown; value?: unknown }
  if (type !== 'decimal' || typeof inner !== 'object' || inner === null) return false
  return Object.hasOwn(inner, 'places') && Object.hasOwn(inner, 'digits')
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
