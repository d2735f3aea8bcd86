/** celeriac's side of the comparison over Redis. `BENCH_URL` is the server; see record.mjs for the log of runs. */
import { Celery } from 'celeriac'
import { record } from './record.mjs'

const { BENCH_URL, BENCH_IGNORE, BENCH_LATE } = process.env

export const app = new Celery('bench', {
  brokerUrl: BENCH_URL,
  resultBackend: BENCH_URL,
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
