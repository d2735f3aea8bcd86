import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, type RedisServer } from '../../interop-tests/redis-server.js'
import { App } from '../app/app.js'
import { BrokerUnavailableError } from '../errors.js'
import { message, textOf, toQueue } from './collector.conformance.js'
import type { RedisClient } from './redis-client.js'
import { allUnanswered, unanswered as unansweredPush } from './redis-republish.js'
import { useRedis } from './redis-rig.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import type { Connection, Delivery, Outgoing } from './transport.js'

describe.skipIf(noRedis)(`publishing to Redis again (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  let proxy: TcpProxy
  let queue: string
  let connections: Connection[]

  useRedis((rig) => {
    ;({ server, admin, queue, connections } = rig)
  })
  beforeEach(async () => {
    proxy = await TcpProxy.start(server.port)
  })
  afterEach(() => proxy.close())

  const throughProxy = (): string => server.urlAt(proxy.port)
  async function connect(url = server.url, transportOptions = {}): Promise<Connection> {
    const connection = await createRedisTransport().connect(url, { transportOptions })
    connections.push(connection)
    return connection
  }
  /** The server takes what is published, and its answer does not arrive; resolves with the error of the publish. */
  async function unanswered(messages: readonly Outgoing[], arrived: () => Promise<boolean>): Promise<Error> {
    const connection = await connect(throughProxy())
    proxy.mute()
    const failed = connection.publish(messages).then(
      () => undefined,
      (error: Error) => error,
    )
    await expect.poll(arrived).toBe(true)
    proxy.heal()
    const error = await failed
    if (error === undefined) throw new Error('the publish was answered')
    return error
  }
  const list = async (key = queue): Promise<string[]> => (await admin.run('LRANGE', key, 0, -1)) as string[]
  const waits = (count: number) => async () => (await list()).length === count
  const numbered = (count: number): string[] => Array.from({ length: count }, (_, at) => `message ${at}`)
  const taken = async (connection: Connection): Promise<Delivery> => {
    const delivery = await connection.get(queue)
    if (delivery === undefined) throw new Error('the queue is empty')
    return delivery
  }

  it('PUB-023 an app sends again what was not answered, and a task that had arrived is there once', async () => {
    const app = new App('again', { brokerUrl: throughProxy(), taskDefaultQueue: queue })
    try {
      await app.sendTask('t.first')
      const before = await list()
      proxy.mute()
      const sending = Promise.all([
        app.sendTask('t.second', { args: [1] }),
        app.sendTask('t.third', { args: [2] }),
      ])
      await expect.poll(waits(3)).toBe(true)
      const arrived = await list()
      proxy.heal()
      await sending
      expect(await list()).toEqual(arrived)
      // One that had not arrived is sent.
      proxy.cut()
      const late = app.sendTask('t.fourth')
      setTimeout(() => proxy.heal(), 50)
      await late
      expect(await list()).toHaveLength(4)
      expect(arrived.at(-1)).toBe(before[0])
    } finally {
      await app.close()
    }
  })

  it('PUB-023 finds it in its priority step, and while somebody holds it', async () => {
    const envelope = message('urgent')
    const urgent = { ...envelope, properties: { ...envelope.properties, priority: 9 } }
    const messages = [{ envelope: urgent, to: { exchange: '', routingKey: queue } }]
    const step = `${queue}\x06\x169`
    const error = await unanswered(messages, async () => (await list(step)).length === 1)
    const next = await connect()
    await next.publish(messages, { after: [error] })
    expect(await list(step)).toHaveLength(1)
    const held = await taken(next)
    await next.publish(messages, { after: [error] })
    expect([...(await list(step)), ...(await list())]).toEqual([])
    // Acknowledged, there is nothing left to see of it: it is published again.
    await held.ack()
    await next.publish(messages, { after: [error] })
    expect(await list(step)).toHaveLength(1)
  })

  it('PUB-023 finds it in the middle of a long queue', async () => {
    const messages = toQueue(queue, ['in the middle'])
    const error = await unanswered(messages, waits(1))
    const others = Array.from({ length: 2500 }, (_, at) => `other ${at}`)
    await admin.run('LPUSH', queue, ...others)
    await admin.run('RPUSH', queue, ...others)
    await (await connect()).publish(messages, { after: [error] })
    expect(await list()).toHaveLength(5001)
  })

  it('PUB-023 finds what was given back meanwhile, marked as redelivered', async () => {
    const messages = toQueue(queue, ['returned'])
    const error = await unanswered(messages, waits(1))
    const holder = await connect()
    await taken(holder)
    await holder.close()
    expect(await list()).toHaveLength(1)
    await (await connect()).publish(messages, { after: [error] })
    expect(await list()).toHaveLength(1)
  })

  it('PUB-023 takes a command that arrived for done, however many of its messages have ended', async () => {
    const messages = toQueue(queue, numbered(1500))
    const error = await unanswered(messages, waits(1500))
    const next = await connect()
    // The first command brought a thousand: all but the last of them have run.
    const running: Delivery[] = []
    for (let at = 0; at < 999; at += 1) await (await taken(next)).ack()
    running.push(await taken(next))
    await next.publish(messages, { after: [error] })
    expect(await list()).toHaveLength(500)
    expect(textOf(running[0] as Delivery)).toBe('message 999')
    await running[0]?.ack()
    await next.publish(messages, { after: [error] })
    expect(await list()).toHaveLength(1500)
  })

  it('PUB-023 sends what did not arrive, in its order, and what no earlier attempt knows', async () => {
    const messages = toQueue(queue, numbered(3))
    const error = await unanswered(messages, waits(3))
    await admin.run('DEL', queue)
    const [another] = toQueue(queue, ['another'])
    const next = await connect()
    await next.publish([...messages, another as Outgoing], { after: [new Error('unrelated'), error] })
    const texts: string[] = []
    for (let at = 0; at < 4; at += 1) texts.push(textOf(await taken(next)))
    expect(texts).toEqual(['message 0', 'message 1', 'message 2', 'another'])
    expect(await next.get(queue)).toBeUndefined()
  })

  it('PUB-023 keeps two messages apart that are alike, sent by two callers in one command', async () => {
    const connection = await connect(throughProxy())
    proxy.mute()
    const alike = [toQueue(queue, ['alike']), toQueue(queue, ['alike'])]
    const failed = alike.map((messages) => connection.publish(messages).catch((error: Error) => error))
    await expect.poll(waits(2)).toBe(true)
    proxy.heal()
    const errors = (await Promise.all(failed)) as Error[]
    const next = await connect()
    await admin.run('DEL', queue)
    for (let attempt = 0; attempt < 2; attempt += 1) {
      for (const [at, messages] of alike.entries())
        await next.publish(messages, { after: [errors[at] as Error] })
    }
    expect(await list()).toHaveLength(2)
  })

  it('PUB-023 does not publish again what was answered before another part of the same publish failed', async () => {
    const messages = [...toQueue(queue, ['failed']), ...toQueue(`${queue}-2`, ['answered'])]
    const failure = unansweredPush(new BrokerUnavailableError('lost'), queue, [])
    const pushes = new Map([
      [Promise.reject(failure), queue],
      [Promise.resolve(), `${queue}-2`],
    ])
    const error = await allUnanswered(failure, pushes)
    await (await connect()).publish(messages, { after: [error as Error] })
    expect(await list()).toHaveLength(1)
    expect(await list(`${queue}-2`)).toEqual([])
  })

  it('PUB-023 finds what came through an exchange, in each of its queues, while it is held', async () => {
    const second = `${queue}-2`
    const declared = {
      exchanges: [{ name: 'e', type: 'direct', durable: true }],
      queues: [],
      bindings: [queue, second].map((name) => ({ from: 'e', to: { queue: name }, routingKey: 'k' })),
    } as const
    const messages = [{ envelope: message('copied'), to: { exchange: 'e', routingKey: 'k' } }]
    const [first, next] = [await connect(throughProxy()), await connect()]
    await first.declare(declared)
    await next.declare(declared)
    // Writes wait on the server: the bindings have been read when the push is asked for.
    await admin.run('CLIENT', 'PAUSE', 60_000, 'WRITE')
    const failed = first.publish(messages).catch((error: Error) => error)
    await expect.poll(async () => String(await admin.run('CLIENT', 'LIST'))).toContain('cmd=lpush')
    proxy.mute()
    await admin.run('CLIENT', 'UNPAUSE')
    await expect.poll(waits(1)).toBe(true)
    proxy.heal()
    const error = (await failed) as Error
    const held = await taken(next)
    await admin.run('DEL', second)
    await next.publish(messages, { after: [error] })
    expect(await list()).toEqual([])
    expect(await list(second)).toHaveLength(1)
    await held.ack()
  })
})
