import { afterEach, describe, expect, it } from 'vitest'
import type { Envelope } from '../../protocol/envelope.js'
import { createCodec } from '../../protocol/serializers.js'
import { readTask } from '../../protocol/task-message.js'
import type { SendOptions } from '../canvas/send-options.js'
import { type Clock, systemClock } from '../clock.js'
import {
  BrokerUnavailableError,
  ConfigError,
  ConnectionLostError,
  InvalidArgumentError,
  QueueNotFoundError,
} from '../errors.js'
import type { Logger } from '../logger.js'
import { silentLogger } from '../logger.js'
import { createSignals, type Signals } from '../signals.js'
import { FakeClock } from '../testing/fake-clock.js'
import { createMemoryTransport } from '../transport/memory-transport.js'
import type { Connection, Topology, Transport } from '../transport/transport.js'
import { loadConfig } from './config.js'
import { Publisher } from './publisher.js'
import { Queues } from './queues.js'
import type { SendRequest } from './send-request.js'

const codec = createCodec()
const accept = codec.accepting(['json'])
const opened: Publisher[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map((publisher) => publisher.close()))
})

/** The memory transport, with what it was asked to do and a way to make it fail. */
class Broker {
  readonly memory = createMemoryTransport()
  readonly dials: string[] = []
  readonly declarations: Topology[] = []
  readonly batches: number[] = []
  readonly connections: Connection[] = []
  /** Called before each dial and each publish; may throw or never settle. */
  trouble: (what: 'dial' | 'publish', url: string) => unknown = () => undefined

  readonly transport: Transport = {
    connect: async (url, options) => {
      this.dials.push(url)
      await this.trouble('dial', url)
      // as slow as can be: it does not notice that nobody waits any more
      const { signal: _, ...unhurried } = options
      const connection = await this.memory.connect('memory://', unhurried)
      const { declare, publish } = connection
      connection.declare = (topology) => {
        this.declarations.push(topology)
        return declare.call(connection, topology)
      }
      connection.publish = async (messages, how) => {
        await this.trouble('publish', url)
        this.batches.push(messages.length)
        await publish.call(connection, messages, how)
      }
      this.connections.push(connection)
      return connection
    },
  }

  /** Takes the oldest message of a queue. */
  async take(queue: string): Promise<Envelope | undefined> {
    const connection = await this.memory.connect('memory://', { transportOptions: {} })
    const delivery = await connection.get(queue)
    await delivery?.ack()
    await connection.close()
    return delivery?.envelope
  }
}

function publisherTo(
  broker: Broker,
  settings: Record<string, unknown> = {},
  more: { logger?: Logger; signals?: Signals; clock?: Clock } = {},
): Publisher {
  const loaded = loadConfig({ settings: { brokerUrl: 'memory://user:hidden@one//', ...settings } }).settings
  const urls = typeof loaded.brokerUrl === 'string' ? [loaded.brokerUrl] : (loaded.brokerUrl ?? [])
  const publisher = new Publisher({
    settings: loaded,
    queues: new Queues(loaded),
    codec,
    urls,
    transport: () => broker.transport,
    signals: more.signals ?? createSignals(silentLogger),
    clock: more.clock ?? systemClock(),
    logger: more.logger ?? silentLogger,
    origin: 'gen7@here',
    replyTo: 'my-oid',
    newId: () => crypto.randomUUID(),
    random: Math.random,
  })
  opened.push(publisher)
  return publisher
}

function call(options: SendOptions = {}, more: Partial<SendRequest> = {}): SendRequest {
  return {
    name: 'shop.add',
    args: [2, 3],
    kwargs: {},
    argsAsTuple: true,
    options,
    taskDefaults: {},
    current: undefined,
    ...more,
  }
}

const rawEnvelope: Envelope = {
  body: Buffer.from('{}'),
  contentType: 'application/json',
  contentEncoding: 'utf-8',
  headers: {},
  properties: {},
}
const rawAddress = { exchange: '', routingKey: 'raw' }
const rawMessages = [{ envelope: rawEnvelope, to: rawAddress }]

