/** No input whatever makes a reader throw anything but a ProtocolError. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addresses, decodeControlReply, decodeControlRequest, decodeHelloRevoked } from './control.js'
import type { Envelope } from './envelope.js'
import { ProtocolError } from './errors.js'
import { decodeEvents } from './event.js'
import {
  bindingRecord,
  decodeBindings,
  encodeBindings,
  matchingQueues,
  topicMatches,
} from './exchange-routing.js'
import { encodeJson } from './json.js'
import { LamportClock } from './lamport-clock.js'
import { propertiesFromWire, propertiesToWire } from './message-properties.js'
import { decodeRemoteError, remoteErrorMessage, remoteErrorRepr } from './remote-error.js'
import { remoteErrorFrom } from './remote-error-from.js'
import { decodeGroupMeta, decodeResultMeta, encodeResultMeta, resultMetaFromWire } from './result-meta.js'
import { parseResultTree } from './result-tree.js'
import { createCodec } from './serializers.js'
import { decodeTask, decodeTaskBody, encodeTask, openEnvelope, readTask } from './task-message.js'
import { encodeRetry } from './task-retry.js'
import { decodeVirtualEnvelope, encodeVirtualEnvelope } from './virtual-envelope.js'

const codec = createCodec()
const policy = { codec, accept: codec.accepting(['json', 'yaml', 'msgpack', 'pickle']) }
const runs = { numRuns: 600 }

/** Runs a reader; whatever it throws must be a ProtocolError. */
function only(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
}

const KEYS = [
  'task',
  'id',
  'args',
  'kwargs',
  'eta',
  'expires',
  'timelimit',
  'retries',
  'headers',
  'stamps',
  'stamped_headers',
  'group',
  'root_id',
  'parent_id',
  'compression',
  'status',
  'result',
  'exc_type',
  'exc_message',
  'exc_module',
  'children',
  'task_id',
  'type',
  'clock',
  'method',
  'arguments',
  'destination',
  'pattern',
  'matcher',
  'properties',
  'delivery_info',
  'delivery_tag',
  'body',
  'body_encoding',
  'content-type',
  'exchange',
  'routing_key',
  'tasks',
  'header',
  'options',
  'it',
  'subtask_type',
  'taskset',
  'callbacks',
  'chain',
  'chord',
  '__proto__',
  'constructor',
  'toString',
  'length',
] as const
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom(
    '',
    'base64',
    'utf-8',
    'FAILURE',
    'SUCCESS',
    'chain',
    'group',
    'chord',
    'glob',
    'pcre',
    '(',
    '[',
    '**',
    'celery.map',
    '2030-01-02T03:04:05Z',
    'application/json',
    'application/x-gzip',
    'application/x-msgpack',
    '\ud800',
  ),
)
/** Anything a body can decode to, biased to the names of the wire. */
const wireValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(
      text,
      fc.constant(null),
      fc.boolean(),
      fc.integer(),
      fc.double(),
      fc.bigInt({ max: 2n ** 80n }),
      fc.uint8Array({ maxLength: 6 }),
    ),
    fc.array(tie('value'), { maxLength: 4 }),
    wireRecord(tie('value')),
  ),
})).value

function wireRecord(value: fc.Arbitrary<unknown>): fc.Arbitrary<Record<string, unknown>> {
  return fc
    .array(
      fc.tuple(
        fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...KEYS) }, { weight: 1, arbitrary: text }),
        value,
      ),
      { maxLength: 8 },
    )
    .map((entries) => Object.fromEntries(entries))
}

const headers = wireRecord(wireValue)
const contentType = fc.constantFrom(
  'application/json',
  'application/x-yaml',
  'application/x-msgpack',
  'application/x-python-serialize',
  'application/data',
  'text/plain',
  '',
  'x',
)
const SERIALIZERS = ['json', 'yaml', 'msgpack', 'pickle']
/** Bodies: noise, and values that were written properly. */
const payload = fc.oneof(
  fc
    .tuple(fc.uint8Array({ maxLength: 60 }), contentType)
    .map(([body, type]) => ({ body, contentType: type, contentEncoding: 'utf-8' })),
  fc.tuple(wireValue, fc.constantFrom(...SERIALIZERS)).map(([value, serializer]) => {
    try {
      return codec.encode(value, serializer)
    } catch {
      return { body: new Uint8Array([0x5b, 0x5d]), contentType: 'application/json', contentEncoding: 'utf-8' }
    }
  }),
)
const envelope: fc.Arbitrary<Envelope> = fc
  .tuple(payload, headers, wireRecord(wireValue))
  .map(([body, given, wire]) => ({ ...body, headers: given, properties: propertiesFromWire(wire) }))

