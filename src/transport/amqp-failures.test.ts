import { randomUUID } from 'node:crypto'
import { createServer, type Server, type Socket, connect as tcp } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { noRabbit, RabbitServer } from '../../interop-tests/rabbitmq-server.js'
import { skipNote } from '../../interop-tests/redis-server.js'
import { type Clock, systemClock } from '../clock.js'
import {
  BrokerRefusedError,
  BrokerUnavailableError,
  ConfigError,
  ConnectionLostError,
  DeliveryLostError,
  InvalidArgumentError,
  MessageNackedError,
  UnroutableError,
} from '../errors.js'
import { silentLogger } from '../logger.js'
import { AmqpConnection } from './amqp-connection.js'
import { AmqpLink } from './amqp-link.js'
import { createAmqpTransport } from './amqp-transport.js'
import { amqpTarget } from './amqp-url.js'
import { suspendsSlowConsumers } from './amqp-versions.js'
import { Collector, message, textOf, toQueue } from './collector.conformance.js'
import type { Connection, Queue } from './transport.js'

const durable = (name: string, args: Record<string, unknown> = {}): Queue => ({
  name,
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: args,
})

/** Stands between client and server: cuts, or swallows everything and keeps the sockets open. */
class Wire {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isSilent = false
  /** What the client gets for what the server has sent, and what it gets first when it sends something itself. */
  fromServer = (bytes: Buffer): Buffer => bytes
  atAnswer = (): Buffer | undefined => undefined
  port = 0

  constructor(target: number) {
    this.#server = createServer((client) => {
      const server = tcp(target, '127.0.0.1')
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from)
        from.on('error', () => {})
        from.on('data', (bytes) => {
          const first = from === client ? this.atAnswer() : undefined
          if (first !== undefined) client.write(first)
          if (!this.#isSilent) to.write(from === server ? this.fromServer(bytes) : bytes)
        })
        from.on('close', () => this.#isSilent || to.destroy())
      }
    })
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.port = (this.#server.address() as { port: number }).port
    return this
  }

  silence(): void {
    this.#isSilent = true
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

/** Without anything in it. */
const heartbeatFrame = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce])
const openOkFrame = Buffer.from([1, 0, 0, 0, 0, 0, 5, 0, 10, 0, 41, 0, 0xce])

