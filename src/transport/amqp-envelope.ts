/**
 * Envelopes to and from AMQP's properties and field tables (wire-format 7.5, 7.6).
 *
 * Rule 1: a body is bytes on both sides. Rule 2: whole numbers go out as py-amqp writes them, as int32 or int64: small
 * types are read with the wrong sign by Python. Rule 3: a header of a type that we have no use for travels on as it
 * came: timestamps are `Date`s, decimals keep their form.
 */
import type { Message, Options } from 'amqplib'
import type { Envelope, MessageProperties } from '../../protocol/envelope.js'

type Table = Record<string, unknown>

const int32Max = 2_147_483_647

/** What amqplib is given to publish an envelope. */
export function publishOptions(envelope: Envelope, mandatory: boolean): Options.Publish {
  const { contentType, contentEncoding, headers, properties: p } = envelope
  const options: { [K in keyof Options.Publish]: Options.Publish[K] | undefined } = {
    contentType: contentType === '' ? undefined : contentType,
    contentEncoding: contentEncoding === '' ? undefined : contentEncoding,
    headers: amqpTable(headers),
    deliveryMode: p.deliveryMode,
    priority: p.priority,
    correlationId: p.correlationId,
    replyTo: p.replyTo,
    expiration: p.expiration,
    messageId: p.messageId,
    timestamp: p.timestamp,
    type: p.type,
    userId: p.userId,
    appId: p.appId,
    mandatory,
  }
  // amqplib leaves out what is undefined
  return options as Options.Publish
}

/** The body as amqplib wants it: the same bytes. */
export function bodyBuffer({ body }: Envelope): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

/** The envelope of a message that amqplib has read. */
export function envelopeOf({ content, properties: p }: Pick<Message, 'content' | 'properties'>): Envelope {
  const mode: unknown = p.deliveryMode
  const properties: MessageProperties = defined({
    correlationId: text(p.correlationId),
    replyTo: text(p.replyTo),
    priority: number(p.priority),
    deliveryMode: mode === 1 || mode === 2 ? mode : undefined,
    expiration: text(p.expiration),
    messageId: text(p.messageId),
    timestamp: number(p.timestamp),
    type: text(p.type),
    userId: text(p.userId),
    appId: text(p.appId),
    clusterId: text(p.clusterId),
  })
  return {
    body: content,
    contentType: text(p.contentType) ?? '',
    contentEncoding: text(p.contentEncoding) ?? '',
    headers: fromTable(p.headers ?? {}),
    properties,
  }
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

function fromTable(table: Table): Table {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, fromField(value)]))
}

function fromField(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(fromField)
  const tagged = value as { '!'?: unknown; value?: unknown }
  if (tagged['!'] === 'timestamp' && typeof tagged.value === 'number') return new Date(tagged.value * 1000)
  return isDecimal(value) ? value : fromTable(value as Table)
}

function isDecimal(value: object): boolean {
  const { '!': type, value: inner } = value as { '!'?: unknown; value?: unknown }
  if (type !== 'decimal' || typeof inner !== 'object' || inner === null) return false
  return Object.hasOwn(inner, 'places') && Object.hasOwn(inner, 'digits')
}

function defined<T extends object>(record: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}
