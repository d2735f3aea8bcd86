import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Celery, chain, chord, group } from '../src/index.js'
import { type RabbitBroker, RabbitKind } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, hearing, nodeTasks, useNodeApps } from './node-app.js'
import { describeNodeToPython } from './node-to-python.suite.js'
import { describePythonToNode } from './python-to-node.suite.js'
import { noRabbit } from './rabbitmq-server.js'
import { skipNote } from './redis-server.js'

const kind = new RabbitKind({ results: 'rpc' })
afterAll(() => kind.stop())

describeNodeToPython(kind)
describePythonToNode(kind)

const timeout = 20

describe.skipIf(noRabbit)(`results as messages over RabbitMQ${skipNote(noRabbit)}`, () => {
  let broker: RabbitBroker
  let shop: Shop
  let python: Driver
  let app: Celery
  let worker: ReturnType<Celery['worker']>
  let ran: string[] = []
  let openGate = (): void => {}
  let gate: Promise<void>
  const open = useNodeApps(() => shop)

  beforeAll(async () => {
    broker = await kind.start()
    shop = new Shop({ broker })
    python = await shop.client()
  })
  afterAll(async () => {
    await shop?.close()
    await broker?.close()
  })
  beforeEach(async () => {
    ran = []
    gate = new Promise((resolve) => {
      openGate = resolve
    })
    app = open()
    nodeTasks(app)
    app.task('node.gated', async () => {
      await gate
      ran.push('gated')
      return 'through'
    })
    worker = app.worker({ queues: ['node'], concurrency: 20 })
    await worker.start()
  })
  afterEach(async () => {
    openGate()
    await worker.stop()
  })

  it('RES-031 RES-033 TSK-090 Python, which has not waited yet, polls the states that a TypeScript task passes', async () => {
    const id = await python.send('node.progress', [4])
    const states = new Set<unknown>()
    await eventually('the task ended', async () => {
      const meta = await python.meta(id)
      states.add(meta.status)
      return meta.status === 'SUCCESS'
    })
    expect(states).toContain('PROGRESS')
  })

  it('RES-031 three hundred waits share one queue, and each gets its own', async () => {
    const client = open()
    const sent = await client.sendTasks(
      Array.from({ length: 300 }, (_, i) => ({ name: 'node.add', args: [i, 1], queue: 'node' })),
    )
    const values = await Promise.all(sent.map((result) => result.get({ timeout })))
    expect(values).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
  })

  it('RES-032 the reply queue goes with its client, and what is sent to it then fails no task', async () => {
    const client = open()
    const [slow, kept] = await Promise.all([
      client.sendTask('node.gated', { queue: 'node' }),
      client.sendTask('node.add', { args: [1, 1], queue: 'node' }),
    ])
    expect(await kept.get({ timeout })).toBe(2)
    expect(await broker.queues()).toContain(client.oid)
    await client.close()
    await eventually('the reply queue is gone', async () => !(await broker.queues()).includes(client.oid))
    // The answer to the slow one finds no queue; the worker goes on.
    openGate()
    await eventually('the slow one ran', () => ran.length === 1)
    const other = await open().sendTask('node.add', { args: [slow.id.length, 0], queue: 'node' })
    expect(await other.get({ timeout })).toBe(slow.id.length)
  })

  it('RES-031 a client that lost its connection declares its queue again and gets what is sent then', async () => {
    const { logger, said } = hearing()
    const client = open({ logger })
    const first = await client.sendTask('node.add', { args: [1, 1], queue: 'node' })
    expect(await first.get({ timeout })).toBe(2)
    const second = await client.sendTask('node.gated', { queue: 'node' })
    const waiting = second.get({ timeout })
    await broker.server.closeConnections()
    await eventually('its queue is back', () => said.some((line) => line.includes('is consumed again')))
    openGate()
    expect(await waiting).toBe('through')
  })

  it('RES-031 RES-033 results that nobody waits for are kept for a later look', async () => {
    const client = open()
    const ids = await Promise.all(
      [1, 2, 3].map(async (n) => (await client.sendTask('node.add', { args: [n, n], queue: 'node' })).id),
    )
    const [first = '', second = ''] = ids
    await eventually('it is there', async () => (await client.asyncResult(first).state()) === 'SUCCESS')
    expect(await client.asyncResult(second).get({ timeout })).toBe(4)
    expect(await client.asyncResult('unknown').state()).toBe('PENDING')
  })

  it('CNV-092 RES-032 chords are refused with the words of Celery, and nothing of them is sent', async () => {
    const told = String(await python.canvas("chord([s('node.gated')], s('node.echo'))").catch(String))
    const said = told.replace(/^Error: NotImplementedError: /, '').trim()
    const client = open()
    const gated = client.signature('node.gated', { queue: 'node' })
    for (const canvas of [
      chord([gated], gated.clone()),
      chain(group(gated.clone(), gated.clone()), gated.clone()),
    ]) {
      await expect(canvas.applyAsync()).rejects.toMatchObject({ code: 'NOT_SUPPORTED', message: said })
    }
    openGate()
    const other = await client.sendTask('node.add', { args: [1, 1], queue: 'node' })
    expect(await other.get({ timeout })).toBe(2)
    expect(ran).toEqual([])
  })
})