async function roundTrip(
  settings: Record<string, unknown>,
  request: SendRequest,
  queue = 'celery',
): Promise<ReturnType<typeof readTask> & { envelope: Envelope }> {
  const broker = new Broker()
  await publisherTo(broker, settings).send([request])
  const envelope = await broker.take(queue)
  if (envelope === undefined) throw new Error(`nothing arrived in ${queue}`)
  return { ...readTask(envelope, { codec, accept }), envelope }
}

describe('sending', () => {
  it('PUB-002 PUB-017 PUB-020 PUB-037 gives each task an id, the origin of this process and the id of this app to reply to', async () => {
    const broker = new Broker()
    const [sent] = await publisherTo(broker).send([call()])
    const envelope = await broker.take('celery')
    expect(sent?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/)
    expect(envelope?.headers).toMatchObject({
      id: sent?.id,
      root_id: sent?.id,
      parent_id: null,
      origin: 'gen7@here',
    })
    expect(envelope?.properties).toMatchObject({ correlationId: sent?.id, replyTo: 'my-oid' })
    expect(sent).toMatchObject({ queue: 'celery', exchange: '', routingKey: 'celery', ignoreResult: false })
  })

  it('PUB-001 refuses arguments that are no list and keyword arguments that are no mapping', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    const noList = call({}, { args: 'ab' as unknown as unknown[] })
    await expect(publisher.send([noList])).rejects.toThrow(InvalidArgumentError)
    await expect(publisher.send([noList])).rejects.toThrow('task args must be a list or tuple')
    const noMapping = call({}, { kwargs: [] as unknown as Record<string, unknown> })
    await expect(publisher.send([noMapping])).rejects.toThrow('task keyword arguments must be a mapping')
    expect(broker.dials).toEqual([])
  })

  it('PUB-003 PUB-005 writes a countdown as a moment in the zone of the app, over eta, and 0 as none', async () => {
    const before = Date.now()
    const { message } = await roundTrip(
      { timezone: 'Asia/Kolkata' },
      call({ countdown: 90, eta: new Date(0) }),
    )
    expect(message.eta).toMatch(/\+05:30$/)
    expect(Date.parse(message.eta ?? '') - before).toBeGreaterThanOrEqual(89_999)
    expect(Date.parse(message.eta ?? '') - before).toBeLessThan(120_000)
    expect((await roundTrip({}, call({ countdown: 0 }))).message.eta).toBeUndefined()
    await expect(roundTrip({}, call({ countdown: -3e9 }))).rejects.toThrow('countdown is out of range')
    await expect(roundTrip({}, call({ countdown: Number.NaN }))).rejects.toThrow('countdown is out of range')
  })

  it('PUB-007 refuses a time limit that is no number, for which a worker would drop the task', async () => {
    for (const bad of [Number.NaN, '5' as unknown as number]) {
      await expect(roundTrip({}, call({ timeLimit: bad }))).rejects.toThrow(
        'timeLimit is a number of seconds',
      )
      await expect(roundTrip({}, call({ softTimeLimit: bad }))).rejects.toThrow('softTimeLimit is a number')
    }
  })

  it('refuses a name, a priority and a countdown that no worker could take', async () => {
    const bad: [SendRequest, string][] = [
      [call({}, { name: '' }), 'A task is sent by its name'],
      [call({}, { name: 5 as unknown as string }), 'A task is sent by its name'],
      [call({ priority: Number.NaN }), 'priority is a whole number'],
      [call({ priority: 'high' as unknown as number }), 'priority is a whole number'],
      [call({ countdown: 1e15 }), 'countdown is out of range'],
    ]
    for (const [request, text] of bad) {
      const broker = new Broker()
      const sent = publisherTo(broker).send([request])
      await expect(sent).rejects.toThrow(InvalidArgumentError)
      await expect(sent).rejects.toThrow(text)
      expect(broker.dials).toEqual([])
    }
  })

  it('PUB-004 sends text as it is and a Date in UTC, but refuses text that a worker would drop', async () => {
    const naive = '2031-01-02T03:04:05.678901'
    expect((await roundTrip({}, call({ eta: naive }))).message.eta).toBe(naive)
    const moment = new Date('2031-01-02T03:04:05Z')
    expect((await roundTrip({}, call({ eta: moment }))).message.eta).toBe('2031-01-02T03:04:05+00:00')
    await expect(roundTrip({}, call({ eta: 'tomorrow' }))).rejects.toThrow('eta is not a date and time')
  })

  it('PUB-006 warns of an expiry in the past and sends it with an expiration of 0', async () => {
    const warnings: string[] = []
    const logger: Logger = {
      ...silentLogger,
      warn: (_, text) => warnings.push(text ?? ''),
      child: () => logger,
    }
    const broker = new Broker()
    await publisherTo(broker, {}, { logger }).send([call({ taskId: 't1', expires: -5 })])
    expect((await broker.take('celery'))?.properties.expiration).toBe('0')
    expect(warnings.join()).toContain('t1 has an expiration date in the past (5s ago)')
    expect((await roundTrip({}, call({ expires: 2.5 }))).envelope.properties.expiration).toBe('2500')
  })

  it('PUB-008 takes a default of the task away with null', async () => {
    const request = call({ expires: null, timeLimit: null }, { taskDefaults: { expires: 60, timeLimit: 9 } })
    const { message } = await roundTrip({}, request)
    expect(message.expires).toBeUndefined()
    expect(message.timeLimit).toBeUndefined()
  })

  it('PUB-007 sends timelimit as [hard, soft]', async () => {
    const { envelope } = await roundTrip({}, call({ timeLimit: 30, softTimeLimit: 20 }))
    expect(envelope.headers.timelimit).toEqual([30, 20])
  })

  it('PUB-010 PUB-011 puts callbacks, errbacks, chain and chord into the body, single ones as lists', async () => {
    const sig = { task: 'cb', args: [], kwargs: {}, options: {}, subtask_type: null, immutable: false }
    const options = { link: sig, linkError: { toSignatureData: () => sig }, chain: [sig], chord: sig }
    const { body } = await roundTrip({}, call(options))
    expect(body).toMatchObject({ callbacks: [sig], errbacks: [sig], chain: [sig], chord: sig })
  })

  it('PUB-013 PUB-067 gives a task its root and parent, and the priority where the setting says so', async () => {
    const current = { id: 'p', rootId: 'r', priority: 7 }
    const plain = await roundTrip({}, call({}, { current }))
    expect(plain.message).toMatchObject({ rootId: 'r', parentId: 'p' })
    expect(plain.envelope.properties.priority).toBe(0)
    const inherit = { taskInheritParentPriority: true }
    expect((await roundTrip(inherit, call({}, { current }))).envelope.properties.priority).toBe(7)
    expect((await roundTrip(inherit, call({ priority: 3 }, { current }))).envelope.properties.priority).toBe(
      3,
    )
    expect((await roundTrip(inherit, call({ priority: 0 }, { current }))).envelope.properties.priority).toBe(
      0,
    )
  })

  it('PUB-018 PUB-019 PUB-020 PUB-022 merges headers last, keeps given reprs, stamps and further properties', async () => {
    const { envelope } = await roundTrip(
      {},
      call({
        headers: { 'X-Trace': 'abc', shadow: 'over' },
        argsRepr: '(***)',
        kwargsRepr: '{***}',
        stamps: { tenant: 'acme' },
        properties: { MessageGroupId: 'g', app_id: 'shop' },
        replacedTaskNesting: 2,
      }),
    )
    expect(envelope.headers).toMatchObject({
      'X-Trace': 'abc',
      shadow: 'over',
      argsrepr: '(***)',
      kwargsrepr: '{***}',
      stamped_headers: ['tenant'],
      stamps: { tenant: 'acme' },
      replaced_task_nesting: 2,
    })
    expect(envelope.properties).toMatchObject({ appId: 'shop', extra: { MessageGroupId: 'g' } })
  })

  it('PUB-039 PUB-066 prefers call options to those of the task, and those to routes', async () => {
    const settings = { taskRoutes: { 'shop.*': { queue: 'routed', priority: 1 } } }
    const broker = new Broker()
    const publisher = publisherTo(broker, settings)
    const defaults = { taskDefaults: { queue: 'own', priority: 2 } }
    const sent = await publisher.send([call(), call({}, defaults), call({ queue: 'called' }, defaults)])
    expect(sent.map(({ queue }) => queue)).toEqual(['routed', 'own', 'called'])
    expect((await broker.take('routed'))?.properties.priority).toBe(1)
    expect((await broker.take('own'))?.properties.priority).toBe(2)
  })

  it('PUB-055 sends to a topic queue through its exchange, and refuses a direct exchange without a key', async () => {
    const broker = new Broker()
    const taskQueues = [{ name: 'feeds', exchange: { name: 'media', type: 'topic' }, routingKey: 'feed.#' }]
    const publisher = publisherTo(broker, { taskQueues, taskRoutes: { 'x.*': { exchange: 'raw' } } })
    const [sent] = await publisher.send([call({ queue: 'feeds', routingKey: 'feed.video' })])
    expect(sent).toMatchObject({ exchange: 'media', routingKey: 'feed.video' })
    expect(await broker.take('feeds')).toBeDefined()
    await expect(publisher.send([call({}, { name: 'x.y' })])).rejects.toThrow('reaches no queue')
  })
})

