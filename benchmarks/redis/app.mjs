/** celeriac's side of the comparison over Redis and RabbitMQ. `BENCH_URL` is the broker, `BENCH_RESULTS` another server for results; see record.mjs for the log of runs. */
import { Celery } from 'celeriac'
import { record } from './record.mjs'

const { BENCH_URL, BENCH_RESULTS = BENCH_URL, BENCH_IGNORE, BENCH_LATE } = process.env

export const app = new Celery('bench', {
  brokerUrl: BENCH_URL,
  resultBackend: BENCH_RESULTS,
  workerPrefetchMultiplier: 4,
})

export const add = app.task(
  'bench.add',
  { ignoreResult: BENCH_IGNORE === '1', acksLate: BENCH_LATE === '1' },
  (x, y) => {
    record(x)
    return x + y
  },
)

export const noop = app.task(
  'bench.noop',
  { ignoreResult: BENCH_IGNORE === '1', acksLate: BENCH_LATE === '1' },
  (x) => record(x),
)
