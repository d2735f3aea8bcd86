/** Which message comes next on Redis: priority steps, queues, fanout. Both languages read one order. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Celery } from '../src/index.js'
import type { Worker } from '../src/worker/index.js'
import { RedisBroker } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, nodeApp, nodeTasks } from './node-app.js'
import { noRedis, skipNote } from './redis-server.js'

describe.skipIf(noRedis)(`the order of messages on Redis${skipNote(noRedis)}`, () => {
  let broker: RedisBroker
  let shop: Shop
  let app: Celery
  let python: Driver
  let workers: Worker[]
  const seen: string[] = []

  beforeEach(async () => {
    seen.length = 0
    workers = []
    broker = await RedisBroker.start()
    shop = new Shop({ broker })
    app = nodeApp(shop)
    nodeTasks(app, seen)
    python = await shop.client()
  })
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.stop()))
    await app?.close()
    await shop?.close()
    await broker?.close()
  })
  const startNode = async (queues: string[]): Promise<void> => {
    const worker = app.worker({ queues, concurrency: 1, prefetchMultiplier: 1 })
    workers.push(worker)
    await worker.start()
  }
  const marks = [9, 3, 0, 6, 1, 8].map((priority) => ({ priority, mark: `p${priority}` }))
  /** Steps ascending; first come, first served within a step. */
  const expected = ['p0', 'p1', 'p3', 'p6', 'p8', 'p9']

  it('PUB-062 PUB-063 PUB-069 a TypeScript worker runs what Python sent by priority step, 0 first', async () => {
    for (const { priority, mark } of marks) await python.send('node.quiet', [mark], {}, { priority })
    const client = broker.server.client()
    expect(await client.llen('node')).toBe(2)
    expect(await client.llen('node\x06\x163')).toBe(1)
    expect(await client.llen('node\x06\x166')).toBe(2)
    expect(await client.llen('node\x06\x169')).toBe(1)
    await startNode(['node'])
    await eventually('all ran', () => seen.length === marks.length)
    expect(seen).toEqual(expected)
  })

  it('PUB-062 PUB-063 a Celery worker runs what Node sent by priority step, 0 first', async () => {
    const sent = new Map<string, string>()
    for (const { priority, mark } of marks) {
      const result = await app.sendTask('py.add', { args: [1, 1], priority })
      sent.set(result.id, mark)
    }
    const worker = await shop.startPythonWorker({ queues: ['celery'] })
    const received = (): string[] =>
      [...worker.log.matchAll(/Task py\.add\[([^\]]+)\] received/g)].map(([, id = '']) => sent.get(id) ?? id)
    await eventually('all were received', () => received().length === marks.length)
    expect(received()).toEqual(expected)
  })

  it('PUB-064 PUB-082 the priority step counts before the queue', async () => {
    const to = (queue: string, mark: string, priority: number): Promise<string> =>
      python.send('node.quiet', [mark], {}, { queue, priority })
    await to('first', 'first-9', 9)
    await to('second', 'second-9', 9)
    await to('second', 'second-0', 0)
    await to('first', 'first-3', 3)
    await startNode(['first', 'second'])
    await eventually('all ran', () => seen.length === 4)
    expect(seen.slice(0, 2)).toEqual(['second-0', 'first-3'])
    expect(seen.slice(2).sort()).toEqual(['first-9', 'second-9'])
  })

  it('PUB-077 a fanout message of Python reaches every TypeScript worker once', async () => {
    const heard: string[] = []
    const apps = ['a', 'b'].map((name) => {
      const own = nodeApp(shop, { taskQueues: [{ name: 'news', broadcast: true }] })
      own.task('node.news', (text: string) => void heard.push(`${name}:${text}`))
      return own
    })
    for (const own of apps) {
      const worker = own.worker({ queues: ['news'], concurrency: 1 })
      workers.push(worker)
      await worker.start()
    }
    await python.do('fanout', { exchange: 'news', name: 'node.news', args: ['one'] })
    await python.do('fanout', { exchange: 'news', name: 'node.news', args: ['two'] })
    await eventually('both heard both', () => heard.length >= 4)
    expect(heard.sort()).toEqual(['a:one', 'a:two', 'b:one', 'b:two'])
    await Promise.all(workers.splice(0).map((worker) => worker.stop()))
    for (const own of apps) await own.close()
  })

  it('PUB-077 a remote control command of Node reaches a Celery worker', async () => {
    await shop.startPythonWorker({ queues: ['celery'] })
    // Celery says that it is ready before it hears commands.
    await eventually('the worker answers', async () => (await app.control.ping({ timeout: 0.5 })).length > 0)
    const result = await app.sendTask('py.add', { args: [1, 1], countdown: 3 })
    await app.control.revoke([result.id])
    await expect(result.get({ timeout: 20 })).rejects.toMatchObject({ excType: 'TaskRevokedError' })
  })
})
