import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Celery, Reject } from '../src/index.js'
import { silentLogger } from '../src/logger.js'
import { type RabbitBroker, RabbitKind } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, useNodeApps } from './node-app.js'
import { noRabbit } from './rabbitmq-server.js'
import { freePort, skipNote } from './redis-server.js'

/** `task_queues` in the form that both languages take. */
const queues = {
  celery: { exchange: 'celery', exchange_type: 'direct', routing_key: 'celery' },
  feeds: { exchange: 'media', exchange_type: 'topic', routing_key: 'feed.#' },
  stars: { exchange: 'media', exchange_type: 'topic', routing_key: '*.star' },
  all: { exchange: 'everyone', exchange_type: 'fanout', routing_key: '' },
  ranked: {
    exchange: 'ranked',
    exchange_type: 'direct',
    routing_key: 'ranked',
    queue_arguments: { 'x-max-priority': 9 },
  },
  mourned: {
    exchange: 'mourned',
    exchange_type: 'direct',
    routing_key: 'mourned',
    queue_arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'graves' },
  },
  graves: { exchange: 'graves', exchange_type: 'direct', routing_key: 'graves' },
}

describe.skipIf(noRabbit)(`queues of RabbitMQ that both languages declare${skipNote(noRabbit)}`, () => {
  const kind = new RabbitKind({ results: 'rpc' })
  let broker: RabbitBroker
  let shop: Shop
  let python: Driver
  let app: Celery
  const open = useNodeApps(() => shop, { taskQueues: queues, taskRoutes: null })
  /** A worker that tells what it ran, in order. */
  const workerOn = async (names: string[], ran: unknown[]) => {
    const own = open()
    own.task('route.seen', (mark: unknown) => void ran.push(mark))
    const worker = own.worker({ queues: names, concurrency: 1 })
    await worker.start()
    return worker
  }

  beforeAll(async () => {
    broker = await kind.start()
    shop = new Shop({ broker, settings: { CELERY_TASK_QUEUES: queues, CELERY_TASK_ROUTES: null } })
    python = await shop.client()
  })
  afterAll(async () => {
    await shop?.close()
    await kind.stop()
  })
  beforeEach(() => {
    app = open()
  })

  it('PUB-050 PUB-057 a topic and a fanout exchange route alike, whoever declared and whoever sends', async () => {
    const [feeds, stars, all]: unknown[][] = [[], [], []]
    // Python declares some of them first, TypeScript the others.
    await python.send('route.seen', ['first'], {}, { queue: 'feeds', routing_key: 'feed.first' })
    const workers = await Promise.all([
      workerOn(['feeds'], feeds as unknown[]),
      workerOn(['stars'], stars as unknown[]),
      workerOn(['all'], all as unknown[]),
    ])
    try {
      await python.send('route.seen', ['py'], {}, { queue: 'feeds', routing_key: 'feed.star' })
      await python.send('route.seen', ['py all'], {}, { queue: 'all' })
      await app.sendTask('route.seen', { args: ['ts'], queue: 'stars', routingKey: 'feed.star' })
      await app.sendTask('route.seen', { args: ['ts all'], queue: 'all' })
      await app.sendTask('route.seen', { args: ['only'], queue: 'feeds', routingKey: 'feed.a.b' })
      const sorted = (list: unknown): string[] => (list as string[]).toSorted()
      await eventually('all have run', () => [feeds, stars, all].flat().length === 8)
      expect(sorted(feeds)).toEqual(['first', 'only', 'py', 'ts'])
      expect(sorted(stars)).toEqual(['py', 'ts'])
      expect(sorted(all)).toEqual(['py all', 'ts all'])
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()))
    }
  })

  it('PUB-061 a higher priority overtakes, from both languages', async () => {
    const ran: unknown[] = []
    const send = { queue: 'ranked' }
    await app.sendTask('route.seen', { args: ['ts 1'], priority: 1, ...send })
    await python.send('route.seen', ['py 5'], {}, { priority: 5, ...send })
    await app.sendTask('route.seen', { args: ['ts 9'], priority: 9, ...send })
    await python.send('route.seen', ['py 3'], {}, { priority: 3, ...send })
    // Celery does not wait for the broker to have it.
    await eventually('all wait', async () =>
      (await broker.server.ctl('list_queues', '-p', broker.vhost, 'name', 'messages')).includes('ranked\t4'),
    )
    const worker = await workerOn(['ranked'], ran)
    try {
      await eventually('all have run', () => ran.length === 4)
      expect(ran).toEqual(['ts 9', 'py 5', 'py 3', 'ts 1'])
    } finally {
      await worker.stop()
    }
  })

  it('ACK-008 what a task rejects goes where the queue sends its dead', async () => {
    const ran: unknown[] = []
    const own = open()
    own.task('route.seen', { acksLate: true }, (_mark: unknown) => {
      throw new Reject('no', false)
    })
    const rejecting = own.worker({ queues: ['mourned'], concurrency: 1 })
    await rejecting.start()
    const worker = await workerOn(['graves'], ran)
    try {
      await python.send('route.seen', ['py'], {}, { queue: 'mourned' })
      await eventually('it was buried and found', () => ran.length === 1)
    } finally {
      await Promise.all([rejecting.stop(), worker.stop()])
    }
  })

  it('a worker warns once, when it starts, of tasks that RabbitMQ would take back while they run', async () => {
    const warned: string[] = []
    const own = open()
    own.task('route.long', { acksLate: true, timeLimit: 7200 }, () => {})
    const note = (_fields: object, text = ''): void => void warned.push(text)
    const worker = own.worker({ queues: ['celery'], logger: { ...silentLogger, warn: note } })
    await worker.start()
    await worker.stop()
    expect(warned).toEqual([expect.stringMatching(/consumer_timeout .*route\.long \(7200 s\)/)])
  })

  it('CFG-026 goes to the next broker of a list when the first is not there', async () => {
    const url = `amqp://127.0.0.1:${await freePort()}//;${shop.place.brokerUrl}`
    const ran: unknown[] = []
    const worker = await workerOn(['celery'], ran)
    try {
      await open({ brokerUrl: url }).sendTask('route.seen', { args: ['over'], queue: 'celery' })
      await eventually('it ran', () => ran.length === 1)
    } finally {
      await worker.stop()
    }
  })

  it('PUB-023 a call fails within its bound when no broker is there', async () => {
    const url = `amqp://127.0.0.1:${await freePort()}//`
    const began = performance.now()
    const lonely = open({ brokerUrl: url, resultBackend: null })
    await expect(lonely.sendTask('route.seen')).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' })
    await expect(open({ brokerUrl: url }).sendTask('route.seen')).rejects.toMatchObject({ retriable: true })
    expect(performance.now() - began).toBeLessThan(12_000)
  })
})
