/** The promises that every result backend keeps; called from each backend's own test. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { EncodeError } from '../../protocol/errors.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { createCodec } from '../../protocol/serializers.js'
import { type Clock, systemClock } from '../clock.js'
import type { ChordCounter, HeaderPart, ResultBackend } from './backend.js'
import type { BackendOptions } from './backend-options.js'

/** One store under test, and ways to reach around the backend. */
export interface BackendHarness {
  /** A further backend on the same store. */
  open(options: BackendOptions): ResultBackend
  /** What is stored under a key. */
  raw(key: string): Promise<Uint8Array | undefined>
  /** Stores bytes as another program would. */
  putRaw(key: string, bytes: Uint8Array): Promise<void>
  /** Makes all that is stored so many seconds older. */
  age(seconds: number): Promise<void>
  close(): Promise<void>
}

/** The machine's clock, counting the timers that are set. */
export class CountingClock implements Clock {
  live = 0
  readonly #clock = systemClock()

  now(): number {
    return this.#clock.now()
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  after(ms: number, callback: () => void): () => void {
    this.live++
    let isOver = false
    const over = (): void => {
      if (!isOver) this.live--
      isOver = true
    }
    const cancel = this.#clock.after(ms, () => {
      over()
      callback()
    })
    return () => {
      over()
      cancel()
    }
  }
}

/** A meta with defaults for what a test does not care about. */
export function metaOf(
  taskId: string,
  state: string,
  result: unknown = null,
  more: Partial<ResultMeta> = {},
): ResultMeta {
  return { taskId, state, result, traceback: undefined, children: undefined, dateDone: undefined, ...more }
}

