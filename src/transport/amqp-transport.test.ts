import { afterAll, beforeAll, describe } from 'vitest'
import { noRabbit, RabbitServer } from '../../interop-tests/rabbitmq-server.js'
import { skipNote } from '../../interop-tests/redis-server.js'
import { createAmqpTransport } from './amqp-transport.js'
import { describeTransport, type TransportHarness } from './transport.conformance.js'
import type { Connection, ConsumeOptions, Outgoing } from './transport.js'

/** Declares the queues that a test names before they are used: on RabbitMQ nothing comes to be by itself. */
function declaring(connection: Connection): Connection {
  const known = new Set<string>()
  const declare = async (names: readonly string[]): Promise<void> => {
    const queues = names
      .filter((name) => !known.has(name))
      .map((name) => ({ name, durable: true, exclusive: false, autoDelete: false, arguments: {} }))
    for (const { name } of queues) known.add(name)
    await connection.declare({ exchanges: [], queues, bindings: [] })
  }
  const own: Partial<Connection> = {
    async publish(messages: readonly Outgoing[], options = {}) {
      const direct = messages.filter(({ to }) => to.exchange === '')
      if (!options.signal?.aborted) await declare(direct.map(({ to }) => to.routingKey))
      await connection.publish(messages, options)
    },
    async consume(queues: readonly string[], options: ConsumeOptions) {
      await declare(queues)
      const subscription = await connection.consume(queues, options)
      const addQueue = async (queue: string): Promise<void> => {
        await declare([queue])
        await subscription.addQueue(queue)
      }
      return {
        setPrefetch: (count) => subscription.setPrefetch(count),
        addQueue,
        cancelQueue: (queue) => subscription.cancelQueue(queue),
        cancel: () => subscription.cancel(),
      }
    },
  }
  return new Proxy(connection, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return Reflect.get(own, name)
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

describe.skipIf(noRabbit)(`createAmqpTransport${skipNote(noRabbit)}`, () => {
  let server: RabbitServer
  beforeAll(async () => {
    server = await RabbitServer.start()
  }, 90_000)
  afterAll(() => server.close())

  describeTransport(
    'amqp',
    async (): Promise<TransportHarness> => {
      const connections: Connection[] = []
      const connect = async (): Promise<Connection> => {
        const connection = await createAmqpTransport().connect(server.url, { transportOptions: {} })
        connections.push(connection)
        return declaring(connection)
      }
      return {
        isAmqp: true,
        connect,
        async killHolder(queue, count) {
          const { killHolder } = await import('../../interop-tests/rabbitmq-holder.js')
          await killHolder(server.url, queue, count)
        },
        end: async () => void (await Promise.all(connections.map((each) => each.close()))),
      }
    },
    { putGarbage: 'AMQP carries the parts of a message apart: there is no envelope that could be broken' },
  )
})
