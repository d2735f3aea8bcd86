/**
 * How large the messages of a canvas are, beside Celery's: byte for byte the same once both are written with the same
 * white space, and ours have none. The same canvas is sent by both clients, and passed on by a worker of each.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeJson, encodeJson } from '../../protocol/json.js'
import { RedisBroker } from '../brokers.js'
import { noRedis, skipNote } from '../redis-server.js'
import { CanvasRig, type RigOptions } from './rig.js'
import type { Lang, Spec, TaskSpec } from './spec.js'

interface Wire {
  readonly headers: Readonly<Record<string, unknown>>
  readonly properties: Readonly<Record<string, unknown>>
  readonly body: string
}

const task = (tag: string, lang: Lang = 'py'): TaskSpec => ({ k: 'task', lang, fn: 'mark', tag })
const many = (count: number, tag: string): readonly TaskSpec[] =>
  Array.from({ length: count }, (_, index) => task(`${tag}${index}`))
const group = (count: number, tag: string): Spec => ({ k: 'group', members: many(count, tag) })

const canvases: readonly (readonly [name: string, spec: Spec])[] = [
  ['a chain of 1,000', { k: 'chain', steps: many(1000, 's') }],
  ['a chain with errbacks', { k: 'chain', steps: many(20, 's'), err: 'e' }],
  [
    'a chain with groups in it',
    { k: 'chain', steps: [task('a'), group(20, 'g'), task('b'), group(20, 'h')] },
  ],
  ['a group of chains', { k: 'group', members: [{ k: 'chain', steps: many(20, 's') }, task('m')] }],
  ['a chord of 100', { k: 'chord', header: many(100, 'h'), body: task('body') }],
  [
    'a chord of chains with a chain as its body',
    {
      k: 'chord',
      header: [{ k: 'chain', steps: many(20, 's') }, task('m')],
      body: { k: 'chain', steps: many(20, 'b') },
    },
  ],
]

describe.skipIf(noRedis)(`the size of messages${skipNote(noRedis)}`, () => {
  let broker: RedisBroker
  /** Clients alone: what they send stays in the queue. */
  let clients: CanvasRig
  beforeAll(async () => {
    broker = await RedisBroker.start()
    clients = await rigOf([], [])
  }, 30_000)
  afterAll(async () => {
    await clients?.close()
    await broker?.close()
  })

  /** What waits in a queue, the first one first; emptied. */
  async function taken(queue: string): Promise<readonly Wire[]> {
    const redis = broker.server.client()
    const items = await redis.lrange(queue, 0, -1)
    await redis.flushall()
    return items.reverse().map((item) => {
      const { body, ...message } = JSON.parse(item) as Wire
      return { ...message, body: Buffer.from(body, 'base64').toString() }
    })
  }

  const rigOf = (nodeRuns: readonly Lang[], pythonRuns: readonly Lang[]): Promise<CanvasRig> => {
    const options: RigOptions = { nodeRuns, pythonRuns, settings: { taskDefaultQueue: 'py' } }
    return CanvasRig.start(broker, options)
  }

  it.each(canvases)(
    'CNV-046 CNV-079 CNV-091 that of %s is Celery’s',
    async (_name, spec) => {
      await clients.run([spec], 0)
      const celerys = await taken('py')
      await clients.runFromNode([spec], 0.001)
      const ours = await taken('py')
      expect(celerys.length).toBeGreaterThan(0)
      expect(ours.map(sized)).toEqual(celerys.map(sized))
      expect(bytesOf(ours)).toBeLessThan(bytesOf(celerys))
    },
    60_000,
  )

  /** What a worker sends on to a queue that nobody reads. */
  async function passedOn(rig: CanvasRig, queue: string): Promise<readonly Wire[]> {
    const redis = broker.server.client()
    for (const end = Date.now() + 20_000; (await redis.llen(queue)) === 0; await pause(20)) {
      if (Date.now() > end) throw new Error(`nothing was passed on:\n${rig.printed}`)
    }
    return taken(queue)
  }

  it('CNV-046 what a worker passes on of a chain has the size that a Celery worker gives it', async () => {
    const rest = Array.from({ length: 99 }, (_, index) => task(`s${index}`, 'node'))
    const spec: Spec = { k: 'chain', steps: [task('first'), ...rest] }
    const passed: (readonly Wire[])[] = []
    for (const [nodeRuns, pythonRuns] of [
      [[], ['py']],
      [['py'], []],
    ] as const) {
      const rig = await rigOf(nodeRuns, pythonRuns)
      try {
        await rig.run([spec], 0)
        passed.push(await passedOn(rig, 'node'))
      } finally {
        await rig.close()
      }
    }
    const [celerys = [], ours = []] = passed
    expect(celerys).toHaveLength(1)
    expect(ours.map(sized)).toEqual(celerys.map(sized))
  }, 120_000)

  it('CNV-091 CNV-192 Celery sends the same inner chord, whether or not its copies of bodies were in what came', async () => {
    let spec: Spec = task('body', 'node')
    for (const level of ['third', 'second']) spec = { k: 'chord', header: [task(level, 'node')], body: spec }
    spec = { k: 'chord', header: [task('first')], body: spec }
    const rig = await rigOf([], ['py'])
    try {
      await rig.run([spec], 0)
      const celerys = await passedOn(rig, 'node')
      await rig.runFromNode([spec], 0.001)
      const ours = await passedOn(rig, 'node')
      expect(celerys).toHaveLength(1)
      expect(ours.map(sized)).toEqual(celerys.map(sized))
    } finally {
      await rig.close()
    }
  }, 120_000)
})

/** The bytes of each part of a message as Python writes it, but for what names the sender. */
function sized({ headers, properties, body }: Wire): readonly unknown[] {
  const { origin: _origin, lang: _lang, ...rest } = headers
  const python = (value: unknown): number => Buffer.byteLength(encodeJson(value, { style: 'python' }))
  return [Object.keys(headers), python(rest), python(properties), python(decodeJson(body, { exact: true }))]
}

function bytesOf(messages: readonly Wire[]): number {
  return messages.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0)
}
