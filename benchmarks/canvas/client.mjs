/** `client.mjs <chord|chain|chains> <count> <length>`: sends canvases, waits for them, and prints JSON of what it took. */
import { setTimeout as pause } from 'node:timers/promises'
import { Celery, chain, chord } from 'celeriac'

const [, , what, countText, lengthText] = process.argv
const count = Number(countText)
const length = Number(lengthText)
const url = process.env.BENCH_URL
const app = new Celery('bench', { brokerUrl: url, resultBackend: url })
const step = app.remote('bench.step')
const total = app.remote('bench.total')

/** Tasks are numbered from 1: the one that warms up is 0. */
const chainFrom = (first) =>
  chain(Array.from({ length }, (_, index) => (index === 0 ? step.s(0, first) : step.s(first + index))))

const canvases = {
  chord: () => {
    const header = Array.from({ length }, (_, index) => step.s(0, index + 1))
    return [chord(header, total.s(length + 1))]
  },
  chain: () => [chainFrom(1)],
  chains: () => Array.from({ length: count }, (_, index) => chainFrom(index * length + 1)),
}

// The worker is ready and every connection open before the clock runs; meanwhile its processor time is read.
await (await step.delay(0, 0)).get({ timeout: 60_000 })
await pause(300)
const began = performance.now()
const results = await Promise.all(canvases[what]().map((canvas) => canvas.delay()))
const sentMs = performance.now() - began
const values = await Promise.all(results.map((result) => result.get({ timeout: 240_000 })))
const ms = performance.now() - began
if (values.some((value) => value !== length)) throw new Error(`a ${what} of ${length} gave ${values}`)
await app.close()
process.stdout.write(`${JSON.stringify({ ms, sentMs })}\n`, () => process.exit())