describe('before and after', () => {
  it('PUB-038 SIG-001 lets receivers change headers, properties and arguments in place', async () => {
    const signals = createSignals(silentLogger)
    signals.beforeTaskPublish.connect(({ headers, properties, body, exchange, routingKey }) => {
      headers.tenant = 'acme'
      properties.priority = 5
      properties.app_id = 'shop'
      const [args] = body as [unknown[]]
      args.push(`${exchange}/${routingKey}`)
    })
    const broker = new Broker()
    await publisherTo(broker, {}, { signals }).send([call({}, { args: [1] })])
    const envelope = (await broker.take('celery')) as Envelope
    expect(envelope.headers).toMatchObject({ tenant: 'acme', task: 'shop.add' })
    expect(envelope.properties).toMatchObject({ priority: 5, appId: 'shop' })
    expect(readTask(envelope, { codec, accept }).body.args).toEqual([1, '/celery'])
  })

  it('SIG-002 tells receivers after the broker has taken the message, and not when it has not', async () => {
    const signals = createSignals(silentLogger)
    const seen: unknown[] = []
    signals.afterTaskPublish.connect(({ sender, headers, routingKey }) =>
      seen.push([sender, headers.id, routingKey]),
    )
    const broker = new Broker()
    const publisher = publisherTo(broker, { taskPublishRetry: false }, { signals })
    await publisher.send([call({ taskId: 'a' })])
    expect(seen).toEqual([['shop.add', 'a', 'celery']])
    broker.trouble = () => Promise.reject(new ConnectionLostError('gone'))
    await expect(publisher.send([call({ taskId: 'b' })])).rejects.toThrow(BrokerUnavailableError)
    expect(seen).toHaveLength(1)
  })
})

