/** The two programs of rabbitmq-wire-identity.test.ts, each on a virtual host and behind a proxy of its own. */
import { createAmqpTransport } from '../src/transport/amqp-transport.js'
import { AmqpProxy } from './amqp-proxy.js'
import type { RabbitServer } from './rabbitmq-server.js'
import { AmqpEffects } from './rabbitmq-wire-identity-effects.js'
import { type Connected, celeriacProgram, celeryProgram, type Program } from './wire-identity-programs.js'

/** One program, and what it said. */
export interface Side extends Program {
  readonly proxy: AmqpProxy
  readonly effects: AmqpEffects
}

/** Celery, driven over standard input. */
export function pythonSide(server: RabbitServer): Promise<Side> {
  return side(server, celeryProgram)
}

/** celeriac, in this process. */
export function nodeSide(server: RabbitServer): Promise<Side> {
  return side(server, celeriacProgram)
}

/** A reply queue that steps name. What finds none we send again for a while, and Celery does not (rpc-absent.ts). */
async function declareAnswers(url: string): Promise<void> {
  const connection = await createAmqpTransport().connect(url, { transportOptions: {} })
  const queue = { name: 'answers', durable: true, exclusive: false, autoDelete: false, arguments: {} }
  await connection.declare({ exchanges: [], queues: [queue], bindings: [] })
  await connection.close()
}

async function side(server: RabbitServer, start: (connected: Connected) => Promise<Program>): Promise<Side> {
  const url = await server.addVhost()
  await declareAnswers(url)
  const proxy = await AmqpProxy.start(server.port)
  const program = await start({ broker_url: proxy.through(url), result_backend: 'rpc://' })
  return {
    ...program,
    proxy,
    effects: new AmqpEffects(),
    async close() {
      await program.close()
      await proxy.close()
    },
  }
}
