/**
 * The JSON envelope in which kombu's virtual transports (Redis, SQS, filesystem, SQLAlchemy) carry a message:
 * `kombu/transport/virtual/base.py`, wire-format 5.
 *
 * Rule 1: a body with `body_encoding: base64` is bytes; one with `utf-8`, or without the property, is plain text.
 * Rule 2: `delivery_tag` and `delivery_info.exchange` must be there: without them a Python worker dies and the message
 * is lost (wire-format 16.1); here it is a `DecodeError`, so that the message can be set aside.
 * Rule 3: headers are kombu's JSON: typed values in them are read and written.
 */
import type { Envelope } from './envelope.js'
import { DecodeError, EncodeError } from './errors.js'
import { DEFAULT_MAX_BYTES, decodeJson, encodeJson, type JsonEncodeOptions } from './json.js'
import type { CustomType } from './json-types.js'
import { asMapping, describe, own } from './mapping.js'
import { propertiesBeforePriority, propertiesFromWire } from './message-properties.js'
import {
  type CutPlace,
  FilledEnvelope,
  MARKS,
  MessageCut,
  type MessageTemplate,
  type Slot,
  slotValues,
} from './message-template.js'

/** How a message travels: as published, not the queue it ended in. */
export interface VirtualDelivery {
  readonly exchange: string
  readonly routingKey: string
  /** A random UUID of the publisher; copies of one publish share it. */
  readonly deliveryTag: string
  /** Default `base64`. */
  readonly bodyEncoding?: 'base64' | 'utf-8'
  /** True marks the message as redelivered the way Redis restores do: in `headers` and in `delivery_info`. */
  readonly redelivered?: boolean
  /** The app's own `__type__` markers for headers. Default none. */
  readonly types?: readonly CustomType[]
}

/** A message and how it travelled. */
export interface ReceivedEnvelope {
  readonly envelope: Envelope
  readonly deliveryInfo: { readonly exchange: string; readonly routingKey: string }
  readonly deliveryTag: string
  readonly redelivered: boolean
}

/** Reading bounds and the app's own `__type__` markers. */
export interface VirtualReading {
  readonly types?: readonly CustomType[]
  /** Most bytes of the envelope. Default 256 MiB. */
  readonly maxBytes?: number
}

const encoder = new TextEncoder()

/** Writes an envelope with kombu's keys in kombu's order. Throws `EncodeError`. */
export function encodeVirtualEnvelope(envelope: Envelope, delivery: VirtualDelivery): string {
  if (envelope instanceof FilledEnvelope && delivery.redelivered !== true && delivery.types === undefined) {
    const cut = cutOf(envelope.template, delivery)
    if (cut !== undefined) return filledText(envelope, delivery, cut)
  }
  return generalText(envelope, delivery)
}

/** A template goes to one place over and over; another place makes another cut. */
function cutOf(template: MessageTemplate, delivery: VirtualDelivery): MessageCut | undefined {
  const { exchange, routingKey, bodyEncoding = 'base64' } = delivery
  const last = template.lastCut
  if (
    last !== undefined &&
    last.place.routingKey === routingKey &&
    last.place.exchange === exchange &&
    last.place.bodyEncoding === bodyEncoding
  ) {
    return last.cut
  }
  const place: CutPlace = { exchange, routingKey, bodyEncoding }
  const cut = madeCut(template, place)
  template.lastCut = { place, cut }
  return cut
}

function madeCut({ sample }: MessageTemplate, place: CutPlace): MessageCut | undefined {
  const body = encoder.encode(MARKS.body)
  const text = generalText({ ...sample, body }, { ...place, deliveryTag: MARKS.deliveryTag })
  const values = slotValues(sample)
  const times = (slot: Slot): number => values.filter((value) => value === MARKS[slot]).length
  return MessageCut.of(
    text,
    {
      id: times('id'),
      argsRepr: times('argsRepr'),
      kwargsRepr: times('kwargsRepr'),
      body: 1,
      deliveryTag: 1,
    },
    { body: JSON.stringify(bodyText(body, place.bodyEncoding)) },
  )
}

