/** AMQP basic properties between their wire names and ours (wire-format 1.1.2). */
import type { MessageProperties } from './envelope.js'
import { own } from './mapping.js'

/** Names that a virtual envelope keeps among the properties but that say how the message travels. */
const TRANSPORT_NAMES: ReadonlySet<string> = new Set(['delivery_info', 'delivery_tag', 'body_encoding'])

const KNOWN_NAMES: ReadonlySet<string> = new Set([
  'correlation_id',
  'reply_to',
  'priority',
  'delivery_mode',
  'expiration',
  'message_id',
  'timestamp',
  'type',
  'user_id',
  'app_id',
  'cluster_id',
])

/** Reads properties by their wire names; values of the wrong kind are left out, names we do not know go into `extra`. */
export function propertiesFromWire(wire: Readonly<Record<string, unknown>>): MessageProperties {
  const extra = Object.entries(wire).filter(
    ([name, value]) => !KNOWN_NAMES.has(name) && !TRANSPORT_NAMES.has(name) && value !== undefined,
  )
  const mode = number(own(wire, 'delivery_mode'))
  return present({
    correlationId: text(own(wire, 'correlation_id')),
    replyTo: text(own(wire, 'reply_to')),
    priority: number(own(wire, 'priority')),
    deliveryMode: mode === 1 || mode === 2 ? mode : undefined,
    expiration: text(own(wire, 'expiration')),
    messageId: text(own(wire, 'message_id')),
    timestamp: number(own(wire, 'timestamp')),
    type: text(own(wire, 'type')),
    userId: text(own(wire, 'user_id')),
    appId: text(own(wire, 'app_id')),
    clusterId: text(own(wire, 'cluster_id')),
    extra: extra.length > 0 ? Object.fromEntries(extra) : undefined,
  })
}

/** Properties by their wire names, in kombu's order, without those of the transport; absent ones are left out. */
export function propertiesToWire(properties: MessageProperties): Readonly<Record<string, unknown>> {
  const entries: readonly (readonly [string, unknown])[] = [
    ['correlation_id', properties.correlationId],
    ['reply_to', properties.replyTo],
    ['message_id', properties.messageId],
    ['timestamp', properties.timestamp],
    ['type', properties.type],
    ['user_id', properties.userId],
    ['app_id', properties.appId],
    ['cluster_id', properties.clusterId],
    ...Object.entries(properties.extra ?? {}).filter(([name]) => !TRANSPORT_NAMES.has(name)),
    ['delivery_mode', properties.deliveryMode],
    ['expiration', properties.expiration],
    ['priority', properties.priority],
  ]
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
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

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** Drops members that are `undefined`, which `exactOptionalPropertyTypes` does not allow. */
function present<T extends object>(members: T): Present<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Present<T>
}
