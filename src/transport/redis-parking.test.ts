import { describe, expect, it } from 'vitest'
import { noRedis, type RedisServer, skipNote } from '../../interop-tests/redis-server.js'
import { decodeVirtualEnvelope, encodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import { ConnectionLostError, DeliveryLostError } from '../errors.js'
import { Collector, message, textOf, toQueue } from './collector.conformance.js'
import type { RedisClient } from './redis-client.js'
import { useRedis } from './redis-rig.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import type { Connection, Delivery } from './transport.js'

describe.skipIf(noRedis)(`RedisParking${skipNote(noRedis)}`, () => {
  let server: RedisServer
  let admin: RedisClient
  let queue: string
  let connections: Connection[]

  useRedis((rig) => {
    ;({ server, admin, queue, connections } = rig)
  })

  async function connect(transportOptions: Record<string, unknown> = {}): Promise<Connection> {
    const connection = await createRedisTransport().connect(server.url, { transportOptions })
    connections.push(connection)
    return connection
  }
  async function consume(connection: Connection, prefetch = 0): Promise<Collector> {
    const collector = new Collector()
    await connection.consume([queue], collector.options(prefetch))
    return collector
  }
  async function taken(connection: Connection, count: number): Promise<Delivery[]> {
    const all: Delivery[] = []
    for (let at = 0; at < count; at += 1) all.push((await connection.get(queue)) as Delivery)
    return all
  }
  const scores = async (key: string): Promise<number[]> => {
    const pairs = (await admin.run('ZRANGE', key, 0, -1, 'WITHSCORES')) as string[]
    return pairs.filter((_, at) => at % 2 === 1).map(Number)
  }
  const parkedKey = (): string => `_celeriac.parked.${queue}`
  /** Makes what is parked come back `seconds` earlier on both clocks, as if that much time had passed. */
  const pass = async (seconds: number): Promise<void> => {
    for (const key of ['unacked_index', parkedKey()]) {
      const tags = (await admin.run('ZRANGE', key, 0, -1)) as string[]
      for (const tag of tags) await admin.run('ZINCRBY', key, -seconds, tag)
    }
  }

  it('PUB-073 PUB-074 leaves the message where kombu looks, to be restored 10 s before it is due and not earlier', async () => {
    const connection = await connect({ visibility_timeout: 600 })
    await connection.publish(toQueue(queue, ['é']))
    const [before] = (await admin.run('LRANGE', queue, 0, -1)) as string[]
    const [delivery] = await taken(connection, 1)
    const due = Date.now() / 1000 + 3600
    await delivery?.park?.(due * 1000)
    const [tag = '', value = ''] = (await admin.run('HGETALL', 'unacked')) as string[]
    const [envelope, ...way] = JSON.parse(value) as unknown[]
    expect(envelope).toEqual(JSON.parse(before ?? ''))
    expect(way).toEqual(['', queue])
    expect(value).toContain(before)
    const [score = 0] = await scores('unacked_index')
    expect(Math.abs(score - (due - 10 - 600))).toBeLessThan(2)
    expect(await admin.run('ZRANGE', parkedKey(), 0, -1)).toEqual([tag])
    expect(Math.abs(((await scores(parkedKey()))[0] ?? 0) - (due - 10))).toBeLessThan(2)
    expect(Number(await admin.run('TTL', parkedKey()))).toBeGreaterThan(3600)
  })

  it('is not renewed by the connection that parked it', async () => {
    const connection = await connect({ visibility_timeout: 1 })
    await connection.publish(toQueue(queue, ['parked', 'held']))
    const collector = await consume(connection)
    await collector.count(2)
    await collector.deliveries[0]?.park?.(Date.now() + 3_600_000)
    const [held = 0, parked] = await scores('unacked_index')
    await expect.poll(async () => (await scores('unacked_index'))[0]).toBeGreaterThan(held)
    expect((await scores('unacked_index'))[1]).toBe(parked)
  })

  it('hands out what is due first before the rest, whatever the order in which it was parked, and its bytes unchanged', async () => {
    const connection = await connect()
    const texts = Array.from({ length: 40 }, (_, at) => `m${(at * 17) % 40}`)
    await connection.publish(toQueue(queue, texts))
    const due = Date.now() + 3_600_000
    const all = await taken(connection, 40)
    const envelopes = new Map(all.map((delivery) => [textOf(delivery), delivery.envelope]))
    const park = (delivery: Delivery) => delivery.park?.(due + Number(textOf(delivery).slice(1)) * 20)
    await Promise.all(all.map(park))
    await pass(3600)
    const other = await consume(await connect(), 40)
    await other.count(40)
    expect(other.texts).toEqual(texts.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1))))
    for (const delivery of other.deliveries) {
      expect(delivery.envelope).toEqual(envelopes.get(textOf(delivery)))
      // Nobody had begun it.
      expect(delivery.redelivered).toBe(false)
    }
    await Promise.all(other.deliveries.map((delivery) => delivery.ack()))
    for (const key of ['unacked', 'unacked_index', parkedKey()])
      expect(await admin.run('EXISTS', key)).toBe(0)
  })

  it('finds envelopes of any producer again, with any bytes in exchange and routing key', async () => {
    const connection = await connect()
    const exchange = 'e", "x'
    await connection.declare({
      exchanges: [{ name: exchange, type: 'direct', durable: true }],
      queues: [],
      bindings: [{ from: exchange, to: { queue }, routingKey: 'k"]é' }],
    })
    await connection.publish([{ envelope: message('ours'), to: { exchange, routingKey: 'k"]é' } }])
    const text = (await admin.run('RPOP', queue)) as string
    // As another producer may write it: with blanks at the end, and in another order.
    await admin.run('LPUSH', queue, text, `${JSON.stringify(JSON.parse(text), null, 1)}  `)
    const all = await taken(connection, 2)
    await Promise.all(all.map((delivery) => delivery.park?.(Date.now() + 3_600_000)))
    await pass(3600)
    const other = await connect()
    for (const delivery of await taken(other, 2)) {
      expect(delivery).toMatchObject({ address: { exchange, routingKey: 'k"]é' }, queue })
      expect(textOf(delivery)).toBe('ours')
    }
  })

  it('leaves what nobody wants to the restorers once it is due, in front of its queue and step', async () => {
    const connection = await connect({ visibility_timeout: 3600 })
    const envelope = { ...message('a'), properties: { ...message('a').properties, priority: 6 } }
    await connection.publish([{ envelope, to: { exchange: '', routingKey: queue } }])
    const [delivery] = await taken(connection, 1)
    await delivery?.park?.(Date.now() + 600_000)
    await pass(595)
    // It has come back, but is not due: a look of a restorer leaves it to those with room.
    const where = { exchange: '', routingKey: queue, deliveryTag: 'abandoned' }
    const abandoned = `[${encodeVirtualEnvelope(message('abandoned'), where)}, "", "${queue}"]`
    await admin.run('HSET', 'unacked', 'abandoned', abandoned)
    await admin.run('ZADD', 'unacked_index', 1000, 'abandoned')
    const early = await connect({ visibility_timeout: 3600 })
    const none = new Collector()
    await early.consume([`${queue}-none`], none.options(1))
    await expect.poll(() => connection.queueLength(queue)).toBe(1)
    await expect.poll(() => admin.run('EXISTS', 'unacked_mutex')).toBe(0)
    expect(await admin.run('LLEN', queue)).toBe(1)
    await connection.purge(queue)
    await pass(10)
    const late = await connect({ visibility_timeout: 3600 })
    await late.consume([`${queue}-none`], none.options(1))
    const step = `${queue}\x06\x166`
    await expect.poll(() => admin.run('LLEN', step)).toBe(1)
    const [item = ''] = (await admin.run('LRANGE', step, 0, -1)) as string[]
    expect(decodeVirtualEnvelope(new TextEncoder().encode(item)).redelivered).toBe(true)
    // The tag in the parking place is stale now, and does no harm.
    const [again] = await taken(connection, 1)
    expect(again && textOf(again)).toBe('a')
    await again?.ack()
    expect(await connection.get(queue)).toBeUndefined()
    expect(await admin.run('HLEN', 'unacked')).toBe(0)
  })

  it('keeps its order when it is parked too late, and stays away from kombu for half of the time that is left', async () => {
    const connection = await connect({ visibility_timeout: 600 })
    await connection.publish(toQueue(queue, ['a']))
    const [delivery] = await taken(connection, 1)
    const now = Date.now() / 1000
    await delivery?.park?.((now + 8) * 1000)
    const [kombu = 0] = await scores('unacked_index')
    expect(Math.abs(kombu + 600 - now - 4)).toBeLessThan(1)
    const [place = 0] = await scores(parkedKey())
    expect(Math.abs(place - now + 2)).toBeLessThan(1)
    expect(await connection.get(queue)).toBeUndefined()
    const other = await (await connect()).get(queue)
    expect(other && textOf(other)).toBe('a')
  })

  it('hands out by due time what is parked at the last moment, before what was parked long ago', async () => {
    const connection = await connect()
    await connection.publish(toQueue(queue, ['soon', ...Array.from({ length: 20 }, (_, at) => `m${at}`)]))
    const [soon, ...others] = await taken(connection, 21)
    await Promise.all(others.map((delivery) => delivery.park?.(Date.now() + 3_600_000)))
    await pass(3597)
    await soon?.park?.(Date.now() + 2000)
    const collector = new Collector()
    await (await connect()).consume([queue], collector.options(1))
    await collector.count(1)
    expect(collector.texts).toEqual(['soon'])
  })

  it('loses nothing when the connection is cut off while it parks', async () => {
    const connection = await connect({ visibility_timeout: 1 })
    const texts = Array.from({ length: 200 }, (_, at) => `m${at}`)
    await connection.publish(toQueue(queue, texts))
    const collector = await consume(connection)
    await collector.count(200)
    const later = Date.now() + 3_600_000
    const first = collector.deliveries.slice(0, 100).map((delivery) => delivery.park?.(later))
    await first[0]
    const second = collector.deliveries.slice(100).map((delivery) => delivery.park?.(later))
    const settled = Promise.allSettled([...first, ...second])
    await admin.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    for (const result of await settled)
      if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(DeliveryLostError)
    expect(await connection.closed).toBeInstanceOf(ConnectionLostError)
    expect(await admin.run('HLEN', 'unacked')).toBe(200)
    await pass(3600)
    const next = await consume(await connect({ visibility_timeout: 1 }))
    await next.count(200)
    expect(next.texts.toSorted()).toEqual(texts.toSorted())
  })

  it('refuses to park what is no longer ours', async () => {
    const connection = await connect()
    await connection.publish(toQueue(queue, ['a']))
    const [delivery] = await taken(connection, 1)
    const [tag = ''] = (await admin.run('HKEYS', 'unacked')) as string[]
    await admin.run('HSET', 'unacked', tag, '["somebody else\'s"]')
    await expect(delivery?.park?.(Date.now() + 1000)).rejects.toThrow('can no longer be settled')
    expect(await admin.run('HGET', 'unacked', tag)).toBe('["somebody else\'s"]')
    expect(await admin.run('EXISTS', parkedKey())).toBe(0)
  })

  it('keeps neither new nor parked messages waiting for the other', async () => {
    const connection = await connect()
    const parked = Array.from({ length: 30 }, (_, at) => `p${at}`)
    await connection.publish(toQueue(queue, parked))
    const all = await taken(connection, 30)
    await Promise.all(all.map((delivery) => delivery.park?.(Date.now() + 3_600_000)))
    await pass(3600)
    const fresh = Array.from({ length: 30 }, (_, at) => `n${at}`)
    await connection.publish(toQueue(queue, fresh))
    const collector = new Collector((delivery) => void delivery.ack())
    await (await connect()).consume([queue], collector.options(5))
    await collector.count(60)
    const firstHalf = collector.texts.slice(0, 30).map((text) => text[0])
    expect(new Set(firstHalf)).toEqual(new Set(['p', 'n']))
  })
})
