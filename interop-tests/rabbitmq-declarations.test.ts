import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Mailbox } from '../src/app/mailbox.js'
import { delayTopologyOf } from '../src/app/native-delay.js'
import { topologyOf } from '../src/app/queues.js'
import { Celery } from '../src/index.js'
import { createAmqpTransport } from '../src/transport/amqp-transport.js'
import type { Connection, Delivery } from '../src/transport/transport.js'
import { noRabbit, RabbitServer } from './rabbitmq-server.js'
import { skipNote } from './redis-server.js'

const root = resolve(import.meta.dirname, '..')
const run = promisify(execFile)

/** The apps of rabbitmq_declarations.py, as one writes them in TypeScript. */
function apps(brokerUrl: string): { readonly app: Celery; readonly quorum: Celery } {
  const app = new Celery('peer', {
    brokerUrl,
    taskQueueMaxPriority: 9,
    taskDefaultQueue: 'plain',
    controlQueueExpires: 600,
    taskQueues: [
      { name: 'plain' },
      { name: 'urgent', routingKey: 'urgent', maxPriority: 5 },
      { name: 'short', exchange: 'short', routingKey: 'short', expires: 60, messageTtl: 5.5, maxLength: 7 },
      { name: 'orders', exchange: { name: 'orders', type: 'topic' }, routingKey: 'orders.#' },
      { name: 'all', exchange: { name: 'all', type: 'fanout' } },
      {
        name: 'typed',
        exchange: { name: 'typed', type: 'headers' },
        bindingArguments: { 'x-match': 'any', kind: 'a' },
      },
      {
        name: 'dead',
        queueArguments: { 'x-dead-letter-exchange': 'all', 'x-dead-letter-routing-key': 'k' },
      },
    ],
  })
  const quorum = new Celery('quorum', {
    brokerUrl,
    taskDefaultQueue: 'q.big',
    taskDefaultExchange: 'big',
    taskDefaultExchangeType: 'topic',
    taskDefaultRoutingKey: 'big',
    taskDefaultQueueType: 'quorum',
  })
  return { app, quorum }
}

async function declareAll(connection: Connection, url: string): Promise<void> {
  const { app, quorum } = apps(url)
  for (const each of [app, quorum]) await connection.declare(topologyOf(each.queues.all.values()))
  await connection.declare(delayTopologyOf(quorum.conf, quorum.queues.all.values()))
  await connection.declare(topologyOf([app.queues.get('made')]))
  const mailbox = new Mailbox(app.conf)
  await connection.declare(mailbox.ofNode('w@h').topology)
  await connection.declare(mailbox.ofReplies('oid').topology)
  await connection.declare({
    exchanges: [{ name: 'celeryev', type: 'topic', durable: true }],
    queues: [],
    bindings: [],
  })
}

describe.skipIf(noRabbit)(`declarations and delays beside Celery on RabbitMQ${skipNote(noRabbit)}`, () => {
  let server: RabbitServer
  const open: { close(): Promise<void> }[] = []
  beforeAll(async () => {
    server = await RabbitServer.start()
  }, 90_000)
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close()
  })
  afterAll(() => server.close())

  async function connect(url: string): Promise<Connection> {
    const connection = await createAmqpTransport().connect(url, { transportOptions: {} })
    open.push(connection)
    return connection
  }
  async function python(url: string, what: string): Promise<unknown> {
    const script = join(root, 'interop-tests/rabbitmq_declarations.py')
    const { stdout } = await run(join(root, '.venv/bin/python'), [script, url, what])
    return JSON.parse(stdout)
  }
  async function list(what: string, url: string, columns: readonly string[]): Promise<string[]> {
    const vhost = decodeURIComponent(new URL(url).pathname.slice(1))
    const rows = await server.ctl(what, '-p', vhost, '--no-table-headers', ...columns)
    // names that a process makes up for itself
    return rows
      .split('\n')
      .map((row) => row.replace(/^[0-9a-f-]{36}\.reply|^oid\.reply/, 'id.reply'))
      .filter((row) => !row.includes('celeryev.'))
      .map((row) => row.replaceAll(/[0-9a-f-]{36}|\boid\b/g, 'id'))
      .toSorted()
  }

  it('PUB-048 PUB-050 PUB-057 PUB-058 PUB-087 PUB-088 declares what Celery declares, in either order, alike to the last argument', async () => {
    const [first, second] = [await server.addVhost(), await server.addVhost()]
    expect(await python(first, 'declare')).toBe('declared')
    const looks = async (url: string): Promise<unknown> => ({
      queues: await list('list_queues', url, ['name', 'durable', 'auto_delete', 'exclusive', 'arguments']),
      exchanges: await list('list_exchanges', url, ['name', 'type', 'durable', 'auto_delete', 'arguments']),
      bindings: await list('list_bindings', url, [
        'source_name',
        'destination_name',
        'destination_kind',
        'routing_key',
        'arguments',
      ]),
    })
    const connection = await connect(second)
    await declareAll(connection, second)
    expect(await looks(second)).toEqual(await looks(first))
    // each after the other: the broker refuses what differs
    expect(await python(second, 'declare')).toBe('declared')
    await declareAll(await connect(first), first)
  }, 60_000)

  it('PUB-084 PUB-087 a task that Celery delays in the broker arrives when it is due, headers whole', async () => {
    const url = await server.addVhost()
    const connection = await connect(url)
    await declareAll(connection, url)
    const arrived = new Promise<Delivery>((resolve) => {
      void connection.consume(['q.big'], {
        prefetch: 1,
        globalPrefetch: false,
        noAck: false,
        onDeliveries: ([delivery]) => delivery && resolve(delivery),
      })
    })
    await python(url, 'delay')
    const { envelope, address } = await arrived
    expect(address.exchange).toBe('celery_delayed_delivery')
    expect(address.routingKey).toBe(`${'0.'.repeat(27)}1.big`)
    expect(envelope.headers).toMatchObject({ task: 't.later', big: 2 ** 40, n: -1, lang: 'py' })
    expect(envelope.headers['x-death']).toMatchObject([{ queue: 'celery_delayed_0', reason: 'expired' }])
  }, 30_000)

  it('PUB-084 a task that we delay in the broker arrives in Python when it is due, though no worker ever ran', async () => {
    const url = await server.addVhost()
    const { quorum } = apps(url)
    open.push(quorum)
    const start = Date.now()
    await quorum.sendTask('t.later', { args: ['node'], countdown: 1.9, headers: { big: 2 ** 40, n: -1 } })
    expect(await python(url, 'get')).toMatchObject({
      exchange: 'celery_delayed_delivery',
      routing_key: `${'0.'.repeat(27)}1.big`,
      headers: { task: 't.later', big: 2 ** 40, n: -1 },
    })
    expect(Date.now() - start).toBeGreaterThanOrEqual(1000)
  }, 30_000)
})
