import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { propertiesToWire } from '../protocol/message-properties.js'
import { createCodec } from '../protocol/serializers.js'
import { loadConfig } from '../src/app/config.js'
import { Publisher } from '../src/app/publisher.js'
import { Queues } from '../src/app/queues.js'
import { optionsFromWire } from '../src/canvas/wire-options.js'
import { systemClock } from '../src/clock.js'
import { silentLogger } from '../src/logger.js'
import { createSignals } from '../src/signals.js'
import { createMemoryTransport } from '../src/transport/memory-transport.js'
import type { Outgoing, Transport } from '../src/transport/transport.js'

const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url))
const script = fileURLToPath(new URL('publish_identity.py', import.meta.url))

interface Case {
  readonly name: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly tuple: boolean
  /** By Celery's names: what `send_task` takes. */
  readonly options: Readonly<Record<string, unknown>>
}

interface Message {
  readonly body: unknown
  readonly headers: Record<string, unknown>
  readonly properties: Record<string, unknown>
}

const signature = (task: string, args: readonly unknown[]): Readonly<Record<string, unknown>> => ({
  task,
  args,
  kwargs: {},
  options: { task_id: `id-of-${task}` },
  subtask_type: null,
  immutable: false,
})

const settingsOfGroups: readonly Readonly<Record<string, unknown>>[] = [
  {},
  { timezone: 'Europe/Oslo', task_serializer: 'yaml', task_compression: 'zlib' },
  { task_protocol: 1 },
  {
    task_default_queue: 'main',
    task_default_delivery_mode: 1,
    task_queues: [
      { name: 'feeds', exchange: { name: 'media', type: 'topic' }, routing_key: 'feed.#' },
      { name: 'plain' },
      { name: 'main', exchange: { name: 'main', type: 'direct' }, routing_key: 'main' },
    ],
    task_routes: {
      'feed.*': { queue: 'feeds', routing_key: 'feed.import', priority: 2 },
      'plain.task': 'plain',
      're.?*': { exchange: 'media', exchange_type: 'topic', routing_key: 'feed.x' },
    },
  },
]

const value = fc.letrec((tie) => ({
  leaf: fc.oneof(fc.integer(), fc.string({ maxLength: 12, unit: 'binary' }), fc.boolean(), fc.constant(null)),
  any: fc.oneof(
    { maxDepth: 2 },
    tie('leaf'),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), tie('any'), { maxKeys: 3 }),
  ),
})).any

const options = (isProtocol1: boolean): fc.Arbitrary<Record<string, unknown>> =>
  fc.record(
    {
      countdown: fc.constantFrom(0, 1, 2.5, 3600),
      eta: fc.constantFrom('2031-01-02T03:04:05+00:00', '2031-01-02T03:04:05.678901'),
      expires: isProtocol1
        ? fc.constantFrom(0, 60, 0.25, -5)
        : fc.constantFrom(0, 60, 0.25, -5, '2031-01-02T03:04:05+02:00', '2001-01-01T00:00:00'),
      time_limit: fc.constantFrom(30, 2.5),
      soft_time_limit: fc.constantFrom(20, 1.5),
      retries: fc.nat(9),
      shadow: fc.constantFrom('shown', 'ä'),
      group_id: fc.uuid(),
      group_index: fc.nat(9),
      root_id: fc.uuid(),
      parent_id: fc.uuid(),
      ignore_result: fc.boolean(),
      reply_to: fc.uuid(),
      correlation_id: fc.uuid(),
      priority: fc.integer({ min: 0, max: 9 }),
      delivery_mode: fc.constantFrom(1, 2, 'transient', 'persistent'),
      serializer: fc.constantFrom('json', 'yaml', 'msgpack'),
      compression: fc.constantFrom('gzip', 'zlib', 'bzip2'),
      queue: fc.constantFrom('celery', 'billing', 'feeds', 'plain'),
      headers: fc.constantFrom({ 'X-Trace': 'abc', depth: 3 }, { shadow: 'overridden' }),
      link: fc.constantFrom(signature('cb', [1]), [signature('cb', [1]), signature('cb2', [])]),
      link_error: fc.constantFrom(signature('eb', []), [signature('eb', ['x'])]),
      chord: fc.constantFrom(signature('body', [])),
      replaced_task_nesting: fc.nat(3),
      message_id: fc.uuid(),
      MessageGroupId: fc.constantFrom('g1'),
      ...(isProtocol1 ? {} : { chain: fc.constantFrom([signature('next', [2])]) }),
    },
    { requiredKeys: [] },
  )

function sampled(settings: Readonly<Record<string, unknown>>, seed: number): readonly Case[] {
  const isProtocol1 = settings.task_protocol === 1
  const one = fc.record({
    name: fc.constantFrom('shop.add', 'feed.import', 'plain.task', 're.x', 'ünï.task'),
    args: fc.array(value, { maxLength: 3 }),
    kwargs: fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), value, { maxKeys: 3 }),
    tuple: fc.boolean(),
    options: options(isProtocol1),
  })
  return fc.sample(one as fc.Arbitrary<Case>, { seed, numRuns: 120 })
}