describe.skipIf(noRabbit)(`createAmqpTransport when things go wrong${skipNote(noRabbit)}`, () => {
  let server: RabbitServer
  let queue: string
  const quorum = 'quorum'
  let quorumSince = 0
  const opened: { close(): unknown }[] = []

  beforeAll(async () => {
    server = await RabbitServer.start({ tls: true, extra: { max_message_size: 100_000 } })
    const connection = await connect()
    await declare(connection, durable(quorum, { 'x-queue-type': 'quorum' }))
    quorumSince = performance.now()
    await connection.close()
  }, 90_000)
  afterAll(() => server.close())
  beforeEach(() => {
    queue = `q-${randomUUID()}`
    logged.length = 0
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()))
  })

  const logged: string[] = []
  const note = (_fields: object, text = ''): void => void logged.push(text)
  const logger = { ...silentLogger, warn: note, info: note }

  async function connect(
    transportOptions: Record<string, unknown> = {},
    url = server.url,
    timeoutMs = 10_000,
  ): Promise<Connection> {
    const connection = await createAmqpTransport().connect(url, { transportOptions, timeoutMs, logger })
    opened.push(connection)
    return connection
  }
  const declare = (connection: Connection, ...queues: Queue[]): Promise<void> =>
    connection.declare({ exchanges: [], queues, bindings: [] })
  async function consume(connection: Connection, prefetch = 0): Promise<Collector> {
    const collector = new Collector()
    await connection.consume([queue], collector.options(prefetch))
    return collector
  }
  const lengthOf = (connection: Connection, count: number): Promise<void> =>
    vi.waitFor(async () => expect(await connection.queueLength(queue)).toBe(count), { timeout: 5000 })

  it('reads a frame that begins with the end of the handshake', async () => {
    const wire = await new Wire(server.port).listen()
    let rest: Buffer | undefined
    wire.fromServer = (bytes) => {
      if (!bytes.equals(openOkFrame)) return bytes
      rest = heartbeatFrame.subarray(3)
      return Buffer.concat([bytes, heartbeatFrame.subarray(0, 3)])
    }
    wire.atAnswer = () => {
      const first = rest
      rest = undefined
      return first
    }
    const options = { timeoutMs: 10_000, clock: systemClock(), logger: silentLogger }
    const url = `amqp://guest:guest@127.0.0.1:${wire.port}//`
    const link = await AmqpLink.open(amqpTarget(url, {}), options)
    try {
      expect(rest).toBeDefined()
      const channel = await link.channel(() => {})
      expect(rest).toBeUndefined()
      await channel.close()
    } finally {
      await link.close(1000)
      wire.close()
    }
  })

  describe('publishing', () => {
    it('gives back a task that no queue takes, and drops what may find none', async () => {
      const connection = await connect()
      await expect(connection.publish(toQueue(queue, ['a']))).rejects.toThrow(UnroutableError)
      await connection.publish(toQueue(queue, ['b']).map((each) => ({ ...each, mandatory: false })))
      await declare(connection, durable(queue))
      // the connection and its channel are as good as before
      await connection.publish(toQueue(queue, ['c']))
      expect(await connection.queueLength(queue)).toBe(1)
    })

    it('says which of many came back: the others arrived', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      const results = await Promise.allSettled([
        connection.publish(toQueue(queue, ['a'])),
        connection.publish(toQueue('nowhere', ['same'])),
        connection.publish(toQueue(queue, ['b'])),
      ])
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    })

    it('declares a queue again that was deleted since, rather than lose a task', async () => {
      const [connection, other] = [await connect(), await connect()]
      await connection.declare({
        exchanges: [{ name: `x-${queue}`, type: 'topic', durable: true }],
        queues: [durable(queue)],
        bindings: [{ from: `x-${queue}`, to: { queue }, routingKey: 'a.#' }],
      })
      await other.deleteQueue(queue)
      await connection.publish([
        { envelope: message('m'), to: { exchange: `x-${queue}`, routingKey: 'a.b' } },
        { envelope: message('n'), to: { exchange: '', routingKey: queue } },
      ])
      expect(await connection.queueLength(queue)).toBe(2)
    })

    it('tells a full queue that refuses messages', async () => {
      const connection = await connect()
      await declare(connection, durable(queue, { 'x-max-length': 1, 'x-overflow': 'reject-publish' }))
      await connection.publish(toQueue(queue, ['a']))
      await expect(connection.publish(toQueue(queue, ['b']))).rejects.toThrow(MessageNackedError)
      await (await connection.get(queue))?.ack()
      await lengthOf(connection, 0)
      await connection.publish(toQueue(queue, ['c']))
    })

    it('tells the sender of a message that is too large, and that others beside it may have arrived', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      const large = { ...message('x'), body: new Uint8Array(100_001) }
      const [alone] = await Promise.allSettled([
        connection.publish([{ envelope: large, to: { exchange: '', routingKey: queue } }]),
      ])
      expect(alone).toMatchObject({ reason: expect.any(BrokerRefusedError) })
      const [bad, good] = await Promise.allSettled([
        connection.publish([{ envelope: large, to: { exchange: '', routingKey: queue } }]),
        connection.publish(toQueue(queue, ['beside'])),
      ])
      expect(bad).toMatchObject({ reason: expect.any(BrokerRefusedError) })
      if (good.status === 'rejected') expect(good.reason).toBeInstanceOf(ConnectionLostError)
      await connection.publish(toQueue(queue, ['after']))
    })

    it('refuses an exchange that does not exist before anything is sent to it', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      const [wrong, right] = await Promise.allSettled([
        connection.publish([{ envelope: message('x'), to: { exchange: 'nobody', routingKey: 'k' } }]),
        connection.publish(toQueue(queue, ['a'])),
      ])
      expect(wrong).toMatchObject({ reason: expect.any(BrokerRefusedError) })
      expect(right.status).toBe('fulfilled')
    })

    it('outlives an exchange that is deleted while it publishes', async () => {
      const [connection, other] = [await connect(), await connect()]
      const exchange = `x-${queue}`
      const topology = {
        exchanges: [{ name: exchange, type: 'direct' as const, durable: false, autoDelete: true }],
        queues: [durable(queue)],
        bindings: [{ from: exchange, to: { queue }, routingKey: 'k' }],
      }
      await connection.declare(topology)
      await other.deleteQueue(queue)
      const to = { exchange, routingKey: 'k' }
      await expect(connection.publish([{ envelope: message('x'), to }])).rejects.toThrow(BrokerRefusedError)
      await declare(connection, durable(queue))
      await connection.publish(toQueue(queue, ['a']))
    })

    it('refuses what AMQP cannot carry, and goes on', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      const long = { ...message('x'), properties: { correlationId: 'x'.repeat(300) } }
      const wide = message('x', { text: 'x'.repeat(131_072) })
      for (const envelope of [long, wide]) {
        await expect(
          connection.publish([{ envelope, to: { exchange: '', routingKey: queue } }]),
        ).rejects.toThrow(InvalidArgumentError)
      }
      await connection.publish(toQueue(queue, ['a']))
      expect(await connection.queueLength(queue)).toBe(1)
    })

    it('splits a message over frames of the size that was agreed on', async () => {
      const connection = await connect({ frame_max: 8192 })
      await declare(connection, durable(queue))
      const body = Uint8Array.from({ length: 50_000 }, (_, index) => index % 251)
      await connection.publish([
        { envelope: { ...message('x'), body }, to: { exchange: '', routingKey: queue } },
      ])
      const got = await connection.get(queue)
      expect(Buffer.compare(Buffer.from(got?.envelope.body ?? []), Buffer.from(body))).toBe(0)
    })

    it('keeps what is published before a close, in its order', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      // more than wait for their confirms at once, and few enough for the bound of a close on a busy machine
      const texts = Array.from({ length: 4200 }, (_, index) => `m${index}`)
      const publishing = connection.publish(toQueue(queue, texts))
      await connection.close()
      await publishing
      const other = await connect()
      expect(await other.queueLength(queue)).toBe(4200)
      const collector = await consume(other)
      await collector.count(4200)
      expect(collector.texts).toEqual(texts)
    }, 30_000)
  })

  describe('an alarm of the server', () => {
    afterEach(() => server.memoryAlarm(false))

    it('lets publishes fail in their time, sends nothing afterwards, and does not hold up acknowledgements', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      await connection.publish(toQueue(queue, ['a', 'b']))
      const collector = await consume(connection, 1)
      await collector.count(1)
      await server.memoryAlarm(true)
      const late = new AbortController()
      const first = connection.publish(toQueue(queue, ['first']), { signal: late.signal })
      first.catch(() => {})
      // what is sent while the server does not read waits in the sockets: the second is known to be unsent
      await vi.waitFor(() => expect(logged.join()).toMatch(/takes no messages/), 5000)
      const second = connection.publish(toQueue(queue, ['second']), { signal: late.signal })
      late.abort(new Error('too late'))
      await expect(first).rejects.toThrow('too late')
      await expect(second).rejects.toThrow('too late')
      await collector.deliveries[0]?.ack()
      await collector.count(2)
      await server.memoryAlarm(false)
      await connection.publish(toQueue(queue, ['third']))
      await collector.deliveries[1]?.ack()
      await collector.until(() => collector.texts.includes('first') || collector.texts.includes('third'))
      expect(collector.texts).not.toContain('second')
    }, 30_000)
  })

  describe('consuming', () => {
    it('declares and consumes a queue again that is deleted under it', async () => {
      const [connection, other] = [await connect(), await connect()]
      await connection.declare({
        exchanges: [{ name: `x-${queue}`, type: 'fanout', durable: true }],
        queues: [durable(queue)],
        bindings: [{ from: `x-${queue}`, to: { queue }, routingKey: '' }],
      })
      const collector = await consume(connection)
      await other.publish(toQueue(queue, ['a']))
      await collector.count(1)
      await other.deleteQueue(queue)
      await vi.waitFor(() => expect(logged.join()).toContain(`Consuming from ${queue} again`), 5000)
      // what was held before can still be settled, and the bindings are back
      await collector.deliveries[0]?.ack()
      await other.publish([{ envelope: message('b'), to: { exchange: `x-${queue}`, routingKey: '' } }])
      await collector.count(2)
      expect(collector.texts).toEqual(['a', 'b'])
    })

    describe('that the broker has forgotten', () => {
      /** Takes the consumers from the process of the queue: neither their channel nor the client is told. */
      const forget = (): Promise<string> =>
        server.ctl(
          'eval',
          `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${queue}">>)), ` +
            '[gen_server2:call(amqqueue:get_pid(Q), {basic_cancel, element(1, C), element(2, C), undefined, <<"test">>}) ' +
            '|| C <- rabbit_amqqueue:consumers(Q)].',
        )
      let looks = 0
      const clock: Clock = {
        ...systemClock(),
        after: (ms, callback) => {
          if (ms === lookEveryMs) looks += 1
          return systemClock().after(ms, callback)
        },
      }
      const lookEveryMs = 47
      const watching = async (): Promise<AmqpConnection> => {
        const options = { timeoutMs: 10_000, clock, logger, lookEveryMs }
        const openLink = (): Promise<AmqpLink> => AmqpLink.open(amqpTarget(server.url, {}), options)
        const connection = new AmqpConnection({ ...options, link: await openLink(), openLink })
        opened.push(connection)
        return connection
      }

      it('notices messages that wait for nobody, consumes anew, and leaves alone what is held', async ({
        skip,
      }) => {
        if (suspendsSlowConsumers(server.version)) skip('the processes of this RabbitMQ cannot be asked so')
        const connection = await watching()
        await declare(connection, durable(queue))
        await connection.publish(toQueue(queue, ['a']))
        const collector = await consume(connection, 2)
        await collector.count(1)
        await forget()
        await connection.publish(toQueue(queue, ['b']))
        await collector.count(2)
        expect(logged.join()).toContain(`The consumer of ${queue} is not served`)
        await Promise.all(collector.deliveries.map((each) => each.ack()))
        await connection.close()
        await lengthOf(await connect(), 0)
        expect(collector.texts).toEqual(['a', 'b'])
      })

      it('leaves a consumer alone that is full, and one whose queue is empty', async () => {
        const connection = await watching()
        await declare(connection, durable(queue))
        const collector = await consume(connection, 1)
        const afterLooks = (): Promise<void> => {
          const from = looks
          return vi.waitFor(() => expect(looks).toBeGreaterThan(from + 3), 5000)
        }
        await afterLooks()
        await connection.publish(toQueue(queue, ['a', 'b']))
        await collector.count(1)
        await afterLooks()
        expect(logged.join()).not.toContain('not served')
        await collector.deliveries[0]?.ack()
        await collector.count(2)
        expect(collector.texts).toEqual(['a', 'b'])
      })
    })

    it('is lost when a deleted queue cannot be had again', async () => {
      const [connection, other] = [await connect(), await connect()]
      await declare(other, durable(queue))
      await consume(connection)
      await other.deleteQueue(queue)
      expect(await connection.closed).toBeInstanceOf(ConnectionLostError)
    })

    it('finds a queue that is not there a passing trouble, and one of another kind a lasting one', async () => {
      const connection = await connect()
      await expect(consume(connection)).rejects.toThrow(BrokerUnavailableError)
      await declare(connection, durable(queue))
      const other = declare(await connect(), durable(queue, { 'x-max-priority': 4 }))
      await expect(other).rejects.toThrow(/the queue '.*' exists .* x-max-priority is none there/)
      await expect(other).rejects.toThrow(BrokerRefusedError)
      // the refusals have hit nobody else
      await consume(connection)
    })

    it('WRK-022 PUB-090 consumes from quorum queues with a prefetch count for each', async () => {
      const connection = await connect()
      await declare(connection, durable(queue, { 'x-queue-type': 'quorum' }))
      await connection.publish(toQueue(queue, ['a', 'b', 'c']))
      const collector = new Collector()
      await connection.consume([queue], { ...collector.options(2), globalPrefetch: false })
      await collector.count(2)
      await collector.deliveries[1]?.ack()
      await collector.count(3)
      if (!connection.capabilities.livePrefetch) return
      const wrong = await connect()
      await expect(wrong.consume([queue], new Collector().options(2))).rejects.toThrow(/x-queue-type/)
    })

    it('hands out higher priorities first, and to the consumer of the highest priority', async () => {
      const connection = await connect()
      await declare(connection, durable(queue, { 'x-max-priority': 9 }))
      const prioritized = [0, 9, 5].map((priority) => {
        const envelope = message(`p${priority}`)
        const properties = { ...envelope.properties, priority }
        return { envelope: { ...envelope, properties }, to: { exchange: '', routingKey: queue } }
      })
      await connection.publish(prioritized)
      const [low, high] = [new Collector(), new Collector()]
      await connection.consume([queue], {
        ...high.options(2),
        consumerArguments: () => ({ 'x-priority': 10 }),
      })
      await (await connect()).consume([queue], low.options(2))
      await high.count(2)
      await low.count(1)
      expect([high.texts, low.texts]).toEqual([['p9', 'p5'], ['p0']])
    })

    it('acknowledges in any order exactly what was acknowledged', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      await connection.publish(
        toQueue(
          queue,
          Array.from({ length: 60 }, (_, index) => `m${index}`),
        ),
      )
      const collector = await consume(connection)
      await collector.count(60)
      const kept = [3, 17, 18, 40, 59]
      const order = collector.deliveries
        .map((_, index) => (index * 7) % 60)
        .filter((index) => !kept.includes(index))
      for (const [turn, index] of order.entries()) {
        const settled =
          turn % 5 === 0
            ? collector.deliveries[index]?.reject({ requeue: false })
            : collector.deliveries[index]?.ack()
        if (turn % 4 === 0) await settled
      }
      await connection.close()
      const next = await connect()
      await lengthOf(next, kept.length)
      const again = await consume(next)
      await again.count(kept.length)
      expect(again.texts).toEqual(kept.map((index) => `m${index}`))
    })

    it('dead-letters what is dropped, with its death in the headers, and carries these on', async () => {
      const connection = await connect()
      const dead = `dead-${queue}`
      await declare(
        connection,
        durable(dead),
        durable(queue, { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }),
      )
      await connection.publish(toQueue(queue, ['a']))
      await (await connection.get(queue))?.reject({ requeue: false })
      await vi.waitFor(async () => expect(await connection.queueLength(dead)).toBe(1), 5000)
      const got = await connection.get(dead)
      const deaths = got?.envelope.headers['x-death']
      expect(deaths).toMatchObject([{ queue, reason: 'rejected', count: 1, time: expect.any(Date) }])
      if (got === undefined) throw new Error('nothing was dead-lettered')
      await connection.publish([{ envelope: got.envelope, to: { exchange: '', routingKey: dead } }])
      await got.ack()
      const again = await connection.get(dead)
      expect(again?.envelope.headers['x-death']).toEqual(deaths)
    })

    it('deletes a queue only when nobody consumes it, where that is asked for', async () => {
      const [connection, other] = [await connect(), await connect()]
      await declare(connection, durable(queue))
      const collector = await consume(connection)
      await other.deleteQueue(queue, { ifUnused: true })
      await other.publish(toQueue(queue, ['a']))
      await collector.count(1)
      await connection.close()
      await other.deleteQueue(queue, { ifUnused: true })
      await expect(other.consume([queue], collector.options(0))).rejects.toThrow(/no queue/)
    })

    it('is lost when a message is held for longer than consumer_timeout, and says what to change', async ({
      skip,
    }) => {
      if (suspendsSlowConsumers(server.version)) skip('this RabbitMQ has no such limit for classic queues')
      const limit = (tickMs: number, timeoutMs: number): Promise<string> =>
        server.ctl(
          'eval',
          `application:set_env(rabbit, channel_tick_interval, ${tickMs}), application:set_env(rabbit, consumer_timeout, ${timeoutMs}).`,
        )
      await limit(200, 300)
      try {
        const connection = await connect()
        await declare(connection, durable(queue))
        await connection.publish(toQueue(queue, ['waits', 'parked']))
        const collector = await consume(connection)
        await collector.count(2)
        await collector.deliveries[1]?.park?.(Date.now() + 3_600_000)
        const cause = await connection.closed
        expect(cause).toBeInstanceOf(ConnectionLostError)
        expect(cause?.message).toMatch(/longer than the consumer_timeout/)
        await expect(collector.deliveries[0]?.ack()).rejects.toThrow(DeliveryLostError)
        await lengthOf(await connect(), 1)
      } finally {
        await limit(60_000, 1_800_000)
      }
    })
  })

  describe('parking', () => {
    it('leaves a message with the broker until it is due, and gives it back whole to its queue alone', async () => {
      const connection = await connect()
      const exchange = `x-${queue}`
      const other = `${queue}-other`
      await connection.declare({
        exchanges: [{ name: exchange, type: 'fanout', durable: true }],
        queues: [durable(queue), durable(other)],
        bindings: [queue, other].map((name) => ({ from: exchange, to: { queue: name }, routingKey: '' })),
      })
      await connection.publish([{ envelope: message('a', { id: 7 }), to: { exchange, routingKey: 'k' } }])
      const collector = await consume(connection, 1)
      await collector.count(1)
      const due = Date.now() + 700
      await collector.deliveries[0]?.park?.(due)
      const parkedAt = Date.now()
      await collector.count(2)
      // places are powers of two: it comes back in the second half of its time, and is parked again
      expect(Date.now() - parkedAt).toBeGreaterThan(300)
      expect(Date.now()).toBeLessThan(due + 2000)
      const [first, second] = collector.deliveries
      expect(second).toMatchObject({ queue, redelivered: true, address: { routingKey: queue } })
      expect(second?.envelope.properties).toEqual(first?.envelope.properties)
      expect(second?.envelope.headers).toMatchObject({ id: 7 })
      await second?.park?.(Date.now() + 100)
      await collector.count(3)
      await collector.deliveries[2]?.ack()
      expect(await connection.queueLength(other)).toBe(1)
      await connection.close()
      const next = await connect()
      await lengthOf(next, 0)
    }, 30_000)
  })

  it('WRK-039 keeps what cannot be parked until it is due, and then gives it back', async () => {
    const vhost = randomUUID()
    await server.addVhost(vhost)
    const owner = await connect({}, server.urlOf(vhost))
    await declare(owner, durable(queue))
    await owner.publish(toQueue(queue, ['a']))
    await server.addUser(vhost, 'narrow', { vhost, configure: '^q-' })
    const narrow = await connect({}, server.urlOf(vhost, vhost, 'narrow'))
    const collector = await consume(narrow)
    await collector.count(1)
    const due = Date.now() + 400
    await collector.deliveries[0]?.park?.(due)
    expect(logged.join()).toMatch(/kept here/)
    expect(await owner.queueLength(queue)).toBe(0)
    await collector.count(2)
    expect(Date.now()).toBeGreaterThanOrEqual(due - 5)
    expect(collector.deliveries[1]?.redelivered).toBe(true)
    await collector.deliveries[1]?.park?.(Date.now() + 3_600_000)
    await narrow.close()
    await lengthOf(owner, 1)
  })

  describe('connecting', () => {
    it('says that a password or a virtual host is wrong, without the password', async () => {
      const wrong = connect({}, server.urlOf('/', 'guest', 'secret'))
      await expect(wrong).rejects.toThrow(/Check the user and the password/)
      await expect(wrong).rejects.not.toThrow(/secret/)
      await expect(wrong).rejects.toThrow(BrokerUnavailableError)
      await expect(connect({}, server.urlOf('nowhere'))).rejects.toThrow(/virtual host/)
    })

    it('checks the certificate of amqps', async () => {
      const { ca } = server.certificates ?? { ca: '' }
      await expect(connect({}, server.tlsUrl)).rejects.toThrow(/certificate/)
      const connection = await connect({ ssl: { ca_certs: ca } }, server.tlsUrl)
      await declare(connection, durable(queue))
      await connection.publish(toQueue(queue, ['a']))
      await connect({ ssl: { cert_reqs: 'CERT_NONE' } }, server.tlsUrl?.replace('127.0.0.1', 'localhost'))
      await connect(
        { ssl: { ca_certs: ca }, login_method: 'AMQPLAIN' },
        server.tlsUrl?.replace('127.0.0.1', 'localhost'),
      )
    })

    it('finds a queue whose process is down a passing trouble', async () => {
      const vhost = randomUUID()
      const connection = await connect({}, await server.addVhost(vhost))
      await declare(connection, durable(queue))
      await server.ctl('eval', `rabbit_amqqueue_sup_sup:stop_for_vhost(<<"${vhost}">>).`)
      await expect(declare(connection, durable(queue))).rejects.toThrow(BrokerUnavailableError)
      await expect(declare(connection, durable(queue))).rejects.toThrow(/NOT_FOUND/)
    })

    it('says that what answers is no AMQP server, or wants TLS', async () => {
      const web = createServer((socket) => {
        socket.on('error', () => {})
        socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
      }).listen(0, '127.0.0.1')
      opened.push(web)
      await new Promise((resolve) => web.once('listening', resolve))
      const { port } = web.address() as { port: number }
      for (const url of [
        `amqp://u:secret@127.0.0.1:${port}`,
        `amqps://u:secret@127.0.0.1:${port}`,
        `amqps://u:secret@127.0.0.1:${server.port}`,
        (server.tlsUrl ?? '').replace('amqps', 'amqp'),
      ]) {
        const dialing = connect({}, url)
        await expect(dialing).rejects.toThrow(/check its port, and amqp:\/\/ or amqps:/)
        await expect(dialing).rejects.toThrow(BrokerUnavailableError)
        await expect(dialing).rejects.not.toThrow(/secret/)
      }
    })

    it('gives up on a server that says nothing, and at once when it is told to', async () => {
      const deaf = createServer((socket) => socket.resume()).listen(0, '127.0.0.1')
      await new Promise((resolve) => deaf.once('listening', resolve))
      const url = `amqp://127.0.0.1:${(deaf.address() as { port: number }).port}`
      await expect(connect({}, url, 100)).rejects.toThrow(/did not answer within 100 ms/)
      const aborting = new AbortController()
      const options = { transportOptions: {}, signal: aborting.signal }
      const dialing = createAmqpTransport().connect(url, options)
      aborting.abort(new Error('enough'))
      await expect(dialing).rejects.toThrow('enough')
      await new Promise((resolve) => deaf.close(resolve))
      await expect(connect({}, url)).rejects.toThrow(/ECONNREFUSED/)
      await expect(connect({ heartbeat: 'often' })).rejects.toThrow(ConfigError)
    })

    it('WRK-093 notices by its heartbeats that nobody answers any more, while it waits for a confirm', async () => {
      const wire = await new Wire(server.port).listen()
      opened.push(wire)
      const connection = await connect({ heartbeat: 1 }, `amqp://127.0.0.1:${wire.port}`)
      await declare(connection, durable(queue))
      await connection.publish(toQueue(queue, ['a', 'b']))
      const collector = await consume(connection)
      await collector.count(2)
      wire.silence()
      const publishing = connection.publish(toQueue(queue, ['c']))
      publishing.catch(() => {})
      expect(await connection.closed).toMatchObject({ message: expect.stringContaining('Heartbeat') })
      await expect(publishing).rejects.toThrow(ConnectionLostError)
      await expect(collector.deliveries[0]?.ack()).rejects.toThrow(DeliveryLostError)
      await expect(connection.publish(toQueue(queue, ['d']))).rejects.toThrow(ConnectionLostError)
      // the server has missed ours as well, and gives what was held to the next
      const next = await connect()
      await vi.waitFor(async () => expect(await next.queueLength(queue)).toBeGreaterThanOrEqual(2), 10_000)
      const again = await consume(next)
      await again.count(2)
      expect(again.deliveries.slice(0, 2).map((each) => [textOf(each), each.redelivered])).toEqual([
        ['a', true],
        ['b', true],
      ])
    }, 30_000)

    it('WRK-093 holds nothing any more when it slept longer than the broker waits for heartbeats', async () => {
      let sleptMs = 0
      const system = systemClock()
      const clock: Clock = { ...system, monotonic: () => system.monotonic() + sleptMs }
      const options = { transportOptions: { heartbeat: 5 }, timeoutMs: 10_000, logger, clock }
      const connection = await createAmqpTransport().connect(server.url, options)
      opened.push(connection)
      await declare(connection, durable(queue))
      await connection.publish(toQueue(queue, ['a', 'b']))
      const collector = await consume(connection)
      await collector.count(2)
      expect(collector.deliveries[0]?.isHeld?.()).toBe(true)
      sleptMs = 4000
      expect(collector.deliveries[0]?.isHeld?.()).toBe(true)
      sleptMs = 20_000
      expect(collector.deliveries[0]?.isHeld?.()).toBe(false)
      expect(await connection.closed).toMatchObject({ message: expect.stringContaining('slept for') })
      const next = await connect()
      const again = await consume(next)
      await again.count(2)
      expect(again.deliveries.every(({ redelivered }) => redelivered)).toBe(true)
    })

    it('closes in its time though nobody answers', async () => {
      const wire = await new Wire(server.port).listen()
      opened.push(wire)
      const connection = await connect({}, `amqp://127.0.0.1:${wire.port}`)
      await declare(connection, durable(queue))
      await consume(connection)
      wire.silence()
      const start = performance.now()
      await connection.close()
      expect(performance.now() - start).toBeLessThan(6000)
      expect(await connection.closed).toBeUndefined()
    }, 15_000)

    it('is lost when the server closes it, and rejects what was under way', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      const collector = await consume(connection)
      await connection.publish(toQueue(queue, ['a']))
      await collector.count(1)
      await server.closeConnections('maintenance')
      const cause = await connection.closed
      expect(cause).toBeInstanceOf(ConnectionLostError)
      expect(cause?.message).toContain('maintenance')
      await expect(collector.deliveries[0]?.ack()).rejects.toThrow(DeliveryLostError)
      await expect(connection.queueLength(queue)).rejects.toThrow(ConnectionLostError)
    })

    it('loses nothing that was confirmed when the server is killed, and tells what was not', async () => {
      const connection = await connect()
      await declare(connection, durable(queue))
      // RabbitMQ 3.10 writes down that it leads a new quorum queue after five seconds, and some time after its declaration
      // that there is a queue at all: killed before, it never knows of it again.
      const known = Math.max(quorumSince + 7000, performance.now() + 3000)
      await vi.waitFor(() => expect(performance.now()).toBeGreaterThan(known), 8000)
      const confirmed = new Set<string>()
      let isOver = false
      connection.closed.then(() => (isOver = true))
      const publishing = (async () => {
        for (let n = 0; !isOver; n += 1) {
          const to = n % 2 === 0 ? queue : quorum
          await connection.publish(toQueue(to, [`${to}/${n}`])).then(
            () => confirmed.add(`${to}/${n}`),
            (error: unknown) => expect(error).toBeInstanceOf(ConnectionLostError),
          )
        }
      })()
      await vi.waitFor(() => expect(confirmed.size).toBeGreaterThan(50), 10_000)
      await server.kill()
      await publishing
      await server.restart()
      const next = await connect()
      const collector = new Collector()
      await next.consume([queue, quorum], { ...collector.options(0), globalPrefetch: false })
      await collector.until(() => {
        const seen = new Set(collector.texts)
        return [...confirmed].every((text) => seen.has(text))
      })
    }, 60_000)
  })
})