/** Runs the suite. `make` gives an empty store each time. */
export function describeBackend(name: string, make: () => Promise<BackendHarness>): void {
  describe(`result backend ${name}`, () => {
    const codec = createCodec()
    let harness: BackendHarness
    let clock: CountingClock
    let backend: ResultBackend
    const opened: ResultBackend[] = []
    const open = (options: Partial<BackendOptions> = {}): ResultBackend => {
      const next = harness.open({ codec, clock, ...options })
      opened.push(next)
      return next
    }
    const never = new AbortController().signal

    beforeEach(async () => {
      clock = new CountingClock()
      harness = await make()
      backend = open()
    })
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((each) => each.close()))
      expect(clock.live).toBe(0)
      await harness.close()
    })

    async function collect(watch: AsyncIterable<ResultMeta>): Promise<ResultMeta[]> {
      const metas: ResultMeta[] = []
      for await (const meta of watch) metas.push(meta)
      return metas
    }

    it('RES-004 gives back what was stored, and nothing for an unknown or forgotten id', async () => {
      const meta = metaOf(
        'a',
        'SUCCESS',
        { x: [1, 'ø', null] },
        {
          children: [[['c', null], null]],
          dateDone: '2026-11-20T10:12:55.143897+00:00',
          groupId: 'g',
          parentId: 'p',
          extended: { name: 't.add', args: [1, 2], kwargs: {}, worker: 'w@h', retries: 0, queue: 'celery' },
        },
      )
      await backend.store(meta)
      expect(await backend.fetch('a')).toEqual(meta)
      expect(await backend.fetch('b')).toBeUndefined()
      await backend.forget('a')
      expect(await backend.fetch('a')).toBeUndefined()
      await backend.forget('a')
    })

    it('RES-007 RES-008 RES-010 RES-012 RES-020 stores Celery’s JSON under Celery’s key', async () => {
      await backend.store(
        metaOf('abc', 'SUCCESS', 5, { children: [], dateDone: '2026-11-20T10:12:55.143897+00:00' }),
      )
      const bytes = await harness.raw('celery-task-meta-abc')
      const celerys =
        '{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], "date_done": "2026-11-20T10:12:55.143897+00:00", "task_id": "abc"}'
      expect(Object.entries(JSON.parse(Buffer.from(bytes ?? []).toString()))).toEqual(
        Object.entries(JSON.parse(celerys)),
      )
    })

    it('RES-020 puts global_keyprefix before every key, with _ unless it ends in one of :_-.', async () => {
      const prefixed = open({ transportOptions: { global_keyprefix: 'rp' } })
      await prefixed.store(metaOf('a', 'SUCCESS', 1))
      await open({ transportOptions: { global_keyprefix: 'rp:' } }).storeGroup('g', [['g', null], []])
      expect(await harness.raw('rp_celery-task-meta-a')).toBeDefined()
      expect(await harness.raw('rp:celery-taskset-meta-g')).toBeDefined()
      expect(await backend.fetch('a')).toBeUndefined()
      const [meta] = await collect(prefixed.watch(['a'], { signal: never }))
      expect(meta?.result).toBe(1)
    })

    it('RES-005 keeps a stored SUCCESS, whatever another backend stores after it', async () => {
      await backend.store(metaOf('a', 'SUCCESS', 1))
      await open().store(
        metaOf('a', 'FAILURE', { type: 'E', module: undefined, args: [], traceback: undefined }),
      )
      await backend.store(metaOf('a', 'SUCCESS', 2))
      expect(await backend.fetch('a')).toMatchObject({ state: 'SUCCESS', result: 1 })
    })

    it('RES-005 overwrites every other state, in the order of the calls', async () => {
      await Promise.all([
        backend.store(metaOf('a', 'STARTED', { pid: 1 })),
        backend.store(
          metaOf('a', 'RETRY', { type: 'E', module: undefined, args: ['x'], traceback: undefined }),
        ),
        backend.store(metaOf('a', 'HALF', 50)),
        backend.store(metaOf('a', 'SUCCESS', 'end')),
        backend.store(metaOf('a', 'STARTED', 'late')),
      ])
      expect(await backend.fetch('a')).toMatchObject({ state: 'SUCCESS', result: 'end' })
    })

    it('RES-013 RES-014 stores errors as exc_type, exc_message and exc_module', async () => {
      const error = {
        type: 'TaskRevokedError',
        module: 'celery.exceptions',
        args: ['revoked'],
        traceback: undefined,
      }
      await backend.store(metaOf('a', 'REVOKED', error))
      const stored = JSON.parse(Buffer.from((await harness.raw('celery-task-meta-a')) ?? []).toString())
      expect(stored.result).toEqual({
        exc_type: 'TaskRevokedError',
        exc_message: ['revoked'],
        exc_module: 'celery.exceptions',
      })
      expect((await backend.fetch('a'))?.result).toEqual(error)
    })

    it('RES-015 stores a result object that a task returned as its tuple', async () => {
      await backend.store(metaOf('a', 'SUCCESS', { asTuple: () => [['inner', null], null] }))
      expect((await backend.fetch('a'))?.result).toEqual([['inner', null], null])
    })

    it('reads many at once and leaves out what is not there', async () => {
      const ids = Array.from({ length: 100 }, (_, index) => `t${index}`)
      await Promise.all(
        ids.filter((_, index) => index % 2 === 0).map((id) => backend.store(metaOf(id, 'SUCCESS', id))),
      )
      const metas = await backend.fetchMany([...ids, 't0'])
      expect(metas.size).toBe(50)
      expect(metas.get('t98')?.result).toBe('t98')
      expect(metas.has('t1')).toBe(false)
    })

    it('refuses an empty id', async () => {
      await expect(backend.fetch('')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await expect(backend.store(metaOf('', 'SUCCESS'))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await expect(backend.storeGroup('', [])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    })

    it('throws EncodeError for a value that has no form, and stores nothing', async () => {
      await expect(backend.store(metaOf('a', 'SUCCESS', () => 1))).rejects.toBeInstanceOf(EncodeError)
      expect(await backend.fetch('a')).toBeUndefined()
    })

    it('throws a DecodeError that names the key for corrupt bytes, also to those who wait', async () => {
      await harness.putRaw('celery-task-meta-bad', Buffer.from('{"status": "SUCC'))
      const expected = { code: 'DECODE_ERROR', message: expect.stringContaining('celery-task-meta-bad') }
      await expect(backend.fetch('bad')).rejects.toMatchObject(expected)
      await expect(collect(backend.watch(['bad'], { signal: never }))).rejects.toMatchObject(expected)
      await backend.store(metaOf('bad', 'SUCCESS', 'mended'))
      expect((await backend.fetch('bad'))?.result).toBe('mended')
    })

    it('lets one corrupt result fail its own wait only', async () => {
      const good = collect(backend.watch(['good'], { signal: never }))
      const bad = collect(backend.watch(['bad'], { signal: never }))
      bad.catch(() => {})
      await harness.putRaw('celery-task-meta-bad', Buffer.from('nonsense'))
      await expect(bad).rejects.toMatchObject({ code: 'DECODE_ERROR' })
      await backend.store(metaOf('good', 'SUCCESS', 1))
      expect(await good).toHaveLength(1)
    })

    it('refuses to read what is not accepted', async () => {
      await backend.store(metaOf('a', 'SUCCESS', 1))
      await expect(open({ accept: ['application/x-other'] }).fetch('a')).rejects.toMatchObject({
        code: 'CONTENT_REFUSED',
      })
    })

    it('yields each meta as its task gets ready and ends with the last', async () => {
      const other = open()
      await backend.store(metaOf('early', 'SUCCESS', 0))
      const seen: string[] = []
      for await (const meta of backend.watch(['early', 'b', 'a'], { signal: never })) {
        seen.push(meta.taskId)
        if (meta.taskId === 'early') {
          await other.store(metaOf('a', 'STARTED'))
          await other.store(metaOf('a', 'SUCCESS', 1))
        }
        if (meta.taskId === 'a') await other.store(metaOf('b', 'REVOKED'))
      }
      expect(seen).toEqual(['early', 'a', 'b'])
    })

    it('ends at once for no ids and for a signal that has aborted', async () => {
      expect(await collect(backend.watch([], { signal: never }))).toEqual([])
      expect(await collect(backend.watch(['a'], { signal: AbortSignal.abort() }))).toEqual([])
    })

    it('with every, yields each change of state once, however often it is looked at', async () => {
      const seen: string[] = []
      await backend.store(metaOf('a', 'STARTED'))
      for await (const meta of backend.watch(['a'], { signal: never, every: true, interval: 0.005 })) {
        seen.push(`${meta.state} ${String(meta.result)}`)
        if (meta.state === 'STARTED') await backend.store(metaOf('a', 'PROGRESS', 10))
        else if (meta.result === 10) await backend.store(metaOf('a', 'PROGRESS', 20))
        else if (meta.result === 20) await backend.store(metaOf('a', 'SUCCESS', 'done'))
      }
      expect(seen).toEqual(['STARTED null', 'PROGRESS 10', 'PROGRESS 20', 'SUCCESS done'])
    })

    it('an abort ends a watch without an error and frees all that it took', async () => {
      const before = watchersOf()
      const controller = new AbortController()
      const watch = collect(backend.watch(['x'], { signal: controller.signal }))
      const second = collect(backend.watch(['x', 'y'], { signal: controller.signal, interval: 100 }))
      await vi.waitFor(() => expect(clock.live).toBeGreaterThan(0), { interval: 2 })
      controller.abort()
      expect(await watch).toEqual([])
      expect(await second).toEqual([])
      expect(clock.live).toBe(0)
      await vi.waitFor(() => expect(watchersOf()).toBe(before), { interval: 2 })
    })

    it('leaving the loop frees all that it took', async () => {
      const before = watchersOf()
      await backend.store(metaOf('a', 'SUCCESS', 1))
      for await (const meta of backend.watch(['a', 'b'], { signal: never })) {
        expect(meta.taskId).toBe('a')
        break
      }
      await vi.waitFor(() => expect(clock.live).toBe(0), { interval: 2 })
      await vi.waitFor(() => expect(watchersOf()).toBe(before), { interval: 2 })
    })

    it('closing ends every wait with an error', async () => {
      const waiting = collect(backend.watch(['a'], { signal: never }))
      waiting.catch(() => {})
      await backend.close()
      await backend.close()
      await expect(waiting).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    })

    it('RES-027 serves two thousand waits with one timer', async () => {
      const ids = Array.from({ length: 2000 }, (_, index) => `many-${index}`)
      const writer = open()
      const waits = ids.map((id) => collect(backend.watch([id], { signal: never })))
      await vi.waitFor(() => expect(clock.live).toBe(1), { interval: 1 })
      let most = 0
      for (let from = 0; from < ids.length; from += 100) {
        await Promise.all(ids.slice(from, from + 100).map((id) => writer.store(metaOf(id, 'SUCCESS', id))))
        most = Math.max(most, clock.live)
      }
      // The last look may have been the one that ended every wait, so between looks there is one timer or none.
      const metas = await Promise.all(waits)
      expect(metas.map(([meta]) => meta?.result)).toEqual(ids)
      expect(most).toBeLessThanOrEqual(1)
      expect(clock.live).toBe(0)
    })

    it('RES-019 keeps groups as {"result": tuple}, and forgets them', async () => {
      const tuple = [
        ['g', null],
        [
          [['a', null], null],
          [['b', null], null],
        ],
      ]
      await backend.storeGroup('g', tuple)
      expect(JSON.parse(Buffer.from((await harness.raw('celery-taskset-meta-g')) ?? []).toString())).toEqual({
        result: tuple,
      })
      expect(await open().fetchGroup('g')).toEqual(tuple)
      await backend.forgetGroup('g')
      expect(await backend.fetchGroup('g')).toBeUndefined()
      await backend.forgetGroup('g')
    })

    it('RES-039 RES-041 drops results and groups older than the expiry, by itself or in cleanup', async () => {
      const keeping = open({ expires: 100 })
      await keeping.store(metaOf('old', 'SUCCESS', 1))
      await keeping.storeGroup('old', [['old', null], []])
      await harness.age(101)
      await keeping.store(metaOf('new', 'SUCCESS', 1))
      const count = await keeping.cleanup()
      if (!keeping.autoExpires) expect(count).toBe(2)
      expect(await keeping.fetch('old')).toBeUndefined()
      expect(await keeping.fetchGroup('old')).toBeUndefined()
      expect(await keeping.fetch('new')).toBeDefined()
    })

    it.each([null, 0])('RES-041 keeps results for ever with expires %s', async (expires) => {
      const keeping = open({ expires })
      await keeping.store(metaOf('old', 'SUCCESS', 1))
      await harness.age(10 * 365 * 86_400)
      expect(await keeping.cleanup()).toBe(0)
      expect(await keeping.fetch('old')).toBeDefined()
    })
  })
}

/** Watches of folders that the process holds. */
function watchersOf(): number {
  return process.getActiveResourcesInfo().filter((name) => /FSEvent/i.test(name)).length
}

/** `ChordCounter.storePart` as a promise of what `partDone` gives. */
export function storedPart(
  chords: ChordCounter | undefined,
  groupId: string,
  index: number,
  meta: ResultMeta,
): Promise<readonly HeaderPart[] | undefined> {
  return new Promise((resolve, reject) => {
    if (chords?.storePart === undefined) throw new Error('not in one step')
    chords.storePart(groupId, index, meta, {
      onCounted: (read) => resolve(read?.()),
      onUncounted: reject,
    })
  })
}
