/** Both languages on one Redis, by every way there is to reach it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Celery } from '../src/index.js'
import type { Worker } from '../src/worker/index.js'
import { type Broker, RedisBroker, SentinelBroker } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, nodeApp, nodeTasks } from './node-app.js'
import { noRedis, skipNote } from './redis-server.js'

const prefixed = { broker: { global_keyprefix: 'shop:' }, results: { global_keyprefix: 'shop:' } }

/** A worker of each language on the broker, and a client of each. */
class BothSides {
  readonly broker: Broker
  readonly shop: Shop
  readonly app: Celery
  readonly worker: Worker
  readonly python: Driver

  private constructor(broker: Broker, shop: Shop, app: Celery, worker: Worker, python: Driver) {
    this.broker = broker
    this.shop = shop
    this.app = app
    this.worker = worker
    this.python = python
  }

  static async start(broker: Broker): Promise<BothSides> {
    const shop = new Shop({ broker })
    const app = nodeApp(shop)
    nodeTasks(app)
    const worker = app.worker({ queues: ['node'], concurrency: 4 })
    const [python] = await Promise.all([
      shop.client(),
      worker.start(),
      shop.startPythonWorker({ queues: ['celery'] }),
    ])
    return new BothSides(broker, shop, app, worker, python)
  }

  /** A call in each direction. */
  async call(timeout = 20): Promise<unknown[]> {
    const toPython = await this.app.sendTask<number>('py.add', { args: [2, 3] })
    const toNode = await this.python.send('node.add', [20, 30])
    return [await toPython.get({ timeout }), (await this.python.get(toNode, timeout)).ok?.value]
  }

  async close(): Promise<void> {
    await this.worker.stop()
    await this.app.close()
    await this.shop.close()
    await this.broker.close()
  }
}

describe.skipIf(noRedis)(`Python and Node meet on one Redis${skipNote(noRedis)}`, () => {
  const ways: readonly (readonly [string, () => Promise<RedisBroker>])[] = [
    ['PUB-081 RES-026 over TLS with a CA of its own', () => RedisBroker.start({}, { tls: true })],
    ['RES-026 as an ACL user', () => RedisBroker.start({}, { user: { name: 'worker', password: 'secret' } })],
    ['RES-026 with a password', () => RedisBroker.start({}, { requirepass: 'secret' })],
    ['RES-026 over a Unix socket', () => RedisBroker.start({}, { unixSocket: true })],
  ]
  it.each(ways)('%s', async (_way, start) => {
    const both = await BothSides.start(await start())
    try {
      expect(await both.call()).toEqual([5, 50])
    } finally {
      await both.close()
    }
  })

  it('PUB-078 PUB-082 RES-020 under a prefix, which every key has', async () => {
    const broker = await RedisBroker.start(prefixed)
    const both = await BothSides.start(broker)
    try {
      expect(await both.call()).toEqual([5, 50])
      const keys = await broker.server.client().keys('*')
      expect(keys.length).toBeGreaterThan(2)
      expect(keys.filter((key) => !key.startsWith('shop:'))).toEqual([])
    } finally {
      await both.close()
    }
  })
})

describe.skipIf(noRedis)(`Python and Node meet on a Redis with sentinels${skipNote(noRedis)}`, () => {
  let broker: SentinelBroker
  let both: BothSides
  beforeAll(async () => {
    broker = await SentinelBroker.start()
    both = await BothSides.start(broker)
  })
  afterAll(async () => {
    if (both) await both.close()
    else await broker?.close()
  })

  it('PUB-081 RES-026 finds the master by its name', async () => {
    expect(await both.call()).toEqual([5, 50])
  })

  it('PUB-081 WRK-095 goes on with the new master after a failover', async () => {
    const before = await broker.set.master()
    const after = await broker.set.failover()
    expect(after).not.toBe(before)
    // The first calls may meet a connection that is just being lost.
    await eventually(
      'calls work again',
      () =>
        both.call(10).then(
          () => true,
          () => false,
        ),
      60_000,
    )
    expect(await both.call()).toEqual([5, 50])
  })
})