describe('readers of messages', () => {
  it('read any envelope as a task, or refuse it', () => {
    fc.assert(
      fc.property(envelope, (message) => {
        only(() => decodeTask(message))
        only(() => decodeTask(message, policy))
        only(() => decodeTaskBody(decodeTask(message), policy))
        only(() => {
          const read = readTask(message, policy)
          // what was read can be sent again, if a serializer takes it
          only(() => encodeRetry(read.message, read.body, { codec }))
        })
      }),
      runs,
    )
  })

  it('read any envelope as events and remote control, or refuse it', () => {
    fc.assert(
      fc.property(envelope, text, (message, node) => {
        only(() => openEnvelope(message, policy))
        only(() => decodeEvents(message, policy))
        only(() => decodeControlReply(message, policy))
        only(() => addresses(decodeControlRequest(message, policy), node))
      }),
      runs,
    )
  })

  it('read any text or bytes as a virtual envelope, or refuse it', () => {
    const noise = fc.oneof(text, fc.uint8Array({ maxLength: 80 }), fc.json(), wireValue.map(asJson))
    fc.assert(
      fc.property(noise, (source) => only(() => decodeVirtualEnvelope(source))),
      runs,
    )
  })

  it('read any mapping with the keys of an envelope, or refuse it', () => {
    const shaped = fc
      .record({
        body: wireValue,
        'content-type': fc.oneof(contentType, wireValue),
        'content-encoding': wireValue,
        headers: fc.oneof(headers, wireValue),
        properties: fc.record({
          delivery_tag: fc.oneof(text, wireValue),
          delivery_info: fc.oneof(fc.record({ exchange: wireValue, routing_key: wireValue }), wireValue),
          body_encoding: fc.oneof(fc.constantFrom('base64', 'utf-8'), wireValue),
          priority: wireValue,
        }),
      })
      .map(asJson)
    fc.assert(
      fc.property(shaped, (source) =>
        only(() => {
          const received = decodeVirtualEnvelope(source)
          only(() => readTask(received.envelope, policy))
          const delivery = { ...received.deliveryInfo, deliveryTag: received.deliveryTag }
          const twice = decodeVirtualEnvelope(encodeVirtualEnvelope(received.envelope, delivery))
          expect(Buffer.from(twice.envelope.body)).toEqual(Buffer.from(received.envelope.body))
        }),
      ),
      runs,
    )
  })

  it('read any bytes as a stored result or group, or refuse them', () => {
    fc.assert(
      fc.property(payload, fc.constantFrom(...SERIALIZERS), ({ body }, serializer) => {
        only(() => decodeResultMeta(body, { codec, serializer, taskId: 'x' }))
        only(() => parseResultTree(decodeGroupMeta(body, { codec, serializer })))
      }),
      runs,
    )
  })

  it('read any value as a result, an error or a tree, or refuse it', () => {
    fc.assert(
      fc.property(fc.oneof(wireValue, wireRecord(wireValue)), (value) => {
        only(() => {
          const meta = resultMetaFromWire(value, 'x')
          only(() => encodeResultMeta(meta, { codec, serializer: 'json' }))
        })
        only(() => {
          const error = decodeRemoteError(value)
          remoteErrorMessage(error)
          remoteErrorRepr(error)
        })
        only(() => parseResultTree(value))
        decodeHelloRevoked(value)
        new LamportClock().adjust(value)
      }),
      runs,
    )
  })

  it('read any text as a table of bindings, or refuse it', () => {
    fc.assert(
      fc.property(fc.oneof(text, wireValue.map(asJson)), (source) => only(() => decodeBindings(source))),
      runs,
    )
  })
})

/** JSON of a value, for readers of text. */
function asJson(value: unknown): string {
  try {
    return encodeJson(value)
  } catch {
    return 'null'
  }
}

