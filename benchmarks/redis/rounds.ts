/** Measures over Redis, each round on an emptied server: drains, publishing, latency, start-up, memory, ETAs. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { RedisServer } from '../../interop-tests/redis-server.js'
import { type Figures, quantile } from '../figures.js'
import { exactRuns, makeFolder, removeFolder, whenRan } from '../workers.js'
import { measureLatency, measureMemory, measureStartUp } from './measures.js'
import {
  assertServerSettled,
  type RedisKind,
  type Round,
  runClient,
  runPython,
  startWorker,
  treeMemoryMb,
  treeProcessorMicros,
} from './processes.js'

/** How a drain is done. */
export interface Drain {
  readonly ignoreResult: boolean
  readonly lateAck: boolean
  /** Default `add`. */
  readonly task?: 'add' | 'noop'
}

/** The measures of one server, which lives until `close`. */
export class RedisRounds {
  readonly #figures: Figures
  readonly #server: RedisServer
  readonly #python: string | undefined

  private constructor(figures: Figures, server: RedisServer, python: string | undefined) {
    this.#figures = figures
    this.#server = server
    this.#python = python
  }

  /** `isDurable`: the server appends every write to a file and flushes it once a second, as its makers advise. */
  static async open(figures: Figures, python: string | undefined, isDurable: boolean): Promise<RedisRounds> {
    const server = await RedisServer.start({ appendonly: isDurable, extra: { appendfsync: 'everysec' } })
    return new RedisRounds(figures, server, python)
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  /** The kinds that can drain here. */
  kinds(hasGevent: boolean): readonly RedisKind[] {
    const celery: RedisKind[] = ['celery prefork 2', 'celery solo']
    if (hasGevent) celery.push('celery gevent 100')
    const node: RedisKind[] = ['celeriac', 'floor', 'bullmq 50', 'bullmq 200', 'celery-node']
    return this.#python === undefined ? node : [...node, ...celery]
  }

  /** Fills a queue, starts a worker on it, and takes the rate between the first and the last start. */
  async drain(kind: RedisKind, count: number, how: Drain): Promise<void> {
    await this.#round(how, async (round) => {
      await runClient(round, [kind.startsWith('bullmq') ? 'bullmq' : 'celeriac', 'bulk', String(count)])
      const results = how.ignoreResult && kind !== 'celery-node' ? 0 : count
      const worker = startWorker(kind, round)
      let micros = 0
      try {
        await whenRan(round.folder, 1, worker)
        const begun = treeProcessorMicros(worker.pid)
        await whenRan(round.folder, count, worker, 300_000)
        micros = treeProcessorMicros(worker.pid) - begun
        await assertServerSettled(this.#server, kind, results)
      } finally {
        await worker.stop()
      }
      const runs = exactRuns(round.folder, count)
      const first = runs[0]?.startedAtMs ?? 0
      const last = runs.at(-1)?.startedAtMs ?? 0
      const what = how.task === 'noop' ? 'drain of no-ops redis' : 'drain redis'
      const name = `${what}, ${how.ignoreResult ? 'results ignored' : 'results stored'}, ${how.lateAck ? 'late' : 'early'} ack`
      this.#figures.add(name, kind, 'tasks/s', ((count - 1) / (last - first)) * 1000)
      this.#figures.add(`${name}, processor`, kind, 'µs/task', micros / count)
    })
  }

