import { describe, expect, it } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, type RedisServer } from '../../interop-tests/redis-server.js'
import { DeliveryLostError } from '../errors.js'
import { textOf, toQueue } from './collector.conformance.js'
import type { RedisClient } from './redis-client.js'
import { useRedis } from './redis-rig.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import { redisTarget, serverOf } from './redis-url.js'
import type { Connection, Delivery, Handover } from './transport.js'

const success = '{"status": "SUCCESS", "result": 4}'

describe.skipIf(noRedis)(`handing over on Redis (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  let queue: string
  let connections: Connection[]

  useRedis((rig) => {
    ;({ server, admin, queue, connections } = rig)
  })

  async function connect(url = server.url): Promise<Connection> {
    const connection = await createRedisTransport().connect(url, { transportOptions: {} })
    connections.push(connection)
    return connection
  }
  const taken = async (connection: Connection): Promise<Delivery> => {
    await connection.publish(toQueue(queue, ['first']))
    return (await connection.get(queue)) as Delivery
  }
  /** The next message of a chain, and the result of this one in database `database` of the server at `url`. */
  const handover = (
    change: { url?: string; database?: number; next?: readonly string[]; key?: string } = {},
  ): Handover => {
    const { url = server.url, database = 0, next = ['second'], key = 'celery-task-meta-1' } = change
    const place = { server: serverOf(redisTarget(url, {}), {}), database }
    return {
      messages: toQueue(`${queue}-next`, next),
      result: { place, key, value: success, keepSeconds: 60 },
      deletes: { place, keys: ['counter.j', 'counter.s'] },
    }
  }
  const waiting = async (): Promise<readonly string[]> => {
    const texts = (await admin.run('LRANGE', `${queue}-next`, 0, -1)) as string[]
    return texts.map((text) => Buffer.from((JSON.parse(text) as { body: string }).body, 'base64').toString())
  }
  const isHeld = async (): Promise<boolean> =>
    Number(await admin.run('HLEN', 'unacked')) + Number(await admin.run('ZCARD', 'unacked_index')) === 2

  it('publishes, stores, tells, deletes and acknowledges, all of it', async () => {
    const connection = await connect()
    const delivery = await taken(connection)
    await admin.run('SET', 'counter.j', 'parts')
    const told = new Promise<unknown>((resolve) => {
      void admin.another('ears').then(async (ears) => {
        ears.onMessage((channel, payload) => resolve([channel, String(payload)]))
        await ears.subscribe('celery-task-meta-1')
        expect(await delivery.handOver?.(handover({ next: ['second', 'third'] }), true)).toBe(true)
      })
    })
    expect(await told).toEqual(['celery-task-meta-1', success])
    expect(await waiting()).toEqual(['third', 'second'])
    expect(await admin.run('GET', 'celery-task-meta-1')).toBe(success)
    expect(Number(await admin.run('TTL', 'celery-task-meta-1'))).toBeGreaterThan(50)
    expect(await admin.run('EXISTS', 'counter.j', 'unacked', 'unacked_index')).toBe(0)
    await expect(delivery.ack()).rejects.toBeInstanceOf(DeliveryLostError)
  })

  it('RES-005 keeps a success that is stored already, and does the rest; in the database of results', async () => {
    const connection = await connect()
    const delivery = await taken(connection)
    const results = await admin.another('results')
    await results.run('SELECT', 3)
    await results.run('SET', 'celery-task-meta-1', '{"status": "SUCCESS", "result": 1}')
    await results.run('SET', 'counter.s', 2)
    expect(await delivery.handOver?.(handover({ database: 3 }), true)).toBe(true)
    expect(await results.run('GET', 'celery-task-meta-1')).toContain('"result": 1')
    expect(await results.run('EXISTS', 'counter.s')).toBe(0)
    expect(await waiting()).toEqual(['second'])
    expect(await isHeld()).toBe(false)
    const second = await taken(connection)
    expect(await second.handOver?.(handover({ database: 3, key: 'celery-task-meta-2' }), true)).toBe(true)
    expect(await results.run('GET', 'celery-task-meta-2')).toBe(success)
    expect(await admin.run('EXISTS', 'celery-task-meta-2')).toBe(0)
    results.close()
  })

  it('does nothing without its message, which somebody else has by then', async () => {
    const connection = await connect()
    const delivery = await taken(connection)
    const [tag, value] = (await admin.run('HGETALL', 'unacked')) as [string, string]
    await admin.run('HSET', 'unacked', tag, value.trimEnd())
    const handing = delivery.handOver?.(handover(), true)
    const error: unknown = await handing?.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DeliveryLostError)
    expect((error as Error).cause).toBeUndefined()
    expect(await waiting()).toEqual([])
    expect(await admin.run('EXISTS', 'celery-task-meta-1')).toBe(0)
  })

  it('needs none for what was acknowledged before', async () => {
    const connection = await connect()
    const delivery = await taken(connection)
    await delivery.ack()
    expect(await delivery.handOver?.(handover(), false)).toBe(true)
    expect(await waiting()).toEqual(['second'])
    expect(await admin.run('GET', 'celery-task-meta-1')).toBe(success)
  })

  it('takes in an acknowledgement that has not gone out', async () => {
    const connection = await connect()
    const delivery = await taken(connection)
    expect(delivery.withdrawAck?.()).toBe(false)
    const told: string[] = []
    const watcher = { onAcknowledged: () => told.push('acked'), onUnacknowledged: () => told.push('lost') }
    delivery.ackFor?.(watcher)
    expect(delivery.withdrawAck?.()).toBe(true)
    expect(delivery.withdrawAck?.()).toBe(false)
    expect(delivery.isHeld?.()).toBe(true)
    expect(await delivery.handOver?.(handover(), true)).toBe(true)
    expect(await waiting()).toEqual(['second'])
    expect(await admin.run('EXISTS', 'unacked', 'unacked_index')).toBe(0)
    expect(told).toEqual([])
    const other = await taken(connection)
    const acked = new Promise<void>((onAcknowledged) => other.ackFor?.({ ...watcher, onAcknowledged }))
    await acked
    expect(other.withdrawAck?.()).toBe(false)
  })

  it.each([
    ['the next queue is no list', () => ['SET', `${queue}-next`, 'text'] as const],
    ['the result cannot be written', () => ['HSET', 'celery-task-meta-1', 'field', 'text'] as const],
    ['nobody can tell here what is stored', () => ['SET', 'celery-task-meta-1', 'neither JSON'] as const],
    ['memory has run out', () => ['CONFIG', 'SET', 'maxmemory', '1'] as const],
  ])('does nothing where %s, and the message stays ours', async (_what, command) => {
    const connection = await connect()
    const delivery = await taken(connection)
    const [name, ...args] = command()
    await admin.run(name, ...args)
    try {
      expect(await delivery.handOver?.(handover(), true)).toBe(false)
    } finally {
      await admin.run('CONFIG', 'SET', 'maxmemory', '0')
    }
    if (name !== 'SET' || args[0] !== `${queue}-next`) expect(await waiting()).toEqual([])
    expect(await isHeld()).toBe(true)
    await delivery.ack()
    expect(await isHeld()).toBe(false)
  })

  it('takes back what it had published when a later part is refused, and asks no more where all of it is', async () => {
    await admin.run('ACL', 'SETUSER', 'no-results', 'on', '>pw', '~*', '&*', '+@all', '-setex', '-set')
    const url = server.url.replace('redis://', 'redis://no-results:pw@')
    const connection = await connect(url)
    const delivery = await taken(connection)
    expect(await delivery.handOver?.(handover({ url, next: ['second', 'third'] }), true)).toBe(false)
    expect(await waiting()).toEqual([])
    expect(await isHeld()).toBe(true)
    await admin.run('ACL', 'SETUSER', 'no-results', 'resetkeys', `~${queue}*`, '~unacked*', '~_*')
    expect(delivery.handsOver?.(handover({ url }).result?.place)).toBe(true)
    expect(await delivery.handOver?.(handover({ url }), true)).toBe(false)
    expect(delivery.handsOver?.(undefined)).toBe(false)
    await delivery.ack()
    expect(await isHeld()).toBe(false)
  })

  it('leaves what is kept elsewhere, or must be routed, to others', async () => {
    const connection = await connect()
    const delivery = await taken(connection)
    const elsewhere = handover({ url: 'redis://127.0.0.1:1/0' })
    expect(await delivery.handOver?.(elsewhere, true)).toBe(false)
    const places = [undefined, handover().result?.place, elsewhere.result?.place]
    expect(places.map((place) => delivery.handsOver?.(place))).toEqual([true, true, false])
    const what = handover()
    const routed = what.messages.map((one) => ({ ...one, to: { exchange: 'x', routingKey: 'y' } }))
    expect(await delivery.handOver?.({ ...what, messages: routed }, true)).toBe(false)
    expect(await isHeld()).toBe(true)
  })

  it('PUB-075 the next connection finds out what came of one whose answer was lost, and does it once', async () => {
    const proxy = await TcpProxy.start(server.port)
    try {
      const throughProxy = server.urlAt(proxy.port)
      const done = await connect(throughProxy)
      const delivery = await taken(done)
      const what = handover({ url: throughProxy })
      proxy.mute()
      const handing = delivery.handOver?.(what, true)
      handing?.catch(() => {})
      await expect.poll(waiting).toEqual(['second'])
      proxy.heal()
      await expect(handing).rejects.toMatchObject({ code: 'DELIVERY_LOST', cause: expect.anything() })
      const heir = await connect()
      expect(await heir.settleLost?.([delivery], handover(), true)).toEqual([])
      expect(await waiting()).toEqual(['second'])

      const undone = await connect(throughProxy)
      const other = await taken(undone)
      proxy.stall()
      const lost = other.handOver?.(handover({ url: throughProxy, key: 'celery-task-meta-2' }), true)
      lost?.catch(() => {})
      proxy.cut()
      await expect(lost).rejects.toMatchObject({ code: 'DELIVERY_LOST', cause: expect.anything() })
      expect(await isHeld()).toBe(true)
      expect(await heir.settleLost?.([other], handover({ next: ['third'] }), true)).toEqual([])
      expect(await waiting()).toEqual(['third', 'second'])
      expect(await isHeld()).toBe(false)
    } finally {
      await proxy.close()
    }
  })

  it('is finished before its connection closes, and what it hands over is taken at once by who hands it over', async () => {
    const connection = await connect()
    const delivery = await taken(connection)
    const arrived = new Promise<string>((resolve) => {
      void connection.consume([`${queue}-next`], {
        prefetch: 1,
        noAck: false,
        onDeliveries: ([next]) => resolve(textOf(next as Delivery)),
      })
    })
    const handing = delivery.handOver?.(handover(), true)
    expect(await arrived).toBe('second')
    expect(await handing).toBe(true)
    const last = await taken(connection)
    const ending = last.handOver?.(handover({ next: ['third'] }), true)
    await connection.close()
    expect(await ending).toBe(true)
    expect(await isHeld()).toBe(false)
  })
})
