/**
 * The Node side of the comparison. `BENCH_DIR` is the folder that both sides share; every run of a task appends one
 * record of 32 bytes to `ran.log` in it (number, start in epoch microseconds), which is how the runs are counted.
 */
import { openSync, writeSync } from 'node:fs'
import { Celery } from 'celeriac'

const folder = process.env['BENCH_DIR']
if (folder === undefined) throw new Error('BENCH_DIR is not set: run this through `npm run bench`.')
const log = openSync(`${folder}/ran.log`, 'a')

export const app = new Celery('bench', {
  brokerUrl: `filesystem://${folder}/broker`,
  resultBackend: `file://${folder}/results`,
})

export const add = app.task(
  'bench.add',
  { ignoreResult: process.env['BENCH_IGNORE'] === '1' },
  (x: number, y: number) => {
    const micros = Math.round((performance.timeOrigin + performance.now()) * 1000)
    writeSync(log, `${String(x).padStart(10)} ${String(micros).padStart(20)}\n`)
    return x + y
  },
)