function filledText(envelope: FilledEnvelope, delivery: VirtualDelivery, cut: MessageCut): string {
  const { id, argsRepr, kwargsRepr, bodyText: text } = envelope
  return cut.join({
    id: JSON.stringify(id),
    argsRepr: JSON.stringify(argsRepr),
    kwargsRepr: JSON.stringify(kwargsRepr),
    body:
      delivery.bodyEncoding === 'utf-8' ? JSON.stringify(text) : `"${Buffer.from(text).toString('base64')}"`,
    deliveryTag: JSON.stringify(delivery.deliveryTag),
  })
}

function generalText(envelope: Envelope, delivery: VirtualDelivery): string {
  const bodyEncoding = delivery.bodyEncoding ?? 'base64'
  const isAgain = delivery.redelivered === true
  const { exchange, routingKey, deliveryTag } = delivery
  const properties = propertiesBeforePriority(envelope.properties)
  properties['delivery_info'] = isAgain
    ? { exchange, routing_key: routingKey, redelivered: true }
    : { exchange, routing_key: routingKey }
  properties['priority'] = envelope.properties.priority ?? 0
  properties['body_encoding'] = bodyEncoding
  properties['delivery_tag'] = deliveryTag
  const rest = encodeJson(
    {
      'content-encoding': envelope.contentEncoding,
      'content-type': envelope.contentType,
      headers: isAgain ? { ...envelope.headers, redelivered: true } : envelope.headers,
      properties,
    },
    delivery.types === undefined ? plainJson : { types: delivery.types },
  )
  const body = bodyText(envelope.body, bodyEncoding)
  // Base64 needs no look for what JSON escapes.
  const text = bodyEncoding === 'base64' ? `"${body}"` : encodeJson(body)
  return `{"body":${text},${rest.slice(1)}`
}

const plainJson: JsonEncodeOptions = {}

function bodyText(body: Uint8Array, encoding: 'base64' | 'utf-8'): string {
  const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (encoding === 'base64') return buffer.toString('base64')
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch (cause) {
    throw new EncodeError(
      'A body that is not UTF-8 text cannot travel with body_encoding utf-8; use base64.',
      {
        cause,
      },
    )
  }
}

/** Reads an envelope. Throws `DecodeError`, and `SizeLimitError` past `maxBytes`. */
export function decodeVirtualEnvelope(
  source: string | Uint8Array,
  reading: VirtualReading = {},
): ReceivedEnvelope {
  return (typeof source === 'string' ? undefined : readApart(source, reading)) ?? readWhole(source, reading)
}

/** Shorter ones are read whole at less cost. */
const LONG_BODY = 512
const BODY_FIRST = /^\{"body": ?"/
const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_MAP = 0x7b

/**
 * With the body apart from the rest, as every publisher writes it: first, and in base64, in which JSON has nothing to find.
 * Undefined for any other.
 */
function readApart(bytes: Uint8Array, reading: VirtualReading): ReceivedEnvelope | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const from = BODY_FIRST.exec(buffer.toString('latin1', 0, 16))?.[0].length
  if (from === undefined || bytes.length > (reading.maxBytes ?? DEFAULT_MAX_BYTES)) return undefined
  const end = buffer.indexOf(QUOTE, from)
  if (end - from < LONG_BODY || bytes[end + 1] !== COMMA) return undefined
  const body = wholeBase64(buffer.toString('latin1', from, end))
  if (body === undefined) return undefined
  const rest = Buffer.from(buffer.subarray(end + 1))
  rest[0] = OPEN_MAP
  const root = asMapping(decodeJson(rest, reading))
  const encoding = asMapping(root?.['properties'])?.['body_encoding']
  // Of two bodies the last counts.
  if (root === undefined || encoding !== 'base64' || Object.hasOwn(root, 'body')) return undefined
  return received(root, body)
}

