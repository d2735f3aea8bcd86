/** AMQP basic properties between their wire names and ours (wire-format 1.1.2). */
import type { MessageProperties } from './envelope.js'

/** Names that a virtual envelope keeps among the properties but that say how the message travels. */
const TRANSPORT_NAMES: ReadonlySet<string> = new Set(['delivery_info', 'delivery_tag', 'body_encoding'])

/** Reads properties by their wire names; values of the wrong kind are left out, names we do not know go into `extra`. */
export function propertiesFromWire(wire: Readonly<Record<string, unknown>>): MessageProperties {
  const properties: Writable<MessageProperties> = {}
  let extra: [string, unknown][] | undefined
  // One pass over what is there: every message comes through here.
  for (const name in wire) {
    const read = readers.get(name)
    const value = wire[name]
    if (read !== undefined) read(properties, value)
    else if (!TRANSPORT_NAMES.has(name) && value !== undefined && Object.hasOwn(wire, name)) {
      extra ??= []
      extra.push([name, value])
    }
  }
  // fromEntries defines properties: a key named `__proto__` stays data
  if (extra !== undefined) properties.extra = Object.fromEntries(extra)
  return properties
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }
type Reader = (properties: Writable<MessageProperties>, value: unknown) => void
type NamesOf<T> = Exclude<
  {
    [K in keyof MessageProperties]-?: Required<MessageProperties>[K] extends T ? K : never
  }[keyof MessageProperties],
  'deliveryMode' | 'extra'
>

function textReader(name: NamesOf<string>): Reader {
  return (properties, value) => {
    const read = text(value)
    if (read !== undefined) properties[name] = read
  }
}

function numberReader(name: NamesOf<number>): Reader {
  return (properties, value) => {
    const read = number(value)
    if (read !== undefined) properties[name] = read
  }
}

const readers = new Map<string, Reader>(
  Object.entries({
    correlation_id: textReader('correlationId'),
    reply_to: textReader('replyTo'),
    priority: numberReader('priority'),
    delivery_mode: (properties, value) => {
      const mode = number(value)
      if (mode === 1 || mode === 2) properties.deliveryMode = mode
    },
    expiration: textReader('expiration'),
    message_id: textReader('messageId'),
    timestamp: numberReader('timestamp'),
    type: textReader('type'),
    user_id: textReader('userId'),
    app_id: textReader('appId'),
    cluster_id: textReader('clusterId'),
  }),
)

/** Properties by their wire names, in kombu's order, without those of the transport; absent ones are left out. */
export function propertiesToWire(properties: MessageProperties): Readonly<Record<string, unknown>> {
  const wire = propertiesBeforePriority(properties)
  if (properties.priority !== undefined) wire['priority'] = properties.priority
  return wire
}

/** The same without the priority, in an object to which more may be added. */
export function propertiesBeforePriority(properties: MessageProperties): Record<string, unknown> {
  const wire: Record<string, unknown> = {}
  const { correlationId, replyTo, messageId, timestamp, type, userId, appId, clusterId, extra } = properties
  const { deliveryMode, expiration } = properties
  if (correlationId !== undefined) wire['correlation_id'] = correlationId
  if (replyTo !== undefined) wire['reply_to'] = replyTo
  if (messageId !== undefined) wire['message_id'] = messageId
  if (timestamp !== undefined) wire['timestamp'] = timestamp
  if (type !== undefined) wire['type'] = type
  if (userId !== undefined) wire['user_id'] = userId
  if (appId !== undefined) wire['app_id'] = appId
  if (clusterId !== undefined) wire['cluster_id'] = clusterId
  for (const [name, value] of extra === undefined ? [] : Object.entries(extra)) {
    if (value === undefined || TRANSPORT_NAMES.has(name)) continue
    // assigning would not make a member of one called __proto__
    Object.defineProperty(wire, name, { value, enumerable: true, configurable: true, writable: true })
  }
  if (deliveryMode !== undefined) wire['delivery_mode'] = deliveryMode
  if (expiration !== undefined) wire['expiration'] = expiration
  return wire
}

function text(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : undefined
}

function number(value: unknown): number | undefined {
  if (typeof value === 'string' && value.trim() === '') return undefined
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return undefined
  const read = Number(value)
  return Number.isFinite(read) ? read : undefined
}
