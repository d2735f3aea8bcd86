import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { decodeVirtualEnvelope, encodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import { BrokerUnavailableError, ConfigError, ConnectionLostError, DeliveryLostError } from '../errors.js'
import { ackAndForget, Collector, message, textOf, toQueue } from './collector.conformance.js'
import { openRedis, type RedisClient } from './redis-client.js'
import { useRedis } from './redis-rig.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import type { Connection, Delivery, Outgoing } from './transport.js'

const sep = '\x06\x16'

describe.skipIf(noRedis)(`createRedisTransport (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  let queue: string
  let connections: Connection[]

  useRedis((rig) => {
    ;({ server, admin, queue, connections } = rig)
  })

  async function connect(
    transportOptions: Record<string, unknown> = {},
    url = server.url,
  ): Promise<Connection> {
    const connection = await createRedisTransport().connect(url, { transportOptions })
    connections.push(connection)
    return connection
  }
  async function consume(
    connection: Connection,
    queues: readonly string[] = [queue],
    prefetch = 0,
    each: (delivery: Delivery) => void = () => {},
  ): Promise<Collector> {
    const collector = new Collector(each)
    await connection.consume(queues, collector.options(prefetch))
    return collector
  }
  const withPriority = (text: string, priority: number, to = queue): Outgoing => {
    const envelope = message(text)
    const properties = { ...envelope.properties, priority }
    return { envelope: { ...envelope, properties }, to: { exchange: '', routingKey: to } }
  }
  const list = async (key: string): Promise<string[]> => (await admin.run('LRANGE', key, 0, -1)) as string[]
  const held = async (): Promise<Record<string, string>> => {
    const pairs = (await admin.run('HGETALL', 'unacked')) as string[]
    return Object.fromEntries(
      pairs.flatMap((key, at) => (at % 2 === 0 ? [[key, pairs[at + 1] as string]] : [])),
    )
  }
  const tagOf = async (): Promise<string> => Object.keys(await held())[0] as string
  const scoreOf = async (tag: string): Promise<number> =>
    Number(await admin.run('ZSCORE', 'unacked_index', tag))

  it('PUB-062 PUB-063 keeps a list for each priority step, rounding down and clamping', async () => {
    const connection = await connect()
    const priorities = [0, 2, 3, 5, 6, 8, 9, 200, -4]
    await connection.publish(priorities.map((priority) => withPriority(`p${priority}`, priority)))
    await connection.publish(toQueue(queue, ['none']))
    const sizes = ['', `${sep}3`, `${sep}6`, `${sep}9`].map(async (step) => (await list(queue + step)).length)
    expect(await Promise.all(sizes)).toEqual([4, 2, 2, 2])
    expect(await connection.queueLength(queue)).toBe(10)
    expect(await connection.purge(queue)).toBe(10)
    expect(connection.capabilities.priorities).toBe(true)
  })

  it('PUB-064 PUB-065 takes the most urgent step first over all queues, and each step in its order', async () => {
    const connection = await connect()
    const second = `${queue}-second`
    await connection.publish([
      withPriority('low', 9),
      withPriority('middle', 5, second),
      withPriority('first', 0),
      withPriority('second', 1),
      withPriority('other', 0, second),
    ])
    const collector = await consume(connection, [second, queue], 1, ackAndForget)
    await collector.count(5)
    expect(collector.texts).toEqual(['other', 'first', 'second', 'middle', 'low'])
  })

  it('PUB-065 consumes from 10,000 queues at once', async () => {
    const connection = await connect()
    const queues = Array.from({ length: 10_000 }, (_, at) => `${queue}-${at}`)
    const collector = await consume(connection, queues, 4, ackAndForget)
    await connection.publish([17, 5000, 9999].flatMap((at) => toQueue(`${queue}-${at}`, [`m${at}`])))
    await collector.count(3)
    expect(collector.texts.toSorted()).toEqual(['m17', 'm5000', 'm9999'])
  }, 30_000)

  it('PUB-082 follows queue_order_strategy and priority_steps', async () => {
    const queues = [`${queue}-b`, `${queue}-a`]
    const orders = { round_robin: 'babab', priority: 'bbbaa', sorted: 'aabbb' }
    for (const [strategy, expected] of Object.entries(orders)) {
      for (const prefetch of [0, 1]) {
        const connection = await connect({ queue_order_strategy: strategy, priority_steps: [0, 5] })
        await connection.publish(
          queues.flatMap((to) => toQueue(to, to.endsWith('b') ? ['b', 'b', 'b'] : ['a', 'a'])),
        )
        const collector = await consume(connection, queues, prefetch, ackAndForget)
        await collector.count(5)
        expect(collector.texts.join('')).toBe(expected)
        await connection.close()
      }
    }
    const connection = await connect({ priority_steps: [0, 5], sep: ':' })
    await connection.publish([withPriority('x', 4), withPriority('y', 5)])
    expect([(await list(queue)).length, (await list(`${queue}:5`)).length]).toEqual([1, 1])
    await expect(connect({ priority_steps: [3, 3] })).rejects.toThrow(ConfigError)
    await expect(connect({ queue_order_strategy: 'random' })).rejects.toThrow(ConfigError)
    await expect(connect({ visibility_timeout: '1h' })).rejects.toThrow(ConfigError)
  })

  it('PUB-069 PUB-070 PUB-071 pushes kombu envelopes to the left, each copy with a tag of its own', async () => {
    const connection = await connect()
    await connection.publish(toQueue(queue, ['a', 'b']))
    const [newest, oldest] = await list(queue)
    const envelope = JSON.parse(oldest as string) as Record<string, Record<string, unknown>>
    expect(Object.keys(envelope)).toEqual([
      'body',
      'content-encoding',
      'content-type',
      'headers',
      'properties',
    ])
    expect(envelope).toMatchObject({
      body: Buffer.from('a').toString('base64'),
      properties: { correlation_id: 'a', delivery_mode: 2, priority: 0, body_encoding: 'base64' },
    })
    expect(envelope['properties']).toMatchObject({ delivery_info: { exchange: '', routing_key: queue } })
    const tags = [newest, oldest].map((text) => decodeVirtualEnvelope(text as string).deliveryTag)
    expect(new Set(tags).size).toBe(2)
  })

  it('PUB-080 keeps the expiration of a message, and delivers it all the same when that is over', async () => {
    const connection = await connect()
    const [message] = toQueue(queue, ['a'])
    const envelope = {
      ...message!.envelope,
      properties: { ...message!.envelope.properties, expiration: '1' },
    }
    await connection.publish([{ ...message!, envelope }])
    const sentAt = Date.now()
    while (Date.now() - sentAt < 5) await list(queue)
    const delivery = await connection.get(queue)
    expect(delivery?.envelope.properties.expiration).toBe('1')
    expect(delivery?.envelope.properties.correlationId).toBe('a')
    await delivery?.ack()
  })

  it('PUB-073 records what it holds as kombu does, and forgets it with the acknowledgement', async () => {
    const connection = await connect()
    await connection.publish(toQueue(queue, ['a']))
    const [raw] = await list(queue)
    const delivery = await connection.get(queue)
    const [[tag, value] = []] = Object.entries(await held())
    expect(tag).toBe(decodeVirtualEnvelope(raw as string).deliveryTag)
    expect(JSON.parse(value as string)).toEqual([JSON.parse(raw as string), '', queue])
    const age = Date.now() / 1000 - (await scoreOf(tag as string))
    expect(Math.abs(age)).toBeLessThan(5)
    await delivery?.ack()
    expect(await admin.run('EXISTS', 'unacked', 'unacked_index')).toBe(0)
  })

  it('PUB-073 records envelopes of any layout, with what JSON must escape', async () => {
    const connection = await connect()
    const properties = { delivery_tag: 12, delivery_info: { routing_key: 'k"é\n', exchange: 'x/\\' } }
    const envelopes = [
      JSON.stringify({ properties: { ...properties, priority: null }, headers: { big: 1 }, body: 'x' }),
      JSON.stringify({ body: '', headers: {}, properties: { ...properties, delivery_tag: 'last' } }, null, 1),
      `{"headers": {"n": NaN, "s": "\\ud800"}, "body": "", "properties": {"delivery_info": {"exchange": "e", "routing_key": "r"}, "delivery_tag": "nan"}}`,
    ]
    await admin.run('LPUSH', queue, ...envelopes)
    const collector = await consume(connection)
    await collector.count(3)
    const stored = await held()
    const under = (tag: string): string =>
      Object.entries(stored).find(([key]) => key.startsWith(`${tag}.`))?.[1] as string
    expect(Object.keys(stored)).toHaveLength(3)
    expect(JSON.parse(under('12'))).toEqual([JSON.parse(envelopes[0] as string), 'x/\\', 'k"é\n'])
    expect(JSON.parse(under('last'))).toEqual([JSON.parse(envelopes[1] as string), 'x/\\', 'k"é\n'])
    expect(under('nan')).toContain(`${envelopes[2]}, "e", "r"]`)
    for (const delivery of collector.deliveries) await delivery.ack()
    expect(await held()).toEqual({})
  })

  it('PUB-071 holds copies of one message apart although they share a tag', async () => {
    const connection = await connect()
    const second = `${queue}-second`
    const info = { exchange: 'x', routingKey: 'k', deliveryTag: 'shared' }
    const text = encodeVirtualEnvelope(message('copy'), info)
    await admin.batch([
      ['LPUSH', queue, text, text],
      ['LPUSH', second, text],
    ])
    const collector = await consume(connection, [queue])
    await collector.count(2)
    const other = await (await connect()).get(second)
    expect(Object.keys(await held())).toHaveLength(3)
    await collector.deliveries[0]?.ack()
    await other?.ack()
    expect(Object.values(await held()).map((value) => (JSON.parse(value) as unknown[])[1])).toEqual(['x'])
    await collector.deliveries[1]?.ack()
    expect(await held()).toEqual({})
  })

  it('PUB-071 keeps its copy of a message when a Python process takes up another with the same tag', async () => {
    const connection = await connect({ visibility_timeout: 1 })
    const info = { exchange: 'x', routingKey: 'k', deliveryTag: 'shared' }
    const text = encodeVirtualEnvelope(message('copy'), info)
    await admin.run('LPUSH', queue, text)
    const collector = await consume(connection)
    await collector.count(1)
    const ours = await tagOf()
    // What kombu does with what its BRPOP gave it.
    await admin.batch([
      ['ZADD', 'unacked_index', Date.now() / 1000 + 60, 'shared'],
      ['HSET', 'unacked', 'shared', `[${text}, "x", "k"]`],
    ])
    const first = await scoreOf(ours)
    await expect.poll(() => scoreOf(ours), { timeout: 10_000 }).toBeGreaterThan(first)
    await collector.deliveries[0]?.ack()
    expect(Object.keys(await held())).toEqual(['shared'])
    expect(await admin.run('ZRANGE', 'unacked_index', 0, -1)).toEqual(['shared'])
  })

  it('PUB-082 takes options that have no meaning here as they come: what is not acknowledged stays recorded', async () => {
    const connection = await connect({
      ack_emulation: false,
      max_connections: 1,
      retry_on_timeout: true,
      socket_keepalive: true,
      socket_keepalive_options: { TCP_KEEPIDLE: 60 },
    })
    await connection.publish(toQueue(queue, ['a']))
    const delivery = await connection.get(queue)
    expect(Object.keys(await held())).toHaveLength(1)
    await delivery?.ack()
    expect(await held()).toEqual({})
  })

  it('sets aside list items that are no messages, with their bytes, and stops at nothing', async () => {
    const connection = await connect()
    const whole = {
      delivery_tag: 't',
      delivery_info: { exchange: '', routing_key: queue },
      body_encoding: 'base64',
    }
    const items = [
      Buffer.from('no JSON'),
      Buffer.from([0xff, 0xfe, 0x00]),
      Buffer.from('[]'),
      Buffer.from(JSON.stringify({ body: '', properties: { ...whole, delivery_tag: undefined } })),
      Buffer.from(JSON.stringify({ body: '', properties: { ...whole, delivery_info: {} } })),
      Buffer.from(JSON.stringify({ body: 'not base64!', headers: {}, properties: whole })),
      Buffer.from(`{"broken" "delivery_info": {"exchange": "", "routing_key": "q"}, "delivery_tag": "u"}}`),
    ]
    await admin.run('LPUSH', queue, ...items)
    await connection.publish(toQueue(queue, ['good']))
    const collector = await consume(connection)
    await collector.until(() => collector.deliveries.length === 1 && collector.unreadable.length === 7)
    const bytes = collector.unreadable.map((report) => Buffer.from(report.bytes).toString('hex')).sort()
    expect(bytes).toEqual(items.map((item) => item.toString('hex')).sort())
    const kept = collector.unreadable[0]?.keptAt as string
    expect(kept).toBe(`_celeriac.unreadable.${queue}`)
    const keptBytes = (await admin.runBytes('LRANGE', kept, 0, -1)) as Buffer[]
    expect(keptBytes.map((item) => item.toString('hex')).sort()).toEqual(bytes)
    await collector.deliveries[0]?.ack()
    expect(await held()).toEqual({})
  })

  it('loses nothing when one of its queues is a key of another type', async () => {
    const connection = await connect()
    const wrong = `${queue}-wrong`
    await admin.run('SET', wrong, 'text')
    await connection.publish(toQueue(queue, ['a']))
    const collector = await consume(connection, [queue, wrong])
    await collector.count(1)
    expect(await connection.closed).toBeInstanceOf(ConnectionLostError)
    expect(Object.keys(await held())).toHaveLength(1)
  })

  it('PUB-074 refuses to settle what was restored and went to another holder, and leaves it to that one', async () => {
    const [first, second] = [await connect(), await connect()]
    await first.publish(toQueue(queue, ['a', 'b', 'c', 'd']))
    const stale = await consume(first)
    await stale.count(4)
    // What kombu's restore does with each, and what Python's claim writes again.
    for (const [tag, value] of Object.entries(await held())) {
      const [envelope] = JSON.parse(value) as [unknown]
      await admin.batch([
        ['ZREM', 'unacked_index', tag],
        ['HDEL', 'unacked', tag],
        ['RPUSH', `${queue}-again`, JSON.stringify(envelope)],
      ])
    }
    const fresh = await consume(second, [`${queue}-again`], 3)
    await fresh.count(3)
    const [a, b, c, d] = stale.deliveries as [Delivery, Delivery, Delivery, Delivery]
    await expect(a.ack()).rejects.toBeInstanceOf(DeliveryLostError)
    await expect(b.reject({ requeue: true })).rejects.toBeInstanceOf(DeliveryLostError)
    await expect(c.release?.()).rejects.toBeInstanceOf(DeliveryLostError)
    await expect(d.reject({ requeue: false })).rejects.toBeInstanceOf(DeliveryLostError)
    expect(Object.keys(await held())).toHaveLength(3)
    await Promise.all(fresh.deliveries.slice(0, 3).map((delivery) => delivery.ack()))
    await fresh.count(4)
    expect(await first.queueLength(queue)).toBe(0)
  })

  it('PUB-074 refuses its own stale delivery when it holds the same message again', async () => {
    const connection = await connect()
    await connection.publish(toQueue(queue, ['a']))
    const stale = await connection.get(queue)
    const [[tag, value] = []] = Object.entries(await held())
    const [envelope] = JSON.parse(value as string) as [unknown]
    await admin.batch([
      ['ZREM', 'unacked_index', tag as string],
      ['HDEL', 'unacked', tag as string],
      ['RPUSH', queue, JSON.stringify(envelope)],
    ])
    const again = await connection.get(queue)
    await expect(stale?.ack()).rejects.toBeInstanceOf(DeliveryLostError)
    await again?.ack()
    expect(await held()).toEqual({})
  })

  it('PUB-074 PUB-075 returns what nobody renewed in its order and step, marked in both places', async () => {
    const publisher = await connect()
    await publisher.publish(['a', 'b', 'c'].map((text) => withPriority(text, 6)))
    const holder = await connect()
    for (let taken = 0; taken < 3; taken += 1) await holder.get(queue)
    // Long ago, as if the holder had died.
    const tags = (await admin.run('ZRANGE', 'unacked_index', 0, -1)) as string[]
    for (const [at, tag] of tags.entries()) await admin.run('ZADD', 'unacked_index', 1000 + at, tag)
    await admin.run('SET', 'unacked_mutex', 'somebody', 'PX', 300)
    const heir = await connect({ visibility_timeout: 2 })
    const collector = await consume(heir, [`${queue}-none`])
    await expect.poll(() => publisher.queueLength(queue), { timeout: 10_000 }).toBe(3)
    // It lets go of the mutex after the last of them is back.
    await expect.poll(() => admin.run('EXISTS', 'unacked_mutex'), { timeout: 10_000 }).toBe(0)
    const items = (await list(`${queue}${sep}6`)).map((text) => JSON.parse(text) as Record<string, never>)
    for (const item of items) {
      expect(item).toMatchObject({
        headers: { redelivered: true },
        properties: { delivery_info: { redelivered: true, routing_key: queue } },
      })
    }
    expect(await held()).toEqual({})
    const next = await consume(heir)
    await next.count(3)
    expect(next.texts).toEqual(['a', 'b', 'c'])
    expect(next.deliveries.every((delivery) => delivery.redelivered)).toBe(true)
    expect(collector.deliveries).toEqual([])
  })

  it('PUB-074 restores through bindings, and sets aside what has no queue any more', async () => {
    const connection = await connect()
    await admin.run(
      'SADD',
      '_kombu.binding.x',
      `task.#${sep}^task\\..*?$${sep}${queue}`,
      `k${sep}${sep}${queue}-d`,
    )
    const entry = (tag: string, exchange: string, key: string): string =>
      `[${encodeVirtualEnvelope(message(tag), { exchange, routingKey: key, deliveryTag: tag })}, "${exchange}", "${key}"]`
    const entries = [
      entry('t', 'x', 'task.made'),
      entry('d', 'x', 'k'),
      entry('n', 'x', 'nowhere'),
      'not JSON',
    ]
    for (const [at, value] of entries.entries()) {
      await admin.batch([
        ['HSET', 'unacked', `tag${at}`, value],
        ['ZADD', 'unacked_index', 5 + at, `tag${at}`],
      ])
    }
    await admin.run('ZADD', 'unacked_index', 1, 'ghost')
    const collector = await consume(connection, [queue, `${queue}-d`])
    await collector.count(2)
    expect(collector.texts.toSorted()).toEqual(['d', 't'])
    expect(await list('_celeriac.unreadable.nowhere')).toEqual([entries[2]])
    expect(await list('_celeriac.unreadable.')).toEqual(['not JSON'])
    await expect.poll(() => admin.run('ZCARD', 'unacked_index')).toBe(2)
  })

  it('PUB-074 keeps what it holds while the event loop is blocked for longer than the visibility timeout', async () => {
    const connection = await connect({ visibility_timeout: 1.5 })
    await connection.publish(toQueue(queue, ['a']))
    const collector = await consume(connection)
    await collector.count(1)
    const tag = await tagOf()
    const names = async (): Promise<string> => String(await admin.run('CLIENT', 'LIST'))
    await expect.poll(names, { timeout: 10_000 }).toContain('name=celeriac-leases')
    const before = await scoreOf(tag)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4000)
    expect(collector.deliveries[0]?.isHeld?.()).toBe(true)
    const age = (await admin.run('TIME')) as string[]
    const after = await scoreOf(tag)
    expect(after - before).toBeGreaterThan(2)
    expect(Number(age[0]) - after).toBeLessThan(1.5)
    await collector.deliveries[0]?.ack()
    await connection.close()
    await expect.poll(names).not.toContain('name=celeriac-leases')
  })

  it('PUB-074 renews what it holds for many times the visibility timeout', async () => {
    const connection = await connect({ visibility_timeout: 1 })
    const rival = await connect({ visibility_timeout: 1 })
    await connection.publish(toQueue(queue, ['a']))
    const collector = await consume(connection)
    await collector.count(1)
    const stolen = await consume(rival)
    const start = await scoreOf(await tagOf())
    await expect
      .poll(async () => (await scoreOf(await tagOf())) - start, { timeout: 15_000 })
      .toBeGreaterThan(4)
    expect(stolen.deliveries).toEqual([])
    await collector.deliveries[0]?.ack()
  })

  it('PUB-076 WRK-071 returns each message to the front of its own priority step', async () => {
    const connection = await connect()
    const texts = ['a0', 'b0', 'c3', 'd3', 'e9']
    await connection.publish(texts.map((text) => withPriority(text, Number(text[1]))))
    const collector = await consume(connection, [queue], 4)
    await collector.count(4)
    await connection.close()
    expect((await list(queue)).length).toBe(2)
    expect((await list(`${queue}${sep}3`)).length).toBe(2)
    expect(await held()).toEqual({})
    const next = await consume(await connect(), [queue])
    await next.count(5)
    expect(next.texts).toEqual(texts)
  })

  it('PUB-074 PUB-076 takes back for a lost connection what it held, in its order and step, as it was', async () => {
    const lost = await connect()
    const texts = ['a0', 'b0', 'c3', 'd3', 'e9']
    await lost.publish(texts.map((text) => withPriority(text, Number(text[1]))))
    const before = await Promise.all(['', `${sep}3`, `${sep}9`].map((step) => list(queue + step)))
    const collector = await consume(lost)
    await collector.count(5)
    const [gone] = Object.entries(await held()).filter(([, value]) => value.includes('"c3"')) as [
      [string, string],
    ]
    // Somebody else took it up.
    await admin.run('HSET', 'unacked', gone[0], gone[1].trimEnd())
    await admin.run('CLIENT', 'KILL', 'TYPE', 'normal')
    await lost.closed
    await expect(collector.deliveries[0]?.ack()).rejects.toBeInstanceOf(DeliveryLostError)

    const heir = await connect()
    await heir.publish([withPriority('later', 0)])
    const [a, ...rest] = collector.deliveries as [Delivery, ...Delivery[]]
    expect(await heir.settleLost?.([a], 'ack')).toEqual([])
    expect(await heir.settleLost?.([a], 'ack')).toEqual([a])
    const refused = await heir.settleLost?.(rest, 'undo')
    expect(refused?.map(textOf)).toEqual(['c3'])
    expect(Object.keys(await held())).toEqual([gone[0]])
    const next = await consume(heir)
    await next.count(4)
    expect(next.texts).toEqual(['b0', 'later', 'd3', 'e9'])
    expect(next.deliveries.some((delivery) => delivery.redelivered)).toBe(false)
    await heir.settleLost?.(rest, 'undo')
    expect(Object.keys(await held())).toHaveLength(5)
    const values = Object.values(await held()).map((value) => JSON.parse(value) as [unknown])
    for (const text of [before[0]?.[0], before[1]?.[0], before[2]?.[0]])
      expect(values.map(([envelope]) => envelope)).toContainEqual(JSON.parse(text as string))
  })

  it('PUB-074 gives back what a lost connection had claimed without hearing of it, and nothing else', async () => {
    const proxy = await TcpProxy.start(server.port)
    try {
      const heir = await connect()
      const lost = await connect({}, server.urlAt(proxy.port))
      await heir.publish(toQueue(queue, ['running']))
      const running = await lost.get(queue)
      await heir.publish([withPriority('a0', 0), withPriority('b0', 0), withPriority('c6', 6)])
      // The server does what it is asked, and its answer does not arrive.
      proxy.mute()
      const collector = await consume(lost, [queue], 2)
      await expect.poll(async () => Object.keys(await held()).length).toBe(3)
      proxy.reset()
      expect(await lost.closed).toBeInstanceOf(ConnectionLostError)
      expect(collector.deliveries).toEqual([])

      expect(await heir.takeUnseen?.(lost)).toBe(2)
      expect(Object.values(await held()).map((value) => value.includes('"running"'))).toEqual([true])
      expect(await heir.takeUnseen?.(lost)).toBe(0)
      const next = await consume(heir)
      await next.count(3)
      expect(next.texts).toEqual(['a0', 'b0', 'c6'])
      expect(next.deliveries.some((delivery) => delivery.redelivered)).toBe(false)
      expect(await heir.settleLost?.([running as Delivery], 'ack')).toEqual([])
    } finally {
      await proxy.close()
    }
  })

  it('PUB-072 PUB-079 writes bindings as kombu does, and removes them with the queue', async () => {
    const connection = await connect()
    const names = { d: 'direct', t: 'topic', f: 'fanout' } as const
    await connection.declare({
      exchanges: Object.entries(names).map(([name, type]) => ({ name, type, durable: true })),
      queues: [],
      bindings: ['d', 't', 'f'].map((from) => ({ from, to: { queue }, routingKey: 'a.*.#' })),
    })
    const members = async (name: string): Promise<unknown> => admin.run('SMEMBERS', `_kombu.binding.${name}`)
    expect(await members('d')).toEqual([`a.*.#${sep}${sep}${queue}`])
    expect(await members('t')).toEqual([`a.*.#${sep}^a\\..*?[^\\.]\\..*?$${sep}${queue}`])
    expect(await members('f')).toEqual([`a.*.#${sep}${sep}${queue}`])
    await connection.deleteQueue(queue)
    expect(await admin.run('KEYS', '*')).toEqual([])
  })

  it('PUB-077 publishes fanout messages on the channel of their key, and hears those that its pattern takes', async () => {
    const connection = await connect({}, server.url.replace(/\/0$/, '/2'))
    const declare = (name: string, routingKey: string): Promise<void> =>
      connection.declare({
        exchanges: [{ name: 'ev', type: 'fanout', durable: true }],
        queues: [],
        bindings: [{ from: 'ev', to: { queue: name }, routingKey }],
      })
    await declare('workers', 'worker.#')
    await declare('plain', '')
    const heard: string[] = []
    const listener = await openRedis(server.url)
    listener.onMessage((channel) => heard.push(channel))
    await listener.psubscribe('*')
    const collector = await consume(connection, ['workers', 'plain'])
    for (const routingKey of ['worker.online', 'task.sent', '']) {
      await connection.publish([{ envelope: message(routingKey), to: { exchange: 'ev', routingKey } }])
    }
    await collector.count(2)
    expect(collector.texts.toSorted()).toEqual(['', 'worker.online'])
    await expect.poll(() => heard).toEqual(['/2.ev/worker.online', '/2.ev/task.sent', '/2.ev'])
    await connection.close()
    expect(await admin.run('KEYS', '*')).toEqual([])
    listener.close()
  })

  it('PUB-077 a publisher neither hears a fanout queue that it declares, nor takes its binding away', async () => {
    const fanout = {
      exchanges: [{ name: 'news', type: 'fanout' as const, durable: true }],
      queues: [],
      bindings: [{ from: 'news', to: { queue }, routingKey: '' }],
    }
    const publisher = await connect()
    await publisher.declare(fanout)
    const news = (text: string): Promise<void> =>
      publisher.publish([{ envelope: message(text), to: { exchange: 'news', routingKey: '' } }])
    await news('nobody hears this')
    expect(await admin.run('PUBSUB', 'NUMPAT')).toBe(0)
    expect(String(await admin.run('CLIENT', 'LIST'))).not.toContain('celeriac-pubsub')

    const worker = await connect()
    await worker.declare(fanout)
    const collector = new Collector(ackAndForget)
    const subscription = await worker.consume([queue], collector.options(0))
    await news('heard')
    await collector.count(1)
    expect(collector.texts).toEqual(['heard'])
    expect(await publisher.queueLength(queue)).toBe(0)
    await publisher.close()
    expect(await admin.run('SCARD', '_kombu.binding.news')).toBe(1)
    await subscription.cancelQueue(queue)
    expect(await admin.run('PUBSUB', 'NUMPAT')).toBe(0)
    await subscription.addQueue(queue)
    await worker.publish([{ envelope: message('again'), to: { exchange: 'news', routingKey: '' } }])
    await collector.count(2)
    await worker.close()
    expect(await admin.run('KEYS', '*')).toEqual([])
  })

  it('PUB-078 puts global_keyprefix in front of every key and channel', async () => {
    const connection = await connect({ global_keyprefix: 'pfx:' })
    await connection.declare({
      exchanges: [{ name: 'fan', type: 'fanout', durable: true }],
      queues: [],
      bindings: [{ from: 'fan', to: { queue: 'f' }, routingKey: '' }],
    })
    await connection.publish([...toQueue(queue, ['a', 'b']), withPriority('c', 9)])
    await admin.run('LPUSH', `pfx:${queue}`, 'garbage')
    const collector = await consume(connection, [queue, 'f'], 1)
    await collector.count(1)
    await connection.publish([{ envelope: message('x'), to: { exchange: 'fan', routingKey: '' } }])
    const keys = ((await admin.run('KEYS', '*')) as string[]).filter((key) => !key.startsWith('pfx:'))
    expect(keys).toEqual([])
    expect(await admin.run('PUBSUB', 'NUMPAT')).toBe(1)
    expect(await admin.run('PUBLISH', 'pfx:/0.fan', 'bad')).toBe(1)
  })

  it('WRK-095 ends when the server goes, and publishes nothing any more', async () => {
    await using mortal = await RedisServer.start()
    const connection = await connect({}, mortal.url)
    await connection.publish(toQueue(queue, ['a']))
    const collector = await consume(connection)
    await collector.count(1)
    await mortal.kill()
    expect(await connection.closed).toBeInstanceOf(ConnectionLostError)
    await expect(collector.deliveries[0]?.ack()).rejects.toBeInstanceOf(DeliveryLostError)
    await expect(connection.publish(toQueue(queue, ['b']))).rejects.toBeInstanceOf(ConnectionLostError)
    await expect(connect({}, mortal.url)).rejects.toBeInstanceOf(BrokerUnavailableError)
  })

  it('WRK-095 notices a server that hangs', async () => {
    await using stuck = await RedisServer.start()
    const connection = await connect({ socket_timeout: 0.5, health_check_interval: 0.2 }, stuck.url)
    await consume(connection)
    stuck.pause()
    expect(await connection.closed).toBeInstanceOf(ConnectionLostError)
    stuck.resume()
  })

  it('types a publish that the server has no memory for, and goes on when it has', async () => {
    await using small = await RedisServer.start({ extra: { 'maxmemory-policy': 'noeviction' } })
    const connection = await connect({ visibility_timeout: 1 }, small.url)
    const control = await openRedis(small.url)
    await connection.publish(toQueue(queue, ['held', 'waits']))
    const delivery = await connection.get(queue)
    await control.run('CONFIG', 'SET', 'maxmemory', '1kb')
    await expect(connection.publish(toQueue(queue, ['a']))).rejects.toThrow(/out of memory/)
    // Taking, renewing and giving back go on: what is held must not be lost for want of memory.
    const more = await connection.get(queue)
    expect(more && textOf(more)).toBe('waits')
    const score = async (): Promise<number> =>
      Number(((await control.run('ZRANGE', 'unacked_index', 0, 0, 'WITHSCORES')) as string[])[1])
    const before = await score()
    await expect.poll(async () => (await score()) - before, { timeout: 10_000 }).toBeGreaterThan(1)
    await more?.reject({ requeue: true })
    await delivery?.reject({ requeue: true })
    await control.run('CONFIG', 'SET', 'maxmemory', '0')
    const collector = await consume(connection)
    await collector.count(2)
    expect(collector.deliveries.map(textOf)).toEqual(['waits', 'held'])
    control.close()
  })

  it('hears of arrivals within milliseconds and asks for nothing while idle', async () => {
    // As on a server that was just started, which knows no script.
    await admin.run('SCRIPT', 'FLUSH')
    const connection = await connect()
    const collector = await consume(connection, [queue, `${queue}-2`], 0, ackAndForget)
    const calls = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(String(await admin.run('INFO', 'commandstats')))?.[1] ?? 0)
    let last = -1
    // Until its first looks are over.
    const isQuiet = async (): Promise<boolean> => {
      const before = last
      last = await calls()
      return last === before
    }
    await expect.poll(isQuiet, { interval: 300 }).toBe(true)
    const times: number[] = []
    for (let at = 0; at < 21; at += 1) {
      const start = performance.now()
      await admin.run(
        'LPUSH',
        `${queue}${at % 2 ? `${sep}9` : '-2'}`,
        encodeVirtualEnvelope(message('x'), {
          exchange: '',
          routingKey: queue,
          deliveryTag: `t${at}`,
        }),
      )
      await collector.count(at + 1)
      times.push(performance.now() - start)
    }
    // Far below any look at the queues; a millisecond on a quiet machine.
    expect(times.sort((a, b) => a - b)[10]).toBeLessThan(300)
  })

  describe('with many idle consumers of one queue', () => {
    const count = 24
    let taken: { readonly text: string; readonly at: number; readonly delivery: Delivery }[]
    let claims: () => Promise<number>
    beforeEach(async () => {
      taken = []
      for (let number = 0; number < count; number += 1) {
        const collector = new Collector((delivery) =>
          taken.push({ text: textOf(delivery), at: performance.now(), delivery }),
        )
        await (await connect()).consume([queue], collector.options(1))
      }
      claims = async () =>
        Number(/cmdstat_evalsha:calls=(\d+)/.exec(String(await admin.run('INFO', 'commandstats')))?.[1] ?? 0)
      const idle = (): Promise<unknown> => admin.run('ZCARD', `_celeriac.idle.${queue}`)
      await expect.poll(idle, { timeout: 10_000 }).toBe(count - 4)
      expect(await admin.run('ZCARD', `_celeriac.waiting.${queue}`)).toBe(4)
    })

    it('wakes a few of them for one message, not all', async () => {
      const publisher = await connect()
      const calls: number[] = []
      for (let round = 1; round <= 4; round += 1) {
        const before = await claims()
        await publisher.publish(toQueue(queue, ['one']))
        await expect.poll(() => taken.length, { timeout: 8000 }).toBe(round)
        await taken.at(-1)?.delivery.ack()
        // The finder leaves, another takes its place.
        const watching = (): Promise<unknown> => admin.run('ZCARD', `_celeriac.waiting.${queue}`)
        await expect.poll(watching, { timeout: 8000 }).toBe(4)
        calls.push((await claims()) - before)
      }
      // The slow looks of some may fall into a round, not into each.
      expect(Math.min(...calls)).toBeLessThan(count / 2)
    })

    it('gives each of them one when there is one for each, at once', async () => {
      const publisher = await connect()
      const start = performance.now()
      await publisher.publish(
        toQueue(
          queue,
          Array.from({ length: count }, (_, at) => `m${at}`),
        ),
      )
      await expect.poll(() => taken.length, { timeout: 10_000, interval: 5 }).toBe(count)
      // Far below the slow look, which comes after 4 s at the earliest.
      expect(Math.max(...taken.map(({ at }) => at)) - start).toBeLessThan(3500)
    })

    it('finds another for a message when those that watched were cut off', async () => {
      const watchers = (await admin.run('ZRANGE', `_celeriac.waiting.${queue}`, 0, -1)) as string[]
      expect(watchers).toHaveLength(4)
      const watching = [...String(await admin.run('CLIENT', 'LIST')).matchAll(/^id=(\d+) .* flags=t .*$/gm)]
      expect(watching).toHaveLength(count)
      // The first four to connect are the watchers.
      for (const [, id] of watching.slice(0, 4)) await admin.run('CLIENT', 'KILL', 'ID', id as string)
      const publisher = await connect()
      await publisher.publish(toQueue(queue, ['late']))
      await expect.poll(() => taken.length, { timeout: 8000 }).toBe(1)
    })

    it('leaves no trace of those that ended, on a server that does not know how to yet', async () => {
      await admin.run('SCRIPT', 'FLUSH')
      await Promise.all(connections.map((connection) => connection.close()))
      expect(await admin.run('KEYS', '*')).toEqual([])
    })
  })

  it('forgets those that were killed while they waited, whoever else waits', async () => {
    const keys = [`_celeriac.waiting.${queue}`, `_celeriac.idle.${queue}`] as const
    const dead = Array.from({ length: 6 }, () => randomUUID())
    // As after a kill -9 of six, an instant before their words run out.
    for (const key of keys) for (const id of dead) await admin.run('ZADD', key, Date.now() / 1000 - 1, id)
    for (let number = 0; number < 6; number += 1) await consume(await connect())
    const known = async (): Promise<unknown[]> =>
      (await Promise.all(keys.map((key) => admin.run('ZRANGE', key, 0, -1)))).flat()
    await expect.poll(async () => (await known()).length, { timeout: 10_000 }).toBe(6)
    const gone = new Set<unknown>(dead)
    expect((await known()).filter((id) => gone.has(id))).toEqual([])
    for (const key of keys) {
      const seconds = Number(await admin.run('TTL', key))
      expect(seconds).toBeGreaterThan(0)
      expect(seconds).toBeLessThanOrEqual(12)
    }
    // Each word of a living one runs out as well.
    const [, score] = (await admin.run('ZRANGE', keys[1], -1, -1, 'WITHSCORES')) as string[]
    expect(Number(score)).toBeLessThanOrEqual(Date.now() / 1000 + 13)
  })

  it('polls where the server has no client tracking', async () => {
    const user = 'old'
    await admin.run('ACL', 'SETUSER', user, 'on', 'nopass', '~*', '&*', '+@all', '-client|tracking')
    const connection = await connect(
      { polling_interval: 0.05 },
      `redis://${user}:x@127.0.0.1:${server.port}/0`,
    )
    const collector = await consume(connection)
    await connection.publish(toQueue(queue, ['a']))
    await collector.count(1)
    await connection.publish(toQueue(queue, ['b']))
    await collector.count(2)
    expect(collector.texts).toEqual(['a', 'b'])
  })
})
