/**
 * The floor over RabbitMQ: the least a Node worker must do. amqplib consumes with a prefetch of 256, the body is
 * decoded, an async function called, the results of a turn of the loop stored and published in one pipeline, and the
 * turn acknowledged by one ack. No errors, retries, time limits, signals, reconnection or shutdown.
 */
import { connect } from 'amqplib'
import { peer } from '../redis/peer-modules.mjs'
import { record } from '../redis/record.mjs'

const isIgnored = process.env.BENCH_IGNORE === '1'
const Redis = peer('ioredis').Redis
const redis = isIgnored ? undefined : new Redis(process.env.BENCH_RESULTS)
const connection = await connect(process.env.BENCH_URL, { noDelay: true })
const channel = await connection.createChannel()
await channel.prefetch(256, true)

const task = async (x, y) => {
  record(x)
  return x + y
}
let turn = []
/** One after the other, so that an ack of several never names what is not stored. */
let last = Promise.resolve()
async function finish(messages) {
  const values = await Promise.all(messages.map(({ content }) => task(...JSON.parse(content.toString())[0])))
  if (redis !== undefined) {
    const pipeline = redis.pipeline()
    for (const [i, { properties }] of messages.entries()) {
      const key = `celery-task-meta-${properties.headers.id}`
      const meta = JSON.stringify({
        status: 'SUCCESS',
        result: values[i],
        traceback: null,
        children: [],
        date_done: new Date().toISOString(),
        task_id: properties.headers.id,
      })
      pipeline.setex(key, 86400, meta)
      pipeline.publish(key, meta)
    }
    await pipeline.exec()
  }
  channel.ack(messages.at(-1), true)
}
await channel.consume('celery', (message) => {
  turn.push(message)
  if (turn.length > 1) return
  setImmediate(() => {
    const messages = turn
    turn = []
    last = last.then(() => finish(messages))
  })
})
process.on('SIGTERM', () => process.exit())
