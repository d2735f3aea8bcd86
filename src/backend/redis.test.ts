import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { createCodec } from '../../protocol/serializers.js'
import { systemClock } from '../clock.js'
import { BackendStoreError, BackendUnavailableError } from '../errors.js'
import { silentLogger } from '../logger.js'
import { AsyncResult } from './async-result.js'
import { describeBackend, metaOf } from './backend.conformance.js'
import type { ResultBackend } from './backend.js'
import type { BackendOptions } from './backend-options.js'
import { GroupResult } from './group-result.js'
import { openBackend } from './open.js'
import { RedisResultStore } from './redis.js'
import { redisBackendTarget } from './redis-target.js'

const codec = createCodec()
const never = new AbortController().signal

describe.skipIf(noRedis)('redis results', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server.close())

  describeBackend('redis://', async () => {
    const client = server.client()
    await client.flushall()
    return {
      open: (options) => openBackend(server.url, options),
      raw: async (key) => (await client.getBuffer(key)) ?? undefined,
      putRaw: async (key, bytes) => {
        await client.set(key, Buffer.from(bytes))
        await client.publish(key, Buffer.from(bytes))
      },
      /** Brings every expiry nearer; what is due is gone. */
      age: async (seconds) => {
        for (const key of await client.keys('*')) {
          const left = await client.ttl(key)
          if (left > seconds) await client.expire(key, left - seconds)
          else if (left >= 0) await client.del(key)
        }
      },
      close: async () => client.disconnect(),
    }
  })

  const opened: ResultBackend[] = []
  const open = (options: Partial<BackendOptions> = {}, url = server.url): ResultBackend => {
    const backend = openBackend(url, { codec, ...options })
    opened.push(backend)
    return backend
  }
  async function collect(watch: AsyncIterable<ResultMeta>): Promise<ResultMeta[]> {
    const metas: ResultMeta[] = []
    for await (const meta of watch) metas.push(meta)
    return metas
  }
  /** What a server executed while `act` ran, without what it was asked by this. */
  async function monitored(act: () => Promise<unknown>, on = server): Promise<string[][]> {
    const monitor = await on.client().monitor()
    const seen: string[][] = []
    monitor.on('monitor', (_time: string, args: string[]) => seen.push(args))
    await act()
    const client = on.client()
    await client.echo('end-of-monitor')
    await vi.waitFor(() => expect(seen.some((args) => args[1] === 'end-of-monitor')).toBe(true), {
      interval: 5,
    })
    client.disconnect()
    monitor.disconnect()
    return seen
  }
  async function subscriptions(on = server): Promise<string[]> {
    const client = on.client()
    const channels = (await client.call('PUBSUB', 'CHANNELS')) as string[]
    client.disconnect()
    return channels
  }
  afterAll(async () => {
    await Promise.all(opened.splice(0).map((backend) => backend.close()))
  })

  it('RES-021 stores with expiry and publishes the same bytes on the channel named like the key', async () => {
    const backend = open({ expires: 100 })
    const listener = server.client()
    const heard: string[] = []
    await listener.subscribe('celery-task-meta-pub')
    listener.on('message', (channel: string, text: string) => heard.push(channel, text))
    await backend.store(metaOf('pub', 'SUCCESS', 5))
    await vi.waitFor(() => expect(heard).toHaveLength(2), { interval: 2 })
    const client = server.client()
    expect(heard).toEqual(['celery-task-meta-pub', await client.get('celery-task-meta-pub')])
    expect(JSON.parse(heard[1] ?? '')).toMatchObject({ task_id: 'pub', status: 'SUCCESS' })
    expect(await client.ttl('celery-task-meta-pub')).toBe(100)
    await open({ expires: null }).store(metaOf('kept', 'SUCCESS', 5))
    expect(await client.ttl('celery-task-meta-kept')).toBe(-1)
    await open().store(metaOf('day', 'SUCCESS', 5))
    expect(await client.ttl('celery-task-meta-day')).toBe(86_400)
  })

  it('RES-021 stores the results of one tick in one round trip', async () => {
    const backend = open()
    await backend.store(metaOf('warm', 'SUCCESS'))
    const seen = await monitored(() =>
      Promise.all(Array.from({ length: 100 }, (_, i) => backend.store(metaOf(`tick-${i}`, 'SUCCESS', i)))),
    )
    const calls = seen.filter(([name]) => /^evalsha$/i.test(name ?? ''))
    expect(calls).toHaveLength(1)
    expect(seen.filter(([name]) => /^setex$/i.test(name ?? ''))).toHaveLength(100)
    expect((await backend.fetchMany(Array.from({ length: 100 }, (_, i) => `tick-${i}`))).size).toBe(100)
  })

  it('RES-005 keeps a SUCCESS and replaces the rest also where the bytes are not JSON', async () => {
    const backend = open({ serializer: 'msgpack' })
    await backend.store(metaOf('mp', 'STARTED', { pid: 1 }))
    await backend.store(metaOf('mp', 'PROGRESS', 50))
    await backend.store(metaOf('mp', 'SUCCESS', 'end'))
    await backend.store(metaOf('mp', 'STARTED', 'late'))
    expect(await backend.fetch('mp')).toMatchObject({ state: 'SUCCESS', result: 'end' })
  })

  it('refuses one key of another type without failing what is stored with it', async () => {
    const backend = open()
    await server.client().lpush('celery-task-meta-list', 'x')
    const stored = await Promise.allSettled([
      backend.store(metaOf('before', 'SUCCESS', 1)),
      backend.store(metaOf('list', 'SUCCESS', 1)),
      backend.store(metaOf('after', 'SUCCESS', 1)),
    ])
    expect(stored.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(stored[1]).toMatchObject({ reason: { code: 'BACKEND_STORE' } })
    expect((await backend.fetchMany(['before', 'after'])).size).toBe(2)
  })

  it('RES-024 refuses a value of more than 512 MiB before sending it', async () => {
    const store = new RedisResultStore(redisBackendTarget('redis://127.0.0.1:1', {}, {}), {
      clock: systemClock(),
      random: Math.random,
      logger: silentLogger,
      expires: 1,
    })
    await expect(store.set('celery-task-meta-big', Buffer.alloc(536_870_913))).rejects.toBeInstanceOf(
      BackendStoreError,
    )
    await store.close()
  })

  it('stores and reads values of several megabytes', async () => {
    const backend = open()
    const text = 'x'.repeat(5_000_000)
    await Promise.all([
      backend.store(metaOf('l1', 'SUCCESS', text)),
      backend.store(metaOf('l2', 'SUCCESS', text)),
    ])
    expect((await backend.fetch('l2'))?.result).toBe(text)
  })

  it('RES-022 RES-025 waits on one connection and leaves no subscription behind', async () => {
    const backend = open()
    const ids = Array.from({ length: 1500 }, (_, i) => `sub-${i}`)
    const before = await subscriptions()
    const waits = ids.map((id) => collect(backend.watch([id], { signal: never })))
    await vi.waitFor(async () => expect(await subscriptions()).toHaveLength(before.length + 1500), {
      interval: 10,
    })
    const client = server.client()
    const clients = String(await client.client('LIST')).split('\n')
    expect(clients.filter((line) => / sub=1500 /.test(line))).toHaveLength(1)
    const writer = open()
    await Promise.all(ids.map((id) => writer.store(metaOf(id, 'SUCCESS', id))))
    expect((await Promise.all(waits)).map(([meta]) => meta?.result)).toEqual(ids)
    await vi.waitFor(async () => expect(await subscriptions()).toEqual(before), { interval: 5 })
  })

  it('RES-022 frees the subscription of a wait that was given up, of one of two, and of a forgotten task', async () => {
    const backend = open()
    const one = new AbortController()
    const two = new AbortController()
    const first = collect(backend.watch(['gone'], { signal: one.signal }))
    const second = collect(backend.watch(['gone'], { signal: two.signal }))
    await backend.expect?.('forgotten')
    const channels = ['celery-task-meta-forgotten', 'celery-task-meta-gone']
    const now = async (): Promise<string[]> =>
      (await subscriptions()).filter((c) => /gone|forgotten/.test(c)).sort()
    await vi.waitFor(async () => expect(await now()).toEqual(channels), { interval: 5 })
    one.abort()
    await first
    await backend.forget('forgotten')
    await vi.waitFor(async () => expect(await now()).toEqual(['celery-task-meta-gone']), { interval: 5 })
    two.abort()
    await second
    await vi.waitFor(async () => expect(await now()).toEqual([]), { interval: 5 })
  })

  it('RES-025 RES-054 hands a result to those who wait for it before it forgets it; otherwise they wait on', async () => {
    const backend = open()
    const client = server.client()
    const put = (id: string): Promise<unknown> =>
      client.set(`celery-task-meta-${id}`, JSON.stringify({ task_id: id, status: 'SUCCESS', result: id }))
    // Its value is read by the first look at both, so that no later look finds what is put without a word.
    await put('looked')
    const watch = backend.watch(['looked', 'waited'], { signal: never })[Symbol.asyncIterator]()
    expect((await watch.next()).value?.result).toBe('looked')
    const next = watch.next()
    await backend.forget('waited')
    await put('waited')
    await backend.forget('waited')
    expect((await next).value?.result).toBe('waited')
    expect(await client.exists('celery-task-meta-waited')).toBe(0)
    client.disconnect()
    // A task that ends after it was forgotten: Celery's waiter would not hear of it any more.
    const late = collect(backend.watch(['late'], { signal: never }))
    await backend.forget('late')
    await open().store(metaOf('late', 'SUCCESS', 'after all'))
    expect((await late).map(({ result }) => result)).toEqual(['after all'])
  })

  it('RES-023 subscribes to expected tasks in one command, and frees each as it gets ready', async () => {
    const backend = open()
    await collect(backend.watch(['warm-up'], { signal: AbortSignal.timeout(100) }))
    const ids = Array.from({ length: 50 }, (_, i) => `expected-${i}`)
    const seen = await monitored(() => Promise.all(ids.map((id) => backend.expect?.(id))))
    expect(seen.filter(([name]) => /^subscribe$/i.test(name ?? '')).map((args) => args.length)).toEqual([51])
    await Promise.all(ids.map((id) => open().store(metaOf(id, 'SUCCESS', id))))
    await vi.waitFor(
      async () => expect((await subscriptions()).filter((c) => /expected/.test(c))).toEqual([]),
      { interval: 5 },
    )
    expect((await collect(backend.watch(ids, { signal: never }))).length).toBe(50)
  })

  it('RES-023 gives what was heard before the wait began without a look, but for failures and what is old', async () => {
    const system = systemClock()
    let shiftMs = 0
    const clock = { ...system, monotonic: () => system.monotonic() + shiftMs }
    const backend = open({ clock })
    const ids = ['heard-ok', 'heard-failed', 'heard-old', 'heard-again', 'heard-forgotten'] as const
    const heard = async (): Promise<void> => {
      await Promise.all(ids.map((id) => backend.expect?.(id)))
      const left = async (): Promise<string[]> =>
        (await subscriptions()).filter((each) => /heard-/.test(each))
      await vi.waitFor(async () => expect(await left()).toHaveLength(ids.length), { interval: 5 })
      const error = { type: 'E', module: undefined, args: [], traceback: undefined }
      const meta = (id: string): ResultMeta =>
        id === 'heard-failed' ? metaOf(id, 'FAILURE', error) : metaOf(id, 'SUCCESS', id)
      await Promise.all(ids.map((id) => open().store(meta(id))))
      await vi.waitFor(async () => expect(await left()).toEqual([]), { interval: 5 })
    }
    await heard()
    // Whoever looks finds nothing.
    await server.client().del(ids.map((id) => `celery-task-meta-${id}`))
    const found = async (id: string): Promise<readonly unknown[]> =>
      (await collect(backend.watch([id], { signal: AbortSignal.timeout(200) }))).map(({ result }) => result)
    expect(await found('heard-ok')).toEqual(['heard-ok'])
    expect(await found('heard-ok')).toEqual([])
    expect(await found('heard-failed')).toEqual([])
    await backend.forget('heard-forgotten')
    expect(await found('heard-forgotten')).toEqual([])
    await backend.expect?.('heard-again')
    expect(await found('heard-again')).toEqual([])
    shiftMs = 10_001
    expect(await found('heard-old')).toEqual([])
  })

  it('RES-047 tells who waits for the body of a chord of the body alone, and of the part that made it fail', async () => {
    const backend = open()
    const context = { backend, clock: systemClock(), insideTask: () => false }
    const parts = ['of-a', 'of-b', 'of-c'].map((id) => new AsyncResult(`part-${id}`, context))
    const parent = new GroupResult('header', parts, context)
    const waiting = new AsyncResult('body-of', context, { parent }).get({ timeout: 10, interval: 5 })
    const heard = async (): Promise<string[]> => (await subscriptions()).filter((one) => /-of/.test(one))
    await vi.waitFor(async () => expect(await heard()).toEqual(['celery-task-meta-body-of']), { interval: 5 })
    const failure = (type: string): object => ({
      type,
      module: 'builtins',
      args: ['no'],
      traceback: undefined,
    })
    await open().store(metaOf('part-of-a', 'SUCCESS', 1))
    await open().store(metaOf('part-of-b', 'FAILURE', failure('KeyError')))
    await open().store(metaOf('body-of', 'FAILURE', failure('ChordError')))
    await expect(waiting).rejects.toMatchObject({ taskId: 'part-of-b', excType: 'KeyError' })
    expect(await heard()).toEqual([])
  })

  it('RES-023 stops listening for what was expected and never came, when something else is expected', async () => {
    const system = systemClock()
    let shiftMs = 0
    const backend = open({
      clock: {
        now: () => system.now(),
        monotonic: () => system.monotonic() + shiftMs,
        after: (ms, callback) => system.after(ms, callback),
      },
    })
    const now = async (): Promise<string[]> => (await subscriptions()).filter((each) => /-come$/.test(each))
    await backend.expect?.('old-come')
    await vi.waitFor(async () => expect(await now()).toEqual(['celery-task-meta-old-come']), { interval: 5 })
    shiftMs = 601_000
    await backend.expect?.('new-come')
    await vi.waitFor(async () => expect(await now()).toEqual(['celery-task-meta-new-come']), { interval: 5 })
  })

  it('hears a result that was only published, as Celery does', async () => {
    const backend = open()
    const wait = collect(backend.watch(['only-pub'], { signal: never }))
    await vi.waitFor(async () => expect(await subscriptions()).toContain('celery-task-meta-only-pub'), {
      interval: 5,
    })
    const text = '{"status": "SUCCESS", "result": 7, "task_id": "only-pub"}'
    await server.client().publish('celery-task-meta-only-pub', text)
    expect((await wait)[0]?.result).toBe(7)
  })

  it('finds a result whose message was lost, by looking again', async () => {
    let look: (() => void) | undefined
    const system = systemClock()
    const clock = {
      now: () => system.now(),
      monotonic: () => system.monotonic(),
      after: (ms: number, callback: () => void) => {
        if (ms !== 10_000) return system.after(ms, callback)
        look = callback
        return () => {}
      },
    }
    const backend = open({ clock })
    const wait = collect(backend.watch(['silent'], { signal: never }))
    await vi.waitFor(async () => expect(await subscriptions()).toContain('celery-task-meta-silent'), {
      interval: 5,
    })
    await server
      .client()
      .set('celery-task-meta-silent', '{"status": "SUCCESS", "result": 8, "task_id": "silent"}')
    look?.()
    expect((await wait)[0]?.result).toBe(8)
  })

  it('says what is wrong to those who wait when the server refuses the channel', async () => {
    const client = server.client()
    await client.call('ACL', 'SETUSER', 'narrow', 'on', '>pw', '~*', '+@all', 'resetchannels')
    const url = server.url.replace('redis://', 'redis://narrow:pw@')
    const wait = collect(open({}, url).watch(['refused'], { signal: never }))
    await expect(wait).rejects.toMatchObject({ code: 'CONFIG', message: /NOPERM/ })
  })

  it('RES-026 hides the password in what it shows and throws', async () => {
    const backend = open(
      { transportOptions: { retry_policy: { max_retries: 0 } } },
      'redis://:s3cret@127.0.0.1:1/0',
    )
    expect(backend.displayUrl).toBe('redis://:**@127.0.0.1:1/0')
    const failure = await backend.store(metaOf('x', 'SUCCESS')).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BackendUnavailableError)
    expect(String(failure)).toMatch(/storing SUCCESS of task x/)
    expect(String(failure)).not.toMatch(/s3cret/)
  })

  describe('chords', () => {
    const raw = (key: string): Promise<string | null> => server.client().get(key)

    it('CNV-097 CNV-102 CNV-103 CNV-105 counts parts under Celery’s keys and gives them in header order to the last', async () => {
      const { chords } = open({ expires: 100 })
      const client = server.client()
      await chords?.begin('c1', 3)
      expect(await raw('celery-taskset-meta-c1.s')).toBe('3')
      expect(await chords?.partDone('c1', 2, metaOf('p2', 'SUCCESS', { two: 'ø",😀' }))).toBeUndefined()
      expect(await chords?.partDone('c1', 0, metaOf('p0', 'SUCCESS', 0))).toBeUndefined()
      expect(await client.zrange('celery-taskset-meta-c1.j', '0', '-1', 'WITHSCORES')).toEqual([
        '[1, "p0", "SUCCESS", 0]',
        '0',
        '[1, "p2", "SUCCESS", {"two": "\\u00f8\\",\\ud83d\\ude00"}]',
        '2',
      ])
      expect(await client.ttl('celery-taskset-meta-c1.j')).toBe(100)
      expect(await client.ttl('celery-taskset-meta-c1.s')).toBe(100)
      const parts = await chords?.partDone('c1', Infinity, metaOf('p1', 'SUCCESS', [1]))
      expect(parts?.map(({ taskId, result }) => [taskId, result])).toEqual([
        ['p0', 0],
        ['p2', { two: 'ø",😀' }],
        ['p1', [1]],
      ])
      await chords?.end?.('c1')
      expect(await client.keys('celery-taskset-meta-c1*')).toEqual([])
    })

    it('CNV-098 CNV-119 counts a part that ran twice with the same result once, and completes again for its second run', async () => {
      const { chords } = open()
      await chords?.begin('c2', 2)
      await chords?.partDone('c2', 0, metaOf('a', 'SUCCESS', 1))
      expect(await chords?.partDone('c2', 0, metaOf('a', 'SUCCESS', 1))).toBeUndefined()
      expect(await chords?.partDone('c2', 1, metaOf('b', 'SUCCESS', 1))).toHaveLength(2)
    })

    it('CNV-119 counts a part that ran again with another result once, and keeps its success', async () => {
      const { chords } = open()
      const error = { type: 'ValueError', module: 'builtins', args: ['late'], traceback: undefined }
      for (const place of [0, Number.POSITIVE_INFINITY]) {
        const id = `c2b-${place}`
        await chords?.begin(id, 3)
        await chords?.partDone(id, place, metaOf('ab', 'FAILURE', error))
        await chords?.partDone(id, place, metaOf('a', 'SUCCESS', 7))
        expect(await chords?.partDone(id, place, metaOf('ab', 'SUCCESS', 1))).toBeUndefined()
        expect(await chords?.partDone(id, place, metaOf('ab', 'FAILURE', error))).toBeUndefined()
        const parts = await chords?.partDone(id, place, metaOf('b', 'SUCCESS', 2))
        expect(parts?.map(({ taskId, result }) => [taskId, result])).toEqual([
          ['a', 7],
          ['ab', 1],
          ['b', 2],
        ])
      }
    })

    it('CNV-096 orders parts of one place by their bytes', async () => {
      const { chords } = open()
      await chords?.begin('c2c', 3)
      await chords?.partDone('c2c', 0, metaOf('b', 'SUCCESS', 1))
      await chords?.partDone('c2c', 0, metaOf('a', 'SUCCESS', 2))
      const parts = await chords?.partDone('c2c', 0, metaOf('aa', 'SUCCESS', 3))
      expect(parts?.map(({ taskId }) => taskId)).toEqual(['a', 'aa', 'b'])
    })

    it('CNV-105 CNV-110 reads parts that came one by one, and says which cannot be read', async () => {
      const { chords } = open()
      const add = (id: string, member: string, place: number): Promise<unknown> =>
        server.client().zadd(`celery-taskset-meta-${id}.j`, place, member)
      await chords?.begin('c2d', 4)
      await add('c2d', '[1, "long", "SUCCESS", 12345678901234567890]', 0)
      await add(
        'c2d',
        '[1, "failed", "FAILURE", {"exc_type": "KeyError", "exc_message": ["k"], "exc_module": "builtins"}]',
        1,
      )
      await add('c2d', '[1, "nan", "SUCCESS", NaN]', 2)
      const parts = await chords?.partDone('c2d', 3, metaOf('last', 'SUCCESS', 'ø'))
      expect(parts?.map(({ taskId, state, result }) => [taskId, state, result])).toEqual([
        ['long', 'SUCCESS', 12345678901234567890n],
        ['failed', 'FAILURE', expect.objectContaining({ type: 'KeyError', args: ['k'] })],
        ['nan', 'SUCCESS', Number.NaN],
        ['last', 'SUCCESS', 'ø'],
      ])
      for (const [at, wrong] of ['[1, "a", "SUCCESS", 1], [1, "b", "SUCCESS", 2]', '[1, "a"]'].entries()) {
        await chords?.begin(`c2e${at}`, 2)
        await add(`c2e${at}`, wrong, 0)
        const last = chords?.partDone(`c2e${at}`, 1, metaOf('z', 'SUCCESS', 1))
        await expect(last).rejects.toMatchObject({ code: 'DECODE_ERROR' })
      }
    })

    it('TSK-093 expects a part more for each that was added', async () => {
      const { chords } = open()
      await chords?.begin('c3', 1)
      await chords?.grow?.('c3')
      expect(await raw('celery-taskset-meta-c3.t')).toBe('1')
      expect(await chords?.partDone('c3', 0, metaOf('a', 'SUCCESS', 1))).toBeUndefined()
      expect(await chords?.partDone('c3', 1, metaOf('b', 'SUCCESS', 1))).toHaveLength(2)
    })

    it('CNV-103 only counts while no size is known', async () => {
      const { chords } = open()
      expect(await chords?.partDone('c4', 0, metaOf('a', 'SUCCESS', 1))).toBeUndefined()
      await chords?.begin('c4', 2)
      expect(await chords?.partDone('c4', 1, metaOf('b', 'SUCCESS', 1))).toHaveLength(2)
    })

    it('CNV-102 keeps a list when result_chord_ordered is off', async () => {
      const { chords } = open({ transportOptions: { result_chord_ordered: false, global_keyprefix: 'pre' } })
      await chords?.begin('c5', 2)
      await chords?.partDone('c5', 1, metaOf('b', 'SUCCESS', 1))
      expect(await server.client().lrange('pre_celery-taskset-meta-c5.j', 0, -1)).toEqual([
        '[1, "b", "SUCCESS", 1]',
      ])
      const parts = await chords?.partDone('c5', 0, metaOf('a', 'SUCCESS', 1))
      expect(parts?.map(({ taskId }) => taskId)).toEqual(['b', 'a'])
    })

    it('CNV-096 CNV-097 CNV-098 orders parts of one place by their bytes, those without one last, and keeps one of two alike', async () => {
      const { chords } = open()
      await chords?.begin('c8', 4)
      await chords?.partDone('c8', Infinity, metaOf('a', 'SUCCESS', 'no place'))
      await chords?.partDone('c8', 0, metaOf('z', 'SUCCESS', 'second'))
      await chords?.partDone('c8', 0, metaOf('y', 'SUCCESS', 'first'))
      expect(await chords?.partDone('c8', 0, metaOf('y', 'SUCCESS', 'first'))).toBeUndefined()
      expect(await server.client().zcard('celery-taskset-meta-c8.j')).toBe(3)
      const parts = await chords?.partDone('c8', 1, metaOf('b', 'SUCCESS', 'third'))
      expect(parts?.map(({ result }) => result)).toEqual(['first', 'second', 'third', 'no place'])
    })

    it('CNV-107 says of a joined header which of its members failed, or was never stored', async () => {
      const backend = open()
      const error = { type: 'ValueError', module: 'builtins', args: ['boom'], traceback: undefined }
      for (const stored of [true, false]) {
        const id = `c9-${stored}`
        const inner = [['inner', null], [[[`x-${id}`, null], null]]]
        await backend.storeGroup(id, [[id, null], [inner]] as never)
        await backend.chords?.begin(id, 1)
        if (stored) await backend.store(metaOf(`x-${id}`, 'FAILURE', error))
        const parts = await backend.chords?.partDone(id, 0, metaOf(`x-${id}`, 'FAILURE', error))
        const type = stored ? 'ValueError' : 'TimeoutError'
        expect(parts).toMatchObject([{ state: 'FAILURE', result: { type }, isJoined: true }])
      }
    })

    it('CNV-104 gives failed parts with their errors, and joins a header that was saved as a group', async () => {
      const backend = open()
      const { chords } = backend
      const error = { type: 'ValueError', module: 'builtins', args: ['boom', 42], traceback: undefined }
      await chords?.begin('c6', 1)
      const [failed] = (await chords?.partDone('c6', 0, metaOf('a', 'FAILURE', error))) ?? []
      expect(failed).toMatchObject({ taskId: 'a', state: 'FAILURE', result: error })

      await backend.storeGroup('c7', [
        ['c7', null],
        [
          [['x', null], null],
          [
            ['inner', null],
            [
              [['y', null], null],
              [['z', null], null],
            ],
          ],
        ],
      ])
      await chords?.begin('c7', 3)
      for (const [index, id] of ['x', 'y', 'z'].entries()) {
        await backend.store(metaOf(id, 'SUCCESS', id))
        const parts = await chords?.partDone('c7', index, metaOf(id, 'SUCCESS', id))
        expect(parts?.map(({ result }) => result)).toEqual(id === 'z' ? ['x', ['y', 'z']] : undefined)
      }
    })
  })
})
