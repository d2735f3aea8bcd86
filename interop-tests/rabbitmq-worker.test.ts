/** A worker on RabbitMQ: what its connection does while it drains, who is served first, what others have declared. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type AppOptions, Celery } from '../src/index.js'
import { silentLogger } from '../src/logger.js'
import { createAmqpTransport } from '../src/transport/amqp-transport.js'
import type { Connection } from '../src/transport/transport.js'
import { AmqpProxy } from './amqp-proxy.js'
import { type RabbitBroker, RabbitKind } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually } from './node-app.js'
import { noRabbit } from './rabbitmq-server.js'
import { skipNote } from './redis-server.js'

describe.skipIf(noRabbit)(`a worker on RabbitMQ${skipNote(noRabbit)}`, () => {
  const kind = new RabbitKind({ results: 'rpc' })
  let broker: RabbitBroker
  let url: string
  const closing: { close(): Promise<unknown> }[] = []
  const open = (settings: AppOptions = {}): Celery => {
    const app = new Celery('shop', { brokerUrl: url, resultBackend: null, ...settings })
    closing.push(app)
    return app
  }
  const connect = async (): Promise<Connection> => {
    const connection = await createAmqpTransport().connect(url, { transportOptions: {} })
    closing.push(connection)
    return connection
  }

  beforeAll(async () => {
    broker = await kind.start()
    url = broker.place().brokerUrl
  }, 90_000)
  afterEach(async () => {
    await Promise.all(closing.splice(0).map((each) => each.close()))
  })
  afterAll(() => kind.stop())

  it('WRK-093 goes on with its heartbeats while it drains, so that a late ack still counts', async () => {
    const proxy = await AmqpProxy.start(broker.server.port)
    closing.push(proxy)
    let openGate = (): void => {}
    const gate = new Promise<void>((resolve) => (openGate = resolve))
    let runs = 0
    const app = open({ brokerUrl: proxy.through(url), brokerHeartbeat: 1, taskDefaultQueue: 'drained' })
    const task = app.task('drain.slow', { acksLate: true }, async () => {
      runs += 1
      await gate
    })
    const worker = app.worker({ concurrency: 1 })
    await worker.start()
    await task.delay()
    await eventually('it runs', () => runs === 1)
    proxy.take()
    const stopping = worker.stop()
    // The server gives up after two that it has missed.
    const beats = (from: string): number =>
      proxy.peek().filter((record) => record.method === 'Heartbeat' && record.from === from).length
    await eventually('five heartbeats went each way', () => beats('client') >= 5 && beats('server') >= 5)
    openGate()
    await stopping
    expect(await (await connect()).queueLength('drained')).toBe(0)
    expect(runs).toBe(1)
  }, 60_000)

  it('prefers the worker whose queue says so in consumerArguments', async () => {
    const ran: string[] = []
    const workerOf = async (name: string, priority: number) => {
      const queue = { name: 'preferred', consumerArguments: { 'x-priority': priority } }
      const app = open({ taskQueues: [queue] })
      app.task('preferred.task', () => void ran.push(name))
      const worker = app.worker({ concurrency: 1 })
      await worker.start()
      closing.unshift({ close: () => worker.stop() })
    }
    await workerOf('second', 1)
    await workerOf('first', 9)
    const client = open()
    for (let n = 1; n <= 5; n += 1) {
      await client.sendTask('preferred.task', { queue: 'preferred' })
      await eventually('it ran', () => ran.length === n)
    }
    expect(ran).toEqual(Array(5).fill('first'))
  })

  it('WRK-022 a worker of quorum queues goes on with other tasks while more than it fetches wait for their time', async () => {
    const ran: string[] = []
    const app = open({
      taskDefaultQueue: 'patient',
      taskDefaultQueueType: 'quorum',
      workerPrefetchMultiplier: 2,
    })
    const task = app.task('patient.task', (mark: string) => void ran.push(mark))
    const worker = app.worker({ concurrency: 1 })
    await worker.start()
    closing.unshift({ close: () => worker.stop() })
    for (let n = 0; n < 6; n += 1) await task.applyAsync({ args: ['later'], countdown: 600 })
    await task.applyAsync({ args: ['soon'], countdown: 2 })
    await task.delay('now')
    await eventually('the other tasks ran', () => ran.length === 2)
    expect(ran).toEqual(['now', 'soon'])
  })

  it('PUB-050 a headers exchange routes what either language sends by the headers of the message', async () => {
    const queues = {
      typed: {
        exchange: 'typed',
        exchange_type: 'headers',
        routing_key: '',
        binding_arguments: { 'x-match': 'all', kind: 'a' },
      },
    }
    const shop = new Shop({ broker })
    closing.push(shop)
    const ran: unknown[] = []
    const app = open({ taskQueues: queues } as AppOptions)
    app.task('typed.seen', (mark: unknown) => void ran.push(mark))
    const worker = app.worker({ queues: ['typed'], concurrency: 1 })
    await worker.start()
    closing.unshift({ close: () => worker.stop() })
    const python: Driver = await shop.client()
    for (const kind of ['b', 'a']) {
      const how = { exchange: 'typed', routing_key: 'any', headers: { kind } }
      await python.send('typed.seen', [`py ${kind}`], {}, how)
      const sending = app.sendTask('typed.seen', {
        args: [`ts ${kind}`],
        exchange: 'typed',
        routingKey: 'any',
        headers: { kind },
      })
      if (kind === 'a') await sending
      // what no queue takes is told to us, and to nobody in Python
      else await expect(sending).rejects.toMatchObject({ code: 'UNROUTABLE' })
    }
    await eventually('both ran', () => ran.length === 2)
    expect(ran.toSorted()).toEqual(['py a', 'ts a'])
  }, 60_000)

  it('CTL-001 uses a control queue as it is that a peer has declared otherwise', async () => {
    const peer = await connect()
    await peer.declare({
      exchanges: [{ name: 'celery.pidbox', type: 'fanout', durable: false }],
      queues: [
        {
          name: 'celery@odd.celery.pidbox',
          durable: false,
          exclusive: false,
          autoDelete: true,
          arguments: { 'x-message-ttl': 1000, 'x-expires': 77_000 },
        },
      ],
      bindings: [{ from: 'celery.pidbox', to: { queue: 'celery@odd.celery.pidbox' }, routingKey: '' }],
    })
    const warned: string[] = []
    const warn = (_fields: object, text = ''): void => void warned.push(text)
    const worker = open().worker({
      hostname: 'celery@odd',
      queues: ['celery'],
      logger: { ...silentLogger, warn },
    })
    await worker.start()
    closing.unshift({ close: () => worker.stop() })
    expect(await open().control.ping({ destination: ['celery@odd'], timeout: 10 })).toEqual([
      { 'celery@odd': { ok: 'pong' } },
    ])
    expect(warned.join()).toMatch(/celery@odd.celery.pidbox was declared otherwise by somebody else/)
  })

  it('CFG-026 goes over to the next broker of a list when the one it uses is lost, and finishes what it runs', async () => {
    const proxies = [await AmqpProxy.start(broker.server.port), await AmqpProxy.start(broker.server.port)]
    const [first, second] = proxies as [AmqpProxy, AmqpProxy]
    closing.push(second)
    let openGate = (): void => {}
    const gate = new Promise<void>((resolve) => (openGate = resolve))
    const [began, ended]: [string[], string[]] = [[], []]
    const brokerUrl = `${first.through(url)};${second.through(url)}`
    const app = open({ brokerUrl, taskDefaultQueue: 'moved' })
    const task = app.task('moved.task', async (mark: string) => {
      began.push(mark)
      if (mark === 'before') await gate
      ended.push(mark)
    })
    const worker = app.worker({ concurrency: 5 })
    await worker.start()
    closing.unshift({ close: () => worker.stop() })
    await task.delay('before')
    await eventually('it runs', () => began.length === 1)
    await first.close()
    await second.saw('it consumes there', ({ method }) => method === 'Basic.Consume')
    await task.delay('after')
    await eventually('the next ran', () => ended.includes('after'))
    openGate()
    await eventually('the first ended', () => ended.includes('before'))
    expect(began).toEqual(['before', 'after'])
  }, 60_000)
})
