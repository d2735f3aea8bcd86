/** Measures that are the same over every broker: latency, start-up and memory of one worker on one `Round`. */
import { setTimeout as pause } from 'node:timers/promises'
import { type Figures, quantile } from '../figures.js'
import { exactRuns, whenRan } from '../workers.js'
import { type RedisKind, type Round, runClient, runPython, startWorker, treeMemoryMb } from './processes.js'

/** What is measured, where the figures go, and what they are called (`redis`, `rabbitmq`). */
export interface Measure {
  readonly figures: Figures
  readonly name: string
  readonly kind: RedisKind
  readonly round: Round
  readonly count: number
}

/** Tasks of each latency round that are not counted, whoever runs them: engines and interpreters warm up. */
const warmUp = 200

interface Latencies {
  /** Epoch milliseconds, by number. */
  readonly sent: readonly number[]
  /** Milliseconds from the call to its result. */
  readonly took: readonly number[]
}

/**
 * 100 tasks a second to an idle worker: until the start, and until the client has the result. `client` is celery, or one
 * of clients.mjs; `message` is what a bare one sends again and again.
 */
export async function measureLatency(
  { figures, name, kind, round, count }: Measure,
  client: string,
  message: string,
): Promise<void> {
  const worker = startWorker(kind, round)
  try {
    const all = count + warmUp
    const told =
      client === 'celery'
        ? await runPython<Latencies>(round, ['latency', String(all)])
        : await runClient<Latencies>(round, [client, 'latency', String(all)], { BENCH_MESSAGE: message })
    await whenRan(round.folder, all, worker)
    const toStart = exactRuns(round.folder, all)
      .filter(({ number }) => number >= warmUp)
      .map(({ number, startedAtMs }) => startedAtMs - (told.sent[number] ?? 0))
    // The first of all, which connects, has no time of its own.
    const toResult = told.took.slice(warmUp - 1)
    const isOwn = kind.startsWith('celery ') === (client === 'celery')
    const who = isOwn ? kind : `${kind}, sent by ${client}`
    for (const [share, q] of [
      ['p50', 0.5],
      ['p95', 0.95],
      ['p99', 0.99],
    ] as const) {
      figures.add(`latency ${name}, enqueue to start, ${share}`, who, 'ms', quantile(toStart, q))
      figures.add(`latency ${name}, enqueue to result, ${share}`, who, 'ms', quantile(toResult, q))
    }
  } finally {
    await worker.stop()
  }
}

/** From the spawn of a worker with its default settings to the start of a task that waits already. */
export async function measureStartUp({ figures, name, kind, round }: Measure, client: string): Promise<void> {
  await runClient(round, [client, 'bulk', '1'])
  const worker = startWorker(kind, round, true)
  try {
    await whenRan(round.folder, 1, worker)
  } finally {
    // Celery 5.6.3 prefork, told to stop so soon, does not always end; what is measured was before.
    await worker.stop({ mayHang: kind.startsWith('celery ') })
  }
  const ms = (exactRuns(round.folder, 1)[0]?.startedAtMs ?? 0) - worker.spawnedAtMs
  figures.add(`start-up ${name}, process start to first task`, kind, 'ms', ms)
}

/**
 * Resident memory of all processes of a worker: idle after one task, and after each tenth of `count`, so that one can see
 * whether it goes on growing.
 */
export async function measureMemory(
  { figures, name, kind, round, count }: Measure,
  client: string,
): Promise<void> {
  await runClient(round, [client, 'bulk', '1'])
  const worker = startWorker(kind, round)
  try {
    await whenRan(round.folder, 1, worker)
    await pause(1500)
    figures.add(`memory ${name}, idle`, kind, 'MB', treeMemoryMb(worker.pid))
    const steps = 10
    for (let step = 0; step < steps; step += 1) {
      await runClient(round, [client, 'bulk', String(count / steps)])
      const ran = (count / steps) * (step + 1)
      await whenRan(round.folder, 1 + ran, worker, 300_000)
      await pause(1500)
      figures.add(`memory ${name}, after ${ran} tasks`, kind, 'MB', treeMemoryMb(worker.pid))
    }
  } finally {
    await worker.stop()
  }
}
