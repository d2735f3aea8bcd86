import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCodec } from '../../protocol/serializers.js'
import { AsyncResult } from './async-result.js'
import { CountingClock, metaOf } from './backend.conformance.js'
import { GroupResult } from './group-result.js'
import { openBackend } from './open.js'
import type { ResultContext } from './result-context.js'
import { ResultSet } from './result-set.js'

const clock = new CountingClock()
const backend = openBackend('cache+memory://', { codec: createCodec(), clock })
const revoked: (readonly string[])[] = []
const context: ResultContext = {
  backend,
  clock,
  insideTask: () => false,
  revoke: async (ids) => {
    revoked.push(ids)
  },
}
const boom = (text: string): object => ({
  type: 'ValueError',
  module: 'builtins',
  args: [text],
  traceback: undefined,
})
let number = 0
let ids: string[]
let set: ResultSet
const task = (id: string): AsyncResult => new AsyncResult(id, context)
const nth = (index: number): string => ids[index] ?? ''
const succeed = (index: number, value: unknown): Promise<void> =>
  backend.store(metaOf(nth(index), 'SUCCESS', value))
const fail = (index: number): Promise<void> => backend.store(metaOf(nth(index), 'FAILURE', boom(nth(index))))

beforeEach(() => {
  number++
  ids = ['a', 'b', 'c'].map((name) => `${name}${number}`)
  set = new ResultSet(ids.map(task), context)
})
afterEach(() => {
  expect(clock.live).toBe(0)
})