describe('nothing half-sent', () => {
  it('sends none of a batch when one request cannot be routed or encoded', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker, { taskCreateMissingQueues: false })
    await expect(publisher.send([call(), call({ queue: 'nowhere' })])).rejects.toThrow(QueueNotFoundError)
    await expect(publisher.send([call(), call({}, { args: [() => 1] })])).rejects.toThrow()
    await expect(publisher.send([call(), call({ serializer: 'nonesuch' })])).rejects.toThrow()
    expect(broker.batches).toEqual([])
  })

  it('sends many in order, a thousand in each publish, and no more while one is unanswered', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    let underWay = 0
    let most = 0
    broker.trouble = async (what) => {
      if (what !== 'publish') return
      underWay += 1
      most = Math.max(most, underWay)
      await new Promise((resolve) => setImmediate(resolve))
      underWay -= 1
    }
    const sent = await publisher.send(Array.from({ length: 2001 }, () => call()))
    expect(broker.batches).toEqual([1000, 1000, 1])
    expect(most).toBe(1)
    for (const at of [0, 1]) expect((await broker.take('celery'))?.headers['id']).toBe(sent[at]?.id)
  })

  it('sends none of many when the last of them cannot be encoded', async () => {
    const broker = new Broker()
    const calls = [...Array.from({ length: 1500 }, () => call()), call({}, { args: [() => 1] })]
    await expect(publisherTo(broker).send(calls)).rejects.toThrow()
    expect(broker.batches).toEqual([])
  })

  it('sends a batch in one publish, and none for no requests', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    await publisher.send([])
    expect(broker.dials).toEqual([])
    await publisher.send([call(), call(), call({ queue: 'other' })])
    expect(broker.batches).toEqual([3])
  })
})