  /** Publishes one at a time, many at once and in bulk; the queue must hold them all after. */
  async publish(
    kind: 'celeriac' | 'bullmq' | 'celery-node' | 'ioredis' | 'celery',
    count: number,
  ): Promise<void> {
    const hows = kind === 'celery' ? ['one', 'wanted'] : ['one', 'many', 'bulk']
    for (const how of kind === 'celeriac' ? [...hows, 'wanted'] : hows) {
      if (kind === 'celery-node' && how === 'bulk') continue
      await this.#round({ ignoreResult: how !== 'wanted', lateAck: false }, async (round) => {
        const message = kind === 'ioredis' ? await this.#oneMessage(round) : ''
        const size = how === 'one' || how === 'wanted' ? Math.ceil(count / 4) : count
        const told =
          kind === 'celery'
            ? await runPython<{ rate: number; sent: number }>(round, [
                'publish',
                String(Math.ceil(count / 10)),
              ])
            : await runClient<{ rate: number; sent: number }>(
                round,
                [kind, how === 'wanted' ? 'one' : how, String(size)],
                {
                  BENCH_MESSAGE: message,
                },
              )
        const redis = this.#server.client()
        const waiting = await redis.llen(kind === 'bullmq' ? 'bull:bench:wait' : 'celery')
        redis.disconnect()
        if (waiting !== told.sent)
          throw new Error(`${waiting} messages wait after ${told.sent} publishes of ${kind}`)
        const names: Record<string, string> = {
          one: 'one at a time',
          wanted: 'one at a time, result wanted',
          many: '1,000 at once',
          bulk: 'bulk of 1,000',
        }
        this.#figures.add(`publish redis, ${names[how]}`, kind, 'messages/s', told.rate)
      })
    }
  }

  /** See `measureLatency`. `client` sends to another's worker: celeriac's to Celery's. */
  async latency(kind: RedisKind, count: number, client: 'own' | 'celeriac' = 'own'): Promise<void> {
    await this.#round({ ignoreResult: false, lateAck: false }, async (round) => {
      const message = kind === 'floor' ? await this.#oneMessage(round) : ''
      const own = kind === 'floor' ? 'ioredis' : kind.startsWith('celery ') ? 'celery' : clientOf(kind)
      const measure = { figures: this.#figures, name: 'redis', kind, round, count }
      await measureLatency(measure, client === 'own' ? own : client, message)
    })
  }

  /** See `measureStartUp`. */
  async startUp(kind: RedisKind): Promise<void> {
    await this.#round({ ignoreResult: false, lateAck: false }, (round) =>
      measureStartUp({ figures: this.#figures, name: 'redis', kind, round, count: 1 }, clientOf(kind)),
    )
  }

  /** See `measureMemory`. */
  async memory(kind: RedisKind, count: number): Promise<void> {
    await this.#round({ ignoreResult: true, lateAck: false }, (round) =>
      measureMemory({ figures: this.#figures, name: 'redis', kind, round, count }, clientOf(kind)),
    )
  }

  /** Tasks with ETAs: what the worker's memory grows by while they wait, and how late they start. */
  async etas(kind: RedisKind, count: number): Promise<void> {
    await this.#round({ ignoreResult: true, lateAck: false }, async (round) => {
      const worker = startWorker(kind, round)
      try {
        await runClient(round, ['celeriac', 'bulk', '1'])
        await whenRan(round.folder, 1, worker)
        rmSync(join(round.folder, 'ran.log'))
      } finally {
        await worker.stop()
      }
      const again = startWorker(kind, round)
      let sampling: NodeJS.Timeout | undefined
      try {
        await pause(4000)
        const idle = treeMemoryMb(again.pid)
        let most = 0
        sampling = setInterval(() => (most = Math.max(most, treeMemoryMb(again.pid))), 500)
        // A worker must be able to run them as fast as they fall due; it has a minute to take them in.
        const spreadMs = (count / 700) * 1000
        const first = Math.round(performance.timeOrigin + performance.now() + 60_000)
        const { dueAt } = await runClient<{ dueAt: number[] }>(round, [
          'celeriac',
          'eta',
          String(count),
          String(first),
          String(spreadMs),
        ])
        await pause(Math.max(0, first - 1000 - performance.timeOrigin - performance.now()))
        this.#figures.add(
          `${count} ETA tasks redis, memory growth while they wait`,
          kind,
          'MB',
          treeMemoryMb(again.pid) - idle,
        )
        await whenRan(round.folder, count, again, 300_000)
        this.#figures.add(`${count} ETA tasks redis, memory growth at most`, kind, 'MB', most - idle)
        const late = exactRuns(round.folder, count).map(
          ({ number, startedAtMs }) => startedAtMs - (dueAt[number] ?? 0),
        )
        this.#figures.add(`${count} ETA tasks redis, start after ETA, p50`, kind, 'ms', quantile(late, 0.5))
        this.#figures.add(`${count} ETA tasks redis, start after ETA, p99`, kind, 'ms', quantile(late, 0.99))
      } finally {
        clearInterval(sampling)
        await again.stop()
      }
    })
  }

  async #oneMessage(round: Round): Promise<string> {
    await runClient(round, ['celeriac', 'one', '1'])
    const redis = this.#server.client()
    const message = await redis.rpop('celery')
    redis.disconnect()
    if (message === null) throw new Error('a publish left no message')
    return message
  }

  async #round(how: Drain, work: (round: Round) => Promise<void>): Promise<void> {
    const redis = this.#server.client()
    await redis.flushall()
    redis.disconnect()
    const folder = makeFolder()
    try {
      await work({ ...how, server: this.#server, folder, python: this.#python })
    } finally {
      removeFolder(folder)
    }
  }
}

function clientOf(kind: RedisKind): string {
  return kind.startsWith('bullmq') ? 'bullmq' : 'celeriac'
}
