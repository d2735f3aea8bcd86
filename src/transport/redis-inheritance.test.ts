import { describe, expect, it } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, type RedisServer } from '../../interop-tests/redis-server.js'
import { DeliveryLostError } from '../errors.js'
import { textOf, toQueue } from './collector.conformance.js'
import type { RedisClient } from './redis-client.js'
import { useRedis } from './redis-rig.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import type { Connection, Delivery } from './transport.js'

describe.skipIf(noRedis)(`what Redis connections inherit (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  let queue: string
  let connections: Connection[]

  useRedis((rig) => {
    ;({ server, admin, queue, connections } = rig)
  })

  async function connect(port = server.port): Promise<Connection> {
    const url = server.urlAt(port)
    const connection = await createRedisTransport().connect(url, { transportOptions: {} })
    connections.push(connection)
    return connection
  }
  const entries = async (): Promise<readonly (readonly [string, string])[]> => {
    const pairs = (await admin.run('HGETALL', 'unacked')) as string[]
    return pairs.flatMap((tag, at) => (at % 2 === 0 ? [[tag, pairs[at + 1] as string] as const] : []))
  }
  const scoreOf = async (tag: string): Promise<number> =>
    Number(await admin.run('ZSCORE', 'unacked_index', tag))
  const take = async (connection: Connection, count: number): Promise<readonly Delivery[]> => {
    const texts = Array.from({ length: count }, (_, at) => `message ${at}`)
    await connection.publish(toQueue(queue, texts))
    const taken: Delivery[] = []
    for (const _ of texts) taken.push((await connection.get(queue)) as Delivery)
    return taken
  }

  it('PUB-074 PUB-075 takes over what a lost connection works on, and only what nobody else has', async () => {
    const proxy = await TcpProxy.start(server.port)
    try {
      const lost = await connect(proxy.port)
      const deliveries = await take(lost, 4)
      const before = new Map(await entries())
      const tagOf = (text: string): string => [...before].find(([, value]) => value.includes(text))?.[0] ?? ''
      // One was restored and taken up by Python, one restored and run.
      await admin.run('HSET', 'unacked', tagOf('message 1'), before.get(tagOf('message 1'))?.trimEnd() ?? '')
      await admin.run('HDEL', 'unacked', tagOf('message 2'))
      await admin.run('ZREM', 'unacked_index', tagOf('message 2'))
      await admin.run('ZADD', 'unacked_index', 1, tagOf('message 3'))
      proxy.cut()
      await lost.closed

      const heir = await connect()
      const adopted = await heir.adopt?.(deliveries)
      expect(adopted?.map((one) => one && textOf(one))).toEqual([
        'message 0',
        undefined,
        undefined,
        'message 3',
      ])
      expect(await scoreOf(tagOf('message 3'))).toBeGreaterThan(1000)
      // Kombu still reads each entry, and what it read is what it was.
      for (const [tag, value] of await entries())
        expect(JSON.parse(value)).toEqual(JSON.parse(before.get(tag) ?? ''))
      await expect(deliveries[0]?.ack()).rejects.toBeInstanceOf(DeliveryLostError)
      expect(await heir.settleLost?.(deliveries.slice(0, 1), 'ack')).toEqual(deliveries.slice(0, 1))
      expect(adopted?.[0]?.isHeld?.()).toBe(true)
      await adopted?.[0]?.ack()
      await adopted?.[3]?.release?.()
      expect((await entries()).map(([tag]) => tag)).toEqual([tagOf('message 1')])
      expect(textOf((await heir.get(queue)) as Delivery)).toBe('message 3')
    } finally {
      await proxy.close()
    }
  })

  it('PUB-075 returns what it took over to its queue when it closes', async () => {
    const lost = await connect()
    const deliveries = await take(lost, 2)
    await admin.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await lost.closed
    const heir = await connect()
    expect(await heir.adopt?.(deliveries)).toHaveLength(2)
    await heir.close()
    expect(await entries()).toEqual([])
    const next = await connect()
    expect(await next.queueLength(queue)).toBe(2)
    expect(textOf((await next.get(queue)) as Delivery)).toBe('message 0')
  })

  it('PUB-075 takes over, and settles, what a connection took over that did not live to hear of it', async () => {
    const proxy = await TcpProxy.start(server.port)
    try {
      const first = await connect()
      const deliveries = await take(first, 2)
      const values = new Set((await entries()).map(([, value]) => value))
      await admin.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      await first.closed
      const second = await connect(proxy.port)
      proxy.mute()
      const adopting = second.adopt?.(deliveries)
      adopting?.catch(() => {})
      await expect.poll(async () => (await entries()).every(([, value]) => !values.has(value))).toBe(true)
      proxy.heal()
      await expect(adopting).rejects.toThrow()

      const third = await connect()
      expect(await third.settleLost?.(deliveries.slice(0, 1), 'ack')).toEqual([])
      const adopted = await third.adopt?.(deliveries)
      expect(adopted?.map((one) => one && textOf(one))).toEqual([undefined, 'message 1'])
      await adopted?.[1]?.ack()
      expect(await entries()).toEqual([])
    } finally {
      await proxy.close()
    }
  })
})