describe('properties that always hold', () => {
  const plainValue = fc.jsonValue({ maxDepth: 3 })
  const plainRecord = fc.dictionary(
    fc.string({ maxLength: 6 }).filter((key) => !key.startsWith('__')),
    plainValue,
    { maxKeys: 4 },
  )

  it('a task that is written is read as it was meant', () => {
    const fields = fc.record({
      id: fc.uuid(),
      task: fc.string({ minLength: 1, maxLength: 20 }),
      retries: fc.nat(100),
      priority: fc.nat(9),
      timeLimit: fc.option(fc.integer({ min: 1, max: 1000 }), { nil: undefined }),
      customHeaders: fc.dictionary(
        fc.string({ minLength: 1, maxLength: 6 }).map((name) => `x-${name}`),
        plainValue,
        { maxKeys: 3 },
      ),
    })
    fc.assert(
      fc.property(fields, fc.array(plainValue, { maxLength: 3 }), plainRecord, (sent, args, kwargs) => {
        const body = { args, kwargs, callbacks: [], errbacks: [], chain: [], chord: undefined }
        const read = readTask(encodeTask(sent, body, { codec, serializer: 'json' }), policy)
        expect(read.message).toMatchObject({
          id: sent.id,
          task: sent.task,
          retries: sent.retries,
          priority: sent.priority,
        })
        expect(read.message.timeLimit).toBe(sent.timeLimit)
        expect(asJson(read.message.headers)).toBe(asJson(sent.customHeaders))
        expect(asJson(read.body.args)).toBe(asJson(args))
        expect(asJson(read.body.kwargs)).toBe(asJson(kwargs))
        const again = readTask(encodeRetry(read.message, read.body, { codec }), policy)
        expect(again.message.retries).toBe(sent.retries + 1)
        expect(again.message.parentId).toBe(sent.id)
        expect(again.body).toEqual(read.body)
        expect(asJson(again.message.headers)).toBe(asJson(sent.customHeaders))
      }),
      { numRuns: 300 },
    )
  })

  it('properties survive their wire names', () => {
    fc.assert(
      fc.property(wireRecord(wireValue), (wire) => {
        const once = propertiesFromWire(wire)
        expect(propertiesFromWire(propertiesToWire(once))).toEqual(once)
      }),
      runs,
    )
  })

  it('a binding of a literal key takes that key, and tables survive their text', () => {
    const key = fc.stringMatching(/^[a-z]{1,5}(\.[a-z]{1,5}){0,3}$/)
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 5 }), (keys) => {
        const bindings = keys.map((one, index) => bindingRecord('topic', one, `q${index}`))
        expect(decodeBindings(encodeBindings(bindings))).toEqual(bindings)
        for (const [index, one] of keys.entries())
          expect(matchingQueues('topic', bindings, one)).toContain(`q${index}`)
      }),
      { numRuns: 200 },
    )
  })

  it('matching hostile patterns takes no time to speak of', () => {
    const started = performance.now()
    expect(topicMatches(`${'#.'.repeat(60)}x`, `${'a.'.repeat(120)}y`)).toBe(false)
    const request = {
      method: 'm',
      arguments: {},
      matcher: 'glob',
      pattern: '*a'.repeat(60),
      clock: 0,
      expires: 0,
    }
    expect(addresses(request, 'a'.repeat(200).concat('b'))).toBe(false)
    expect(performance.now() - started).toBeLessThan(2000)
  })

  it('whatever is thrown becomes an error that can be stored', () => {
    fc.assert(
      fc.property(
        fc.anything({ withDate: true, withMap: true, withSet: true, withNullPrototype: true }),
        (thrown) => {
          const error = remoteErrorFrom(thrown)
          const meta = {
            taskId: 'x',
            state: 'FAILURE',
            result: error,
            traceback: error.traceback,
            children: [],
            dateDone: undefined,
          }
          const read = decodeResultMeta(encodeResultMeta(meta, { codec, serializer: 'json' }), {
            codec,
            serializer: 'json',
          })
          expect(read.result).toMatchObject({ type: error.type, module: error.module })
        },
      ),
      runs,
    )
  })
})
