/**
 * The floor: the least a Node worker must do. A script claims a batch (pop, record in `unacked` and `unacked_index`),
 * the body is decoded, an async function called, the results stored and published in one script, the batch
 * acknowledged; two batches in flight. When the queue is empty the server tells of the next push (client tracking). It
 * has no leases, errors, retries, time limits, signals or shutdown.
 */
import { peer, redisAddress } from './peer-modules.mjs'
import { record } from './record.mjs'

const Redis = peer('ioredis').Redis
const redis = new Redis(redisAddress())
const isIgnored = process.env.BENCH_IGNORE === '1'
redis.defineCommand('claim', {
  numberOfKeys: 3,
  lua: `
local items = redis.call('RPOP', KEYS[1], ARGV[1])
if not items then return {} end
local fields, scores = {}, {}
for i, raw in ipairs(items) do
  local tag = string.match(raw, '"delivery_tag": ?"([^"]+)"')
  fields[2 * i - 1] = tag
  fields[2 * i] = raw
  scores[2 * i - 1] = ARGV[2]
  scores[2 * i] = tag
end
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('ZADD', KEYS[3], unpack(scores))
return items`,
})
redis.defineCommand('store', {
  lua: `
for i, key in ipairs(KEYS) do
  redis.call('SETEX', key, 86400, ARGV[i])
  redis.call('PUBLISH', key, ARGV[i])
end`,
})
// RESP 2: there the server tells by a message of a channel.
const listener = new Redis({ ...redisAddress(), protocol: 2 })
const idle = []
listener.on('messageBuffer', () => idle.shift()?.())
await redis.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', await listener.client('ID'), 'OPTIN')
await listener.subscribe('__redis__:invalidate')
/** Until something is pushed, if nothing was meanwhile. */
async function pushed() {
  const news = new Promise((resolve) => idle.push(resolve))
  const [, length] = await Promise.all([redis.call('CLIENT', 'CACHING', 'YES'), redis.llen('celery')])
  if (length > 0) idle.shift()?.()
  await news
}

const tasks = {
  'bench.add': async (x, y) => {
    record(x)
    return x + y
  },
  'bench.noop': async (x) => record(x) ?? null,
}
async function loop() {
  for (;;) {
    const items = await redis.claim('celery', 'unacked', 'unacked_index', 64, Date.now() / 1000)
    if (items.length === 0) {
      await pushed()
      continue
    }
    const messages = items.map((raw) => JSON.parse(raw))
    const values = await Promise.all(
      messages.map(({ headers, body }) =>
        tasks[headers.task](...JSON.parse(Buffer.from(body, 'base64').toString())[0]),
      ),
    )
    if (!isIgnored) {
      const keys = messages.map(({ headers }) => `celery-task-meta-${headers.id}`)
      const metas = messages.map(({ headers }, i) =>
        JSON.stringify({
          status: 'SUCCESS',
          result: values[i],
          traceback: null,
          children: [],
          date_done: new Date().toISOString(),
          task_id: headers.id,
        }),
      )
      await redis.store(keys.length, ...keys, ...metas)
    }
    const tags = messages.map(({ properties }) => properties.delivery_tag)
    await Promise.all([redis.zrem('unacked_index', ...tags), redis.hdel('unacked', ...tags)])
  }
}
void loop()
void loop()
process.on('SIGTERM', () => process.exit())
