/**
 * Events of workers and tasks (`celery/events/event.py`, `dispatcher.py`, `receiver.py`; wire-format 10).
 *
 * Rule 1: fields in Celery's order: hostname, utcoffset, pid, clock, the event's own, timestamp, type.
 * Rule 2: a body is one event or a list of events; readers take both.
 */
import type { Envelope } from './envelope.js'
import { DecodeError } from './errors.js'
import { asMapping, own } from './mapping.js'
import type { Codec } from './serializers.js'
import { type BodyPolicy, openEnvelope } from './task-message.js'

/** One event as a record with wire names. */
export type CeleryEvent = Readonly<Record<string, unknown>> & { readonly type: string }

/** What every event of one sender carries. */
export interface EventSender {
  /** Node name, or `gen<pid>@<host>` of a client. */
  readonly hostname: string
  /** Hours west of UTC, see `utcOffsetHours`. */
  readonly utcoffset: number
  /** Of the worker's main process, also in events of tasks (surface EVT-009). */
  readonly pid: number
}

/** Own fields of every built-in event, in Celery's order (wire-format 10.2). */
export const EVENT_FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'task-sent',
    [
      'uuid',
      'root_id',
      'parent_id',
      'name',
      'args',
      'kwargs',
      'retries',
      'eta',
      'expires',
      'queue',
      'exchange',
      'routing_key',
    ],
  ],
  ['task-received', ['uuid', 'name', 'args', 'kwargs', 'root_id', 'parent_id', 'retries', 'eta', 'expires']],
  ['task-started', ['uuid']],
  ['task-succeeded', ['uuid', 'result', 'runtime']],
  ['task-failed', ['uuid', 'exception', 'traceback']],
  ['task-retried', ['uuid', 'exception', 'traceback']],
  ['task-revoked', ['uuid', 'terminated', 'signum', 'expired']],
  ['task-rejected', ['uuid', 'requeue']],
  ['task-cancelled', ['uuid']],
  ['worker-online', ['freq', 'active', 'processed', 'loadavg', 'sw_ident', 'sw_ver', 'sw_sys']],
  ['worker-heartbeat', ['freq', 'active', 'processed', 'loadavg', 'sw_ident', 'sw_ver', 'sw_sys']],
  ['worker-offline', ['freq', 'active', 'processed', 'loadavg', 'sw_ident', 'sw_ver', 'sw_sys']],
  ['worker-elect', ['id', 'topic', 'action', 'cver']],
  ['worker-elect-ack', ['id']],
])

/** Events of the group `task` are sent in lists of at most this many (surface EVT-004). */
export const EVENT_BATCH_LIMIT = 24

/** The group of a type: `task` of `task-sent`. */
export function eventGroup(type: string): string {
  const dash = type.indexOf('-')
  return dash === -1 ? type : type.slice(0, dash)
}

/** The routing key of a single event: `task.sent` of `task-sent` (surface EVT-002). */
export function eventRoutingKey(type: string): string {
  return type.replaceAll('-', '.')
}

/** The routing key of a list of events of one group: `task.multi`. */
export function batchRoutingKey(group: string): string {
  return `${group}.multi`
}

/**
 * Whole hours west of UTC, floored: UTC+2 is -2, UTC+5:30 is -6 (surface EVT-007). `minutesWest` is what
 * `Date.getTimezoneOffset()` gives.
 */
export function utcOffsetHours(minutesWest: number): number {
  // + 0 turns a negative zero into zero
  return Math.floor(minutesWest / 60) + 0
}

/** A received timestamp as Celery's receivers shift it, by the difference of the two offsets in hours. */
export function adjustTimestamp(timestamp: number, offset: number, ownOffset: number): number {
  return timestamp - (offset - ownOffset) * 3600
}

/**
 * Puts an event together. `clock` is null for a blind event; `timestamp` is epoch seconds. Fields of built-in events
 * come in Celery's order, further ones after them.
 */
export function createEvent(
  type: string,
  sender: EventSender,
  clock: number | null,
  timestamp: number,
  fields: Readonly<Record<string, unknown>> = {},
): CeleryEvent {
  const order = (EVENT_FIELDS.get(type) ?? []).filter((name) => Object.hasOwn(fields, name))
  return {
    hostname: sender.hostname,
    utcoffset: sender.utcoffset,
    pid: sender.pid,
    clock,
    ...Object.fromEntries(order.map((name) => [name, fields[name]])),
    ...fields,
    timestamp: own(fields, 'timestamp') ?? timestamp,
    type,
  }
}

/** The message of one event, or of a list of events. Throws `EncodeError`. */
export function encodeEvents(
  events: CeleryEvent | readonly CeleryEvent[],
  how: { readonly codec: Codec; readonly serializer: string; readonly hostname: string },
): Envelope {
  return {
    ...how.codec.encode(events, how.serializer),
    headers: { hostname: how.hostname },
    properties: { deliveryMode: 1, priority: 0 },
  }
}

/**
 * The events of a message, one or many. Throws `DecodeError` for a body that is neither, `ContentRefusedError`,
 * `SizeLimitError`.
 */
export function decodeEvents(envelope: Envelope, policy: BodyPolicy): readonly CeleryEvent[] {
  const payload = openEnvelope(envelope, policy)
  return (Array.isArray(payload) ? payload : [payload]).map((item: unknown) => {
    const event = asMapping(item)
    const type = event === undefined ? undefined : own(event, 'type')
    if (event === undefined || typeof type !== 'string') {
      throw new DecodeError('An event message holds something that is no mapping with a type.')
    }
    return { ...event, type }
  })
}
