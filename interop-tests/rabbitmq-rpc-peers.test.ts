/** `rpc://` with Celery on the other side of every wait: many at once, lost queues, results that nobody asks for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Worker } from '../src/index.js'
import { createAmqpTransport } from '../src/transport/amqp-transport.js'
import { type RabbitBroker, RabbitKind } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, hearing, nodeApp, nodeTasks, useNodeApps } from './node-app.js'
import { noRabbit } from './rabbitmq-server.js'
import { skipNote } from './redis-server.js'

const timeout = 60

describe.skipIf(noRabbit)(`results as messages between the languages${skipNote(noRabbit)}`, () => {
  const kind = new RabbitKind({ results: 'rpc' })
  let broker: RabbitBroker
  let shop: Shop
  let python: Driver
  let worker: Worker
  let openGate = (): void => {}
  const gate = new Promise<void>((resolve) => (openGate = resolve))
  const started: string[] = []
  const gated: string[] = []
  const open = useNodeApps(() => shop)

  beforeAll(async () => {
    broker = await kind.start()
    shop = new Shop({ broker })
    const app = nodeApp(shop)
    nodeTasks(app)
    app.task('node.gated', async (mark: string) => {
      started.push(mark)
      await gate
      gated.push(mark)
    })
    worker = app.worker({ queues: ['node'], concurrency: 20 })
    await Promise.all([worker.start(), shop.startPythonWorker({ queues: ['celery'] })])
    python = await shop.client()
  }, 120_000)
  afterAll(async () => {
    openGate()
    await worker?.stop()
    await shop?.close()
    await kind.stop()
  })

  it('RES-031 many waits of a client share its one queue, whoever asks and whoever answers', async () => {
    const sums = Array.from({ length: 200 }, (_, n) => n + 1)
    expect(await python.do('many', { name: 'node.add', count: 200, queue: 'node', timeout })).toEqual(sums)
    const client = open()
    // fewer: each result of a Python worker waits 40 ms for the answer of the other side's TCP
    const few = sums.slice(0, 60)
    const sent = await client.sendTasks(
      few.map((_, n) => ({ name: 'py.add', args: [n, 1], queue: 'celery' })),
    )
    const before = await broker.queues()
    expect(await Promise.all(sent.map((result) => result.get({ timeout })))).toEqual(few)
    expect(before).toContain(client.oid)
    expect(await broker.queues()).toEqual(before)
  }, 120_000)

  it('RES-031 a result reaches a reply queue that was away for a moment when it was sent, as that of Celery is each second', async () => {
    const connection = await createAmqpTransport().connect(broker.place().brokerUrl, { transportOptions: {} })
    try {
      const sent = await open().sendTask('node.gated', { args: ['away'], queue: 'node', replyTo: 'away' })
      await eventually('it runs', () => started.includes('away'))
      const ran = (): number => (worker.info()['total'] as Record<string, number>)['node.add'] ?? 0
      const before = ran()
      const done = await open().sendTask('node.add', { args: [1, 2], queue: 'node', replyTo: 'away' })
      // by now the first state of each found no queue
      await eventually('it ran', () => ran() > before)
      const queue = { name: 'away', durable: false, exclusive: false, autoDelete: true, arguments: {} }
      await connection.declare({ exchanges: [], queues: [queue], bindings: [] })
      const states: string[] = []
      await connection.consume(['away'], {
        prefetch: 0,
        noAck: true,
        onDeliveries: (deliveries) => {
          for (const { envelope } of deliveries) {
            const { task_id, status } = JSON.parse(Buffer.from(envelope.body).toString())
            states.push(`${task_id === done.id ? 'done' : task_id === sent.id ? 'gated' : 'other'} ${status}`)
          }
        },
      })
      await eventually('the states came', () => states.length === 3)
      expect(states).toEqual(['gated STARTED', 'done STARTED', 'done SUCCESS'])
    } finally {
      await connection.close()
    }
  })

  it('RES-031 RES-033 what nobody waited for is there for a later look, in both directions', async () => {
    const ids: string[] = []
    for (const n of [1, 2, 3]) ids.push(await python.send('node.add', [n, n], {}, { queue: 'node' }))
    const [first = '', second = '', last = ''] = ids
    for (const [id, value] of [
      [last, 6],
      [first, 2],
      [second, 4],
    ] as const)
      expect(await python.get(id)).toMatchObject({ ok: { value } })
    const client = open()
    const sent = await client.sendTasks(
      [1, 2, 3].map((n) => ({ name: 'py.add', args: [n, n], queue: 'celery' })),
    )
    expect(await sent[2]?.get({ timeout })).toBe(6)
    expect(await client.asyncResult(sent[0]?.id ?? '').state()).toBe('SUCCESS')
    expect(await sent[1]?.get({ timeout })).toBe(4)
  })

  it('TSK-090 RES-031 shows the states that a Python task passes, to a wait that has begun', async () => {
    const result = await open().sendTask('py.progress', { args: [3, 0.2], queue: 'celery' })
    const states: string[] = []
    for await (const { state } of result.progress({ signal: AbortSignal.timeout(30_000) })) states.push(state)
    expect(states.filter((state) => state === 'PROGRESS').length).toBeGreaterThanOrEqual(3)
    expect(await result.get({ timeout })).toBe('done')
  })

  it('RES-032 a client of either language that goes takes its queue along, and the worker of the other goes on', async () => {
    const leaving = open()
    await leaving.sendTask('py.sleep', { args: [0.3], queue: 'celery' })
    await leaving.close()
    expect(await (await open().sendTask('py.add', { args: [1, 1], queue: 'celery' })).get({ timeout })).toBe(
      2,
    )
    const other = new Shop({ broker })
    try {
      const gone = await other.client()
      await gone.send('node.gated', ['left'], {}, { queue: 'node' })
      await eventually('it waits at its gate', () => started.includes('left'))
    } finally {
      await other.close()
    }
    openGate()
    await eventually('it ran', () => gated.includes('left'))
    const id = await python.send('node.add', [2, 3], {}, { queue: 'node' })
    expect(await python.get(id)).toMatchObject({ ok: { value: 5 } })
  })

  it('RES-031 a client that lost its connection gets what a Python worker sends after it is back', async () => {
    const { logger, said } = hearing()
    const client = open({ logger })
    // Nobody consumes this queue yet.
    const result = await client.sendTask('py.add', { args: [20, 1], queue: 'later' })
    const waiting = result.get({ timeout: 60 })
    waiting.catch(() => {})
    await broker.server.closeConnections()
    await eventually('its queue is back', () => said.some((line) => line.includes('is consumed again')))
    await shop.startPythonWorker({ queues: ['later'] })
    expect(await waiting).toBe(21)
  }, 90_000)
})
