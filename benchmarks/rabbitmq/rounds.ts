/**
 * Measures over RabbitMQ, each round on a virtual host of its own: drains, publishing, latency, start-up, memory. Results
 * are in a Redis that is emptied before each round, or messages (`rpc://`).
 */
import { connect } from 'amqplib'
import { RabbitServer } from '../../interop-tests/rabbitmq-server.js'
import { RedisServer } from '../../interop-tests/redis-server.js'
import type { Figures } from '../figures.js'
import { type Measure, measureLatency, measureMemory, measureStartUp } from '../redis/measures.js'
import {
  countKeys,
  type RedisKind,
  type Round,
  runClient,
  runPython,
  startWorker,
  treeProcessorMicros,
} from '../redis/processes.js'
import type { Drain } from '../redis/rounds.js'
import { exactRuns, makeFolder, removeFolder, whenRan } from '../workers.js'
import { measureConfirms } from './confirms.js'

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
  kinds(hasGevent: boolean): readonly RedisKind[] {
    const node: RedisKind[] = ['celeriac', 'amqplib floor', 'celery-node']
    if (this.#python === undefined) return node
    const celery: RedisKind[] = ['celery prefork 2', 'celery solo']
    return [...node, ...celery, ...(hasGevent ? ['celery gevent 100' as const] : [])]
  }

  /**
   * Fills a queue with persistent messages, starts a worker, and takes the rate between the first and last start, and the
   * processor time of the worker and of RabbitMQ. Afterwards each task has run once, nothing is left, and there is a
   * result for each.
   */
  async drain(kind: RedisKind, count: number, how: Drain): Promise<void> {
    await this.#round(how, async (round, waiting) => {
      await runClient(round, ['celeriac', 'bulk', String(count)])
      const worker = startWorker(kind, round)
      const used = (pid: number | undefined): number => (pid === undefined ? 0 : treeProcessorMicros(pid))
      let [micros, serverMicros] = [0, 0]
      try {
        await whenRan(round.folder, 1, worker)
        const begun = [used(worker.pid), used(this.#server.pid)] as const
        await whenRan(round.folder, count, worker, 300_000)
        micros = used(worker.pid) - begun[0]
        serverMicros = used(this.#server.pid) - begun[1]
        await this.#settled(round)
      } finally {
        await worker.stop()
      }
      // What had been handed out and not acknowledged would be back in the queue now.
      const [left, results] = [await waiting(), await this.#results()]
      const expected = how.ignoreResult && kind !== 'celery-node' ? 0 : count
      if (left > 0 || results !== expected)
        throw new Error(
          `after ${kind}: ${left} messages are left, ${results} of ${expected} results are there`,
        )
      const runs = exactRuns(round.folder, count)
      const first = runs[0]?.startedAtMs ?? 0
      const last = runs.at(-1)?.startedAtMs ?? 0
      const name = `drain rabbitmq, ${how.ignoreResult ? 'results ignored' : 'results in redis'}`
      this.#figures.add(name, kind, 'tasks/s', ((count - 1) / (last - first)) * 1000)
      this.#figures.add(`${name}, processor`, kind, 'µs/task', micros / count)
      this.#figures.add(`${name}, processor of RabbitMQ`, kind, 'µs/task', serverMicros / count)
    })
  }

  /** See `measureLatency`; results are in Redis, or with `rpc` messages. */
  async latency(kind: RedisKind, count: number, results: 'redis' | 'rpc'): Promise<void> {
    await this.#round({ ignoreResult: false, lateAck: false }, async (place) => {
      const message = kind === 'amqplib floor' ? await this.#oneMessage(place) : ''
      const round = results === 'rpc' ? { ...place, resultsUrl: 'rpc://' } : place
      const name = `rabbitmq, results in ${results}`
      const client = kind === 'amqplib floor' ? 'amqplib' : kind.startsWith('celery ') ? 'celery' : 'celeriac'
      await measureLatency({ ...this.#measure(kind, round, count), name }, client, message)
    })
  }

  /** See `measureStartUp`. */
  async startUp(kind: RedisKind): Promise<void> {
    await this.#round({ ignoreResult: false, lateAck: false }, (round) =>
      measureStartUp(this.#measure(kind, round, 1), 'celeriac'),
    )
  }

  /** See `measureMemory`. */
  async memory(kind: RedisKind, count: number): Promise<void> {
    await this.#round({ ignoreResult: true, lateAck: false }, (round) =>
      measureMemory(this.#measure(kind, round, count), 'celeriac'),
    )
  }

  #measure(kind: RedisKind, round: Round, count: number): Measure {
    return { figures: this.#figures, name: 'rabbitmq', kind, round, count }
  }

  /** Waits until the queue holds nothing, what is handed out included: acknowledgements have no answer. */
  async #settled(round: Round): Promise<void> {
    const vhost = decodeURIComponent(new URL(round.server.url).pathname.slice(1))
    const until = performance.now() + 15_000
    for (;;) {
      const rows = await this.#server.ctl(
        'list_queues',
        '-p',
        vhost,
        '--no-table-headers',
        'name',
        'messages',
      )
      if (/^celery\t0$/m.test(rows)) return
      if (performance.now() > until) throw new Error(`the queue is not settled: ${rows}`)
    }
  }

  async #results(): Promise<number> {
    const redis = this.#redis.client()
    try {
      return await countKeys(redis, 'celery-task-meta-*')
    } finally {
      redis.disconnect()
    }
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

  /** See `measureConfirms`. */
  async confirms(count: number): Promise<void> {
    await measureConfirms(this.#figures, await this.#server.addVhost(), count)
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
    const redis = this.#redis.client()
    await redis.flushall()
    redis.disconnect()
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
