import { randomUUID } from 'node:crypto'
import { connect as bareConnect, type ChannelModel } from 'amqplib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { noRabbit, RabbitServer } from '../../interop-tests/rabbitmq-server.js'
import { skipNote } from '../../interop-tests/redis-server.js'
import { systemClock } from '../clock.js'
import { silentLogger } from '../logger.js'
import { AmqpConnection } from './amqp-connection.js'
import { AmqpLink } from './amqp-link.js'
import { createAmqpTransport } from './amqp-transport.js'
import { amqpTarget } from './amqp-url.js'
import { hidesDeletions } from './amqp-versions.js'
import { ackAndForget, Collector, textOf, toQueue } from './collector.conformance.js'
import type { Connection, Delivery } from './transport.js'

/** Its bodies, and how often the server cancelled it. */
interface BareConsumer {
  readonly texts: string[]
  cancelled: number
}

describe.skipIf(noRabbit)(`a quorum queue that is deleted${skipNote(noRabbit)}`, () => {
  let server: RabbitServer
  let queue: string
  const opened: { close(): Promise<unknown> }[] = []
  const texts = Array.from({ length: 20 }, (_, at) => `t${at}`)

  beforeAll(async () => {
    server = await RabbitServer.start()
  }, 90_000)
  afterAll(() => server?.close())
  beforeEach(() => {
    queue = `q-${randomUUID()}`
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await Promise.allSettled(opened.splice(0).map((each) => each.close()))
  })

  async function connect(): Promise<Connection> {
    const options = { transportOptions: {}, timeoutMs: 10_000, logger: silentLogger }
    const connection = await createAmqpTransport().connect(server.url, options)
    opened.push(connection)
    return connection
  }
  const declare = (connection: Connection, name = queue): Promise<void> =>
    connection.declare({
      exchanges: [],
      queues: [
        {
          name,
          durable: true,
          exclusive: false,
          autoDelete: false,
          arguments: { 'x-queue-type': 'quorum' },
        },
      ],
      bindings: [],
    })
  /** As kombu consumes: it hears of a deletion by the server's cancel alone. */
  async function consumeAsPeersDo(): Promise<BareConsumer> {
    const bare: ChannelModel = await bareConnect(server.url)
    opened.push(bare)
    bare.on('error', () => {})
    const channel = await bare.createChannel()
    const found: BareConsumer = { texts: [], cancelled: 0 }
    await channel.prefetch(4)
    await channel.consume(queue, (message) => {
      if (message === null) found.cancelled += 1
      else {
        found.texts.push(message.content.toString())
        channel.ack(message)
      }
    })
    return found
  }

  it('WRK-022 PUB-090 is consumed again though somebody else has declared it again at once', async () => {
    const [worker, other] = [await connect(), await connect()]
    await declare(worker)
    const collector = new Collector(ackAndForget)
    await worker.consume([queue], { ...collector.options(16), globalPrefetch: false })
    await other.publish(toQueue(queue, ['before']))
    await collector.count(1)
    // more than once: what consumes afterwards must hear of it as the first did
    for (let round = 1; round <= 3; round++) {
      await other.deleteQueue(queue)
      await declare(other)
      await other.publish(toQueue(queue, texts))
      await collector.count(1 + round * texts.length)
    }
    expect([...collector.texts].sort()).toEqual(['before', ...texts, ...texts, ...texts].sort())
    expect(await worker.queueLength(queue)).toBe(0)
  })

  it('WRK-022 is heard of for each queue of a consumer, and for one that came later', async () => {
    const [worker, other] = [await connect(), await connect()]
    const later = `${queue}-later`
    await declare(worker)
    await declare(worker, later)
    const collector = new Collector(ackAndForget)
    const options = { ...collector.options(16), globalPrefetch: false }
    const subscription = await worker.consume([queue], options)
    await subscription.addQueue(later)
    await subscription.setPrefetch(8)
    for (const name of [queue, later]) {
      await other.deleteQueue(name)
      await declare(other, name)
    }
    await other.publish([...toQueue(queue, texts), ...toQueue(later, texts)])
    await collector.count(2 * texts.length)
    expect([...collector.texts].sort()).toEqual([...texts, ...texts].sort())
  })

  it('is declared again by who publishes when those who consumed it have been told', async () => {
    const [publisher, other] = [await connect(), await connect()]
    await declare(publisher)
    const peer = await consumeAsPeersDo()
    await publisher.publish(toQueue(queue, ['before']))
    await vi.waitFor(() => expect(peer.texts).toEqual(['before']))
    await other.deleteQueue(queue)
    await publisher.publish(toQueue(queue, texts))
    await vi.waitFor(() => expect(peer).toEqual({ texts: ['before'], cancelled: 1 }))
    expect(await publisher.queueLength(queue)).toBe(texts.length)
  })

  it('is declared again by who consumes when others who consumed it have been told', async () => {
    const [worker, other] = [await connect(), await connect()]
    await declare(worker)
    const collector = new Collector(ackAndForget)
    await worker.consume([queue], { ...collector.options(4), globalPrefetch: false })
    const peer = await consumeAsPeersDo()
    await other.deleteQueue(queue)
    await vi.waitFor(() => expect(peer.cancelled).toBe(1))
    await vi.waitFor(async () => expect(await other.queueLength(queue)).toBe(0))
    await vi.waitFor(async () => {
      await other.publish(toQueue(queue, ['after']))
    })
    await collector.count(1)
    expect(collector.texts).toEqual(['after'])
  })

  it('gives back what it handed to a consumer that it forgot, as soon as what did arrive is settled', async ({
    skip,
  }) => {
    if (!hidesDeletions(server.version)) skip('this RabbitMQ forgets no consumer that way')
    // so that nothing guards against it
    vi.spyOn(AmqpLink.prototype, 'serverVersion', 'get').mockReturnValue('4.0.0')
    const options = { timeoutMs: 10_000, clock: systemClock(), logger: silentLogger, lookEveryMs: 100 }
    const openLink = (): Promise<AmqpLink> => AmqpLink.open(amqpTarget(server.url, {}), options)
    const worker = new AmqpConnection({ ...options, link: await openLink(), openLink })
    opened.push(worker)
    const other = await connect()
    const quiet = `${queue}-quiet`
    await declare(worker)
    await declare(worker, quiet)
    const isHeld = (delivery: Delivery): boolean => textOf(delivery) === 'held'
    const collector = new Collector((delivery) => isHeld(delivery) || ackAndForget(delivery))
    await worker.consume([quiet, queue], { ...collector.options(16), globalPrefetch: false })
    await other.publish(toQueue(quiet, ['held']))
    await collector.count(1)
    await other.deleteQueue(queue)
    await declare(other)
    await other.publish(toQueue(queue, texts))
    // sixteen were handed to the one that is forgotten
    await collector.count(1 + 4)
    expect(collector.texts.slice(1)).toEqual(texts.slice(16))
    await collector.deliveries[0]?.ack()
    await collector.count(1 + texts.length)
    expect([...collector.texts].sort()).toEqual(['held', ...texts].sort())
    // the other queue is consumed too, by who is left
    await other.publish(toQueue(quiet, ['after']))
    await collector.count(2 + texts.length)
    await worker.close()
    expect(await other.queueLength(queue)).toBe(0)
    expect(await other.queueLength(quiet)).toBe(0)
  })
})