function recording(into: Outgoing[]): Transport {
  const memory = createMemoryTransport()
  return {
    async connect(url, connectOptions) {
      const connection = await memory.connect(url, connectOptions)
      const publish = connection.publish.bind(connection)
      connection.publish = async (messages, publishOptions) => {
        into.push(...messages)
        await publish(messages, publishOptions)
      }
      return connection
    },
  }
}

async function published(
  settings: Readonly<Record<string, unknown>>,
  cases: readonly Case[],
): Promise<Outgoing[]> {
  const outgoing: Outgoing[] = []
  const loaded = loadConfig({ config: { broker_url: 'memory://', ...settings } }).settings
  const transport = recording(outgoing)
  const publisher = new Publisher({
    settings: loaded,
    queues: new Queues(loaded),
    codec: createCodec(),
    urls: ['memory://'],
    transport: () => transport,
    signals: createSignals(silentLogger),
    clock: systemClock(),
    logger: silentLogger,
    origin: 'gen1@here',
    replyTo: 'oid',
    newId: () => crypto.randomUUID(),
    random: Math.random,
  })
  await publisher.send(
    cases.map(({ name, args, kwargs, tuple, options: wire }) => ({
      name,
      args,
      kwargs,
      argsAsTuple: tuple,
      options: optionsFromWire(wire),
      taskDefaults: {},
      current: undefined,
    })),
  )
  await publisher.close()
  return outgoing
}

/** As kombu's virtual transports write it. */
function virtual({ envelope, to }: Outgoing): object {
  return {
    body: Buffer.from(envelope.body).toString('base64'),
    'content-type': envelope.contentType,
    'content-encoding': envelope.contentEncoding,
    headers: envelope.headers,
    properties: {
      ...propertiesToWire(envelope.properties),
      delivery_info: { exchange: to.exchange, routing_key: to.routingKey },
    },
  }
}

/** Takes away what may differ: ids, clocks, language and origin. */
function comparable(message: Message, { options: asked }: Case): unknown {
  const headers = { ...message.headers }
  const properties = { ...message.properties }
  const id = headers.id ?? (message.body as Record<string, unknown>).id
  const scrub = (fields: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(fields).map(([key, item]) => {
        if (item === id) return [key, 'THE ID']
        if (key === 'lang' || key === 'origin') return [key, typeof item]
        if (key === 'eta' && asked.countdown) return [key, relative(item, asked.countdown)]
        if (key === 'expires' && typeof asked.expires === 'number')
          return [key, relative(item, asked.expires)]
        if (key === 'expiration' && typeof asked.expires === 'string')
          return [key, Math.round(Number(item) / 60_000)]
        if (key === 'reply_to' && asked.reply_to === undefined) return [key, typeof item]
        return [key, item]
      }),
    )
  const body = Array.isArray(message.body) ? message.body : scrub(message.body as Record<string, unknown>)
  return { ...message, body, headers: scrub(headers), properties: scrub(properties) }
}

/** A moment that lies `seconds` from now, by its zone; the clock has moved on meanwhile. */
function relative(text: unknown, seconds: unknown): string {
  const off = Math.abs(Date.parse(String(text)) - Date.now() - Number(seconds) * 1000)
  const zone = /(Z|[+-]\d\d:\d\d)$/.exec(String(text))?.[0] ?? 'naive'
  return `${off < 60_000 ? 'in time' : `off by ${off} ms`} ${zone}`
}

describe('what we publish beside what Celery publishes', () => {
  it('PUB-002 PUB-003 PUB-004 PUB-005 PUB-006 PUB-007 PUB-009 PUB-010 PUB-011 PUB-012 PUB-013 PUB-014 PUB-015 PUB-017 PUB-018 PUB-021 PUB-022 PUB-030 PUB-032 PUB-033 PUB-034 PUB-035 PUB-039 PUB-040 PUB-041 PUB-042 PUB-047 PUB-048 PUB-051 PUB-054 PUB-055 is the same message for hundreds of random calls', async () => {
    const groups = await Promise.all(
      settingsOfGroups.map(async (settings, index) => {
        const cases = sampled(settings, 1000 + index)
        const outgoing = await published(settings, cases)
        return {
          settings,
          cases: cases.map((one, i) => ({ ...one, ours: virtual(outgoing[i] as Outgoing) })),
        }
      }),
    )
    const run = spawnSync(python, [script], {
      input: JSON.stringify(groups),
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
    })
    expect(run.status, run.stderr).toBe(0)
    const answers = JSON.parse(run.stdout) as { celery: Message; ours: Message }[]
    const cases = groups.flatMap((group) => group.cases)
    expect(answers).toHaveLength(cases.length)
    answers.forEach(({ celery, ours }, i) => {
      const one = cases[i] as Case
      expect(comparable(ours, one), JSON.stringify(one)).toEqual(comparable(celery, one))
    })
  })
})
