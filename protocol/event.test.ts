import { expect, it } from 'vitest'
import {
  adjustTimestamp,
  batchRoutingKey,
  createEvent,
  decodeEvents,
  encodeEvents,
  eventGroup,
  eventRoutingKey,
} from './event.js'
import { createCodec } from './serializers.js'

const sender = { hostname: 'w1@host', utcoffset: -1, pid: 7 }
const codec = createCodec()
const policy = { codec, accept: codec.accepting(['json']) }

it('EVT-006 EVT-018 puts the fields of an event in the order of Celery, whatever order they came in', () => {
  const event = createEvent('task-succeeded', sender, 3, 1.5, {
    extra: 1,
    runtime: 0.5,
    uuid: 'u',
    result: '1',
  })
  expect(Object.keys(event)).toEqual([
    'hostname',
    'utcoffset',
    'pid',
    'clock',
    'uuid',
    'result',
    'runtime',
    'extra',
    'timestamp',
    'type',
  ])
  expect(event).toMatchObject({ clock: 3, timestamp: 1.5, type: 'task-succeeded' })
})

it('EVT-016 EVT-017 EVT-026 leaves out fields that were not given, and takes a timestamp that was', () => {
  const beat = createEvent('worker-heartbeat', sender, null, 1.5, { freq: 5, timestamp: 9 })
  expect(Object.keys(beat)).toEqual(['hostname', 'utcoffset', 'pid', 'clock', 'freq', 'timestamp', 'type'])
  expect(beat['timestamp']).toBe(9)
})

it('EVT-002 EVT-004 EVT-030 names groups and routing keys', () => {
  expect(eventGroup('shop-order-placed')).toBe('shop')
  expect(eventRoutingKey('worker-elect-ack')).toBe('worker.elect.ack')
  expect(batchRoutingKey('task')).toBe('task.multi')
})

it('EVT-007 shifts a timestamp by the difference of the offsets', () => {
  expect(adjustTimestamp(10_000, -2, 0)).toBe(17_200)
  expect(adjustTimestamp(10_000, 0, 0)).toBe(10_000)
})

it('EVT-005 sends events transient, with the node in the headers', () => {
  const envelope = encodeEvents([createEvent('task-started', sender, 1, 2, { uuid: 'u' })], {
    codec,
    serializer: 'json',
    hostname: 'w1@host',
  })
  expect(envelope).toMatchObject({
    headers: { hostname: 'w1@host' },
    properties: { deliveryMode: 1, priority: 0 },
  })
  expect(decodeEvents(envelope, policy)).toHaveLength(1)
})
