/** Measures on `filesystem://`: drains, start-up, publishing and latency, each round on a fresh folder. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Celery } from 'celeriac'
import { type Figures, quantile } from './figures.js'
import {
  assertSettled,
  environment,
  exactRuns,
  type Kind,
  makeFolder,
  removeFolder,
  root,
  startFolderWorker,
  whenRan,
} from './workers.js'

const execute = promisify(execFile)

function clientOf(folder: string): Celery {
  return new Celery('bench', {
    brokerUrl: `filesystem://${folder}/broker`,
    resultBackend: `file://${folder}/results`,
  })
}

/** Fills a queue, starts a worker on it, and takes the rate between the first and the last start. */
export async function drainFolder(
  figures: Figures,
  kind: Kind,
  options: { readonly count: number; readonly ignoreResult: boolean; readonly python: string | undefined },
): Promise<void> {
  const { count, ignoreResult, python } = options
  const folder = makeFolder()
  try {
    const client = clientOf(folder)
    const add = client.remote('bench.add', ignoreResult ? { ignoreResult } : {})
    await inBatches(count, (number) => add.delay(number, 1))
    await client.close()
    const worker = startFolderWorker(kind, folder, python, ignoreResult)
    try {
      await whenRan(folder, count, worker)
    } finally {
      await worker.stop()
    }
    const runs = exactRuns(folder, count)
    assertSettled(folder, count, ignoreResult)
    const first = runs[0]?.startedAtMs ?? 0
    const last = runs.at(-1)?.startedAtMs ?? 0
    const what = ignoreResult ? 'results ignored' : 'results in files'
    figures.add(`drain filesystem, ${what}`, kind, 'tasks/s', ((count - 1) / (last - first)) * 1000)
    figures.add('process start to first task', kind, 'ms', first - worker.spawnedAtMs)
  } finally {
    removeFolder(folder)
  }
}

/** Publishes one after the other and many at once; the queue must hold them all after. */
export async function publishFolder(
  figures: Figures,
  count: number,
  python: string | undefined,
): Promise<void> {
  const unit = 'messages/s'
  await withClient(async (client) => {
    const add = client.remote('bench.add')
    await add.delay(0, 1)
    const began = performance.now()
    for (let number = 1; number < count; number += 1) await add.delay(number, 1)
    figures.add(
      'publish filesystem, one at a time',
      'celeriac',
      unit,
      ((count - 1) / (performance.now() - began)) * 1000,
    )
    await assertWaiting(client, count)
  })
  await withClient(async (client) => {
    const add = client.remote('bench.add')
    await add.delay(0, 1)
    const began = performance.now()
    await inBatches(count - 1, (number) => add.delay(number, 1))
    figures.add(
      'publish filesystem, 200 at once',
      'celeriac',
      unit,
      ((count - 1) / (performance.now() - began)) * 1000,
    )
    await assertWaiting(client, count)
  })
  if (python === undefined) return
  await withClient(async (client, folder) => {
    const options = { cwd: join(root, 'benchmarks'), env: environment(folder, false) }
    const { stdout } = await execute(python, ['bench_app.py', String(count)], options)
    const told = JSON.parse(stdout) as { seconds: number; count: number }
    figures.add('publish filesystem, one at a time', 'celery', unit, told.count / told.seconds)
    await assertWaiting(client, count)
  })
}

/** Publishes 50 tasks a second to an idle worker: until the start, and until `get()` has the value. */
export async function latency(
  figures: Figures,
  kind: Kind,
  count: number,
  python: string | undefined,
): Promise<void> {
  await withClient(async (client, folder) => {
    const worker = startFolderWorker(kind, folder, python, false)
    try {
      const add = client.remote<{ args: [x: number, y: number]; kwargs: object; result: number }>('bench.add')
      // The first one waits for the start-up, and is not measured.
      await (await add.delay(0, 1)).get({ timeout: 60 })
      const sent: number[] = [0]
      const gets: Promise<number>[] = []
      const begin = performance.now()
      for (let number = 1; number < count; number += 1) {
        await pause(Math.max(0, begin + number * 20 - performance.now()))
        const at = performance.timeOrigin + performance.now()
        sent.push(at)
        const result = await add.delay(number, 1)
        gets.push(
          result.get({ timeout: 60 }).then((value) => {
            if (value !== number + 1) throw new Error(`task ${number} returned ${value}`)
            return performance.timeOrigin + performance.now() - at
          }),
        )
      }
      const toResult = await Promise.all(gets)
      const toStart = exactRuns(folder, count)
        .filter((run) => run.number > 0)
        .map((run) => run.startedAtMs - (sent[run.number] ?? 0))
      figures.add('publish to start at 50/s, median', kind, 'ms', quantile(toStart, 0.5))
      figures.add('publish to start at 50/s, 95 %', kind, 'ms', quantile(toStart, 0.95))
      figures.add('publish to result at 50/s, median', kind, 'ms', quantile(toResult, 0.5))
      figures.add('publish to result at 50/s, 95 %', kind, 'ms', quantile(toResult, 0.95))
    } finally {
      await worker.stop()
    }
  })
}

async function withClient(work: (client: Celery, folder: string) => Promise<void>): Promise<void> {
  const folder = makeFolder()
  const client = clientOf(folder)
  try {
    await work(client, folder)
  } finally {
    await client.close()
    removeFolder(folder)
  }
}

async function inBatches(count: number, send: (number: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += 200) {
    await Promise.all(Array.from({ length: Math.min(200, count - from) }, (_, i) => send(from + i)))
  }
}

async function assertWaiting(client: Celery, count: number): Promise<void> {
  const waiting = await client.purge(['celery'])
  if (waiting !== count) throw new Error(`${waiting} messages wait after ${count} publishes`)
}
