/** The cost of the loop itself: a worker in this process drains a queue of the broker in memory. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { Celery } from 'celeriac'

/** One drain of `count` tasks; throws unless every task ran exactly once. */
export async function drainMemory(options: {
  readonly count: number
  readonly ignoreResult: boolean
}): Promise<number> {
  const { count, ignoreResult } = options
  let ran = 0
  let end = 0
  let tell = (): void => {}
  const done = new Promise<void>((resolve) => {
    tell = resolve
  })
  const app = new Celery('bench', {
    brokerUrl: `memory://${randomUUID()}/`,
    resultBackend: ignoreResult ? 'disabled://' : 'cache+memory://',
    workerPrefetchMultiplier: 64,
  })
  const add = app.task('bench.add', { ignoreResult }, (x: number, y: number) => {
    ran += 1
    return x + y
  })
  app.signals.taskPostrun.connect(() => {
    if (ran >= count && end === 0) {
      end = performance.now()
      tell()
    }
  })
  for (let from = 0; from < count; from += 500) {
    const size = Math.min(500, count - from)
    await Promise.all(Array.from({ length: size }, (_, i) => add.delay(from + i, 1)))
  }
  const worker = app.worker({ concurrency: 16 })
  const began = performance.now()
  await worker.start()
  await done
  await worker.stop()
  await pause(0)
  await app.close()
  if (ran !== count) throw new Error(`${ran} runs of ${count} tasks`)
  return end - began
}
