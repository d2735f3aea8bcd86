/**
 * The canvases of Celery's own integration tests (`t/integration/test_canvas.py`; surface 9.11), run to their end: in
 * memory, and with every other task in Python over Redis and RabbitMQ. Where the checklist gives a value it is that one.
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type AnyResult,
  type AppOptions,
  AsyncResult,
  Celery,
  Chunks,
  chain,
  chord,
  GroupResult,
  group,
  ResultSet,
  type Signature,
} from '../../src/index.js'
import { type Broker, type BrokerKind, RabbitKind, redisKind } from '../brokers.js'
import { skipNote } from '../redis-server.js'
import { defineTasks, type Note } from './node-tasks.js'
import { CanvasRig } from './rig.js'
import type { Lang, Spec } from './spec.js'

const timeout = 30
const rabbitKind = new RabbitKind()
afterAll(() => rabbitKind.stop())

interface Rig {
  readonly app: Celery
  readonly langs: readonly Lang[]
  notes(): readonly Note[]
  close(): Promise<void>
}

async function inMemory(settings: AppOptions = {}): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-shapes-'))
  const log = join(folder, 'log')
  const app = new Celery('shapes', {
    brokerUrl: `memory://${randomUUID()}/`,
    resultBackend: 'cache+memory://',
    ...settings,
  })
  defineTasks(app, log, 'node')
  const worker = app.worker({ concurrency: 8 })
  await worker.start()
  const close = async (): Promise<void> => {
    await worker.stop()
    await app.close()
    rmSync(folder, { recursive: true, force: true })
  }
  const notes = (): readonly Note[] => {
    try {
      return readFileSync(log, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Note)
    } catch {
      return []
    }
  }
  return { app, langs: ['node'], notes, close }
}

async function over(kind: BrokerKind): Promise<Rig> {
  const broker: Broker = await kind.start()
  const rig = await CanvasRig.start(broker)
  const close = async (): Promise<void> => {
    await rig.close()
    await broker.close()
  }
  return { app: rig.app, langs: ['node', 'py'], notes: () => rig.notes(), close }
}

const places: readonly (readonly [string, string | undefined, () => Promise<Rig>])[] = [
  ['memory', undefined, () => inMemory()],
  ['redis, with Celery', redisKind.missing, () => over(redisKind)],
  ['rabbitmq, with Celery', rabbitKind.missing, () => over(rabbitKind)],
]

describe.each(places)('canvases of Celery’s own tests', (name, missing, start) => {
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
    const alone = (signature: Signature): Signature => signature.set({ immutable: true })
    const add = (...args: number[]) => task('add', ...args)
    const tsum = () => task('tsum')
    const id = (...args: unknown[]) => task('identity', ...args)
    const ids = (count: number) => Array.from({ length: count }, () => task('ids'))
    const tag = (): string => randomUUID().slice(0, 8)
    const both = () => group(add(1), add(1)) as unknown as Signature
    const steps = (...all: unknown[]): Signature => chain(all as Signature[]) as Signature
    const side = (...all: unknown[]): Signature => group(all as Signature[]) as unknown as Signature
    const joined = (header: unknown, body: Signature): Signature =>
      chord(header as Signature[], body) as unknown as Signature
    const errback = (what: string): Signature => task('errback', what)
    const send = async (canvas: Signature) => (await canvas.delay()) as AnyResult
    const value = async (canvas: Signature): Promise<unknown> => (await send(canvas)).get({ timeout })
    const fails = async (canvas: Signature, words = /./): Promise<void> => {
      await expect(value(canvas)).rejects.toThrow(words)
    }
    const told = (what: Note['what'], of: string): readonly Note[] =>
      rig.notes().filter((note) => note.what === what && note.tag === of)
    /** How often something was noted, once it was noted `count` times, and after everything sent since has run. */
    const count = async (what: Note['what'], of: string, expected: number): Promise<number> => {
      await expect.poll(() => told(what, of).length, { timeout: 20_000 }).toBeGreaterThanOrEqual(expected)
      for (const one of rig.langs) {
        await (await rig.app.signature(`${one}.identity`, { args: [1] }).delay()).get({ timeout })
      }
      return told(what, of).length
    }

    it('CNV-147 CNV-148 CNV-150 plain chains, nested in groups', async () => {
      expect(await value(steps(add(4, 4), add(8), add(16)))).toBe(32)
      expect(await value(steps(add(3, 4)))).toBe(7)
      expect(await value(steps(steps(id(42))))).toBe(42)
      expect(await value(steps(add(5, 6), side(steps(add(1), add(2)), add(3))))).toEqual([14, 14])
    })

    it('CNV-149 a step in a chain in a chain is replaced, and a group follows', async () => {
      const inner = steps(add(4), task('add_replaced', 8), add(16), add(32))
      expect(await value(steps(add(2, 2), inner, side(add(0), add(1), add(2), add(3))))).toEqual([
        64, 65, 66, 67,
      ])
    })

    it('CNV-151 CNV-190 what follows a group runs after all of it, and before what follows that', async () => {
      const t = tag()
      const mark = (of: string) => alone(task('mark', of + t))
      await value(steps(side(mark('a'), mark('b'), mark('c')), mark('connect'), side(mark('x'), mark('y'))))
      const order = rig.notes().flatMap((note) => (note.tag.endsWith(t) ? [note.tag.replace(t, '')] : []))
      expect(order.slice(0, 3).sort()).toEqual(['a', 'b', 'c'])
      expect(order[3]).toBe('connect')
      expect(order.slice(4).sort()).toEqual(['x', 'y'])
      const nested = side(add(1), steps(add(1), side(add(1), add(1))))
      expect(await value(steps(add(1, 1), nested, alone(add(5, 6))))).toBe(11)
    })

    it('CNV-152 CNV-180 groups in groups and in chains', async () => {
      const tail = side(alone(id(3)), alone(id(4)))
      expect(await value(side(id(1), id(2), steps(id(5), tail)))).toEqual([1, 2, [3, 4]])
      const deep = side(add(1, 10), side(add(1, 100), side(add(1, 1000), add(1, 2000))))
      expect(await value(deep)).toEqual([11, 101, 1001, 2001])
    })

    it('CNV-153 a failed step is the error of the last result, and of its parent', async () => {
      const last = await send(steps(add(1, 2), task('fail', 'broken'), add(3)))
      await expect(last.get({ timeout })).rejects.toThrow('broken')
      await expect(last.parent?.get({ timeout })).rejects.toThrow('broken')
    })

    it('CNV-154 a task that is replaced by what is replaced itself', async () => {
      const t = tag()
      const at = (fn: 'mark' | 'replaced', of: string, more: object = {}): Spec => ({
        k: 'task',
        lang: lang(),
        fn,
        tag: of + t,
        ...more,
      })
      const b: Spec = { k: 'chain', steps: [at('mark', 'In/Out C'), at('mark', 'Out B', { im: true })] }
      const a: Spec = {
        k: 'chain',
        steps: [at('replaced', 'In B', { n: b, im: true }), at('mark', 'Out A', { im: true })],
      }
      await value(task('replaced', a, `In A${t}`))
      const order = rig.notes().flatMap((note) => (note.tag.endsWith(t) ? [note.tag.replace(t, '')] : []))
      expect(order).toEqual(['In A', 'In B', 'In/Out C', 'Out B', 'Out A'])
    })

    it('CNV-155 CNV-179 every task of a canvas has the first one as root and the one before as parent', async () => {
      let result = (await send(steps(...ids(10)))) as AnyResult | undefined
      const known: unknown[][] = []
      for (; result !== undefined; result = result.parent)
        known.unshift((await result.get({ timeout })) as unknown[])
      expect(known).toHaveLength(10)
      for (const [at, [root, parent]] of known.entries()) {
        expect(root).toBe(known[0]?.[2])
        expect(parent).toBe(at === 0 ? null : known[at - 1]?.[2])
      }
      const members = (await send(steps(...ids(2), side(...ids(48))))) as GroupResult
      const second = (await members.parent?.get({ timeout })) as unknown[]
      const first = (await members.parent?.parent?.get({ timeout })) as unknown[]
      for (const [root, parent] of (await members.get({ timeout })) as unknown[][]) {
        expect([root, parent]).toEqual([first[2], second[2]])
      }
    })

    it('CNV-193 parents across chain, chord and chain', async () => {
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

    it('CNV-157 CNV-044 a chain that begins with a group starts at its eta', async () => {
      const canvas = steps(side(id(3), id(7)), tsum())
      canvas.onError(errback('never'))
      const result = await canvas.applyAsync({ eta: new Date(Date.now() + 1000) })
      expect(await (result as AnyResult).get({ timeout })).toBe(10)
    })

    it('CNV-158 CNV-159 CNV-162 groups that become chords, one behind the other', async () => {
      const sums = () => side(tsum(), tsum())
      expect(await value(steps(add(1, 0), both(), sums(), tsum()))).toBe(8)
      const start = () => [add(1, 0), both(), tsum(), add(1)]
      expect(await value(steps(...start(), both(), tsum()))).toBe(12)
      expect(await value(steps(...start(), joined([add(1), add(1)], tsum())))).toBe(12)
      expect(await value(steps(...start(), both()))).toEqual([6, 6])
      expect(await value(steps(...start(), add(1), both()))).toEqual([7, 7])
      expect(await value(steps(...start(), add(1), add(1), both()))).toEqual([8, 8])
    })

    it('CNV-160 CNV-161 many explicit chords, in one chain and in chains that are joined', async () => {
      const two = () => joined([add(1), add(1)], tsum())
      expect(await value(steps(steps(id(1), two(), two(), two()), steps(two(), two(), two())))).toBe(190)
      const three = () => joined([add(1), add(1), add(1)], tsum())
      expect(await value(steps(id(0), ...Array.from({ length: 9 }, three)))).toBe(29_523)
    })

    it('CNV-163 CNV-164 a value goes to every member of a group, and a chain of one group is that group', async () => {
      expect(await value(steps(id(42), side(id(), id()), id()))).toEqual([42, 42])
      expect(await value(steps(id(42), side(id(), id())))).toEqual([42, 42])
      expect(await value(steps(side(id(42), id(42))))).toEqual([42, 42])
    })

    it('CNV-166 a task that is replaced by a failing chain calls its own errback and that of the chain, once each', async () => {
      const [inner, outer] = [tag(), tag()]
      const spec: Spec = {
        k: 'chain',
        steps: [
          { k: 'task', lang: lang(), fn: 'mark', tag: 'a' },
          { k: 'task', lang: lang(), fn: 'fail', tag: 'broken' },
        ],
        err: inner,
        errlang: lang(),
      }
      const replaced = task('replaced', spec, 'r')
      replaced.linkError(errback(outer))
      await fails(replaced, /broken/)
      expect([await count('errback', inner, 1), await count('errback', outer, 1)]).toEqual([1, 1])
    })

    it('CNV-167 the callback of a chain inside a chain gets the last value of the inner one', async () => {
      const t = tag()
      const inner = steps(id('a'), id())
      inner.link(task('mark', t))
      expect(await value(steps(inner, id()))).toBe('a')
      expect(await count('run', t, 1)).toBe(1)
    })

    it('CNV-169 each step of a long chain calls its callback; a failed one ends the chain and calls its errback', async () => {
      const [ok, bad] = [tag(), tag()]
      const linked = (step: Signature): Signature => {
        step.link(task('mark', ok))
        return step
      }
      expect(
        await value(steps(...Array.from({ length: 42 }, (_, n) => linked(n ? add(1) : add(1, 0))))),
      ).toBe(42)
      expect(await count('run', ok, 42)).toBe(42)
      const failing = Array.from({ length: 42 }, () => task('fail', 'broken').onError(errback(bad)))
      await fails(steps(...failing), /broken/)
      expect(await count('errback', bad, 1)).toBe(1)
    })

    it('CNV-172 a chain that the broker gives twice starts the same chord twice, with the same ids', async () => {
      const t = tag()
      const node = (fn: string, ...args: unknown[]) => rig.app.signature(`node.${fn}`, { args }) as Signature
      const header = [node('mark', `a${t}`), node('mark', `b${t}`)]
      const result = await send(steps(node('twice', 'first'), group(header), node('mark', `end${t}`)))
      expect(await result.get({ timeout })).toMatchObject([
        `end${t}`,
        [
          [`a${t}`, ['first']],
          [`b${t}`, ['first']],
        ],
      ])
      await count('run', `a${t}`, 2)
      expect(new Set(told('run', `a${t}`).map((note) => note.id)).size).toBe(1)
    })

    it('CNV-173 CNV-175 groups one behind the other: every task runs once', async () => {
      const t = tag()
      const marks = (n: number) =>
        side(...Array.from({ length: n }, (_, at) => task('mark', `${at}/${n}${t}`)))
      await value(steps(marks(3), marks(2), marks(1), task('mark', `t${t}`), task('mark', `done${t}`)))
      await value(steps(marks(4), marks(5), side(task('mark', `last${t}`))))
      const chord1 = marks(6).pipe(marks(7) as never) as Signature
      await value(steps(chord1, steps(task('mark', `a${t}`), task('mark', `b${t}`))))
      expect(await count('run', `b${t}`, 1)).toBe(1)
      const tags = rig.notes().flatMap((note) => (note.tag.endsWith(t) ? [note.tag] : []))
      expect(tags).toHaveLength(new Set(tags).size)
      expect(tags).toHaveLength(3 + 2 + 1 + 2 + 4 + 5 + 1 + 6 + 7 + 2)
    })

    it('CNV-174 a chain with a group in it as the body of a chord in a chord', async () => {
      const body = steps(tsum(), side(add(8), add(16)), steps(tsum(), add(32)))
      expect(await value(joined([joined([id(1), id(1)], body)], tsum()))).toBe(60)
    })

    it('CNV-176 CNV-177 sets of results, and a group with a member that fails', async () => {
      const [one, other] = await Promise.all([send(add(1, 1)), send(add(2, 2))])
      const set = new ResultSet([one], rig.app)
      set.add(other)
      expect(await set.get({ timeout })).toEqual([2, 4])
      const mixed = (await send(side(add(1, 1), task('fail', 'broken')))) as GroupResult
      await expect(mixed.get({ timeout })).rejects.toThrow('broken')
      expect(await mixed.get({ timeout, propagate: false })).toEqual([2, expect.any(Error)])
      expect([await mixed.ready(), await mixed.successful(), await mixed.failed()]).toEqual([
        true,
        false,
        true,
      ])
    })

    it('CNV-178 CNV-191 nothing, or one: empty groups and headers, groups and headers of one', async () => {
      const empty = (await send(group([]) as unknown as Signature)) as GroupResult
      await new GroupResult(empty.id as string, [], rig.app).save()
      expect((await rig.app.restoreGroup(empty.id as string))?.results).toEqual([])
      expect(await value(joined([add(8, 8)], id()))).toEqual([16])
      expect(await value(side(add(8, 8)).pipe(id() as never) as Signature)).toEqual([16])
      expect(await value(joined([], id()))).toEqual([])
    })

    it('CNV-181 CNV-186 CNV-197 results keep their order: a group and headers of a thousand', async () => {
      const many = Array.from({ length: 1000 }, (_, n) => rig.app.signature('node.identity', { args: [n] }))
      expect(await value(group(many) as unknown as Signature)).toEqual(many.map((_, n) => n))
      expect(await value(joined(many, tsum()))).toBe(499_500)
      const passing = Array.from({ length: 1000 }, () => rig.app.signature('node.identity'))
      expect(await value(steps(id(1), group(passing), tsum()))).toBe(1000)
      expect(
        await value(
          joined(
            Array.from({ length: 10 }, (_, n) => id(n)),
            id(),
          ),
        ),
      ).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    })

    it('CNV-182 CNV-183 CNV-199 chords in groups, whatever their header is', async () => {
      const many = (n: number, of: number) => Array.from({ length: n }, () => id(of))
      const inGroup = (header: unknown, body = id()) => value(side(joined(header, body)))
      expect(await inGroup([id(42)])).toEqual([[42]])
      expect(await inGroup([steps(id(1337), id(), id())])).toEqual([[1337]])
      expect(await inGroup([side(...many(42, 1337))])).toEqual([many(42, 0).map(() => 1337)])
      expect(await inGroup([joined(many(3, 0), alone(id(31_337)))])).toEqual([[31_337]])
      expect(await value(joined([side(id(42), id(42))], id()))).toEqual([42, 42])
      expect(await value(joined([steps(id(42), side(id(), id()))], id()))).toEqual([[42, 42]])
      expect(await value(side(joined([id(42)], steps(id(), id()))))).toEqual([[42]])
    })

    it('CNV-184 a callback of a group is called once, an errback for each member that fails, with its id', async () => {
      const [linked, bad] = [tag(), tag()]
      const ok = side(id(1), id(2))
      ok.link(task('mark', linked))
      await value(ok)
      expect(await count('run', linked, 1)).toBe(1)
      const members = Array.from({ length: 11 }, (_, n) => (n % 2 ? task('fail', 'broken') : id(n)))
      const failing = side(...members)
      failing.linkError(errback(bad))
      const result = (await send(failing)) as GroupResult
      await expect(result.get({ timeout })).rejects.toThrow('broken')
      expect(await count('errback', bad, 5)).toBe(5)
      const failed = (result.results as AnyResult[]).flatMap((one, n) => (n % 2 ? [one.id] : []))
      expect(
        told('errback', bad)
          .map((note) => note.id)
          .sort(),
      ).toEqual(failed.sort())
    })

    it('CNV-187 CNV-192 CNV-196 chords in chords, in groups and in chains', async () => {
      const replaced = (x: number) => task('add_replaced', x, x)
      const inner = joined([replaced(1), replaced(2)], tsum())
      expect(await value(joined([inner, replaced(3)], id()))).toEqual([6, 6])
      const level = (below: Signature, x: number) => joined([below, id(x)], id())
      const first = joined([id(3), id(3)], id())
      expect(await value(level(level(level(first, 4), 5), 6))).toEqual([[[[3, 3], 4], 5], 6])
      const ten = () => joined([add(2, 3), add(1, 4)], tsum())
      expect(await value(side(ten(), ten()))).toEqual([10, 10])
      const pair = () => steps(joined([add(1, 0), add(0, 0)], tsum()), add(1))
      expect(await value(joined([pair(), pair()], tsum()))).toBe(4)
      expect(await value(steps(add(1, 0), both(), tsum(), steps(id(), both()), tsum()))).toBe(10)
    })

    it('CNV-194 a failed header calls the errback with the body’s id; its error names the part that failed', async () => {
      const t = tag()
      const canvas = joined([add(1, 2), add(3, 4), task('fail', 'broken')], task('mark', `body${t}`))
      canvas.linkError(errback(t))
      const result = await send(canvas)
      const header = result.parent as GroupResult
      const error = (await result.get({ timeout, propagate: false })) as Error
      expect(String(error)).toContain(
        `Dependency ${String(header.results[2]?.id)} raised ValueError('broken')`,
      )
      expect(await count('errback', t, 1)).toBe(1)
      expect(told('errback', t)[0]?.id).toBe(result.id)
      expect(told('run', `body${t}`)).toEqual([])
      expect(await Promise.all(header.results.slice(0, 2).map((one) => one.get({ timeout })))).toEqual([3, 7])
    })

    it('CNV-198 a priority of a single task and of one step of a chain', async () => {
      expect(await value(task('priority').set({ priority: 3 }))).toBe(3)
      expect(await value(steps(id(1), task('priority').set({ priority: 5 })))).toBe(5)
    })

    it('CNV-200 CNV-205 an error anywhere in a header or a body reaches the caller', async () => {
      const broken = () => task('fail', 'broken')
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
      await fails(joined([id(1)], broken()), /broken/)
      await fails(joined([id(1)], steps(id(), broken())), /broken/)
      await fails(joined([id(1)], side(broken(), id())), /broken/)
    })

    it('CNV-101 CNV-201 the errback of a chord: once for its header, once for each task of its body that fails', async () => {
      const many = Array.from({ length: 7 }, () => task('fail', 'broken'))
      const [ofHeader, ofBody, ofGroup] = [tag(), tag(), tag()]
      await fails(joined(many, id()).onError(errback(ofHeader)), /broken/)
      expect(await count('errback', ofHeader, 1)).toBe(1)
      const result = await send(joined([id(1), id(2)], task('fail', 'body')).onError(errback(ofBody)))
      await expect(result.get({ timeout })).rejects.toThrow('body')
      expect(await count('errback', ofBody, 1)).toBe(1)
      expect(told('errback', ofBody)[0]?.id).toBe(result.id)
      expect(await result.parent?.get({ timeout })).toEqual([1, 2])
      await fails(joined([id(1)], side(...many.slice(0, 3), id())).onError(errback(ofGroup)), /broken/)
      expect(await count('errback', ofGroup, 3)).toBe(3)
    })

    it('CNV-206 CNV-207 a failure deep in nested chains and groups ends the whole', async () => {
      const broken = () => task('fail', 'broken')
      await fails(steps(steps(side(id(1), broken()), id()), id()), /broken/)
      // Celery 5.6 marks only steps that are tasks, so that where one of its workers runs the failing one nothing ends.
      if (rig.langs.length > 1) return
      await fails(steps(side(id(1), steps(broken(), side(id(), id()), id())), id()), /broken/)
    })

    it('CNV-042 CNV-059 arguments of the call go to every member of a first group, to a first header, into inner chains', async () => {
      const apply = async (canvas: Signature, x: number): Promise<unknown> =>
        ((await canvas.applyAsync({ args: [x] as never })) as AnyResult).get({ timeout })
      expect(await apply(steps(side(add(1), add(2)), tsum()), 10)).toBe(23)
      expect(await apply(steps(joined([add(1), add(2)], tsum()), add(1)), 10)).toBe(24)
      expect(await apply(steps(steps(add(1), add(2))), 10)).toBe(13)
    })

    it('CNV-099 CNV-135 lists inside the values of a header', async () => {
      const tail = steps(id(2), side(id(), id()))
      expect(await value(joined([id(1), tail], id()))).toEqual([1, [2, 2]])
      const chunks = new Chunks(rig.app, {
        task: add(),
        it: [
          [1, 1],
          [2, 2],
          [3, 3],
        ],
        n: 2,
      })
      expect(await value(steps(chunks.group(), id()))).toEqual([[2, 4], [6]])
    })

    it('CNV-192 CNV-095 a chord whose body is a chord, ten deep', async () => {
      // Python writes the bodies of all levels below into each part, fourfold with every level.
      const deep = rig.langs.length > 1 ? 5 : 10
      const made = (level: number): Signature =>
        level === 0 ? id() : joined([level === deep ? id(1) : id()], made(level - 1))
      let expected: unknown = 1
      for (let level = 0; level < deep; level++) expected = [expected]
      expect(await value(made(deep))).toEqual(expected)
    })

    it('CNV-209 CNV-143 stamps reach every task of a canvas, also a retried one', async () => {
      const stamped = { tenant: 'acme' }
      const one = () => task('stamps')
      const canvases: readonly (readonly [Signature, unknown])[] = [
        [one(), stamped],
        [steps(id(1), one()), stamped],
        [side(one(), one()), [stamped, stamped]],
        [joined([one(), one()], id()), [stamped, stamped]],
        [joined([id(1)], one()), stamped],
        [steps(side(id(1), id(2)), one()), stamped],
        [joined([steps(id(1), one()), side(one())], id()), [stamped, stamped]],
      ]
      for (const [canvas, expected] of canvases) {
        canvas.stamp({ onSignature: () => stamped })
        expect(await value(canvas)).toEqual(expected)
      }
    })
  })
})