describe('the connection', () => {
  it('PUB-056 CFG-041 is made once for many publishes at once, and each queue is declared once on it', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    await Promise.all(Array.from({ length: 20 }, () => publisher.send([call()])))
    expect(broker.dials).toHaveLength(1)
    expect(broker.declarations).toHaveLength(1)
    expect(broker.declarations[0]).toMatchObject({
      exchanges: [{ name: 'celery', type: 'direct', durable: true }],
      queues: [{ name: 'celery', durable: true, exclusive: false, autoDelete: false, arguments: {} }],
      bindings: [{ from: 'celery', to: { queue: 'celery' }, routingKey: 'celery' }],
    })
  })

  it('CFG-041 is made anew for each publish, and closed, when the pool is off', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker, { brokerPoolLimit: 0 })
    await publisher.send([call()])
    await publisher.send([call()])
    expect(broker.dials).toHaveLength(2)
    expect(await Promise.all(broker.connections.map(({ closed }) => closed))).toEqual([undefined, undefined])
  })

  it('is made again after a loss, by the next publish', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    await publisher.send([call()])
    await broker.connections[0]?.close()
    await publisher.send([call()])
    expect(broker.dials).toHaveLength(2)
  })

  it('CFG-026 goes to the next URL when one does not answer', async () => {
    const broker = new Broker()
    broker.trouble = (what, url) => {
      if (what === 'dial' && url.includes('one')) throw new BrokerUnavailableError('one is down')
    }
    const publisher = publisherTo(broker, { brokerUrl: ['memory://one//', 'memory://two//'] })
    await publisher.send([call()])
    expect(broker.dials).toEqual(['memory://one//', 'memory://two//'])
  })

  it('is not used after close, and close may be called twice', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    await publisher.send([call()])
    await publisher.close()
    await publisher.close()
    expect(await broker.connections[0]?.closed).toBeUndefined()
    await expect(publisher.send([call()])).rejects.toThrow(BrokerUnavailableError)
  })
})

