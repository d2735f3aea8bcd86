/** Measures over RabbitMQ, each round on a virtual host of its own: drains and publishing. Results are in Redis. */
import { connect } from 'amqplib'
import { RabbitServer } from '../../interop-tests/rabbitmq-server.js'
import { RedisServer } from '../../interop-tests/redis-server.js'
import type { Figures } from '../figures.js'
import { type RedisKind, type Round, runClient, runPython, startWorker } from '../redis/processes.js'
import type { Drain } from '../redis/rounds.js'
import { exactRuns, makeFolder, removeFolder, whenRan } from '../workers.js'

/** Who publishes. */
export type RabbitPublisher = 'celeriac' | 'amqplib' | 'celery'

/** The measures of one server, which lives until `close`. */
export class RabbitRounds {
  readonly #figures: Figures
  readonly #server: RabbitServer
  readonly #redis: RedisServer
  readonly #python: string | undefined

  private constructor(
    figures: Figures,
    server: RabbitServer,
    redis: RedisServer,
    python: string | undefined,
  ) {
    this.#figures = figures
    this.#server = server
    this.#redis = redis
    this.#python = python
  }

  static async open(figures: Figures, python: string | undefined): Promise<RabbitRounds> {
    const [server, redis] = await Promise.all([RabbitServer.start(), RedisServer.start()])
    return new RabbitRounds(figures, server, redis, python)
  }

  async close(): Promise<void> {
    await Promise.all([this.#server.close(), this.#redis.close()])
  }

  /** The kinds that can drain here. */
  kinds(): readonly RedisKind[] {
    const node: RedisKind[] = ['celeriac', 'amqplib floor', 'celery-node']
    return this.#python === undefined ? node : [...node, 'celery prefork 2', 'celery solo']
  }

  /** Fills a queue with persistent messages, starts a worker, and takes the rate between the first and last start. */
  async drain(kind: RedisKind, count: number, how: Drain): Promise<void> {
    await this.#round(how, async (round, waiting) => {
      await runClient(round, ['celeriac', 'bulk', String(count)])
      const worker = startWorker(kind, round)
      try {
        await whenRan(round.folder, count, worker, 300_000)
      } finally {
        await worker.stop()
      }
      if ((await waiting()) > 0) throw new Error(`after ${kind} there are messages left`)
      const runs = exactRuns(round.folder, count)
      const first = runs[0]?.startedAtMs ?? 0
      const last = runs.at(-1)?.startedAtMs ?? 0
      const name = `drain rabbitmq, ${how.ignoreResult ? 'results ignored' : 'results in redis'}`
      this.#figures.add(name, kind, 'tasks/s', ((count - 1) / (last - first)) * 1000)
    })
  }

  /** Publishes one at a time and many at once, confirmed but for Celery; the queue must hold them all after. */
  async publish(kind: RabbitPublisher, count: number): Promise<void> {
    for (const how of kind === 'celery' ? ['one'] : ['one', 'many']) {
      await this.#round({ ignoreResult: true, lateAck: false }, async (round, waiting) => {
        const message = kind === 'amqplib' ? await this.#oneMessage(round) : ''
        const size = String(how === 'one' ? Math.ceil(count / 5) : count)
        const told =
          kind === 'celery'
            ? await runPython<Told>(round, ['publish', size])
            : await runClient<Told>(round, [kind, how, size], { BENCH_MESSAGE: message })
        const found = await waiting()
        if (found !== told.sent)
          throw new Error(`${found} messages wait after ${told.sent} publishes of ${kind}`)
        const name = how === 'one' ? 'one at a time' : '1,000 at once'
        this.#figures.add(`publish rabbitmq, ${name}`, kind, 'messages/s', told.rate)
      })
    }
  }

  /** A message as celeriac sends it; the queue is empty after. */
  async #oneMessage(round: Round): Promise<string> {
    await runClient(round, ['celeriac', 'one', '1'])
    const connection = await connect(round.server.url)
    try {
      const channel = await connection.createChannel()
      const message = await channel.get('celery', { noAck: true })
      if (message === false) throw new Error('a publish left no message')
      const { headers, contentType, contentEncoding, correlationId, replyTo, priority } = message.properties
      const properties = { contentType, contentEncoding, correlationId, replyTo, priority }
      return JSON.stringify({ headers, properties, body: message.content.toString() })
    } finally {
      await connection.close()
    }
  }

  async #round(
    how: Drain,
    work: (round: Round, waiting: () => Promise<number>) => Promise<void>,
  ): Promise<void> {
    const url = await this.#server.addVhost()
    const folder = makeFolder()
    const waiting = async (): Promise<number> => {
      const connection = await connect(url)
      try {
        return (await (await connection.createChannel()).checkQueue('celery')).messageCount
      } finally {
        await connection.close()
      }
    }
    try {
      const round = { ...how, server: { url }, resultsUrl: this.#redis.url, folder, python: this.#python }
      await work(round, waiting)
    } finally {
      removeFolder(folder)
    }
  }
}

interface Told {
  readonly rate: number
  readonly sent: number
}
