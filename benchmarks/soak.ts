/**
 * A long run in this process: a mix of tasks that succeed, fail, retry and are revoked, on the broker and the results
 * in memory. Prints JSON: the memory after each step, and what is still held at the end, which must be nothing.
 * Run as `node --expose-gc --import tsx benchmarks/soak.ts [tasks] [mix|add]`.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { Celery, MemoryResults } from 'celeriac'

// What the loader does to stack traces is not ours to measure.
process.setSourceMapsEnabled(false)
const total = Number(process.argv[2] ?? 200_000)
const isMix = process.argv[3] !== 'add'
const steps = 10

let ended = 0
const kinds = { ok: 0, failed: 0, retried: 0, revoked: 0 }
const app = new Celery('soak', {
  brokerUrl: `memory://${randomUUID()}/`,
  resultBackend: 'cache+memory://',
  // Few, so that a full store is not taken for a leak.
  memoryResults: new MemoryResults(1000),
})
const ok = app.task('soak.ok', (x: number) => {
  kinds.ok += 1
  ended += 1
  return x
})
const failing = app.task('soak.fail', () => {
  kinds.failed += 1
  ended += 1
  throw new TypeError('as intended')
})
const retrying = app.task('soak.retry', { bind: true, defaultRetryDelay: 0 }, (self) => {
  if (self.request.retries === 0) return self.retry({ countdown: 0 })
  kinds.retried += 1
  ended += 1
  return undefined
})
app.signals.taskRevoked.connect(() => {
  kinds.revoked += 1
  ended += 1
})

const worker = app.worker({ concurrency: 16 })
await worker.start()
const { gc } = globalThis
if (gc === undefined) throw new Error('Run with --expose-gc: without it the memory shown is garbage too.')
gc()
const idle = process.memoryUsage()
const samples: { tasks: number; rssMb: number; heapMb: number }[] = []
const began = performance.now()
for (let step = 1; step <= steps; step += 1) {
  const until = Math.round((total * step) / steps)
  const from = Math.round((total * (step - 1)) / steps)
  for (let number = from; number < until; number += 500) {
    await Promise.all(Array.from({ length: Math.min(500, until - number) }, (_, i) => send(number + i)))
    const bound = performance.now() + 30_000
    while (ended < Math.min(number + 500, until)) {
      if (performance.now() > bound) throw new Error(`only ${ended} of ${number + 500} tasks ended`)
      await pause(1)
    }
  }
  gc()
  const { rss, heapUsed } = process.memoryUsage()
  samples.push({ tasks: until, rssMb: rss / 2 ** 20, heapMb: heapUsed / 2 ** 20 })
}
const seconds = (performance.now() - began) / 1000
await worker.stop()
const held = worker.ledger.size
await app.close()
if (ended !== total || held !== 0) throw new Error(`${ended} of ${total} tasks ended, ${held} are still held`)
console.log(JSON.stringify({ idleRssMb: idle.rss / 2 ** 20, samples, kinds, held, seconds }))

async function send(number: number): Promise<unknown> {
  if (!isMix) return ok.delay(number)
  switch (number % 20) {
    case 17:
      return failing.delay()
    case 18:
      return retrying.delay()
    case 19: {
      const taskId = randomUUID()
      worker.revoke(taskId)
      return ok.applyAsync({ args: [number], taskId })
    }
    default:
      return ok.delay(number)
  }
}