describe('a broker in trouble', () => {
  it('PUB-023 PUB-028 CFG-165 CFG-166 is tried again by the policy, then named in the error without its password', async () => {
    const broker = new Broker()
    broker.trouble = () => Promise.reject(new BrokerUnavailableError('refused'))
    const retryPolicy = { maxRetries: 2, intervalStart: 0, intervalStep: 0.01, intervalMax: 0.02 }
    const failure = await publisherTo(broker)
      .send([call({ taskId: 'a1', retryPolicy })])
      .catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BrokerUnavailableError)
    expect(broker.dials).toHaveLength(3)
    const { message } = failure as Error
    expect(message).toContain('shop.add[a1]')
    expect(message).toContain('memory://user:**@one')
    expect(message).not.toContain('hidden')
    expect(message).toContain('Check that the broker is up')
  })

  it('PUB-023 is not tried again when retry is off', async () => {
    const broker = new Broker()
    broker.trouble = () => Promise.reject(new BrokerUnavailableError('refused'))
    await expect(publisherTo(broker).send([call({ retry: false })])).rejects.toThrow(BrokerUnavailableError)
    expect(broker.dials).toHaveLength(1)
  })

  it('gets the message once it is back within the policy', async () => {
    const broker = new Broker()
    let failures = 2
    broker.trouble = (what) => {
      if (what === 'publish' && failures-- > 0) throw new ConnectionLostError('reset')
    }
    await publisherTo(broker).send([call({ taskId: 'late', retryPolicy: { intervalStep: 0.01 } })])
    expect((await broker.take('celery'))?.headers.id).toBe('late')
    expect(await broker.take('celery')).toBeUndefined()
  })

  it('cannot hang a publish: not when it does not answer a dial, nor when it does not answer a publish', async () => {
    for (const silent of ['dial', 'publish'] as const) {
      const broker = new Broker()
      broker.trouble = (what) => (what === silent ? new Promise(() => {}) : undefined)
      const publisher = publisherTo(broker)
      const sending = publisher.send([call({ timeoutMs: 30 })])
      await expect(sending).rejects.toThrow('no answer within 30 ms')
      await expect(sending).rejects.toBeInstanceOf(BrokerUnavailableError)
    }
  })

  it.each([
    ['a task', (publisher: Publisher) => publisher.send([call()])],
    ['a finished message', (publisher: Publisher) => publisher.publishRaw(rawEnvelope, rawAddress)],
    ['other work', (publisher: Publisher) => publisher.run('asking', (open) => open.publish(rawMessages))],
  ])('is waited for 5 s, and no longer, with %s that has no bound of its own', async (_what, begin) => {
    for (const silent of ['dial', 'publish'] as const) {
      const clock = new FakeClock()
      const broker = new Broker()
      broker.trouble = (what) => (what === silent ? new Promise(() => {}) : undefined)
      // A dial has a shorter bound of its own, unless the settings give it more.
      const publisher = publisherTo(broker, { brokerConnectionTimeout: 60 }, { clock })
      let ending: unknown
      begin(publisher).catch((error: unknown) => (ending = error))
      await clock.advance(4999)
      expect(ending).toBeUndefined()
      await clock.advance(1)
      expect(ending).toBeInstanceOf(BrokerUnavailableError)
      expect(String(ending)).toContain('no answer within 5000 ms')
    }
  })

  it('CFG-031 is left for the next one when it does not answer a dial in time', async () => {
    const broker = new Broker()
    broker.trouble = (_, url) => (url.includes('one') ? new Promise(() => {}) : undefined)
    const brokerUrl = ['memory://one//', 'memory://two//']
    const publisher = publisherTo(broker, { brokerUrl, brokerConnectionTimeout: 0.03 })
    await publisher.send([call({ taskId: 'a' })])
    expect(broker.dials).toEqual(['memory://one//', 'memory://two//'])
    expect((await broker.take('celery'))?.headers.id).toBe('a')
  })

  it('does not leave a connection open that comes after the publish was given up', async () => {
    for (const brokerPoolLimit of [0, 10]) {
      const broker = new Broker()
      let answer = (): void => {}
      broker.trouble = (what) =>
        what === 'dial' ? new Promise<void>((resolve) => (answer = resolve)) : undefined
      const publisher = publisherTo(broker, { brokerPoolLimit })
      await expect(publisher.send([call({ timeoutMs: 20 })])).rejects.toThrow(BrokerUnavailableError)
      if (brokerPoolLimit > 0) await publisher.close()
      answer()
      await expect.poll(() => broker.connections.length).toBe(1)
      expect(await broker.connections[0]?.closed).toBeUndefined()
    }
  })

  it('lets the caller give up at once', async () => {
    const broker = new Broker()
    const reason = new Error('changed my mind')
    const aborter = new AbortController()
    broker.trouble = () => {
      aborter.abort(reason)
      return new Promise(() => {})
    }
    const publisher = publisherTo(broker)
    await expect(publisher.send([call({ signal: aborter.signal })])).rejects.toBe(reason)
  })

  it('is not retried for a mistake of the programmer', async () => {
    const broker = new Broker()
    broker.trouble = () => Promise.reject(new ConfigError('no such folder'))
    await expect(publisherTo(broker).send([call()])).rejects.toThrow('no such folder')
    expect(broker.dials).toHaveLength(1)
  })
})

describe('sending again', () => {
  it('PUB-068 keeps id, body and priority of a retried message and goes back to its queue', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    await publisher.send([
      call({ taskId: 'r1', queue: 'billing', priority: 4, headers: { 'X-Trace': 'abc' } }),
    ])
    const first = (await broker.take('billing')) as Envelope
    await publisher.resend(
      {
        ...readTask(first, { codec, accept }),
        deliveryInfo: { exchange: '', routingKey: 'billing', priority: 4, redelivered: false },
        hostname: 'celery@here',
        isEager: false,
      },
      { retries: 1, countdown: 60 },
    )
    const again = (await broker.take('billing')) as Envelope
    expect(again.headers).toMatchObject({ id: 'r1', parent_id: 'r1', retries: 1, 'X-Trace': 'abc' })
    expect(Date.parse(String(again.headers.eta)) - Date.now()).toBeGreaterThan(55_000)
    expect(again.properties.priority).toBe(4)
    expect(Buffer.from(again.body).equals(Buffer.from(first.body))).toBe(true)
  })

  it('purges queues and says how many messages went', async () => {
    const broker = new Broker()
    const publisher = publisherTo(broker)
    await publisher.send([call(), call(), call({ queue: 'other' })])
    expect(await publisher.purge(['celery', 'other'])).toBe(3)
    expect(await broker.take('celery')).toBeUndefined()
  })
})
