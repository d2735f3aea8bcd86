/** A celery-node worker. It acknowledges before it runs, and has no orderly stop: SIGTERM just ends it. */
import { peer } from './peer-modules.mjs'
import { record } from './record.mjs'

const { createWorker } = peer('celery-node')
const worker = createWorker(process.env.BENCH_URL, process.env.BENCH_RESULTS ?? process.env.BENCH_URL)
worker.register('bench.add', (x, y) => {
  record(x)
  return x + y
})
worker.register('bench.noop', (x) => record(x))
worker.start()
process.on('SIGTERM', () => process.exit())
