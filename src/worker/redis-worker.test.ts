import { beforeAll, describe, expect, it } from 'vitest'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { openRedis, type RedisClient } from '../transport/redis-client.js'
import { Trial, until } from './trial.test.setup.js'

describe.skipIf(noRedis)(`a worker over Redis (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  beforeAll(async () => {
    server = await RedisServer.start()
    admin = await openRedis(server.url)
    return async () => {
      admin.close()
      await server.close()
    }
  })

  it('WRK-074 ACK-027 PUB-076 cold: gives back what ran and what had not started in the order in which it came', async () => {
    await using trial = new Trial({ brokerUrl: server.url, taskDefaultQueue: 'cold' })
    let started = 0
    const task = trial.app.task('t.long', { acksLate: true }, () => {
      started += 1
      return new Promise<void>(() => {})
    })
    const ids: string[] = []
    for (let at = 0; at < 6; at += 1) ids.push((await task.delay()).id)
    const worker = await trial.started({ concurrency: 2, prefetchMultiplier: 10 })
    await until('two run and four wait', () => started === 2 && worker.ledger.size === 6)
    await worker.stop({ how: 'cold' })
    const texts = (await admin.run('LRANGE', 'cold', 0, -1)) as string[]
    const waiting = texts.map((text) => (JSON.parse(text) as { headers: { id: string } }).headers.id)
    // The end of the list is taken first.
    expect(waiting.toReversed()).toEqual(ids)
  })

  it('WRK-031 says once of each item that is no message, whoever consumes from its queue or nobody', async () => {
    await using trial = new Trial({ brokerUrl: server.url, taskDefaultQueue: 'unread' })
    await admin.run('LPUSH', 'unread', 'no JSON', '[]')
    // What a dead worker held, for a queue of somebody else.
    await admin.run('HSET', 'unacked', 'tag', 'neither')
    await admin.run('ZADD', 'unacked_index', 1, 'tag')
    await trial.started()
    const kept = (): readonly string[] =>
      trial.lines.flatMap(({ level, fields }) =>
        level === 'error' && 'keptAt' in fields ? [String(fields['keptAt'])] : [],
      )
    const key = '_celeriac.unreadable.unread'
    await until('it has said so', () => kept().length >= 3 && kept().includes('_celeriac.unreadable.'))
    expect(kept().toSorted()).toEqual(['_celeriac.unreadable.', key, key])
    expect(await admin.run('LLEN', key)).toBe(2)
  })
})
