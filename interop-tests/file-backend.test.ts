/** Results in one folder: Celery reads what we stored, and we read what Celery stored. */
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCodec } from '../protocol/serializers.js'
import { AsyncResult, restoreGroup } from '../src/backend/async-result.js'
import type { ResultBackend } from '../src/backend/backend.js'
import { GroupResult } from '../src/backend/group-result.js'
import { openBackend } from '../src/backend/open.js'
import type { ResultContext } from '../src/backend/result-context.js'
import { contextOf, errorOf, metaOf, pythonOn } from './python-results.js'

const codec = createCodec()

describe('file:// results shared with Celery', () => {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-file-backend-'))
  const url = `file://${folder}`
  const inPython = pythonOn(url)
  let backend: ResultBackend
  let context: ResultContext

  beforeAll(() => {
    backend = openBackend(url, { codec })
    context = contextOf(backend)
  })
  afterAll(async () => {
    await backend.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const store = (...given: Parameters<typeof metaOf>): Promise<void> => backend.store(metaOf(...given))

  it('RES-002 RES-016 RES-037 RES-043 Python reads values, errors, revocations and custom states that we stored', async () => {
    await store('ok', 'SUCCESS', { sum: 5, list: [1, 'ø', null, true, 1.5] })
    await store('type-error', 'FAILURE', errorOf('TypeError', 'builtins', 'bad', 2), {
      traceback: 'Error: bad\n    at x',
    })
    await store('made-up', 'FAILURE', errorOf('PaymentDeclined', 'shop.errors', 'no funds'))
    await store('no-module', 'FAILURE', errorOf('RangeError', undefined, 'far'))
    await store('revoked', 'REVOKED', errorOf('TaskRevokedError', 'celery.exceptions', 'revoked'))
    await store('limit', 'FAILURE', errorOf('TimeLimitExceeded', 'billiard.exceptions', 30))
    await store('progress', 'PROGRESS', { done: 3, total: 9 })
    await store('retry', 'RETRY', errorOf('KeyError', 'builtins', 'again'), { traceback: 'tb' })
    const seen = await inPython<
      Record<string, { value?: unknown; error?: Record<string, unknown>; [key: string]: unknown }>
    >(`
out({
  **{name: got(name) for name in ('ok', 'type-error', 'made-up', 'no-module', 'revoked', 'limit')},
  'traceback': {'value': AsyncResult('type-error').traceback},
  'done': {'value': AsyncResult('ok').date_done.isoformat()},
  'progress': {'value': [AsyncResult('progress').state, AsyncResult('progress').info]},
  'retry': {'value': [AsyncResult('retry').state, repr(AsyncResult('retry').result)]},
  'pending': {'value': AsyncResult('unknown').state},
})`)
    expect(seen).toMatchObject({
      ok: { value: { sum: 5, list: [1, 'ø', null, true, 1.5] } },
      'type-error': {
        error: { type: 'TypeError', module: 'builtins', args: ['bad', 2], is_type_error: true },
      },
      'made-up': { error: { type: 'PaymentDeclined', module: 'celery.exceptions', args: ['no funds'] } },
      'no-module': { error: { type: 'RangeError', args: ['far'] } },
      revoked: { error: { type: 'TaskRevokedError', args: ['revoked'] } },
      limit: { error: { type: 'TimeLimitExceeded', args: [30] } },
      traceback: { value: 'Error: bad\n    at x' },
      done: { value: '2026-11-20T10:12:55.143897+00:00' },
      progress: { value: ['PROGRESS', { done: 3, total: 9 }] },
      retry: { value: ['RETRY', "KeyError('again')"] },
      pending: { value: 'PENDING' },
    })
  })

  it('RES-011 RES-019 RES-060 RES-073 Python follows children and restores groups that we stored', async () => {
    await store('parent', 'SUCCESS', null, {
      children: [
        [['ok', null], null],
        [['grp', null], [[['ok', null], null]]],
      ],
      groupId: 'g',
      parentId: 'p',
      extended: { name: 't.add', args: [1, 2], kwargs: { x: 1 }, worker: 'w@h', retries: 1, queue: 'celery' },
    })
    await store('ok', 'SUCCESS', 1)
    await new GroupResult(
      'saved',
      [new AsyncResult('ok', context), new AsyncResult('parent', context)],
      context,
    ).save()
    const seen = await inPython<unknown>(`
r = AsyncResult('parent'); r.get(timeout=5)
g = GroupResult.restore('saved')
out([[type(c).__name__ + ' ' + c.id for c in r.children], r.name, r.args, r.kwargs, r.worker, r.retries, r.queue,
     g.id, [c.id for c in g.results], g.as_tuple()])`)
    expect(seen).toEqual([
      ['AsyncResult ok', 'GroupResult grp'],
      't.add',
      [1, 2],
      { x: 1 },
      'w@h',
      1,
      'celery',
      'saved',
      ['ok', 'parent'],
      [
        ['saved', null],
        [
          [['ok', null], null],
          [['parent', null], null],
        ],
      ],
    ])
  })

  it('RES-007 RES-013 RES-014 RES-051 we read every kind of result that Python stored', async () => {
    await inPython(
      `
request = Context({'id': 'py-ok', 'task': 't.add', 'args': [1, 2], 'kwargs': {'x': 3}, 'hostname': 'w@h', 'retries': 2,
                   'group': 'g1', 'parent_id': 'p1',
                   'delivery_info': {'routing_key': 'celery'}})
request.children.append(AsyncResult('py-child'))
backend.store_result('py-ok', {'sum': 5}, states.SUCCESS, request=request)
backend.mark_as_started('py-started', pid=7, hostname='w@h')
backend.mark_as_failure('py-failed', ValueError('boom', 42, object()), traceback='Traceback: here')
class Outer:
    class Inner(Exception): pass
backend.mark_as_failure('py-inner', Outer.Inner('x'))
backend.mark_as_failure('py-limit', TimeLimitExceeded(30))
backend.mark_as_failure('py-lost', WorkerLostError('Worker exited prematurely'))
backend.mark_as_failure('py-chord', ChordError("Dependency x raised ValueError('boom')"))
backend.mark_as_revoked('py-revoked', 'expired')
backend.mark_as_retry('py-retry', KeyError('again'), traceback='tb')
backend.store_result('py-progress', {'done': 1}, 'PROGRESS')
GroupResult('py-group', [AsyncResult('py-ok'), AsyncResult('py-failed')]).save()
out(None)`,
      { result_extended: true },
    )
    const result = (id: string): AsyncResult<unknown> => new AsyncResult(id, context)
    const ok = result('py-ok')
    expect(await ok.get({ timeout: 5 })).toEqual({ sum: 5 })
    expect(await ok.meta()).toMatchObject({ groupId: 'g1', parentId: 'p1' })
    expect([
      await ok.name(),
      await ok.args(),
      await ok.kwargs(),
      await ok.worker(),
      await ok.retries(),
      await ok.queue(),
    ]).toEqual(['t.add', [1, 2], { x: 3 }, 'w@h', 2, 'celery'])
    expect((await ok.children())?.map(String)).toEqual(['py-child'])
    expect((await ok.dateDone())?.offsetSeconds).toBe(0)
    expect(await result('py-started').result()).toEqual({ pid: 7, hostname: 'w@h' })
    await expect(result('py-failed').get()).rejects.toMatchObject({
      code: 'REMOTE_TASK',
      excType: 'ValueError',
      excModule: 'builtins',
      traceback: 'Traceback: here',
      args: ['boom', 42, expect.stringContaining('<object object')],
    })
    await expect(result('py-inner').get()).rejects.toMatchObject({
      excType: 'Outer.Inner',
      message: 'Outer.Inner: x',
    })
    await expect(result('py-limit').get()).rejects.toMatchObject({ code: 'TIME_LIMIT_EXCEEDED' })
    await expect(result('py-lost').get()).rejects.toMatchObject({ code: 'WORKER_LOST' })
    await expect(result('py-chord').get()).rejects.toMatchObject({ code: 'CHORD' })
    await expect(result('py-revoked').get()).rejects.toMatchObject({
      code: 'TASK_REVOKED',
      args: ['expired'],
    })
    expect(await result('py-retry').result()).toMatchObject({ excType: 'KeyError', traceback: 'tb' })
    expect([await result('py-progress').state(), await result('py-progress').info()]).toEqual([
      'PROGRESS',
      { done: 1 },
    ])
    const group = await restoreGroup('py-group', context)
    expect(group?.results.map(String)).toEqual(['py-ok', 'py-failed'])
  })

  it('stores the same mapping in the same key order as Python does', async () => {
    await inPython(`
request = Context({'id': 'bytes', 'group': 'g', 'parent_id': 'p', 'children': []})
backend.store_result('bytes', {'a': [1, 2.5, 'ø']}, states.SUCCESS, request=request)
out(None)`)
    const pythons = await readFile(join(folder, 'celery-task-meta-bytes'), 'utf8')
    const meta = await backend.fetch('bytes')
    await backend.forget('bytes')
    if (meta !== undefined) await backend.store(meta)
    const ours = await readFile(join(folder, 'celery-task-meta-bytes'), 'utf8')
    expect(Object.entries(JSON.parse(ours))).toEqual(Object.entries(JSON.parse(pythons)))
  })

  it('RES-005 each side keeps a SUCCESS of the other', async () => {
    await store('ours', 'SUCCESS', 'ours')
    await inPython(`
backend.store_result('ours', 'python', states.SUCCESS); backend.store_result('pythons', 'python', states.SUCCESS)
out(None)`)
    await store('pythons', 'FAILURE', errorOf('E', undefined))
    expect((await backend.fetch('ours'))?.result).toBe('ours')
    expect((await backend.fetch('pythons'))?.result).toBe('python')
  })

  it('RES-020 uses the same keys under a global key prefix', async () => {
    const options = { global_keyprefix: 'shop' }
    const prefixed = openBackend(url, { codec, transportOptions: options })
    await prefixed.store({
      taskId: 'pre',
      state: 'SUCCESS',
      result: 1,
      traceback: undefined,
      children: [],
      dateDone: undefined,
    })
    const seen = await inPython<unknown>(`backend.store_result('back', 2, states.SUCCESS); out(got('pre'))`, {
      result_backend_transport_options: options,
    })
    expect(seen).toEqual({ value: 1 })
    expect((await prefixed.fetch('back'))?.result).toBe(2)
    await prefixed.close()
  })

  it('RES-043 each side wakes while it waits for the other', async () => {
    const ours = new AsyncResult('handshake-1', context).get({ timeout: 30 })
    const python = inPython<unknown>(`
backend.store_result('handshake-1', 'from python', states.SUCCESS)
out(got('handshake-2'))`)
    expect(await ours).toBe('from python')
    await store('handshake-2', 'SUCCESS', 'from node')
    expect(await python).toEqual({ value: 'from node' })
  })

  it('reads results whole while Python rewrites them in place, again and again', async () => {
    const python = inPython<number>(`
n = 0
end = time.monotonic() + 3
while time.monotonic() < end:
    n += 1
    backend.store_result('busy', {'n': n, 'pad': 'x' * 200000}, 'PROGRESS')
backend.store_result('busy', n, states.SUCCESS)
out(n)`)
    let last = 0
    for await (const { meta } of new AsyncResult('busy', context).progress({ interval: 0.001 })) {
      const { n, pad } = meta as { n: number; pad: string }
      expect(pad).toHaveLength(200000)
      expect(n).toBeGreaterThan(last)
      last = n
    }
    expect(last).toBeGreaterThan(0)
    expect(await new AsyncResult('busy', context).get()).toBe(await python)
  })

  it('RES-016 RES-017 reads odd errors as Python does, and refuses what Python refuses', async () => {
    const put = (id: string, result: unknown): Promise<void> =>
      writeFile(
        join(folder, `celery-task-meta-${id}`),
        JSON.stringify({ status: 'FAILURE', result, task_id: id }),
      )
    await put('odd-legacy', { exc_type: 'ValueError', exc_message: 'plain text' })
    await put('odd-text', 'just text')
    await put('odd-typeless', { exc_message: ['x'] })
    await expect(new AsyncResult('odd-legacy', context).get()).rejects.toMatchObject({
      excType: 'ValueError',
      args: ['plain text'],
    })
    await expect(new AsyncResult('odd-text', context).get()).rejects.toMatchObject({ code: 'DECODE_ERROR' })
    await expect(new AsyncResult('odd-typeless', context).get()).rejects.toMatchObject({
      code: 'DECODE_ERROR',
    })
    const seen = await inPython<Record<string, { error: { type: string } }>>(`
out({name: got(name) for name in ('odd-legacy', 'odd-text', 'odd-typeless')})`)
    expect(Object.values(seen).map((each) => each.error.type)).toEqual([
      'ValueError',
      'ValueError',
      'ValueError',
    ])
  })

  it('RES-039 RES-041 Python’s cleanup deletes our expired results, and ours deletes Python’s', async () => {
    await inPython(`
backend.store_result('py-old', 1, states.SUCCESS)
os.utime(backend.path + b'/celery-task-meta-py-old', (1, 1))
out(None)`)
    expect(await backend.cleanup()).toBe(1)
    await store('node-old', 'SUCCESS', 1)
    await inPython(`
os.utime(backend.path + b'/celery-task-meta-node-old', (1, 1))
backend.cleanup()
out(None)`)
    expect(await backend.fetch('node-old')).toBeUndefined()
    expect(await backend.fetch('py-old')).toBeUndefined()
    expect(await backend.fetch('ok')).toBeDefined()
  })
})
