/** The Node clients of the comparison, all with `one`, `many` (1,000 at once), `bulk` and, some, `withResult`. */
import { randomUUID } from 'node:crypto'
import { peer, redisAddress } from './peer-modules.mjs'

/** What `kind` names: celeriac, bullmq, celery-node, ioredis, amqplib. */
export async function openClient(kind) {
  switch (kind) {
    case 'celeriac':
      return celeriacClient()
    case 'bullmq':
      return bullmqClient()
    case 'celery-node':
      return celeryNodeClient()
    case 'ioredis':
      return bareClient()
    case 'amqplib':
      return amqplibClient()
    default:
      throw new Error(`no client is called ${kind}`)
  }
}

async function celeriacClient() {
  const { Celery } = await import('celeriac')
  const url = process.env.BENCH_URL
  const app = new Celery('bench', { brokerUrl: url, resultBackend: process.env.BENCH_RESULTS ?? url })
  const options = process.env.BENCH_IGNORE === '1' ? { ignoreResult: true } : {}
  const add = app.remote('bench.add', options)
  const noop = app.remote('bench.noop', options)
  return {
    one: (number) => add.delay(number, 1),
    bulk: (numbers) =>
      process.env.BENCH_TASK === 'noop'
        ? noop.delayMany(numbers.map((number) => [number]))
        : add.delayMany(numbers.map((number) => [number, 1])),
    eta: (number, at) => add.applyAsync({ args: [number, 1], eta: new Date(at) }),
    withResult: async (number) => (await add.delay(number, 1)).get({ timeout: 60 }),
    close: () => app.close(),
  }
}

async function bullmqClient() {
  const { Queue, QueueEvents } = peer('bullmq')
  const connection = redisAddress()
  // A finished job is where BullMQ keeps its result.
  const isIgnored = process.env.BENCH_IGNORE === '1'
  const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: isIgnored } })
  await queue.waitUntilReady()
  let events
  return {
    ready: async () => {
      events = new QueueEvents('bench', { connection })
      await events.waitUntilReady()
    },
    one: (number) => queue.add('add', { x: number, y: 1 }),
    bulk: (numbers) =>
      queue.addBulk(
        numbers.map((number) =>
          process.env.BENCH_TASK === 'noop'
            ? { name: 'noop', data: { x: number } }
            : { name: 'add', data: { x: number, y: 1 } },
        ),
      ),
    withResult: async (number) =>
      (await queue.add('add', { x: number, y: 1 })).waitUntilFinished(events, 60_000),
    close: async () => {
      await events?.close()
      await queue.close()
    },
  }
}

function celeryNodeClient() {
  const client = peer('celery-node').createClient(
    process.env.BENCH_URL,
    process.env.BENCH_RESULTS ?? process.env.BENCH_URL,
  )
  return {
    // Its applyAsync gives no promise of the publish; sendTaskMessage of its broker does.
    one: (number) => {
      const message = client.createTaskMessage(randomUUID(), 'bench.add', [number, 1], {})
      return client.broker.publish(message.body, '', 'celery', message.headers, message.properties)
    },
    withResult: (number) => client.createTask('bench.add').applyAsync([number, 1]).get(60_000, 10),
    close: () => client.disconnect(),
  }
}

/** LPUSH of a real message, with nothing made anew but its number: the least that publishing can cost. */
function bareClient() {
  const Redis = peer('ioredis').Redis
  const redis = new Redis(redisAddress())
  const results = subscriptions(new Redis(redisAddress()))
  const message = process.env.BENCH_MESSAGE
  return {
    one: () => redis.lpush('celery', message),
    bulk: (numbers) => redis.lpush('celery', ...numbers.map(() => message)),
    /** A message of its own, and its result by the subscription alone. */
    withResult: async (number) => {
      const envelope = JSON.parse(message)
      const id = randomUUID()
      const [result, subscribed] = results.of(id)
      envelope.body = Buffer.from(JSON.stringify([[number, 1], {}, {}])).toString('base64')
      envelope.headers.id = id
      envelope.properties.delivery_tag = randomUUID()
      await Promise.all([subscribed, redis.lpush('celery', JSON.stringify(envelope))])
      return result
    },
    close: () => Promise.all([redis.quit(), results.close()]),
  }
}

/** Results by the subscription alone: of an id, the value to come, and when it is listened to. */
function subscriptions(redis) {
  const waiting = new Map()
  redis.on('message', (channel, text) => {
    waiting.get(channel)?.(JSON.parse(text).result)
    waiting.delete(channel)
    void redis.unsubscribe(channel)
  })
  return {
    /** Before the first result is waited for: what is told while it connects is lost. */
    ready: () => redis.connect(),
    of: (id) => {
      const key = `celery-task-meta-${id}`
      return [new Promise((resolve) => waiting.set(key, resolve)), redis.subscribe(key)]
    },
    close: () => redis.quit(),
  }
}

/** A confirmed publish of a real message, with nothing made anew but its number. */
async function amqplibClient() {
  const { connect } = await import('amqplib')
  const connection = await connect(process.env.BENCH_URL, { noDelay: true })
  const channel = await connection.createConfirmChannel()
  const { headers, properties, body } = JSON.parse(process.env.BENCH_MESSAGE)
  const Redis = peer('ioredis').Redis
  const results = subscriptions(new Redis(process.env.BENCH_RESULTS, { lazyConnect: true }))
  const publish = (number, given) =>
    new Promise((resolve, reject) => {
      const content = Buffer.from(body.replace(/^\[\[0, ?1\]/, `[[${number}, 1]`))
      const options = { ...properties, persistent: true, mandatory: true, ...given }
      channel.publish('', 'celery', content, options, (error) => (error ? reject(error) : resolve()))
    })
  return {
    ready: () => results.ready(),
    one: (number) => publish(number, { headers }),
    /** A message with an id of its own, and its result by the subscription alone. */
    withResult: async (number) => {
      const id = randomUUID()
      const [result, subscribed] = results.of(id)
      await Promise.all([subscribed, publish(number, { headers: { ...headers, id }, correlationId: id })])
      return result
    },
    close: () => connection.close(),
  }
}
