/** Results in one Redis: Celery reads what we stored, we read what Celery stored, and chords are finished by either. */
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createCodec } from '../protocol/serializers.js'
import { AsyncResult, restoreGroup } from '../src/backend/async-result.js'
import type { ResultBackend } from '../src/backend/backend.js'
import { GroupResult } from '../src/backend/group-result.js'
import { openBackend } from '../src/backend/open.js'
import type { ResultContext } from '../src/backend/result-context.js'
import { Celery } from '../src/index.js'
import { RedisBroker } from './brokers.js'
import { Shop } from './harness.js'
import { nodeApp, nodeTasks } from './node-app.js'
import { contextOf, errorOf, type InPython, metaOf, pythonOn } from './python-results.js'
import { noRedis, RedisServer, skipNote } from './redis-server.js'

const codec = createCodec()

describe.skipIf(noRedis)(`Redis results shared with Celery${skipNote(noRedis)}`, () => {
  let broker: RedisBroker
  let client: Redis
  let url: string
  let inPython: InPython
  let backend: ResultBackend
  let context: ResultContext
  const closing: { close(): Promise<void> }[] = []

  beforeAll(async () => {
    broker = await RedisBroker.start()
    client = broker.server.client()
    url = broker.server.url
    inPython = pythonOn(url, url)
    backend = open()
    context = contextOf(backend)
  })
  afterAll(async () => {
    for (const each of closing.splice(0)) await each.close()
    await broker.close()
  })

  function open(options: Partial<Parameters<typeof openBackend>[1]> = {}): ResultBackend {
    const opened = openBackend(url, { codec, ...options })
    closing.push(opened)
    return opened
  }
  async function subscribed(taskId: string): Promise<void> {
    await vi.waitFor(
      async () => {
        const channels = (await client.call('PUBSUB', 'CHANNELS', `celery-task-meta-${taskId}`)) as string[]
        expect(channels).toHaveLength(1)
      },
      { timeout: 20_000, interval: 10 },
    )
  }

  it('RES-002 RES-016 RES-043 Python reads values, errors, revocations and custom states that we stored', async () => {
    await Promise.all([
      backend.store(metaOf('ok', 'SUCCESS', { sum: 5, list: [1, 'ø', null, true, 1.5] })),
      backend.store(
        metaOf('type', 'FAILURE', errorOf('TypeError', 'builtins', 'bad', 2), { traceback: 'tb' }),
      ),
      backend.store(metaOf('made-up', 'FAILURE', errorOf('PaymentDeclined', 'shop.errors', 'no funds'))),
      backend.store(
        metaOf('revoked', 'REVOKED', errorOf('TaskRevokedError', 'celery.exceptions', 'revoked')),
      ),
      backend.store(metaOf('progress', 'PROGRESS', { done: 3, total: 9 })),
      backend.store(metaOf('retry', 'RETRY', errorOf('KeyError', 'builtins', 'again'))),
    ])
    const seen = await inPython<Record<string, unknown>>(`
out({
  **{name: got(name) for name in ('ok', 'type', 'made-up', 'revoked')},
  'traceback': AsyncResult('type').traceback,
  'done': AsyncResult('ok').date_done.isoformat(),
  'progress': [AsyncResult('progress').state, AsyncResult('progress').info],
  'retry': [AsyncResult('retry').state, repr(AsyncResult('retry').result)],
})`)
    expect(seen).toMatchObject({
      ok: { value: { sum: 5, list: [1, 'ø', null, true, 1.5] } },
      type: { error: { type: 'TypeError', module: 'builtins', args: ['bad', 2], is_type_error: true } },
      'made-up': { error: { type: 'PaymentDeclined', args: ['no funds'] } },
      revoked: { error: { type: 'TaskRevokedError', args: ['revoked'] } },
      traceback: 'tb',
      done: '2026-11-20T10:12:55.143897+00:00',
      progress: ['PROGRESS', { done: 3, total: 9 }],
      retry: ['RETRY', "KeyError('again')"],
    })
  })

  it('RES-007 RES-013 RES-014 RES-051 we read every kind of result that Python stored', async () => {
    await inPython(
      `
request = Context({'id': 'py-ok', 'task': 't.add', 'args': [1, 2], 'kwargs': {'x': 3}, 'hostname': 'w@h', 'retries': 2,
                   'group': 'g1', 'parent_id': 'p1', 'delivery_info': {'routing_key': 'celery'}})
request.children.append(AsyncResult('py-child'))
backend.store_result('py-ok', {'sum': 5}, states.SUCCESS, request=request)
backend.mark_as_started('py-started', pid=7, hostname='w@h')
backend.mark_as_failure('py-failed', ValueError('boom', 42), traceback='Traceback: here')
backend.mark_as_failure('py-limit', TimeLimitExceeded(30))
backend.mark_as_revoked('py-revoked', 'expired')
backend.store_result('py-progress', {'done': 1}, 'PROGRESS')
GroupResult('py-group', [AsyncResult('py-ok'), AsyncResult('py-failed')]).save()
out(None)`,
      { result_extended: true },
    )
    const result = (id: string): AsyncResult<unknown> => new AsyncResult(id, context)
    const ok = result('py-ok')
    expect(await ok.get({ timeout: 5 })).toEqual({ sum: 5 })
    expect(await ok.meta()).toMatchObject({
      groupId: 'g1',
      parentId: 'p1',
      extended: { name: 't.add', args: [1, 2], kwargs: { x: 3 }, worker: 'w@h', retries: 2, queue: 'celery' },
    })
    expect((await ok.children())?.map(String)).toEqual(['py-child'])
    expect(await result('py-started').result()).toEqual({ pid: 7, hostname: 'w@h' })
    await expect(result('py-failed').get()).rejects.toMatchObject({
      excType: 'ValueError',
      args: ['boom', 42],
      traceback: 'Traceback: here',
    })
    await expect(result('py-limit').get()).rejects.toMatchObject({ code: 'TIME_LIMIT_EXCEEDED' })
    await expect(result('py-revoked').get()).rejects.toMatchObject({
      code: 'TASK_REVOKED',
      args: ['expired'],
    })
    expect([await result('py-progress').state(), await result('py-progress').info()]).toEqual([
      'PROGRESS',
      { done: 1 },
    ])
    expect((await restoreGroup('py-group', context))?.results.map(String)).toEqual(['py-ok', 'py-failed'])
  })

  it('RES-011 RES-019 RES-060 Python follows children and restores groups that we stored', async () => {
    await backend.store(
      metaOf('parent', 'SUCCESS', null, {
        children: [
          [['ok', null], null],
          [['grp', null], [[['ok', null], null]]],
        ],
        extended: {
          name: 't.add',
          args: [1, 2],
          kwargs: { x: 1 },
          worker: 'w@h',
          retries: 1,
          queue: 'celery',
        },
      }),
    )
    await new GroupResult(
      'saved',
      [new AsyncResult('ok', context), new AsyncResult('parent', context)],
      context,
    ).save()
    const seen = await inPython<unknown>(`
r = AsyncResult('parent'); r.get(timeout=5)
g = GroupResult.restore('saved')
out([[type(c).__name__ + ' ' + c.id for c in r.children], r.name, r.args, r.kwargs, r.worker, r.retries, r.queue,
     g.id, [c.id for c in g.results]])`)
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
    ])
  })

  it('RES-020 RES-021 stores and publishes what Python does, under the same keys, for the same time', async () => {
    const conf = { result_expires: 777, result_backend_transport_options: { global_keyprefix: 'pre' } }
    const ours = open({ expires: 777, transportOptions: { global_keyprefix: 'pre' } })
    const listener = broker.server.client()
    const heard: [string, string][] = []
    listener.on('pmessage', (_pattern: string, channel: string, text: string) => heard.push([channel, text]))
    await listener.psubscribe('pre_*')
    await inPython(
      `
request = Context({'id': 'bytes', 'group': 'g', 'parent_id': 'p', 'children': []})
backend.store_result('bytes', {'a': [1, 2.5, 'ø']}, states.SUCCESS, request=request)
GroupResult('bytes', [AsyncResult('x')]).save()
backend.set_chord_size('bytes', 3)
backend.on_chord_part_return(Context({'id': 'x', 'group': 'bytes', 'group_index': 1, 'chord': {}}), 'SUCCESS', {'v': ['ø', 1]})
out(None)`,
      conf,
    )
    const pythons = await everything()
    await vi.waitFor(() => expect(heard).toHaveLength(3), { interval: 5 })
    const pythonHeard = heard.splice(0)
    const meta = await ours.fetch('bytes')
    const group = await ours.fetchGroup('bytes')
    await client.del(...Object.keys(pythons))
    if (meta !== undefined) await ours.store(meta)
    await ours.storeGroup('bytes', group)
    await ours.chords?.begin('bytes', 3)
    await ours.chords?.partDone('bytes', 1, metaOf('x', 'SUCCESS', { v: ['ø', 1] }))
    expect(await everything()).toEqual(pythons)
    await vi.waitFor(() => expect(heard).toHaveLength(3), { interval: 5 })
    const parsed = (each: [string, string][]): unknown =>
      each.map(([channel, text]) => [channel, JSON.parse(text)])
    expect(parsed(heard)).toEqual(parsed(pythonHeard))
    expect(JSON.parse(heard[0]?.[1] ?? '')).toMatchObject({ task_id: 'bytes', status: 'SUCCESS' })

    /** Every key with its time left and what it holds; of JSON the members in their order, of parts the bytes. */
    async function everything(): Promise<Record<string, unknown>> {
      const found: Record<string, unknown> = {}
      for (const key of (await client.keys('pre_*')).sort()) {
        const isParts = key.endsWith('.j')
        const value = isParts
          ? await client.zrange(key, '0', '-1', 'WITHSCORES')
          : JSON.stringify(JSON.parse((await client.get(key)) ?? ''))
        found[key] = [value, (await client.ttl(key)) >= 770]
      }
      expect(Object.keys(found)).toHaveLength(4)
      return found
    }
  })

  it('RES-005 each side keeps a SUCCESS of the other', async () => {
    await backend.store(metaOf('ours', 'SUCCESS', 'ours'))
    await inPython(`
backend.store_result('ours', 'python', states.SUCCESS); backend.store_result('pythons', 'python', states.SUCCESS)
out(None)`)
    await backend.store(metaOf('pythons', 'FAILURE', errorOf('E', undefined)))
    expect((await backend.fetch('ours'))?.result).toBe('ours')
    expect((await backend.fetch('pythons'))?.result).toBe('python')
  })

  it('RES-022 RES-043 each side is told of the other’s result while it waits', async () => {
    const ours = new AsyncResult('hand-1', context).get({ timeout: 30 })
    const python = inPython<unknown>(`
backend.store_result('hand-1', 'from python', states.SUCCESS)
out(got('hand-2'))`)
    expect(await ours).toBe('from python')
    await subscribed('hand-2')
    await backend.store(metaOf('hand-2', 'PROGRESS', 1))
    await backend.store(metaOf('hand-2', 'SUCCESS', 'from node'))
    expect(await python).toEqual({ value: 'from node' })
  })

  it('RES-049 follows the custom states of a Python task, one after the other', async () => {
    const python = subscribed('steps').then(() =>
      inPython(`
for n in range(5):
    backend.store_result('steps', {'n': n}, 'PROGRESS')
backend.store_result('steps', 'done', states.SUCCESS)
out(None)`),
    )
    const seen: unknown[] = []
    for await (const { meta } of new AsyncResult('steps', context).progress()) seen.push(meta)
    await python
    expect(seen.slice(0, 5)).toEqual([0, 1, 2, 3, 4].map((n) => ({ n })))
  })

  it('RES-043 Python joins a group of which we store each result while it waits', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `join-${i}`)
    const python = inPython<unknown>(
      `out(GroupResult('joined', [AsyncResult('join-%d' % i) for i in range(20)]).get(timeout=20))`,
    )
    await subscribed('join-19')
    await Promise.all(ids.map((id, i) => backend.store(metaOf(id, 'SUCCESS', i))))
    expect(await python).toEqual(ids.map((_, i) => i))
  })

  it('RES-028 CNV-102 CNV-104 CNV-105 Python finishes a chord whose first parts were ours', async () => {
    await backend.chords?.begin('mixed-1', 3)
    await backend.chords?.partDone('mixed-1', 2, metaOf('c', 'SUCCESS', { c: 'ø' }))
    await backend.chords?.partDone('mixed-1', 0, metaOf('a', 'SUCCESS', 1))
    await inPython(`part('mixed-1', 'b', 1, states.SUCCESS, [2]); out(None)`)
    const [message] = await client.lrange('bodies-mixed-1', 0, -1)
    const { body } = JSON.parse(message ?? '{}') as { body: string }
    expect(JSON.parse(Buffer.from(body, 'base64').toString())[0]).toEqual([[1, [2], { c: 'ø' }]])
    expect(await client.keys('celery-taskset-meta-mixed-1*')).toEqual([])
  })

  it('RES-028 CNV-103 CNV-119 we finish a chord that Python began, and a part that ran in both languages is one', async () => {
    await inPython(`
backend.set_chord_size('mixed-2', 3)
part('mixed-2', 'b', 1, states.SUCCESS, {'b': ['ø', 2]})
part('mixed-2', 'c', 2, states.FAILURE, ValueError('boom', 42))
out(None)`)
    const { chords } = backend
    expect(await chords?.partDone('mixed-2', 1, metaOf('b', 'SUCCESS', { b: ['ø', 2] }))).toBeUndefined()
    const parts = await chords?.partDone('mixed-2', 0, metaOf('a', 'SUCCESS', 'a'))
    expect(parts?.map(({ taskId, state, result }) => [taskId, state, result])).toEqual([
      ['a', 'SUCCESS', 'a'],
      ['b', 'SUCCESS', { b: ['ø', 2] }],
      ['c', 'FAILURE', errorOf('ValueError', 'builtins', 'boom', 42)],
    ])
  })

  it('CNV-102 CNV-106 Python fails the body for a part of ours that failed', async () => {
    await backend.chords?.begin('mixed-3', 2)
    await backend.chords?.partDone(
      'mixed-3',
      0,
      metaOf('bad', 'FAILURE', errorOf('ValueError', 'builtins', 'boom')),
    )
    await inPython(`part('mixed-3', 'good', 1, states.SUCCESS, 1); out(None)`)
    expect(await new AsyncResult('body-mixed-3', context).result()).toMatchObject({
      excType: 'ChordError',
      args: ["Dependency bad raised ValueError('boom')"],
    })
  })

  it('CFG-099 CFG-100 CFG-101 CFG-103 CFG-104 CFG-105 CFG-107 the redis_ settings say where and how, as in Python', async () => {
    const user = { name: 'shop', password: 'p@ss/word' }
    const tls = await RedisServer.start({ tls: true, user })
    closing.unshift(tls)
    const ssl = { ssl_cert_reqs: 'required', ssl_ca_certs: tls.certificates?.ca ?? '' }
    const place = { host: '127.0.0.1', port: tls.port, username: user.name, password: user.password }
    const app = new Celery('shop', {
      brokerUrl: 'memory://',
      resultBackend: 'rediss',
      redisHost: place.host,
      redisPort: place.port,
      redisUsername: place.username,
      redisPassword: place.password,
      redisDb: 3,
      redisSocketConnectTimeout: 2,
      redisClientName: 'shop-results',
      redisBackendUseSsl: ssl,
    })
    closing.unshift(app)
    await app.backend.store(metaOf('set', 'SUCCESS', 'by settings'))
    expect(String(await tls.client().client('LIST'))).toMatch(/name=shop-results/)
    const named = Object.fromEntries(Object.entries(place).map(([name, value]) => [`redis_${name}`, value]))
    const seen = await inPython<unknown>(`
from celery.backends.redis import RedisBackend
app.conf.update(${JSON.stringify({ ...named, redis_db: 3, redis_backend_use_ssl: ssl })})
backend = RedisBackend(app=app)
out([backend.get_result('set'), backend.client.connection_pool.connection_kwargs['db']])`)
    expect(seen).toEqual(['by settings', 3])
  })

  it('RES-023 CNV-104 CNV-105 a chord sent by Python ends, its parts run by workers of both languages', async () => {
    const shop = new Shop({ broker })
    closing.unshift(shop)
    const app = nodeApp(shop)
    nodeTasks(app)
    const nobody = { queue: 'nowhere' }
    app.task('node.sender', async () => (await app.sendTask('nobody.home', nobody)).id)
    const worker = app.worker({ queues: ['node'], concurrency: 4 })
    closing.unshift({ close: async () => void (await Promise.all([worker.stop(), app.close()])) })
    await Promise.all([worker.start(), shop.startPythonWorker()])
    const driver = await shop.client()
    const canvas = (body: string): string =>
      `chord([s('py.add', 1, 2), s('node.add', 3, 4), s('py.add', 5, 6), s('node.add', 7, 8)], s('${body}'))`
    for (const body of ['node.echo', 'py.echo', 'node.echo', 'py.echo']) {
      const { id } = await driver.canvas(canvas(body))
      const outcome = await driver.get(id, 20)
      expect(JSON.stringify(outcome.ok?.value ?? outcome)).toContain('[3,7,11,15]')
    }
    await vi.waitFor(
      async () =>
        expect((await client.keys('*.[jts]')).filter((key) => !/mixed|bytes/.test(key))).toEqual([]),
      { interval: 10, timeout: 5000 },
    )
    // A client listens for what it sent; a task does not, for it must not wait.
    const outside = await app.sendTask('nobody.home', nobody)
    await subscribed(outside.id)
    const inside = await driver.get(await driver.send('node.sender', [], {}, { queue: 'node' }))
    expect(await client.call('PUBSUB', 'CHANNELS', `celery-task-meta-${inside.ok?.value}`)).toEqual([])
  })
})
