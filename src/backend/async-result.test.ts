import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { createCodec } from '../../protocol/serializers.js'
import { InvalidArgumentError, ResultTimeoutError, SyncSubtaskError, TaskError } from '../errors.js'
import { allowJoinResult, denyJoinResult } from './allow-join.js'
import { AsyncResult, restoreGroup, resultFromTuple } from './async-result.js'
import { CountingClock, metaOf } from './backend.conformance.js'
import type { ResultBackend, WatchOptions } from './backend.js'
import { DisabledBackend } from './disabled.js'
import { GroupResult } from './group-result.js'
import { openBackend } from './open.js'
import type { ResultContext, RevokeOptions } from './result-context.js'

const clock = new CountingClock()
const backend = openBackend('cache+memory://', { codec: createCodec(), clock })
let inside = false
const revoked: [readonly string[], RevokeOptions][] = []
const context: ResultContext = {
  backend,
  clock,
  insideTask: () => inside,
  revoke: async (ids, options) => {
    revoked.push([ids, options])
  },
}
let number = 0
let id: string
let result: AsyncResult<unknown>
const boom = { type: 'ValueError', module: 'builtins', args: ['boom', 42], traceback: undefined }

beforeEach(() => {
  inside = false
  revoked.length = 0
  id = `task-${++number}`
  result = new AsyncResult(id, context)
})
afterEach(() => {
  expect(clock.live).toBe(0)
})

async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'no error',
    (error: unknown) => error,
  )
}

