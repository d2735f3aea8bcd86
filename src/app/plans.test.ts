/** A call with a plan goes out as the same call without one. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { propertiesToWire } from '../../protocol/message-properties.js'
import { FilledEnvelope, MARKS } from '../../protocol/message-template.js'
import { Float, Uuid } from '../../protocol/values.js'
import { encodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import { kw } from '../canvas/kw.js'
import type { Outgoing } from '../transport/transport.js'
import type { AppOptions } from './app-options.js'
import { RecordingApp } from './recording-app.conformance.js'

/** Everything that is known of a message before a transport writes it, and what Redis is given. */
function shown({ envelope, to }: Outgoing): unknown {
  const { headers, properties, contentType, contentEncoding, body } = envelope
  return {
    to: { exchange: to.exchange, routingKey: to.routingKey },
    headers: Object.entries(headers),
    properties: propertiesToWire(properties),
    content: [contentType, contentEncoding, Buffer.from(body).toString()],
    text: encodeVirtualEnvelope(envelope, { ...to, deliveryTag: 'tag' }),
  }
}

/** The same app twice: one plans, and in the other a receiver of a signal keeps everything on the general way. */
function twice(options: AppOptions): readonly [planning: RecordingApp, general: RecordingApp] {
  const made = [0, 1].map(() => {
    let ids = 0
    const app = new RecordingApp(false, { ...options, origin: 'gen1@here', newId: () => `id-${++ids}` })
    return app
  }) as [RecordingApp, RecordingApp]
  made[1].signals.afterTaskPublish.connect(() => {})
  return made
}

const argument = fc.oneof(
  { weight: 12, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.bigInt(),
  fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }),
  fc.uint8Array({ maxLength: 5 }),
  fc.constantFrom(
    undefined,
    null,
    -0,
    new Float(2),
    new Uuid('9d5b3f0e-6a53-4d5e-9a5c-0f4a2c1b7e11'),
    'x'.repeat(3000),
    new Map([[1, 2]]),
  ),
)
/** What may be worked out once, and now and then what may not. */
const options = fc
  .tuple(
    fc.record(
      {
        queue: fc.constantFrom('celery', 'other', 'fan'),
        priority: fc.nat(9),
        ignoreResult: fc.boolean(),
        timeLimit: fc.nat(100),
        argsRepr: fc.string(),
        shadow: fc.string(),
        deliveryMode: fc.constantFrom('transient' as const, 2 as const),
        routingKey: fc.string({ minLength: 1 }),
        exchange: fc.constantFrom('', 'fan'),
        exchangeType: fc.constant('topic' as const),
      },
      { requiredKeys: [] },
    ),
    fc.oneof(
      { weight: 8, arbitrary: fc.constant({}) },
      fc.record({ serializer: fc.constantFrom('json', 'yaml', 'msgpack', 'pickle') }),
      fc.record({ compression: fc.constant('zlib') }),
      fc.record({ countdown: fc.nat(5) }),
      fc.record({ expires: fc.nat(5) }),
      fc.record({ headers: fc.dictionary(fc.string(), fc.string(), { maxKeys: 1 }) }),
      fc.record({ shadow: fc.constantFrom(...Object.values(MARKS)) }),
    ),
  )
  .map(([common, rare]) => ({ ...common, ...rare }))

describe('plans', () => {
  it('PUB-030 PUB-039 never show: messages of one handle are the general ones, whatever options and arguments', async () => {
    let planned = 0
    await fc.assert(
      fc.asyncProperty(
        options,
        fc.array(
          fc.tuple(
            fc.array(argument, { maxLength: 3 }),
            fc.dictionary(fc.string(), argument, { maxKeys: 2 }),
          ),
          {
            minLength: 1,
            maxLength: 4,
          },
        ),
        fc.record({
          taskDefaultQueue: fc.constantFrom('celery', 'main'),
          taskRoutes: fc.constantFrom(null, { 'shop.*': { queue: 'routed', priority: 3 } }),
        }),
        async (presets, calls, settings) => {
          const apps = twice(settings)
          const refusals: string[][] = [[], []]
          for (const [at, app] of apps.entries()) {
            const remote = app.remote('shop.add', presets)
            const many = calls.map(([args, kwargs]) => [...args, kw(kwargs)])
            const refused = (error: Error): void => void refusals[at]?.push(`${error.name}: ${error.message}`)
            await remote.delayMany(many).catch(refused)
            for (const call of many) await remote.delay(...call).catch(refused)
            await app.close()
          }
          const [planning, general] = apps
          expect(refusals[0]).toEqual(refusals[1])
          expect(planning.outgoing.map(shown)).toEqual(general.outgoing.map(shown))
          expect(general.outgoing.some(({ envelope }) => envelope instanceof FilledEnvelope)).toBe(false)
          planned += planning.outgoing.filter(({ envelope }) => envelope instanceof FilledEnvelope).length
        },
      ),
      { numRuns: 300 },
    )
    expect(planned).toBeGreaterThan(100)
  })

  it('follow a queue that is declared otherwise meanwhile', async () => {
    const [app] = twice({})
    const remote = app.remote('shop.add', { queue: 'later' })
    await remote.delay(1)
    app.queues.selectAdd('topical', { exchange: { name: 'topical', type: 'topic' }, routingKey: 'a.b' })
    app.queues.selectAdd('later', {})
    await remote.delay(2)
    expect(app.outgoing.map(({ to }) => to.routingKey)).toEqual(['later', 'later'])
    const elsewhere = app.remote('shop.add', { queue: 'topical' })
    await elsewhere.delay(3)
    expect(app.outgoing.at(-1)?.to).toMatchObject({ exchange: 'topical', routingKey: 'a.b' })
    await app.close()
  })

  it('are not changed by who keeps the options that a handle was made with', async () => {
    const [app] = twice({})
    const mine: { queue: string } = { queue: 'first' }
    const remote = app.remote('shop.add', mine)
    await remote.delay(1)
    mine.queue = 'second'
    await remote.delay(2)
    expect(app.outgoing.map(({ to }) => to.routingKey)).toEqual(['first', 'first'])
    await app.close()
  })

  it('are for no task but their own', async () => {
    const [planning, general] = twice({})
    for (const app of [planning, general]) {
      const add = app.task('shop.add', { priority: 5 }, (x: number) => x)
      const urgent = add.withOptions({ queue: 'urgent' })
      const other = app.task('shop.other', { ignoreResult: true }, (x: number) => x)
      for (const task of [add, urgent, other, add, urgent]) await task.delay(1)
      await app.close()
    }
    expect(planning.outgoing.map(shown)).toEqual(general.outgoing.map(shown))
    expect(planning.outgoing.every(({ envelope }) => envelope instanceof FilledEnvelope)).toBe(true)
  })
})
