/** A BullMQ worker; `BENCH_CONCURRENCY` at once. Where results are ignored, jobs are removed when done. */
import { peer, redisAddress } from './peer-modules.mjs'
import { record } from './record.mjs'

const { Worker } = peer('bullmq')
const isIgnored = process.env.BENCH_IGNORE === '1'
const worker = new Worker(
  'bench',
  async ({ name, data }) => {
    record(data.x)
    return isIgnored || name === 'noop' ? undefined : data.x + data.y
  },
  { connection: redisAddress(), concurrency: Number(process.env.BENCH_CONCURRENCY ?? 200) },
)
worker.on('error', (error) => {
  console.error(error)
  process.exitCode = 1
})
process.on('SIGTERM', () => void worker.close().then(() => process.exit()))
