/**
 * The log of runs, written by every Node worker here alike: 32 bytes for each run (number, start in epoch
 * microseconds), gathered for 20 ms so that the log costs little of what is measured.
 */
import { openSync, writeSync } from 'node:fs'

const log = openSync(`${process.env.BENCH_DIR}/ran.log`, 'a')
let lines = ''

setInterval(() => {
  if (lines === '') return
  writeSync(log, lines)
  lines = ''
}, 20).unref()
process.on('exit', () => {
  if (lines !== '') writeSync(log, lines)
})

/** Records that the task with this number starts now. */
export function record(number) {
  const micros = Math.round((performance.timeOrigin + performance.now()) * 1000)
  lines += `${String(number).padStart(10)} ${String(micros).padStart(20)}\n`
}
