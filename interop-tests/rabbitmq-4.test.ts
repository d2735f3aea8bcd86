/**
 * RabbitMQ 4 with both languages: 4.0; 4.3, which knows no prefetch count over several queues; and 4.3 where it permits no
 * queues that are neither durable nor exclusive, so that Celery needs settings for remote control, and no `rpc://`.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type AppOptions, Celery } from '../src/index.js'
import { silentLogger } from '../src/logger.js'
import { createAmqpTransport } from '../src/transport/amqp-transport.js'
import type { Connection } from '../src/transport/transport.js'
import type { Worker } from '../src/worker/index.js'
import { type RabbitBroker, RabbitKind } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, nodeApp, nodeTasks } from './node-app.js'
import { rabbit4 } from './rabbitmq-server.js'
import { skipNote } from './redis-server.js'

const releases = [
  { title: '4.0', name: '4.0', results: 'rpc', extra: {}, celery: {} },
  { title: '4.3', name: '4.3', results: 'rpc', extra: {}, celery: {} },
  {
    title: '4.3 that permits no transient queues',
    name: '4.3',
    results: 'redis',
    // RabbitMQ's own default; Debian's package has another.
    extra: { 'deprecated_features.permit.transient_nonexcl_queues': false },
    celery: { CELERY_CONTROL_QUEUE_DURABLE: true, CELERY_EVENT_QUEUE_DURABLE: true },
  },
] as const
const quorumSettings = {
  taskDefaultQueue: 'delayed',
  taskDefaultExchange: 'delayed',
  taskDefaultExchangeType: 'topic',
  taskDefaultRoutingKey: 'delayed',
  taskDefaultQueueType: 'quorum',
} as const

for (const { title, name, results, extra, celery } of releases) {
  const kind = new RabbitKind({ results, server: { release: rabbit4[name], extra } })
  const isDenied = results === 'redis'

  describe.skipIf(kind.missing)(`RabbitMQ ${title} beside Celery${skipNote(kind.missing)}`, () => {
    let broker: RabbitBroker
    let shop: Shop
    let python: Driver
    let app: Celery
    let worker: Worker
    const closing: { close(): Promise<unknown> }[] = []
    const open = (settings: AppOptions = {}): Celery => {
      const next = new Celery('shop', {
        brokerUrl: broker.place().brokerUrl,
        resultBackend: null,
        ...settings,
      })
      closing.push(next)
      return next
    }
    const start = async (own: Celery, options: Parameters<Celery['worker']>[0] = {}): Promise<Worker> => {
      const next = own.worker({ concurrency: 1, ...options })
      closing.unshift({ close: () => next.stop() })
      await next.start()
      return next
    }
    const connect = async (): Promise<Connection> => {
      const connection = await createAmqpTransport().connect(broker.place().brokerUrl, {
        transportOptions: {},
      })
      closing.push(connection)
      return connection
    }

    beforeAll(async () => {
      broker = await kind.start()
      shop = new Shop({ broker, settings: celery })
      app = nodeApp(shop)
      nodeTasks(app)
      worker = app.worker({ queues: ['node'], concurrency: 4, hostname: 'node@test' })
      ;[python] = await Promise.all([shop.client(), shop.startPythonWorker(), worker.start()])
    })
    afterEach(async () => {
      for (const each of closing.splice(0)) await each.close()
    })
    afterAll(async () => {
      await worker?.stop()
      await app?.close()
      await shop?.close()
      await kind.stop()
    })

    it('TSK-074 RES-031 RES-033 tasks go both ways and results come back, through retries and errors', async () => {
      const toPython = await app.sendTask<number>('py.add', { args: [2, 3] })
      const flaky = await app.sendTask('py.flaky', { args: [2] })
      const failed = await app.sendTask('py.fail')
      const toNode = await python.send('node.add', [20, 30])
      const flakyNode = await python.send('node.flaky', [2])
      const failedNode = await python.send('node.fail', ['PaymentError'])
      expect(await toPython.get({ timeout: 20 })).toBe(5)
      expect(await flaky.get({ timeout: 20 })).toMatchObject({ retries: 2 })
      await expect(failed.get({ timeout: 20 })).rejects.toThrow(/boom/)
      expect((await python.get(toNode)).ok?.value).toBe(50)
      expect((await python.get(flakyNode)).ok?.value).toMatchObject({ retries: 2 })
      expect((await python.get(failedNode)).error).toMatchObject({ type: 'PaymentError' })
    })

    it('CTL-001 CTL-012 each language gets the answers of both workers', async () => {
      const pong = { ok: 'pong' }
      const names = (replies: readonly object[]): string[] =>
        replies.flatMap((each) => Object.keys(each)).toSorted()
      const replies = await python.do<object[]>('ping', { timeout: 10, limit: 2 })
      expect(names(replies)).toEqual(['node@test', expect.stringMatching(/^py/)])
      const ours = await app.control.ping({ timeout: 10, limit: 2 })
      expect(names(ours)).toEqual(names(replies))
      expect(ours).toContainEqual({ 'node@test': pong })
    })

    it('declares the queues of control and results as Celery does there', async () => {
      const client = open({ resultBackend: 'rpc://', taskDefaultQueue: 'own' })
      const own = client.task('own.task', () => 'seen')
      await start(client)
      expect(await own.delay().then((sent) => sent.get({ timeout: 20 }))).toBe('seen')
      const rows = await broker.server.ctl('list_queues', '-p', broker.vhost, 'name', 'durable', 'exclusive')
      const of = (queue: string): string[] => rows.split('\n').filter((row) => row.startsWith(queue))
      expect(of('node@test.celery.pidbox')).toEqual([`node@test.celery.pidbox\t${isDenied}\tfalse`])
      expect(of(client.oid)).toEqual([`${client.oid}\t${isDenied}\tfalse`])
      expect(of('py')[0]).toMatch(new RegExp(`pidbox\t${isDenied}\tfalse$`))
    })

    it('CTL-001 uses a control queue as it is that a peer has declared otherwise, and shares it with a worker of its name', async () => {
      const queue = {
        name: 'celery@odd.celery.pidbox',
        durable: true,
        exclusive: false,
        autoDelete: true,
        arguments: { 'x-message-ttl': 1000, 'x-expires': 77_000 },
      }
      await (await connect()).declare({ exchanges: [], queues: [queue], bindings: [] })
      const warned: string[] = []
      const warn = (_fields: object, text = ''): void => void warned.push(text)
      const logger = { ...silentLogger, warn }
      const twins = [0, 1].map(() => open({ taskDefaultQueue: 'odd' }))
      await Promise.all(twins.map((own) => start(own, { hostname: 'celery@odd', logger })))
      expect(await open().control.ping({ destination: ['celery@odd'], timeout: 10 })).toEqual([
        { 'celery@odd': { ok: 'pong' } },
      ])
      expect(warned.join()).toMatch(/celery@odd.celery.pidbox was declared otherwise by somebody else/)
    })

    // Before 4.1 it is large enough.
    if (name !== '4.0')
      it('says that a frame_max is too small for it', async () => {
        const brokerTransportOptions = { frame_max: 4096 }
        const sending = open({ brokerTransportOptions }).sendTask('node.add', { retry: false })
        await expect(sending).rejects.toThrow(/frame_max of at least 8192/)
      })

    if (isDenied) return
    it('PUB-084 PUB-087 PUB-090 tasks of quorum queues that are due later wait in the broker, both ways', async () => {
      const ran: unknown[] = []
      const own = open({ ...quorumSettings, resultBackend: 'rpc://' })
      own.task('node.delayed', { bind: true }, (self, mark: string) => {
        ran.push(self.request.deliveryInfo.exchange)
        return mark
      })
      await start(own)
      const settings = {
        ...celery,
        CELERY_TASK_DEFAULT_QUEUE: 'delayed',
        CELERY_TASK_DEFAULT_EXCHANGE: 'delayed',
        CELERY_TASK_DEFAULT_EXCHANGE_TYPE: 'topic',
        CELERY_TASK_DEFAULT_ROUTING_KEY: 'delayed',
        CELERY_TASK_DEFAULT_QUEUE_TYPE: 'quorum',
        CELERY_TASK_ROUTES: null,
      }
      const delaying = new Shop({ broker, settings })
      closing.push(delaying)
      const client = await delaying.client()
      const theirs = await client.send('node.delayed', ['py'], {}, { countdown: 2 })
      const ours = await own.sendTask('node.delayed', { args: ['ts'], countdown: 2 })
      expect((await client.get(theirs)).ok?.value).toBe('py')
      expect(await ours.get({ timeout: 20 })).toBe('ts')
      expect(ran).toEqual(Array(2).fill(expect.stringMatching(/^celery_delayed_/)))
    })

    it('WRK-019 WRK-022 goes on with other tasks while more than it fetches wait for their time', async () => {
      const ran: string[] = []
      const app = open({ taskDefaultQueue: 'patient', workerPrefetchMultiplier: 2 })
      const task = app.task('patient.task', (mark: string) => void ran.push(mark))
      await start(app)
      for (let n = 0; n < 6; n += 1) await task.applyAsync({ args: ['later'], countdown: 600 })
      await task.applyAsync({ args: ['soon'], countdown: 2 })
      await task.delay('now')
      await eventually('the other tasks ran', () => ran.length === 2)
      expect(ran).toEqual(['now', 'soon'])
    })

    it('WRK-022 PUB-090 consumes from a quorum queue that it was not told of only where no count is common', async () => {
      const declaring = open({ taskDefaultQueue: 'untold', taskDefaultQueueType: 'quorum' })
      await declaring.sendTask('untold.task')
      const app = open({ taskDefaultQueue: 'untold', taskCreateMissingQueues: false })
      app.task('untold.task', () => {})
      await expect(start(app)).rejects.toThrow(/x-queue-type/)
      const connection = await connect()
      const consuming = connection.consume(['untold'], { prefetch: 2, noAck: false, onDeliveries: () => {} })
      if (name === '4.0') await expect(consuming).rejects.toThrow(/common prefetch limit/)
      else await consuming
    })

    it('WRK-090 a late acknowledgement after consumer_timeout is known to be lost, and the task comes again', async () => {
      // Looked at by channels every minute before 4.3.
      await broker.server.ctl('eval', 'application:set_env(rabbit, channel_tick_interval, 300).')
      const [began, logged]: [boolean[], string[]] = [[], []]
      const note = (fields: object, text = ''): void => {
        logged.push(`${text} ${(fields as { err?: Error }).err?.message ?? ''}`)
      }
      const gates: (() => void)[] = []
      const queue = {
        name: 'impatient',
        queueArguments: { 'x-queue-type': 'quorum', 'x-consumer-timeout': 2000 },
      }
      const app = open({ taskQueues: [queue], taskDefaultQueue: 'impatient' })
      const task = app.task('impatient.task', { acksLate: true, bind: true }, async (self) => {
        began.push(self.request.deliveryInfo.redelivered)
        if (began.length === 1) await new Promise<void>((resolve) => gates.push(resolve))
      })
      closing.unshift({ close: async () => gates[0]?.() })
      const worker = await start(app, {
        concurrency: 3,
        logger: { ...silentLogger, warn: note, error: note },
      })
      await task.delay()
      await eventually('it runs again', () => began.length === 2)
      expect(began).toEqual([false, true])
      expect(logged.filter((text) => /longer than the consumer_timeout/.test(text))).toHaveLength(1)
      gates[0]?.()
      await eventually('both have ended', () => worker.ledger.size === 0)
      await task.delay()
      await eventually('the next ran', () => began.length === 3)
      await worker.stop()
      expect(await (await connect()).queueLength('impatient')).toBe(0)
    })
  })
}
