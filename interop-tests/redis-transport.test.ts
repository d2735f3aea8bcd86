/** One Redis, kombu and celeriac: what each publishes, holds, abandons and puts back, the other takes up. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Collector, message, textOf, toQueue } from '../src/transport/collector.conformance.js'
import type { RedisClient } from '../src/transport/redis-client.js'
import { useRedis } from '../src/transport/redis-rig.conformance.js'
import { createRedisTransport } from '../src/transport/redis-transport.js'
import type { Connection, Delivery, Outgoing } from '../src/transport/transport.js'
import { pythonPath } from './harness.js'
import { LineProcess, numbered, plain } from './line-process.js'
import { noRedis, type RedisServer } from './redis-server.js'

const script = path.join(import.meta.dirname, 'redis_transport.py')

describe.skipIf(noRedis)(
  `kombu and celeriac on one Redis (${noRedis ?? 'redis-server is installed'})`,
  () => {
    let python: string
    let server: RedisServer
    let admin: RedisClient
    let folder: string
    let stopFile: string
    let connections: Connection[]
    let peers: LineProcess[]

    useRedis((rig) => {
      ;({ server, admin, connections } = rig)
    })
    beforeAll(() => {
      python = pythonPath()
    })
    beforeEach(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'celeriac-kombu-redis-'))
      stopFile = path.join(folder, 'stop')
      peers = []
    })
    afterEach(async () => {
      for (const peer of peers) await peer.kill()
      await rm(folder, { recursive: true, force: true })
    })

    function kombu(
      job: string,
      queue: string,
      args: readonly string[] = [],
      options: object = {},
    ): LineProcess {
      const peer = new LineProcess(python, [script, job, server.url, JSON.stringify(options), queue, ...args])
      peers.push(peer)
      return peer
    }
    async function connect(transportOptions: Record<string, unknown> = {}): Promise<Connection> {
      const connection = await createRedisTransport().connect(server.url, { transportOptions })
      connections.push(connection)
      return connection
    }
    async function consume(
      connection: Connection,
      queue: string,
      prefetch: number,
      acks = true,
    ): Promise<Collector> {
      const collector = new Collector((delivery: Delivery) => {
        if (acks) void delivery.ack()
      })
      await connection.consume([queue], collector.options(prefetch))
      return collector
    }
    const quoted = (queue: string, texts: readonly string[]): Outgoing[] =>
      toQueue(
        queue,
        texts.map((text) => `"${text}"`),
      )
    const left = (): Promise<unknown> => admin.run('EXISTS', 'unacked', 'unacked_index')

    it('PUB-069 PUB-073 shares one queue with two kombu consumers and two kombu publishers: none lost, none twice', async () => {
      const consumers = [kombu('consume', 'shared', [stopFile]), kombu('consume', 'shared', [stopFile])]
      await Promise.all(consumers.map((consumer) => consumer.until(() => consumer.lines[0] === 'ready')))
      const ours = [await consume(await connect(), 'shared', 1), await consume(await connect(), 'shared', 3)]
      const publishers = ['p', 'q'].map((name) => kombu('publish', 'shared', [name, '300']))
      const publisher = await connect()
      const texts = numbered('m', 600)
      for (let at = 0; at < 600; at += 20) await publisher.publish(quoted('shared', texts.slice(at, at + 20)))
      expect(await Promise.all(publishers.map((each) => each.ended))).toEqual([0, 0])
      const taken = (): string[] =>
        [...ours.flatMap((each) => each.texts), ...consumers.flatMap(({ lines }) => lines.slice(1))].map(
          plain,
        )
      await expect.poll(() => taken().length, { timeout: 60_000 }).toBeGreaterThanOrEqual(1200)
      await writeFile(stopFile, '')
      expect(await Promise.all(consumers.map((consumer) => consumer.ended))).toEqual([0, 0])
      expect(taken().toSorted()).toEqual([...texts, ...numbered('p', 300), ...numbered('q', 300)].toSorted())
      await expect.poll(left).toBe(0)
    })

    it('PUB-062 PUB-064 takes what kombu published in the order of its priorities, and the reverse', async () => {
      expect(await kombu('publish', 'steps', ['p', '8', '9', '4', '0', '7']).ended).toBe(0)
      const connection = await connect()
      const order = await consume(connection, 'steps', 1)
      await order.count(8)
      expect(order.texts.map(plain)).toEqual(['p-2', 'p-6', 'p-1', 'p-5', 'p-3', 'p-7', 'p-0', 'p-4'])
      await connection.close()
      const publisher = await connect()
      const withPriority = [9, 4, 0, 7].map((priority): Outgoing => {
        const envelope = message(`"n-${priority}"`)
        return {
          envelope: { ...envelope, properties: { ...envelope.properties, priority } },
          to: { exchange: '', routingKey: 'back' },
        }
      })
      await publisher.publish(withPriority)
      const consumer = kombu('consume', 'back', [stopFile])
      await consumer.until(() => consumer.lines.length === 5)
      expect(consumer.lines.slice(1)).toEqual(['n-0', 'n-4', 'n-7', 'n-9'])
    })

    it('PUB-074 PUB-075 restores what a killed kombu consumer held', async () => {
      const options = { visibility_timeout: 2 }
      expect(await kombu('publish', 'left', ['p', '4', '0', '6'], options).ended).toBe(0)
      const holder = kombu('hold', 'left', ['4'], options)
      await holder.until(() => holder.lines.includes('holding'))
      holder.process.kill('SIGKILL')
      await holder.ended
      const collector = await consume(await connect(options), 'left', 0)
      await collector.count(4)
      expect(collector.texts.map(plain).toSorted()).toEqual(numbered('p', 4))
      expect(collector.deliveries.every((delivery) => delivery.redelivered)).toBe(true)
      await expect.poll(left).toBe(0)
    })

    it('PUB-074 PUB-075 lets kombu restore what we held when our server connection was cut', async () => {
      const options = { visibility_timeout: 2 }
      const connection = await connect(options)
      await connection.publish(quoted('ours', ['a', 'b']))
      const collector = await consume(connection, 'ours', 0, false)
      await collector.count(2)
      await admin.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      expect(await connection.closed).toBeInstanceOf(Error)
      await expect
        .poll(
          async () => {
            const [seconds] = (await admin.run('TIME')) as string[]
            const [, score] = (await admin.run('ZRANGE', 'unacked_index', -1, -1, 'WITHSCORES')) as string[]
            return Number(seconds) - Number(score)
          },
          { timeout: 10_000 },
        )
        .toBeGreaterThan(2)
      const consumer = kombu('consume', 'ours', [stopFile], options)
      await consumer.until(() => consumer.lines.length === 3)
      // Its own blocked BRPOP takes each as soon as it is back, the newest first.
      expect(consumer.lines.slice(1).toSorted()).toEqual(['a redelivered', 'b redelivered'])
      await expect.poll(left).toBe(0)
    })

    it('PUB-074 keeps what it holds although kombu consumers look for abandoned messages', async () => {
      const options = { visibility_timeout: 1.5 }
      const connection = await connect(options)
      await connection.publish(quoted('mine', ['long']))
      const collector = await consume(connection, 'mine', 0, false)
      await collector.count(1)
      const [tag] = (await admin.run('HKEYS', 'unacked')) as string[]
      const claimedAt = Number(await admin.run('ZSCORE', 'unacked_index', tag as string))
      const score = async (): Promise<number> =>
        Number(await admin.run('ZSCORE', 'unacked_index', tag as string))
      await expect.poll(async () => (await score()) - claimedAt, { timeout: 20_000 }).toBeGreaterThan(2)
      // Each looks at its first empty poll, with the same timeout.
      for (const name of ['x', 'y']) {
        const looker = kombu('consume', name, [stopFile], options)
        await looker.until(() => looker.lines[0] === 'ready')
      }
      await expect.poll(async () => (await score()) - claimedAt, { timeout: 20_000 }).toBeGreaterThan(5)
      expect(await connection.queueLength('mine')).toBe(0)
      await collector.deliveries[0]?.ack()
      expect(await left()).toBe(0)
    })

    it('PUB-076 WRK-071 takes what kombu put back when it left, and gives kombu what we put back', async () => {
      const connection = await connect()
      await connection.publish(quoted('back', ['a', 'b']))
      expect(await kombu('leave', 'back', ['2']).ended).toBe(0)
      const collector = await consume(connection, 'back', 0, false)
      await collector.count(2)
      expect(collector.texts.map(plain).toSorted()).toEqual(['a', 'b'])
      expect(collector.deliveries.map((delivery) => delivery.redelivered)).toEqual([true, true])
      const inOrder = collector.texts.map(plain)
      await connection.close()
      const consumer = kombu('consume', 'back', [stopFile])
      await consumer.until(() => consumer.lines.length === 3)
      expect(consumer.lines.slice(1)).toEqual(inOrder.map((text) => `${text} redelivered`))
    })

    it('PUB-077 broadcasts to kombu, and hears its broadcasts, by routing key', async () => {
      const connection = await connect()
      const exchange = { name: 'ev', type: 'fanout' as const, durable: true }
      const bindings = [{ from: 'ev', to: { queue: 'here' }, routingKey: 'worker.#' }]
      await connection.declare({ exchanges: [exchange], queues: [], bindings })
      const collector = await consume(connection, 'here', 0)
      const listener = kombu('listen', 'there', ['ev', 'task.#'])
      await listener.until(() => listener.lines[0] === 'ready')
      await expect.poll(() => admin.run('PUBSUB', 'NUMPAT'), { timeout: 20_000 }).toBe(2)
      expect(await kombu('fanout', 'none', ['ev', 'worker.online', 'task.sent', 'other']).ended).toBe(0)
      const publish = (routingKey: string, text: string): Promise<void> =>
        connection.publish([{ envelope: message(`"${text}"`), to: { exchange: 'ev', routingKey } }])
      await publish('worker.x', 'ours')
      await publish('task.x', 'stop')
      await collector.count(2)
      expect(collector.texts.map(plain)).toEqual(['to worker.online', 'ours'])
      expect(await listener.ended).toBe(0)
      expect(listener.lines.slice(1)).toEqual(['to task.sent', 'stop'])
    })

    it('PUB-072 PUB-079 routes through the bindings that kombu wrote, and kombu through ours', async () => {
      const connection = await connect()
      expect(await kombu('route', 'theirs', ['x', 'topic', 'a.*', 'a.b']).ended).toBe(0)
      await connection.declare({
        exchanges: [{ name: 'x', type: 'topic', durable: true }],
        queues: [],
        bindings: [{ from: 'x', to: { queue: 'ours' }, routingKey: '#.c' }],
      })
      await connection.publish([{ envelope: message('"mine"'), to: { exchange: 'x', routingKey: 'a.c' } }])
      expect(await kombu('route', 'theirs', ['x', 'topic', 'a.*', 'z.c']).ended).toBe(0)
      const [theirs, ours] = [await consume(connection, 'theirs', 0), await consume(connection, 'ours', 0)]
      await Promise.all([theirs.count(2), ours.count(2)])
      expect(theirs.deliveries.map(textOf).map(plain)).toEqual(['a.b', 'mine'])
      expect(ours.deliveries.map(textOf).map(plain)).toEqual(['mine', 'z.c'])
    })

    it('PUB-078 meets kombu under a global_keyprefix', async () => {
      const options = { global_keyprefix: 'pfx:' }
      expect(await kombu('publish', 'q', ['p', '3', '0', '9'], options).ended).toBe(0)
      const connection = await connect(options)
      const collector = await consume(connection, 'q', 0, false)
      await collector.count(3)
      expect(collector.texts.map(plain)).toEqual(['p-0', 'p-2', 'p-1'])
      await connection.close()
      const consumer = kombu('consume', 'q', [stopFile], options)
      await consumer.until(() => consumer.lines.length === 4)
      expect(consumer.lines.slice(1)).toEqual(['p-0', 'p-2', 'p-1'].map((text) => `${text} redelivered`))
      const keys = (await admin.run('KEYS', '*')) as string[]
      expect(keys.filter((key) => !key.startsWith('pfx:'))).toEqual([])
    })
  },
)
