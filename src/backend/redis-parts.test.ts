import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { noRedis, RedisServer, skipNote } from '../../interop-tests/redis-server.js'
import { createCodec } from '../../protocol/serializers.js'
import { openRedis, type RedisClient } from '../transport/redis-client.js'
import { metaOf } from './backend.conformance.js'
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
})
