import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Celery, chain, chord, group, type Signature } from '../src/index.js'
import { type Broker, filesystemKind, RabbitKind, redisKind } from './brokers.js'
import { Shop } from './harness.js'
import { nodeApp } from './node-app.js'
import { skipNote } from './redis-server.js'

const timeout = 60
/** Messages over RabbitMQ, results in a Redis. */
const rabbitKind = new RabbitKind()
afterAll(() => rabbitKind.stop())

/** Canvases that are built here, with tasks of both languages: a real Celery worker runs its own, ours the others. */
describe.each([redisKind, filesystemKind, rabbitKind])('canvases sent from Node over $name', (kind) => {
  describe.skipIf(kind.missing)(`to a real Celery worker and ours${skipNote(kind.missing)}`, () => {
    let broker: Broker
    let shop: Shop
    let app: Celery
    let stopWorker: (() => Promise<unknown>) | undefined

    beforeAll(async () => {
      broker = await kind.start()
      shop = new Shop({ broker })
      app = nodeApp(shop)
      const worker = app.worker({ queues: ['node'], concurrency: 4 })
      define()
      await Promise.all([worker.start(), shop.startPythonWorker({ queues: ['celery'] })])
      stopWorker = () => worker.stop()
    })
    afterAll(async () => {
      await stopWorker?.()
      await app?.close()
      await shop?.close()
      await broker?.close()
    })

    const remote = () => ({
      add: app.remote<{ args: [x: number, y: number]; result: number }>('py.add'),
      total: app.remote<{ args: [values: number[]]; result: number }>('py.total'),
    })
    const define = () => ({
      add: app.task('node.add', (x: number, y: number) => x + y),
      total: app.task('node.total', (values: number[]) => values.reduce((sum, one) => sum + one, 0)),
    })
    /** All over Redis; elsewhere (over files a chord takes seconds) only the mixture that shows most. */
    const sides = () => (kind === redisKind ? allSides() : allSides().slice(1, 2))
    const allSides = () => [
      ['Python', remote(), remote()] as const,
      ['both', remote(), define()] as const,
      ['both, the other way round', define(), remote()] as const,
    ]

    it('CNV-046 CNV-048 CNV-070 runs chains and groups, whichever side each task is on', async () => {
      for (const [where, a, b] of sides()) {
        const sum = await chain(a.add.s(1, 1), b.add.s(2), a.add.s(3), b.add.s(4)).delay()
        expect(await sum.get({ timeout }), where).toBe(11)
        expect(await sum.parent?.get({ timeout }), where).toBe(7)
        const all = await group(a.add.s(1, 1), group(b.add.s(2, 2), chain(a.add.s(3, 3), b.add.s(1)))).delay()
        expect(await all.get({ timeout }), where).toEqual([2, 4, 7])
      }
    })

    it('CNV-079 CNV-083 CNV-084 CNV-095 runs chords: flat, nested, empty, from a generator, and inside chains', async () => {
      for (const [where, a, b] of sides()) {
        const { total } = b
        function* made() {
          for (let n = 0; n < 5; n++) yield n % 2 ? a.add.s(n, 0) : b.add.s(n, 0)
        }
        const inner = chord([b.add.s(1, 1), a.add.s(2, 2)], a.total.s())
        const canvases: readonly (readonly [Signature, number])[] = [
          [chord([a.add.s(1, 1), b.add.s(2, 2)], total.s()), 6],
          [chord([inner, b.add.s(3, 3), group(a.add.s(1, 0), b.add.s(1, 0))], total.s()), 14],
          [chord([], total.s()), 0],
          [chord(made(), total.s()), 10],
          [chain(a.add.s(1, 1), group(b.add.s(1), a.add.s(2)), total.s(), a.add.s(10)), 17],
        ]
        const results = await Promise.all(canvases.map(([canvas]) => canvas.applyAsync()))
        const values = await Promise.all(results.map((result) => result.get({ timeout })))
        expect(values, where).toEqual(canvases.map(([, value]) => value))
      }
    })

    it.runIf(kind === redisKind)(
      'over Redis, where a level takes no seconds, runs chords in the bodies of chords, whose headers came without copies of the bodies',
      async () => {
        const node = define()
        // A Python worker that starts an inner chord copies its body again, threefold with every level.
        const all = [...sides().map((side) => [...side, 3] as const), ['Node', node, node, 10] as const]
        for (const [where, a, b, depth] of all) {
          let body: Signature<[number[]], number> = a.total.s()
          for (let level = 0; level < depth; level++) {
            body = chord([b.total.s(), a.total.s()], body) as Signature as Signature<[number[]], number>
          }
          const result = await chord([a.add.s(1, 0), b.add.s(1, 0)], body).applyAsync()
          expect(await result.get({ timeout }), where).toBe(2 ** (depth + 1))
        }
      },
    )

    it('CNV-132 CNV-133 runs maps, starmaps and chunks of Python tasks', async () => {
      const { add, total } = remote()
      expect(await (await total.map([[1, 2], [3]]).delay()).get({ timeout })).toEqual([3, 3])
      const pairs: [number, number][] = [
        [1, 1],
        [2, 2],
        [3, 3],
      ]
      expect(await (await add.starmap(pairs).delay()).get({ timeout })).toEqual([2, 4, 6])
      expect(await (await add.chunks(pairs, 2).applyAsync()).get({ timeout })).toEqual([[2, 4], [6]])
      const chunked = chain(add.chunks(pairs, 2).group(), app.remote('py.count').s())
      expect(await (await chunked.applyAsync()).get({ timeout })).toBe(2)
    })
  })
})
