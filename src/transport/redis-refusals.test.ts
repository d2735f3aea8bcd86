/** Redis does not undo a script that fails halfway: whatever the server refuses, no message may be gone. */
import { describe, expect, it, vi } from 'vitest'
import { noRedis, type RedisServer } from '../../interop-tests/redis-server.js'
import { decodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import { DeliveryLostError } from '../errors.js'
import { Collector, toQueue } from './collector.conformance.js'
import type { RedisClient } from './redis-client.js'
import { useRedis } from './redis-rig.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import type { Connection } from './transport.js'

describe.skipIf(noRedis)(`refusals of Redis (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  let queue: string
  let connections: Connection[]

  useRedis((rig) => {
    ;({ server, admin, queue, connections } = rig)
  })

  async function connect(visibilityTimeout = 60, url = server.url): Promise<Connection> {
    const transportOptions = { visibility_timeout: visibilityTimeout }
    const connection = await createRedisTransport().connect(url, { transportOptions })
    connections.push(connection)
    return connection
  }
  async function holding(count: number, visibilityTimeout = 60, from = queue): Promise<Collector> {
    const connection = await connect(visibilityTimeout)
    const texts = Array.from({ length: count }, (_, at) => `m${at}`)
    await connection.publish(toQueue(from, texts))
    const collector = new Collector()
    await connection.consume([from], collector.options(0))
    await collector.count(count)
    return collector
  }
  const waiting = async (key: string): Promise<string[]> => {
    const texts = (await admin.run('LRANGE', key, 0, -1)) as string[]
    return texts.map((text) => Buffer.from(decodeVirtualEnvelope(text).envelope.body).toString()).reverse()
  }

  it.each(['zmscore', 'zadd', 'hset'])(
    'PUB-073 leaves messages in their queue, in order, when the user may not use %s',
    async (command) => {
      const sender = await connect()
      await sender.publish(toQueue(queue, ['a', 'b', 'c']))
      await admin.run(
        'ACL',
        'SETUSER',
        'limited',
        'reset',
        'on',
        '>secret',
        '~*',
        '&*',
        '+@all',
        `-${command}`,
      )
      const limited = await connect(60, server.url.replace('redis://', 'redis://limited:secret@'))
      await expect(limited.get(queue)).rejects.toThrow(/can't run this command|no permissions/)
      expect(await waiting(queue)).toEqual(['a', 'b', 'c'])
      expect(await admin.run('HLEN', 'unacked')).toBe(0)
      expect(await admin.run('ZCARD', 'unacked_index')).toBe(0)
    },
  )

  it('PUB-074 keeps what it holds in unacked when its queue takes nothing back', async () => {
    // Fetched one by one: a consumer would notice the wrong key, and end, before anything is put back.
    const connection = await connect()
    await connection.publish(toQueue(queue, ['a', 'b', 'c']))
    const deliveries = [await connection.get(queue), await connection.get(queue), await connection.get(queue)]
    await admin.run('SET', queue, 'not a list')
    await expect(deliveries[0]?.reject({ requeue: true })).rejects.toThrow(DeliveryLostError)
    await connection.close()
    expect(await admin.run('HLEN', 'unacked')).toBe(3)
    expect(await admin.run('ZCARD', 'unacked_index')).toBe(3)
  })

  it('PUB-074 restores other queues past one that takes nothing, and that one when it does again', async () => {
    const other = `${queue}-other`
    await holding(2, 0.5)
    await holding(2, 0.5, other)
    await admin.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await Promise.all(connections.map((connection) => connection.closed))
    await admin.run('SET', queue, 'not a list')
    const restorer = await connect(0.5)
    const collector = new Collector()
    await restorer.consume([other], collector.options(0))
    await collector.count(2)
    expect(await admin.run('HLEN', 'unacked')).toBe(4)
    await admin.run('DEL', queue)
    await vi.waitUntil(async () => (await admin.run('LLEN', queue)) === 2, { timeout: 10_000 })
    expect(await waiting(queue)).toEqual(['m0', 'm1'])
  })
})