describe('AsyncResult', () => {
  it('RES-042 refuses an id that is no text, and an empty one when it is used', async () => {
    expect(() => new AsyncResult(undefined as unknown as string, context)).toThrow('requires valid id')
    await expect(new AsyncResult('', context).state()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('RES-043 gives the value of a task that ends while it waits', async () => {
    const getting = new AsyncResult<{ id: number }>(id, context).get({ timeout: 10 })
    await backend.store(metaOf(id, 'STARTED'))
    await backend.store(metaOf(id, 'SUCCESS', { id: 7 }))
    const value: { id: number } = await getting
    expect(value).toEqual({ id: 7 })
  })

  it('RES-043 throws the error of a failed task in the worker’s terms, or returns it with propagate false', async () => {
    await backend.store(metaOf(id, 'FAILURE', boom, { traceback: 'Traceback: ...' }))
    const error = await outcome(result.get())
    expect(error).toMatchObject({
      code: 'REMOTE_TASK',
      taskId: id,
      excType: 'ValueError',
      excModule: 'builtins',
      args: ['boom', 42],
      traceback: 'Traceback: ...',
      message: "ValueError: ('boom', 42)",
    })
    const returned: unknown = await result.get({ propagate: false })
    expect(returned).toBeInstanceOf(TaskError)
  })

  it('RES-044 PUB-015 gives undefined at once for a call that asked for no result', async () => {
    const ignored = new AsyncResult(id, { ...context, backend: new DisabledBackend() }, { ignored: true })
    expect(await ignored.get()).toBeUndefined()
  })

  it('RES-045 gives up after the timeout and says so, and the task goes on', async () => {
    const error = await outcome(result.get({ timeout: 0.02 }))
    expect(error).toBeInstanceOf(ResultTimeoutError)
    expect(error).toMatchObject({ taskId: id, message: expect.stringContaining('The operation timed out') })
    await backend.store(metaOf(id, 'SUCCESS', 1))
    expect(await result.get({ timeout: 0.0001 })).toBe(1)
  })

  it('RES-045 refuses a timeout that is no number, which would never end', async () => {
    for (const timeout of [Number.NaN, '5' as unknown as number]) {
      expect(await outcome(result.get({ timeout }))).toBeInstanceOf(InvalidArgumentError)
    }
  })

  it('RES-045 with timeout 0 waits until the signal aborts, and then throws its reason', async () => {
    const controller = new AbortController()
    const getting = outcome(result.get({ timeout: 0, signal: controller.signal }))
    const reason = new Error('enough')
    controller.abort(reason)
    expect(await getting).toBe(reason)
    expect(await outcome(result.get({ signal: AbortSignal.abort(reason) }))).toBe(reason)
  })

  it('RES-046 RES-077 refuses to wait inside a task, unless allowed', async () => {
    inside = true
    await backend.store(metaOf(id, 'SUCCESS', 1))
    expect(await outcome(result.get())).toBeInstanceOf(SyncSubtaskError)
    expect(await outcome(result.get())).toMatchObject({
      message: expect.stringContaining('Never call result.get() within a task!'),
    })
    expect(await result.get({ disableSyncSubtasks: false })).toBe(1)
    expect(await allowJoinResult(() => result.get())).toBe(1)
    expect(await outcome(allowJoinResult(() => denyJoinResult(() => result.get())))).toBeInstanceOf(
      SyncSubtaskError,
    )
    inside = false
    expect(await outcome(denyJoinResult(() => result.get()))).toBeInstanceOf(SyncSubtaskError)
    expect(await result.get()).toBe(1)
  })

  it('RES-047 throws the oldest failed parent’s error, before waiting and while waiting', async () => {
    const header = new GroupResult('g', [new AsyncResult(`${id}-h`, context)], context, {
      parent: new AsyncResult(`${id}-first`, context),
    })
    const last = new AsyncResult(id, context, {
      parent: new AsyncResult(`${id}-mid`, context, { parent: header }),
    })
    const waiting = outcome(last.get({ timeout: 10 }))
    await backend.store(metaOf(`${id}-h`, 'FAILURE', boom))
    expect(await waiting).toMatchObject({ taskId: `${id}-h`, excType: 'ValueError' })
    await backend.store(metaOf(`${id}-first`, 'REVOKED', { ...boom, type: 'TaskRevokedError' }))
    expect(await outcome(last.get())).toMatchObject({ taskId: `${id}-first`, code: 'TASK_REVOKED' })
    await backend.store(metaOf(id, 'SUCCESS', 'anyway'))
    expect(await last.get({ followParents: false })).toBe('anyway')
    expect(await new AsyncResult(id, context, { parent: header }).get({ propagate: false })).toBe('anyway')
  })

  it('RES-047 looks at the parents at every interval, and once more before it gives up', async () => {
    const parent = new AsyncResult(`${id}-p`, context)
    const failed = metaOf(`${id}-p`, 'FAILURE', boom)
    const last = new AsyncResult(id, context, { parent })
    const waiting = outcome(last.get({ timeout: 10, interval: 0.01 }))
    await backend.store(failed)
    expect(await waiting).toMatchObject({ taskId: `${id}-p` })
    await backend.forget(`${id}-p`)
    const late = outcome(last.get({ timeout: 0.05, interval: 10 }))
    await backend.store(failed)
    expect(await late).toMatchObject({ taskId: `${id}-p` })
  })

  it('RES-047 throws the parent’s error also when a look finds it at the moment at which the result is heard to have failed', async () => {
    const parent = new AsyncResult(`${id}-p`, context)
    const failed = metaOf(`${id}-p`, 'FAILURE', boom)
    const looks: ((found: ReadonlyMap<string, ResultMeta>) => void)[] = []
    const looked = async (count: number): Promise<void> =>
      vi.waitFor(() => expect(looks).toHaveLength(count), { interval: 1 })
    const watched: ResultBackend = Object.assign(Object.create(backend) as ResultBackend, {
      watch: (ids: readonly string[], options: WatchOptions) => backend.watch(ids, options),
      fetchMany: () => new Promise((resolve) => looks.push(resolve)),
    })
    const last = new AsyncResult(id, { ...context, backend: watched }, { parent })
    const waiting = outcome(last.get({ timeout: 10, interval: 0.001 }))
    looks[0]?.(new Map())
    await looked(2)
    await backend.store(metaOf(id, 'FAILURE', { ...boom, type: 'ChordError' }))
    await looked(3)
    looks[1]?.(new Map([[`${id}-p`, failed]]))
    expect(await waiting).toMatchObject({ taskId: `${id}-p`, excType: 'ValueError' })
  })

  it('RES-048 calls the callback with the value, or with the error when it is not thrown', async () => {
    const calls: unknown[] = []
    const callback = (...args: unknown[]): void => void calls.push(args)
    await backend.store(metaOf(id, 'FAILURE', boom))
    await outcome(result.get({ callback }))
    expect(calls).toEqual([])
    await result.get({ callback, propagate: false })
    expect(calls).toEqual([[id, expect.objectContaining({ excType: 'ValueError' })]])
  })

  it('RES-049 calls onMessage where the store pushes, and refuses it elsewhere', async () => {
    await backend.store(metaOf(id, 'SUCCESS', 1))
    const states: string[] = []
    await result.get({ onMessage: (meta) => states.push(meta.state) })
    expect(states).toEqual(['SUCCESS'])
    const elsewhere = new AsyncResult('x', { ...context, backend: new DisabledBackend() })
    expect(await outcome(elsewhere.get({ onMessage: () => {} }))).toMatchObject({ code: 'CONFIG' })
  })

  it('RES-050 calls onInterval while it waits, and ends with what that throws', async () => {
    let calls = 0
    const stop = new Error('stop')
    const onInterval = (): void => {
      if (++calls === 3) throw stop
    }
    expect(await outcome(result.get({ interval: 0.002, onInterval }))).toBe(stop)
    expect(calls).toBe(3)
  })

  it('RES-004 reads PENDING for an unknown id', async () => {
    expect(await result.state()).toBe('PENDING')
    expect(await result.result()).toBeUndefined()
    expect(await result.exists()).toBe(false)
    expect(await result.ready()).toBe(false)
  })

  it('RES-051 RES-011 reads every field of the stored meta', async () => {
    await backend.store(
      metaOf(id, 'SUCCESS', 'v', {
        children: [],
        dateDone: '2026-11-20T10:12:55.143897+01:00',
        extended: { name: 't.add', args: [1], kwargs: { x: 2 }, worker: 'w@h', retries: 3, queue: 'q' },
      }),
    )
    expect(
      await Promise.all([result.status(), result.info(), result.name(), result.args(), result.kwargs()]),
    ).toEqual(['SUCCESS', 'v', 't.add', [1], { x: 2 }])
    expect([await result.worker(), await result.retries(), await result.queue(), result.taskId]).toEqual([
      'w@h',
      3,
      'q',
      id,
    ])
    expect(await result.traceback()).toBeUndefined()
    expect(await result.children()).toEqual([])
    const done = await result.dateDone()
    expect(done?.toISOString()).toBe('2026-11-20T09:12:55.143Z')
    expect(done?.microsecond).toBe(143897)
  })

  it('RES-051 keeps a ready meta and does not see later changes', async () => {
    await backend.store(metaOf(id, 'FAILURE', boom))
    expect(await result.failed()).toBe(true)
    await backend.store(metaOf(id, 'SUCCESS', 1))
    expect(await result.state()).toBe('FAILURE')
    expect(await new AsyncResult(id, context).state()).toBe('SUCCESS')
  })

  it('RES-052 tells ready, successful and failed apart: revoked is ready and not failed', async () => {
    await backend.store(metaOf(id, 'RETRY', boom))
    expect([await result.ready(), await result.failed()]).toEqual([false, false])
    expect(await result.result()).toMatchObject({ excType: 'ValueError' })
    await backend.store(metaOf(id, 'REVOKED', boom))
    expect([await result.ready(), await result.failed(), await result.successful()]).toEqual([
      true,
      false,
      false,
    ])
  })

  it('RES-053 RES-054 forgets its result and its parents’', async () => {
    await backend.store(metaOf(`${id}-p`, 'SUCCESS', 1))
    await backend.store(metaOf(id, 'SUCCESS', 1))
    const child = new AsyncResult(id, context, { parent: new AsyncResult(`${id}-p`, context) })
    expect(await child.exists()).toBe(true)
    await child.forget()
    expect(await child.exists()).toBe(false)
    expect(await backend.fetch(`${id}-p`)).toBeUndefined()
  })

  it('RES-055 revokes through the app, and says when there is no way to', async () => {
    await result.revoke({ terminate: true, signal: 'SIGKILL' })
    expect(revoked).toEqual([[[id], { terminate: true, signal: 'SIGKILL' }]])
    const { revoke: _, ...without } = context
    await expect(new AsyncResult(id, without).revoke()).rejects.toMatchObject({ code: 'CONFIG' })
  })

  it('RES-056 has no then, so that an async function can return it; onReady stands in', async () => {
    expect(await (async () => result)()).toBe(result)
    const ready = result.onReady((self) => expect(self.cachedMeta?.result).toBe(5))
    await backend.store(metaOf(id, 'SUCCESS', 5))
    await ready
    const errors: unknown[] = []
    const failing = new Error('callback')
    await result.onReady(
      () => {
        throw failing
      },
      (error) => void errors.push(error),
    )
    expect(errors).toEqual([failing])
    await expect(result.onReady(() => Promise.reject(failing))).rejects.toBe(failing)
  })

  it('RES-057 RES-058 RES-059 RES-060 RES-062 walks, collects and draws the tree of results', async () => {
    const [a, b, c] = [`${id}-a`, `${id}-b`, `${id}-c`]
    await backend.store(
      metaOf(id, 'SUCCESS', 0, {
        children: [
          [[a, null], null],
          [['grp', null], [[[b, null], null]]],
        ],
      }),
    )
    await backend.store(metaOf(a, 'SUCCESS', 1, { children: [[[c, null], null]] }))
    await backend.store(metaOf(b, 'SUCCESS', 2))
    await backend.store(metaOf(c, 'SUCCESS', 3))
    const seen: unknown[] = []
    for await (const [node, value] of result.collect()) seen.push([String(node), value])
    expect(seen).toEqual([
      [id, 0],
      [a, 1],
      ['grp', [2]],
      [c, 3],
      [b, 2],
    ])
    expect(await result.getLeaf()).toBe(2)
    const children = await result.children()
    expect(children?.[1]).toBeInstanceOf(GroupResult)
    const graph = await result.graph()
    expect(graph.edges.map(([from, to]) => `${from}>${to}`)).toEqual([
      `${id}>${a}`,
      `${id}>grp`,
      `${a}>${c}`,
      `grp>${b}`,
    ])
    expect(graph.nodes).toHaveLength(5)
    expect(graph.toDot()).toContain(`"${id}" -> "${a}" [shape="oval", arrowhead="vee"`)
  })

  it('RES-058 stops with IncompleteStream behind a node that is not ready, unless intermediate', async () => {
    const walk = async (intermediate: boolean): Promise<string[]> => {
      const ids: string[] = []
      for await (const [, node] of result.iterdeps({ intermediate })) ids.push(String(node))
      return ids
    }
    await expect(walk(false)).rejects.toMatchObject({ code: 'INCOMPLETE_STREAM', taskId: id })
    expect(await walk(true)).toEqual([id])
  })

  it('RES-018 RES-061 RES-078 survives the trip through its tuple, with parents and groups', () => {
    const parent = new GroupResult('g', [new AsyncResult('m', context)], context)
    const child = new AsyncResult('c', context, { parent })
    expect(child.asTuple()).toEqual([['c', [['g', null], [[['m', null], null]]]], null])
    expect(child.asList()).toEqual(['c', 'g'])
    const again = resultFromTuple(JSON.parse(JSON.stringify(child)), context)
    expect(again.asTuple()).toEqual(child.asTuple())
    expect(resultFromTuple(['bare', null], context).equals('bare')).toBe(true)
    expect(resultFromTuple(child, context)).toBe(child)
    for (const wrong of [null, 'x', [], [1, null], [[null, null], null], [['a', null], 'b'], {}]) {
      expect(() => resultFromTuple(wrong, context)).toThrow('Not a result tuple')
    }
    let deep: unknown = [['x', null], null]
    for (let depth = 0; depth < 600; depth++) deep = [['x', deep], null]
    expect(() => resultFromTuple(deep, context)).toThrow('nested')
  })

  it('RES-063 throws a stored error without waiting', async () => {
    expect(await result.maybeThrow()).toBeUndefined()
    await backend.store(metaOf(id, 'FAILURE', boom))
    await expect(result.maybeThrow()).rejects.toMatchObject({ excType: 'ValueError' })
    expect(await result.maybeThrow({ propagate: false })).toMatchObject({ excType: 'ValueError' })
  })

  it('RES-064 equals results and texts of the same id, and prints as its id', () => {
    expect(result.equals(new AsyncResult(id, context))).toBe(true)
    expect(result.equals(id)).toBe(true)
    expect(result.equals(new AsyncResult('other', context))).toBe(false)
    expect(`${result}`).toBe(id)
    expect(inspect(result)).toBe(`<AsyncResult: ${id}>`)
  })

  it('shows the progress of custom states until the task is ready', async () => {
    const steps: unknown[] = []
    await backend.store(metaOf(id, 'STARTED', { pid: 1 }))
    for await (const { state, meta } of result.progress()) {
      steps.push([state, meta])
      if (state === 'STARTED') await backend.store(metaOf(id, 'PROGRESS', { done: 1 }))
      else await backend.store(metaOf(id, 'SUCCESS', 'end'))
    }
    expect(steps).toEqual([
      ['STARTED', { pid: 1 }],
      ['PROGRESS', { done: 1 }],
    ])
    expect(result.cachedMeta?.result).toBe('end')
  })

  it('progress ends with the signal’s reason', async () => {
    const controller = new AbortController()
    await backend.store(metaOf(id, 'PROGRESS', 1))
    const reason = new Error('closed tab')
    const reading = async (): Promise<void> => {
      for await (const _ of result.progress({ signal: controller.signal })) controller.abort(reason)
    }
    await expect(reading()).rejects.toBe(reason)
  })

  it('RES-030 says that there is no backend, and what to do', async () => {
    const lost = new AsyncResult(id, { ...context, backend: new DisabledBackend() })
    for (const read of [lost.state(), lost.get({ timeout: 1 }), lost.ready(), lost.forget()]) {
      expect(await outcome(read)).toMatchObject({
        code: 'BACKEND_DISABLED',
        message: expect.stringMatching(/No result backend is configured.*resultBackend/),
      })
    }
  })

  it('TST-007 tells the app before it reads, so that eager mode can warn', async () => {
    let reads = 0
    const watched = new AsyncResult(id, { ...context, beforeRead: () => void reads++ })
    await watched.state()
    await outcome(watched.get({ timeout: 0.001 }))
    expect(reads).toBe(2)
  })

  it('RES-073 restores a saved group, and undefined for an unknown one', async () => {
    const group = new GroupResult(
      `${id}-g`,
      [new AsyncResult('a', context), new AsyncResult('b', context)],
      context,
    )
    await group.save()
    const restored = await restoreGroup(`${id}-g`, context)
    expect(restored?.equals(group)).toBe(true)
    await group.delete()
    expect(await restoreGroup(`${id}-g`, context)).toBeUndefined()
  })
})