describe('ResultSet', () => {
  it('RES-065 adds without duplicates, removes, discards, updates, clears and iterates', () => {
    set.add(task(nth(0)))
    expect(set.length).toBe(3)
    set.remove(nth(1))
    expect([...set].map(String)).toEqual([nth(0), nth(2)])
    expect(() => set.remove('missing')).toThrow('not in this result set')
    set.discard('missing')
    set.discard(task(nth(0)))
    set.update([task('x'), task(nth(2)), task('x')])
    expect(set.results.map(String)).toEqual([nth(2), 'x'])
    expect(set.at(-1)?.equals('x')).toBe(true)
    expect(set.has('x')).toBe(true)
    set.clear()
    expect(set.length).toBe(0)
  })

  it('RES-066 counts successes and tells ready, waiting, successful and failed', async () => {
    const ask = async (): Promise<unknown[]> =>
      Promise.all([set.completedCount(), set.ready(), set.waiting(), set.successful(), set.failed()])
    await succeed(0, 1)
    expect(await ask()).toEqual([1, false, true, false, false])
    await fail(1)
    expect(await ask()).toEqual([1, false, true, false, true])
    await succeed(2, 1)
    expect(await ask()).toEqual([2, true, false, false, true])
  })

  it('RES-067 RES-069 get waits for all at once where the store pushes, and keeps the order of the set', async () => {
    const getting = set.get({ timeout: 10 })
    for (const index of [2, 0, 1]) await succeed(index, index)
    expect(await getting).toEqual([0, 1, 2])
  })

  it('RES-068 join throws the first error in the order of the set', async () => {
    await fail(1)
    const joining = set.join({ timeout: 10 })
    joining.catch(() => {})
    await fail(2)
    await fail(0)
    await expect(joining).rejects.toMatchObject({ taskId: nth(0) })
  })

  it('RES-069 joinNative throws the first error to arrive', async () => {
    const joining = set.joinNative({ timeout: 10 })
    joining.catch(() => {})
    await fail(2)
    await expect(joining).rejects.toMatchObject({ taskId: nth(2) })
  })

  it('RES-068 RES-069 return errors in place with propagate false', async () => {
    await fail(0)
    await succeed(1, 1)
    await succeed(2, 2)
    const expected = [expect.objectContaining({ excType: 'ValueError' }), 1, 2]
    expect(await set.join({ propagate: false })).toEqual(expected)
    expect(await set.joinNative({ propagate: false })).toEqual(expected)
  })

  it('RES-068 RES-069 with a callback give each value to it and return nothing', async () => {
    for (const index of [0, 1, 2]) await succeed(index, index)
    const calls: unknown[] = []
    const callback = (id: string, value: unknown): void => void calls.push([id, value])
    expect(await set.join({ callback })).toEqual([])
    expect(await set.joinNative({ callback })).toBeUndefined()
    expect(calls).toHaveLength(6)
    expect(calls.slice(0, 3)).toEqual(ids.map((id, index) => [id, index]))
  })

  it('RES-068 join refuses onMessage', async () => {
    await expect(set.join({ onMessage: () => {} })).rejects.toMatchObject({ code: 'CONFIG' })
  })

  it('RES-068 RES-069 share one timeout among all members', async () => {
    await succeed(0, 1)
    const startedAt = Date.now()
    await expect(set.join({ timeout: 0.05 })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' })
    await expect(set.joinNative({ timeout: 0.05 })).rejects.toMatchObject({
      code: 'RESULT_TIMEOUT',
      message: expect.stringContaining('join operation timed out'),
    })
    expect(Date.now() - startedAt).toBeLessThan(2000)
  })

  it('RES-068 RES-069 end with the signal’s reason', async () => {
    const controller = new AbortController()
    const both = [set.join({ signal: controller.signal }), set.joinNative({ signal: controller.signal })]
    const settled = Promise.allSettled(both)
    const reason = new Error('stop')
    controller.abort(reason)
    expect(await settled).toEqual([
      { status: 'rejected', reason },
      { status: 'rejected', reason },
    ])
  })

  it('RES-069 gives the list of values for a nested group, and every place of a task that stands twice', async () => {
    for (const index of [0, 1, 2]) await succeed(index, index)
    const nested = new ResultSet(
      [task(nth(2)), new GroupResult(`g${number}`, [task(nth(0)), task(nth(1))], context), task(nth(2))],
      context,
    )
    expect(await nested.joinNative()).toEqual([2, [0, 1], 2])
    expect(await nested.join()).toEqual([2, [0, 1], 2])
  })

  it('RES-070 iterNative yields ids and metas as they arrive', async () => {
    const arrivals: string[] = []
    await succeed(1, 1)
    for await (const [id, meta] of set.iterNative({ timeout: 10 })) {
      arrivals.push(id)
      expect(meta).toMatchObject({ taskId: id })
      if (arrivals.length === 1) await succeed(2, 2)
      if (arrivals.length === 2) await fail(0)
    }
    expect(arrivals).toEqual([nth(1), nth(2), nth(0)])
  })

  it('RES-071 forgets each and revokes all with one command', async () => {
    await succeed(0, 1)
    await set.forget()
    expect(await backend.fetch(nth(0))).toBeUndefined()
    await set.revoke()
    expect(revoked.at(-1)).toEqual(ids)
  })

  it('RES-072 throws stored errors without waiting', async () => {
    await set.maybeThrow()
    await fail(1)
    await expect(set.maybeThrow()).rejects.toMatchObject({ taskId: nth(1) })
  })

  it('RES-075 an empty set joins to an empty list', async () => {
    const empty = new ResultSet([], context)
    expect(empty.supportsNativeJoin).toBeUndefined()
    expect(await empty.get()).toEqual([])
    expect(set.supportsNativeJoin).toBe(true)
  })
})

describe('GroupResult', () => {
  it('RES-056 onReady waits for nested members and does not throw their errors', async () => {
    const outer = new ResultSet(
      [task(nth(0)), new GroupResult(`n${number}`, [task(nth(1)), task(nth(2))], context)],
      context,
    )
    let isCalled = false
    const ready = outer.onReady(() => {
      isCalled = true
    })
    await succeed(0, 1)
    await fail(1)
    expect(isCalled).toBe(false)
    await succeed(2, 1)
    await ready
    expect(isCalled).toBe(true)
    const errors: unknown[] = []
    const reason = new Error('stop')
    await outer.onReady(
      () => {},
      (error) => void errors.push(error),
      { signal: AbortSignal.abort(reason) },
    )
    expect(errors).toEqual([reason])
  })

  it('RES-074 has its members as children, and is equal by id, members and parent', async () => {
    const group = (parent?: AsyncResult): GroupResult =>
      new GroupResult('g', ids.map(task), context, { parent })
    expect((await group().children()).map(String)).toEqual(ids)
    expect(group().equals(group())).toBe(true)
    expect(group(task('p')).equals(group())).toBe(false)
    expect(group().equals(group(task('p')))).toBe(false)
    expect(group().equals(new GroupResult('g', [], context))).toBe(false)
    expect(group().equals('g')).toBe(true)
    expect(String(group())).toBe('g')
    expect(inspect(group())).toBe(`<GroupResult: g [${ids.join(', ')}]>`)
  })

  it('RES-073 saves its members and its parent', async () => {
    const group = new GroupResult(`g${number}`, [task('m')], context, { parent: task('p') })
    await group.save()
    expect(await backend.fetchGroup(`g${number}`)).toEqual([
      [`g${number}`, [['p', null], null]],
      [[['m', null], null]],
    ])
  })
})
