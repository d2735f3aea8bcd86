/** celeriac's side of the comparison of canvases; see ../redis/record.mjs for the log of runs. */
import { Celery } from 'celeriac'
import { record } from '../redis/record.mjs'

const { BENCH_URL } = process.env

export const app = new Celery('bench', { brokerUrl: BENCH_URL, resultBackend: BENCH_URL })

/** One more than it is given. */
export const step = app.task('bench.step', (value, number) => {
  record(number)
  return value + 1
})

/** The sum of a header's values. */
export const total = app.task('bench.total', (values, number) => {
  record(number)
  return values.reduce((sum, value) => sum + value, 0)
})
