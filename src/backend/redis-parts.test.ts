import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { noRedis, RedisServer, skipNote } from '../../interop-tests/redis-server.js'
import { createCodec } from '../../protocol/serializers.js'
import { openRedis, type RedisClient } from '../transport/redis-client.js'
import { metaOf, storedPart } from './backend.conformance.js'
import type { ChordCounter } from './backend.js'
import { openBackend } from './open.js'

describe.skipIf(noRedis)(`the parts of chords in Redis${skipNote(noRedis)}`, () => {
  let server: RedisServer
  let admin: RedisClient
  beforeAll(async () => {
    server = await RedisServer.start()
    admin = await openRedis(server.url)
  })
  afterAll(async () => {
    admin?.close()
    await server?.close()
  })

  const open = () =>
    openBackend(server.url, {
      codec: createCodec(),
      transportOptions: { retry_policy: { interval_start: 0, interval_step: 0.02, interval_max: 0.02 } },
    })
  const part = (id: string) => metaOf(id, 'SUCCESS', id)

  it('CNV-104 CNV-105 counts those of one moment in one call, each chord on its own, in the order of their places', async () => {
    await admin.run('FLUSHALL')
    const backend = open()
    const chords = backend.chords as ChordCounter
    await Promise.all(['a', 'b'].map((id) => chords.begin(id, 300)))
    await admin.run('CONFIG', 'RESETSTAT')
    const counting = ['a', 'b'].flatMap((id) =>
      Array.from({ length: 300 }, (_, at) => chords.partDone(id, 299 - at, part(`${id}${at}`))),
    )
    const whole = (await Promise.all(counting)).flatMap((done) => (done === undefined ? [] : [done]))
    expect(whole.map((parts) => parts.map(({ taskId }) => taskId))).toEqual(
      ['a', 'b'].map((id) => Array.from({ length: 300 }, (_, at) => `${id}${299 - at}`)),
    )
    const calls = String(await admin.run('INFO', 'commandstats')).matchAll(
      /cmdstat_eval(?:sha)?:calls=(\d+)/g,
    )
    expect([...calls].reduce((sum, [, count]) => sum + Number(count), 0)).toBeLessThan(10)
    await backend.close()
  })

  it('CNV-104 a part that cannot be counted fails alone', async () => {
    await admin.run('FLUSHALL')
    const backend = open()
    const chords = backend.chords as ChordCounter
    await admin.run('SET', 'celery-taskset-meta-bad.j', 'no set')
    await chords.begin('good', 1)
    const [bad, good] = await Promise.allSettled([
      chords.partDone('bad', 0, part('x')),
      chords.partDone('good', 0, part('y')),
    ])
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'BACKEND_STORE' } })
    expect(good).toMatchObject({ status: 'fulfilled', value: [{ taskId: 'y' }] })
    await backend.close()
  })

  it('CNV-104 a part that the server cannot take now is counted when it can', async () => {
    await admin.run('FLUSHALL')
    const backend = open()
    const chords = backend.chords as ChordCounter
    await chords.begin('full', 1)
    await admin.run('CONFIG', 'RESETSTAT')
    await admin.run('CONFIG', 'SET', 'maxmemory', '1')
    const counting = chords.partDone('full', 0, part('x'))
    const refused = async () => String(await admin.run('INFO', 'errorstats'))
    await vi.waitFor(async () => expect(await refused()).toMatch(/OOM/), { timeout: 10_000 })
    await admin.run('CONFIG', 'SET', 'maxmemory', '0')
    expect(await counting).toMatchObject([{ taskId: 'x' }])
    await backend.close()
  })

  it('CNV-104 CNV-105 RES-005 stores and counts those of one moment in one call, as two calls would', async () => {
    await admin.run('FLUSHALL')
    const backend = openBackend(server.url, { codec: createCodec(), expires: 100 })
    const chords = backend.chords as ChordCounter
    const texts = async (key: string) => String(await admin.run('GET', key))
    await backend.store(part('known'))
    await admin.run('SET', 'celery-task-meta-started', '{"status": "STARTED", "result": null}')
    await admin.run('SET', 'celery-task-meta-yours', 'no JSON at all')
    const before = await texts('celery-task-meta-known')
    await chords.begin('c', 204)
    await admin.run('CONFIG', 'RESETSTAT')
    const ids = ['known', 'started', 'yours', ...Array.from({ length: 200 }, (_, at) => `p${at}`)]
    const heard: string[] = []
    const listener = server.client()
    await listener.subscribe('celery-task-meta-p7')
    listener.on('message', (_channel: string, text: string) => heard.push(text))
    const counted = await Promise.all(
      ids.map((id, at) => storedPart(chords, 'c', at, { ...part(id), result: at })),
    )
    expect(counted.filter(Boolean)).toEqual([])
    expect(await admin.run('ZCARD', 'celery-taskset-meta-c.j')).toBe(203)
    expect(await texts('celery-task-meta-known')).toBe(before)
    for (const [at, id] of ids.entries())
      if (at > 0)
        expect(JSON.parse(await texts(`celery-task-meta-${id}`))).toMatchObject({
          status: 'SUCCESS',
          result: at,
        })
    expect(await admin.run('TTL', 'celery-task-meta-p7')).toBe(100)
    expect(await admin.run('TTL', 'celery-taskset-meta-c.j')).toBe(100)
    await vi.waitFor(() => expect(heard).toHaveLength(1), { interval: 5 })
    expect(heard).toEqual([await texts('celery-task-meta-p7')])
    const calls = String(await admin.run('INFO', 'commandstats')).matchAll(
      /cmdstat_eval(?:sha)?:calls=(\d+)/g,
    )
    // One for all, and two for the one whose stored value only its reader can judge.
    expect([...calls].reduce((sum, [, count]) => sum + Number(count), 0)).toBeLessThan(6)
    const parts = await storedPart(chords, 'c', 203, part('last'))
    expect(parts?.map(({ taskId }) => taskId)).toEqual([...ids, 'last'])
    listener.disconnect()
    await backend.close()
  })

  it('CNV-119 counts a part once that is stored and counted twice at one moment, or in both ways', async () => {
    await admin.run('FLUSHALL')
    const backend = open()
    const chords = backend.chords as ChordCounter
    await chords.begin('c', 2)
    const twice = await Promise.all(
      [1, 2].map((result) => storedPart(chords, 'c', 0, { ...part('a'), result })),
    )
    expect(twice).toEqual([undefined, undefined])
    expect(await chords.partDone('c', 0, { ...part('a'), result: 3 })).toBeUndefined()
    expect(await admin.run('ZCARD', 'celery-taskset-meta-c.j')).toBe(1)
    expect(await storedPart(chords, 'c', 1, part('b'))).toMatchObject([{ result: 1 }, { result: 'b' }])
    await backend.close()
  })

  it('RES-021 stores and counts when it can what the server cannot take now', async () => {
    await admin.run('FLUSHALL')
    const backend = open()
    const chords = backend.chords as ChordCounter
    await chords.begin('full', 1)
    await admin.run('CONFIG', 'RESETSTAT')
    await admin.run('CONFIG', 'SET', 'maxmemory', '1')
    const counting = storedPart(chords, 'full', 0, part('x'))
    const refused = async () => String(await admin.run('INFO', 'errorstats'))
    await vi.waitFor(async () => expect(await refused()).toMatch(/OOM/), { timeout: 10_000 })
    await admin.run('CONFIG', 'SET', 'maxmemory', '0')
    expect(await counting).toMatchObject([{ taskId: 'x' }])
    expect((await backend.fetch('x'))?.result).toBe('x')
    await backend.close()
  })

  it('CNV-104 a part whose chord cannot be counted is stored, and fails', async () => {
    await admin.run('FLUSHALL')
    const backend = open()
    await admin.run('SET', 'celery-taskset-meta-bad.j', 'no set')
    await expect(storedPart(backend.chords, 'bad', 0, part('x'))).rejects.toMatchObject({
      code: 'BACKEND_STORE',
    })
    expect((await backend.fetch('x'))?.state).toBe('SUCCESS')
    await backend.close()
    await expect(storedPart(backend.chords, 'bad', 0, part('y'))).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
    })
  })
})
