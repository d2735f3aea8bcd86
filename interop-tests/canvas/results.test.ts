/**
 * What a TypeScript client sees of the results of a canvas (surface 9.10): in memory, and with every other task in Python
 * over Redis and RabbitMQ. How canvases end as a whole, whoever sends them, is in `canvas-rows.test.ts`.
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type AnyResult,
  AsyncResult,
  Celery,
  chain,
  chord,
  GroupResult,
  group,
  ResultSet,
  type Signature,
} from '../../src/index.js'
import { type Broker, type BrokerKind, RabbitKind, redisKind } from '../brokers.js'
import { skipNote } from '../redis-server.js'
import { defineTasks } from './node-tasks.js'
import { CanvasRig } from './rig.js'
import type { Lang } from './spec.js'

const timeout = 30
const rabbitKind = new RabbitKind()
afterAll(() => rabbitKind.stop())

interface Rig {
  readonly app: Celery
  readonly langs: readonly Lang[]
  close(): Promise<void>
}

async function inMemory(): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-results-'))
  const app = new Celery('results', {
    brokerUrl: `memory://${randomUUID()}/`,
    resultBackend: 'cache+memory://',
  })
  defineTasks(app, join(folder, 'log'), 'node')
  const worker = app.worker({ concurrency: 8 })
  await worker.start()
  const close = async (): Promise<void> => {
    await worker.stop()
    await app.close()
    rmSync(folder, { recursive: true, force: true })
  }
  return { app, langs: ['node'], close }
}

async function over(kind: BrokerKind): Promise<Rig> {
  const broker: Broker = await kind.start()
  const rig = await CanvasRig.start(broker)
  const close = async (): Promise<void> => {
    await rig.close()
    await broker.close()
  }
  return { app: rig.app, langs: ['node', 'py'], close }
}

const places: readonly (readonly [string, string | undefined, () => Promise<Rig>])[] = [
  ['memory', undefined, () => inMemory()],
  ['redis, with Celery', redisKind.missing, () => over(redisKind)],
  ['rabbitmq, with Celery', rabbitKind.missing, () => over(rabbitKind)],
]

describe.each(places)('results of canvases', (name, missing, start) => {
  describe.skipIf(missing !== undefined)(`over ${name}${skipNote(missing)}`, () => {
    let rig: Rig
    let turn = 0
    beforeAll(async () => {
      rig = await start()
    })
    afterAll(() => rig?.close())

    const lang = (): Lang => rig.langs[turn++ % rig.langs.length] as Lang
    const task = (fn: string, ...args: unknown[]): Signature =>
      rig.app.signature(`${lang()}.${fn}`, { args }) as Signature
    const add = (...args: number[]) => task('add', ...args)
    const id = (...args: unknown[]) => task('identity', ...args)
    const broken = () => task('fail', 'broken')
    const steps = (...all: unknown[]): Signature => chain(all as Signature[]) as Signature
    const side = (...all: unknown[]): Signature => group(all as Signature[]) as unknown as Signature
    const joined = (header: unknown, body: Signature): Signature =>
      chord(header as Signature[], body) as unknown as Signature
    const send = async (canvas: Signature) => (await canvas.delay()) as AnyResult
    const value = async (canvas: Signature): Promise<unknown> => (await send(canvas)).get({ timeout })
    const fails = async (canvas: Signature, words: RegExp): Promise<void> => {
      await expect(value(canvas)).rejects.toThrow(words)
    }

    it('CNV-153 a failed step is the error of the last result, and of its parent', async () => {
      const last = await send(steps(add(1, 2), broken(), add(3)))
      await expect(last.get({ timeout })).rejects.toThrow('broken')
      await expect(last.parent?.get({ timeout })).rejects.toThrow('broken')
    })

    it('CNV-100 CNV-193 parents across chain, chord and chain', async () => {
      const ids = (count: number) => Array.from({ length: count }, () => task('ids'))
      const last = await send(steps(task('ids'), side(...ids(2)), task('ids'), task('ids')))
      const results: AnyResult[] = []
      for (let at: AnyResult | undefined = last; at !== undefined; at = at.parent) results.unshift(at)
      expect(results.map((one) => one.constructor)).toEqual([
        AsyncResult,
        GroupResult,
        AsyncResult,
        AsyncResult,
      ])
      const [first, header, body] = results as [AnyResult, AnyResult, AnyResult]
      const members = (await header.get({ timeout })) as string[][]
      const firstId = ((await first.get({ timeout })) as string[])[2]
      expect(members.map(([root, parent]) => [root, parent])).toEqual([
        [firstId, firstId],
        [firstId, firstId],
      ])
      const [root, parent] = (await body.get({ timeout })) as string[]
      expect(root).toBe(firstId)
      expect(members.map((member) => member[2])).toContain(parent)
    })

    it('CNV-176 CNV-177 sets of results, and a group with a member that fails', async () => {
      const [one, other] = await Promise.all([send(add(1, 1)), send(add(2, 2))])
      const set = new ResultSet([one], rig.app)
      set.add(other)
      expect(await set.get({ timeout })).toEqual([2, 4])
      const mixed = (await send(side(add(1, 1), broken()))) as GroupResult
      await expect(mixed.get({ timeout })).rejects.toThrow('broken')
      expect(await mixed.get({ timeout, propagate: false })).toEqual([2, expect.any(Error)])
      expect([await mixed.ready(), await mixed.successful(), await mixed.failed()]).toEqual([
        true,
        false,
        true,
      ])
    })

    it('CNV-178 an empty group is saved and restored', async () => {
      const empty = (await send(group([]) as unknown as Signature)) as GroupResult
      await new GroupResult(empty.id as string, [], rig.app).save()
      expect((await rig.app.restoreGroup(empty.id as string))?.results).toEqual([])
    })

    it('CNV-181 CNV-197 a thousand keep their order: of a group, and of headers', async () => {
      const many = Array.from({ length: 1000 }, (_, n) => rig.app.signature('node.identity', { args: [n] }))
      expect(await value(group(many) as unknown as Signature)).toEqual(many.map((_, n) => n))
      expect(await value(joined(many, id()))).toEqual(many.map((_, n) => n))
      const passing = Array.from({ length: 1000 }, () => rig.app.signature('node.identity'))
      expect(await value(steps(id(1), group(passing), task('tsum')))).toBe(1000)
    })

    it('CNV-200 CNV-205 an error anywhere in a header reaches the caller, whatever its body is', async () => {
      const headers = [
        [broken(), id(1)],
        [steps(broken(), id()), id(1)],
        [steps(id(1), broken()), id(1)],
        [side(broken(), id(1)), id(1)],
      ]
      for (const header of headers) {
        await fails(joined(header, id()), /broken/)
        await fails(joined(header, steps(id(), id())), /broken/)
        await fails(joined(header, joined([id(), id()], id())), /broken/)
        // Celery revokes the members of such a body before it marks them failed, and the caller may see either.
        await fails(joined(header, side(id(), id())), /broken|revoked/)
      }
    })

    it('CNV-101 a body that fails leaves the results of its header as they are', async () => {
      const result = await send(joined([id(1), id(2)], broken()))
      await expect(result.get({ timeout })).rejects.toThrow('broken')
      expect(await result.parent?.get({ timeout })).toEqual([1, 2])
    })
  })
})