function readWhole(source: string | Uint8Array, reading: VirtualReading): ReceivedEnvelope {
  const root = asMapping(decodeJson(source, reading))
  if (root === undefined) throw new DecodeError('A message of a virtual transport must be a JSON object.')
  return received(root)
}

/** `body` where it was read already. */
function received(root: Readonly<Record<string, unknown>>, body?: Uint8Array): ReceivedEnvelope {
  const wire = asMapping(root['properties'])
  if (wire === undefined) throw new DecodeError('The envelope of a message has no properties object.')
  const headers = root['headers'] ?? {}
  const known = asMapping(headers)
  if (known === undefined) {
    throw new DecodeError(`The headers of an envelope are ${describe(headers)}, not an object.`)
  }
  const info = deliveryInfo(wire['delivery_info'])
  return {
    envelope: {
      body: body ?? bodyBytes(root['body'], wire['body_encoding']),
      contentType: textOr(root['content-type'], ''),
      contentEncoding: textOr(root['content-encoding'], 'utf-8'),
      headers: known,
      properties: propertiesFromWire(wire),
    },
    deliveryInfo: { exchange: info.exchange, routingKey: info.routingKey },
    deliveryTag: deliveryTag(wire['delivery_tag']),
    redelivered: info.redelivered || root['redelivered'] === true || known['redelivered'] === true,
  }
}

function deliveryTag(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  throw new DecodeError(
    'The properties of an envelope have no delivery_tag, so the message could not be settled.',
  )
}

function deliveryInfo(value: unknown): {
  readonly exchange: string
  readonly routingKey: string
  readonly redelivered: boolean
} {
  const info = asMapping(value)
  if (info === undefined || !Object.hasOwn(info, 'exchange')) {
    throw new DecodeError('The properties of an envelope have no delivery_info with an exchange.')
  }
  return {
    exchange: textOr(info['exchange'], ''),
    routingKey: textOr(own(info, 'routing_key'), ''),
    redelivered: own(info, 'redelivered') === true,
  }
}

/** Headers and properties give nothing but text here; null and absent are the default. */
function textOr(value: unknown, absent: string): string {
  return typeof value === 'string' && value !== '' ? value : absent
}

function bodyBytes(body: unknown, encoding: unknown): Uint8Array {
  if (body === null || body === undefined || body === '') return new Uint8Array(0)
  if (body instanceof Uint8Array) return body
  if (typeof body !== 'string')
    throw new DecodeError(`The body of an envelope is ${describe(body)}, not text.`)
  if (encoding === null || encoding === undefined || encoding === '') return encoder.encode(body)
  const name = typeof encoding === 'string' ? encoding.toLowerCase() : ''
  if (name === 'utf-8') return encoder.encode(body)
  if (name !== 'base64') throw new DecodeError(`Unknown body_encoding in an envelope: ${describe(encoding)}.`)
  return base64Bytes(body)
}

/** Undefined where anything else stands in it. */
function wholeBase64(text: string): Uint8Array | undefined {
  // Whatever is not base64 shortens what comes out, but for the two letters of the alphabet for URLs.
  const bytes = Buffer.from(text, 'base64')
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const isWhole = text.length % 4 === 0 && bytes.length === (text.length / 4) * 3 - padding
  return isWhole && !text.includes('-') && !text.includes('_') ? bytes : undefined
}

function base64Bytes(text: string): Uint8Array {
  const bytes = wholeBase64(text)
  if (bytes !== undefined) return bytes
  const clean = /\s/.test(text) ? text.replaceAll(/\s+/g, '') : text
  if (clean.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(clean)) {
    throw new DecodeError('The body of an envelope is not valid base64.')
  }
  return Buffer.from(clean, 'base64')
}
