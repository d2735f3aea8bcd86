/** What waits, writes and reads do while Redis is away, and when it is back. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, RedisSentinels, RedisServer } from '../../interop-tests/redis-server.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { createCodec } from '../../protocol/serializers.js'
import { systemClock } from '../clock.js'
import { type Logger, silentLogger } from '../logger.js'
import { AsyncResult } from './async-result.js'
import { metaOf, storedPart } from './backend.conformance.js'
import type { ResultBackend } from './backend.js'
import type { BackendOptions } from './backend-options.js'
import { openBackend } from './open.js'

const codec = createCodec()
const never = new AbortController().signal

describe.skipIf(noRedis)('redis results when the server goes away', () => {
  const closing: { close(): Promise<void> }[] = []
  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
  })
  async function start(): Promise<RedisServer> {
    const server = await RedisServer.start({ appendonly: true })
    closing.push(server)
    return server
  }
  function open(url: string, options: Partial<BackendOptions> = {}): ResultBackend {
    const backend = openBackend(url, { codec, ...options })
    closing.push(backend)
    return backend
  }
  async function collect(watch: AsyncIterable<ResultMeta>): Promise<ResultMeta[]> {
    const metas: ResultMeta[] = []
    for await (const meta of watch) metas.push(meta)
    return metas
  }
  async function subscribed(server: RedisServer, count: number): Promise<void> {
    const client = server.client()
    // Only results': sentinels that watch a master talk to each other on a channel of it.
    const channels = (): Promise<unknown> => client.call('PUBSUB', 'CHANNELS', 'celery-task-meta-*')
    await vi.waitFor(async () => expect(await channels()).toHaveLength(count), {
      interval: 10,
      timeout: 10_000,
    })
    client.disconnect()
  }

  it('RES-022 a wait goes on over a restart: what was stored meanwhile is read, what comes later is heard', async () => {
    const server = await start()
    const backend = open(server.url)
    const during = collect(backend.watch(['during'], { signal: never }))
    const after = collect(backend.watch(['after'], { signal: never }))
    await subscribed(server, 2)
    await server.kill()
    await server.restart()
    const client = server.client()
    await client.set('celery-task-meta-during', '{"status": "SUCCESS", "result": 1, "task_id": "during"}')
    expect((await during)[0]?.result).toBe(1)
    await subscribed(server, 1)
    await client.publish('celery-task-meta-after', '{"status": "SUCCESS", "result": 2, "task_id": "after"}')
    expect((await after)[0]?.result).toBe(2)
    await subscribed(server, 0)
  })

  it.each([false, true])(
    'CNV-104 of two parts whose answers are lost and that are counted again one is the last, and stays it (stored in that step: %s)',
    async (isStored) => {
      const server = await start()
      const proxy = await TcpProxy.start(server.port)
      closing.push(proxy)
      const { chords } = open(server.urlAt(proxy.port))
      const part = (group: string, id: string, at: number) => {
        const meta = metaOf(id, 'SUCCESS', at)
        return isStored ? storedPart(chords, group, at, meta) : chords?.partDone(group, at, meta)
      }
      // A server that does not know the script yet says so, and a mute one could not.
      await part('warm', 'any', 0)
      await chords?.begin('c', 2)
      const client = server.client()
      proxy.mute()
      const first = part('c', 'a', 0)
      await vi.waitFor(async () => expect(await client.zcard('celery-taskset-meta-c.j')).toBe(1))
      const second = part('c', 'b', 1)
      await vi.waitFor(async () => expect(await client.zcard('celery-taskset-meta-c.j')).toBe(2))
      proxy.heal()
      const ends = [await first, await second]
      expect(ends.filter((parts) => parts !== undefined)).toHaveLength(1)
      const last = ends[0] === undefined ? ['b', 1] : ['a', 0]
      expect(await part('c', last[0] as string, last[1] as number)).toHaveLength(2)
      client.disconnect()
    },
  )

  it('RES-021 a store waits for a server that is out of memory, and stores when there is room', async () => {
    const server = await start()
    const backend = open(server.url)
    await backend.store(metaOf('warm', 'SUCCESS', 0))
    const client = server.client()
    await client.config('SET', 'maxmemory', '1')
    let ended = 0
    const stores = Array.from({ length: 3 }, (_, i) =>
      backend.store(metaOf(`late-${i}`, 'SUCCESS', i)).finally(() => (ended += 1)),
    )
    const refused = async (): Promise<string> => String(await client.info('errorstats'))
    await vi.waitFor(async () => expect(await refused()).toMatch(/OOM/), { timeout: 10_000 })
    expect(ended).toBe(0)
    await client.config('SET', 'maxmemory', '0')
    await Promise.all(stores)
    expect((await backend.fetch('late-2'))?.result).toBe(2)
    client.disconnect()
  })

  it('RES-021 a store leaves a server that became a replica for the one that takes writes', async () => {
    const server = await start()
    const backend = open(server.url)
    await backend.store(metaOf('warm', 'SUCCESS', 0))
    const client = server.client()
    const clients = async (): Promise<string> => String(await client.client('LIST'))
    const before = /^id=\d+ .* name=celeriac-results /m.exec(await clients())?.[0].split(' ')[0] as string
    await client.replicaof('127.0.0.1', 1)
    const store = backend.store(metaOf('late', 'SUCCESS', 1))
    await vi.waitFor(async () => expect(`${await clients()} `).not.toContain(`${before} `), {
      timeout: 10_000,
    })
    await client.replicaof('NO', 'ONE')
    await store
    expect((await backend.fetch('late'))?.result).toBe(1)
    client.disconnect()
  })

  it('RES-021 a store waits for a server that restarts, and each result is kept', async () => {
    const server = await start()
    const backend = open(server.url)
    await backend.store(metaOf('warm', 'SUCCESS', 0))
    await server.kill()
    const stores = Array.from({ length: 20 }, (_, i) => backend.store(metaOf(`late-${i}`, 'SUCCESS', i)))
    await server.restart()
    await Promise.all(stores)
    expect((await backend.fetchMany(Array.from({ length: 20 }, (_, i) => `late-${i}`))).size).toBe(20)
  })

  it('RES-021 fails a store with a typed error after the retries of retry_policy, and a read within its bound', async () => {
    const server = await start()
    const backend = open(server.url, {
      transportOptions: {
        retry_policy: { max_retries: 2, interval_start: 0.01, interval_step: 0.01, interval_max: 0.02 },
      },
    })
    await backend.store(metaOf('warm', 'SUCCESS', 0))
    await server.kill()
    await expect(backend.store(metaOf('lost', 'SUCCESS', 1))).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      retriable: true,
      message: expect.stringContaining('storing SUCCESS of task lost'),
    })
    await expect(backend.fetch('lost')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  it('fails the waits of a server that stays away, after about the time of Celery’s 20 retries', async () => {
    const server = await start()
    const system = systemClock()
    const faster = {
      now: () => system.now(),
      monotonic: () => system.monotonic() * 40,
      after: (ms: number, callback: () => void) => system.after(ms / 40, callback),
    }
    const backend = open(server.url, { clock: faster })
    const wait = collect(backend.watch(['never'], { signal: never }))
    const failure = expect(wait).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', retriable: true })
    await subscribed(server, 1)
    await server.kill()
    const started = faster.monotonic()
    await failure
    expect(faster.monotonic() - started).toBeGreaterThan(15_000)
    expect(faster.monotonic() - started).toBeLessThan(120_000)
  })

  it('RES-040 result_backend_always_retry goes on after that', async () => {
    const server = await start()
    const backend = open(server.url, {
      alwaysRetry: true,
      maxSleepMs: 50,
      transportOptions: { retry_policy: { max_retries: 0 } },
    })
    await server.kill()
    const stored = backend.store(metaOf('kept', 'SUCCESS', 1))
    await expect(Promise.race([stored, server.restart()])).resolves.toBeUndefined()
    await stored
    expect((await backend.fetch('kept'))?.result).toBe(1)
  })

  it('RES-045 ends a wait at its time, or by its signal, though the server is frozen', async () => {
    const server = await start()
    const backend = open(server.url)
    await backend.store(metaOf('warm', 'SUCCESS', 0))
    server.pause()
    try {
      const context = { backend, clock: systemClock(), insideTask: () => false }
      const started = performance.now()
      const parent = new AsyncResult('parent', context)
      const late = new AsyncResult('frozen', context, { parent }).get({ timeout: 0.2 })
      await expect(late).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
      expect(performance.now() - started).toBeLessThan(3000)
      const signal = AbortSignal.timeout(300)
      const ended = new AsyncResult('frozen', context).get({ timeout: 0.2, signal })
      await expect(ended).rejects.toMatchObject({ name: 'TimeoutError' })
    } finally {
      server.resume()
    }
  })

  it('closes within its bound while the server is frozen, and fails what is under way', async () => {
    const server = await start()
    const backend = open(server.url)
    await backend.store(metaOf('warm', 'SUCCESS', 0))
    server.pause()
    try {
      const stored = backend.store(metaOf('frozen', 'SUCCESS', 1))
      const waited = collect(backend.watch(['frozen'], { signal: never }))
      const failures = Promise.allSettled([stored, waited])
      const started = performance.now()
      await backend.close()
      expect(performance.now() - started).toBeLessThan(5000)
      for (const failure of await failures) {
        expect(failure).toMatchObject({ status: 'rejected', reason: { code: 'BACKEND_UNAVAILABLE' } })
      }
    } finally {
      server.resume()
    }
  })

  it('says once that the server is away and once that it is back', async () => {
    const server = await start()
    const said: string[] = []
    const logger: Logger = {
      ...silentLogger,
      warn: (_fields, message) => void said.push(`warn ${message}`),
      info: (_fields, message) => void said.push(`info ${message}`),
    }
    const backend = open(server.url, { logger })
    await backend.store(metaOf('warm', 'SUCCESS', 0))
    await server.kill()
    const stored = backend.store(metaOf('kept', 'SUCCESS', 1))
    await vi.waitFor(() => expect(said).toHaveLength(1), { interval: 5 })
    await server.restart()
    await stored
    expect(said).toEqual([expect.stringMatching(/^warn .*is away/), expect.stringMatching(/^info .*is back/)])
  })

  it('RES-026 follows the sentinels to a new master, with its waits', async () => {
    const set = await RedisSentinels.start()
    closing.push(set)
    const backend = open(set.url, { transportOptions: { master_name: set.masterName } })
    await backend.store(metaOf('before', 'SUCCESS', 1))
    const wait = collect(backend.watch(['over'], { signal: never }))
    const old = await set.master()
    await subscribed(old, 1)
    const master = await set.failover()
    // What a master takes between its replacement and its demotion Redis itself loses.
    const former = old.client()
    await vi.waitFor(async () => expect((await former.role())[0]).toBe('slave'), { timeout: 20_000 })
    await backend.store(metaOf('after', 'SUCCESS', 2))
    const client = master.client()
    expect(await client.get('celery-task-meta-after')).toMatch(/SUCCESS/)
    await client.set('celery-task-meta-over', '{"status": "SUCCESS", "result": 3, "task_id": "over"}')
    expect((await wait)[0]?.result).toBe(3)
  }, 60_000)

  it('RES-026 connects over TLS with a checked certificate, and over a Unix socket', async () => {
    const tls = await RedisServer.start({ tls: true, requirepass: 'pw' })
    const socket = await RedisServer.start({ unixSocket: true })
    closing.push(tls, socket)
    const ca = encodeURIComponent(tls.certificates?.ca ?? '')
    const over = open(`${tls.url}?ssl_cert_reqs=required&ssl_ca_certs=${ca}`)
    await over.store(metaOf('a', 'SUCCESS', 1))
    expect((await over.fetch('a'))?.result).toBe(1)
    const unchecked = open(`${tls.url}?ssl_cert_reqs=none`)
    expect((await unchecked.fetch('a'))?.result).toBe(1)
    const refusing = open(tls.url, { transportOptions: { retry_policy: { max_retries: 0 } } })
    await expect(refusing.store(metaOf('b', 'SUCCESS', 1))).rejects.toThrow(/certificate/)
    const local = open(`${socket.socketUrl}?virtual_host=2`)
    await local.store(metaOf('a', 'SUCCESS', 2))
    expect(await socket.client({ db: 2 }).exists('celery-task-meta-a')).toBe(1)
  })
})
