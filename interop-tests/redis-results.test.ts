/** Results on Redis: who waits is told by the channel of the key, in either language. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Celery } from '../src/index.js'
import type { Worker } from '../src/worker/index.js'
import { RedisBroker } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, nodeApp, nodeTasks } from './node-app.js'
import { noRedis, skipNote } from './redis-server.js'

describe.skipIf(noRedis)(`results on Redis${skipNote(noRedis)}`, () => {
  let broker: RedisBroker
  let shop: Shop
  let app: Celery
  let worker: Worker
  let python: Driver

  beforeAll(async () => {
    broker = await RedisBroker.start()
    shop = new Shop({ broker })
    app = nodeApp(shop)
    nodeTasks(app)
    worker = app.worker({ queues: ['node'], concurrency: 4 })
    await worker.start()
    await shop.startPythonWorker({ queues: ['celery'] })
    python = await shop.client()
  })
  afterAll(async () => {
    await worker?.stop()
    await app?.close()
    await shop?.close()
    await broker?.close()
  })
  const key = (id: string): string => `celery-task-meta-${id}`

  /** What is published on the channel of a task, from now on. */
  async function listen(id: string): Promise<string[]> {
    const subscriber = broker.server.client()
    const heard: string[] = []
    subscriber.on('message', (_channel: string, text: string) => void heard.push(text))
    await subscriber.subscribe(key(id))
    return heard
  }
  const states = (heard: readonly string[]): unknown[] =>
    heard.map((text) => (JSON.parse(text) as { status: string }).status)

  it('RES-021 RES-020 publishes each state on the channel of the key, and keeps the last one for a day', async () => {
    const id = `id-${Math.random()}`
    const heard = await listen(id)
    await python.send('node.progress', [2], {}, { task_id: id })
    expect((await python.get(id)).ok?.value).toBe('done')
    await eventually('the last state came', () => states(heard).includes('SUCCESS'))
    expect(states(heard)).toEqual(['STARTED', 'PROGRESS', 'PROGRESS', 'SUCCESS'])
    const client = broker.server.client()
    expect(await client.get(key(id))).toBe(heard.at(-1))
    expect(await client.ttl(key(id))).toBeGreaterThan(86_000)
  })

  it('RES-022 wakes a Python client that waits, without its asking', async () => {
    const id = await python.send('node.sleep', [1.5])
    const waiting = python.get(id)
    await eventually('Python has subscribed', async () => {
      const [, count] = (await broker.server.client().pubsub('NUMSUB', key(id))) as [string, number]
      return count >= 1
    })
    const calls = await countGets(() => waiting)
    expect((await waiting).ok?.value).toBe('slept')
    expect(calls).toBeLessThanOrEqual(2)
  })

  it('RES-022 wakes a Node client that waits, without its asking', async () => {
    const sent = await app.sendTask<string>('py.sleep', { args: [1.5] })
    const waiting = sent.get({ timeout: 20 })
    const calls = await countGets(() => waiting)
    expect(await waiting).toBe('slept')
    // A look to close the race, and the safety net.
    expect(calls).toBeLessThanOrEqual(4)
  })

  it('RES-022 a Node client lets its channels go when it has its results', async () => {
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => app.sendTask<number>('py.add', { args: [i, 1] })),
    )
    const values = await Promise.all(results.map((result) => result.get({ timeout: 30 })))
    expect(values).toEqual(results.map((_, i) => i + 1))
    const client = broker.server.client()
    await eventually('no channel is left', async () => {
      const channels = (await client.pubsub('CHANNELS', 'celery-task-meta-*')) as string[]
      return results.every(({ id }) => !channels.includes(key(id)))
    })
  })

  it('RES-025 RES-054 forgets in one language what the other stored', async () => {
    const client = broker.server.client()
    const byNode = await python.send('node.add', [1, 2])
    await python.get(byNode)
    await python.do('forget', { id: byNode })
    expect(await client.exists(key(byNode))).toBe(0)
    const byPython = await app.sendTask('py.add', { args: [1, 2] })
    await byPython.get({ timeout: 20 })
    await byPython.forget()
    expect(await client.exists(key(byPython.id))).toBe(0)
  })

  /** How many GET and MGET the server was asked while `work` went on. */
  async function countGets(work: () => Promise<unknown>): Promise<number> {
    const client = broker.server.client()
    await client.config('RESETSTAT')
    await work()
    const stats = await client.info('commandstats')
    return [...stats.matchAll(/cmdstat_m?get:calls=(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0)
  }
})
