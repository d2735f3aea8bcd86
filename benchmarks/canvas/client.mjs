/**
 * `client.mjs <chord|chain|chains> <count> <length> <times>`: sends canvases, waits for them, as often as told, each
 * time other tasks; prints a list in JSON of what each time took.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Celery, chain, chord } from 'celeriac'

const [, , what, ...numbers] = process.argv
const [count, length, times] = numbers.map(Number)
const url = process.env.BENCH_URL
const app = new Celery('bench', { brokerUrl: url, resultBackend: url })
const step = app.remote('bench.step')
const total = app.remote('bench.total')

const chainFrom = (first) =>
  chain(Array.from({ length }, (_, index) => (index === 0 ? step.s(0, first) : step.s(first + index))))

/** Their tasks are numbered from `first`. */
const canvases = {
  chord: (first) => {
    const header = Array.from({ length }, (_, index) => step.s(0, first + index))
    return [chord(header, total.s(first + length))]
  },
  chain: (first) => [chainFrom(first)],
  chains: (first) => Array.from({ length: count }, (_, index) => chainFrom(first + index * length)),
}
const tasks = what === 'chord' ? length + 1 : count * length

// The worker is ready and every connection open before the clock runs; meanwhile its processor time is read.
await (await step.delay(0, 0)).get({ timeout: 60 })
const took = []
for (let time = 0; time < times; time += 1) {
  await pause(400)
  const began = performance.now()
  const results = await Promise.all(canvases[what](1 + time * tasks).map((canvas) => canvas.delay()))
  const sentMs = performance.now() - began
  const values = await Promise.all(results.map((result) => result.get({ timeout: 120 })))
  took.push({ ms: performance.now() - began, sentMs })
  if (values.some((value) => value !== length)) throw new Error(`a ${what} of ${length} gave ${values}`)
}
await app.close()
process.stdout.write(`${JSON.stringify(took)}\n`, () => process.exit())
