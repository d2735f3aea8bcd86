import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Collector, textOf, toQueue } from '../src/transport/collector.conformance.js'
import { createFilesystemTransport } from '../src/transport/filesystem-transport.js'
import type { Connection, Delivery } from '../src/transport/transport.js'
import { pythonPath } from './harness.js'
import { LineProcess, numbered, plain } from './line-process.js'

const root = path.resolve(import.meta.dirname, '..')
const script = path.join(import.meta.dirname, 'filesystem_transport.py')
const nodePeer = path.join(root, 'src/transport/filesystem-peer.conformance.ts')

let python: string
let folder: string
let stopFile: string
let connections: Connection[]
let children: LineProcess[]

/** Kombu moves what it takes to the temporary folder: one on the same file system, as on most machines. */
function started(command: string, args: readonly string[]): LineProcess {
  const child = new LineProcess(command, args, { ...process.env, TMPDIR: path.join(folder, 'taken') })
  children.push(child)
  return child
}

function kombu(job: string, queue: string, ...rest: readonly string[]): LineProcess {
  return started(python, [script, job, folder, queue, ...rest])
}

function node(job: string, queue: string, ...rest: readonly string[]): LineProcess {
  return started(process.execPath, ['--import', 'tsx', nodePeer, folder, job, queue, ...rest])
}

async function connect(): Promise<Connection> {
  const connection = await createFilesystemTransport().connect(`filesystem://${folder}`, {
    transportOptions: {},
  })
  connections.push(connection)
  return connection
}

beforeAll(() => {
  python = pythonPath()
})
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'celeriac-kombu-'))
  await mkdir(path.join(folder, 'taken'))
  await mkdir(path.join(folder, 'control'))
  stopFile = path.join(folder, 'stop')
  connections = []
  children = []
})
afterEach(async () => {
  for (const child of children) await child.kill()
  await Promise.all(connections.map((connection) => connection.close()))
  await rm(folder, { recursive: true, force: true })
})

describe('one folder, kombu and celeriac', () => {
  it('TST-022 takes what two Python processes publish while three of ours consume: none lost, none twice', async () => {
    const connection = await connect()
    const collector = new Collector((delivery: Delivery) => void delivery.ack())
    await connection.consume(['shared'], collector.options(5))
    const workers = [node('work', 'shared'), node('work', 'shared')]
    await Promise.all(workers.map((worker) => worker.until(() => worker.lines[0] === 'ready')))
    const publishers = [kombu('publish', 'shared', 'left', '250'), kombu('publish', 'shared', 'right', '250')]
    expect(await Promise.all(publishers.map((publisher) => publisher.ended))).toEqual([0, 0])
    const taken = (): string[] =>
      [...collector.texts, ...workers.flatMap(({ lines }) => lines.slice(1))].map(plain)
    await Promise.race([
      collector.until(() => taken().length >= 500, 30_000),
      ...workers.map((worker) => worker.until(() => taken().length >= 500)),
    ])
    for (const worker of workers) worker.process.stdin?.end()
    await Promise.all(workers.map((worker) => worker.ended))
    expect(taken().toSorted()).toEqual([...numbered('left', 250), ...numbered('right', 250)].toSorted())
    expect(collector.unreadable).toEqual([])
  })

  it('TST-022 shares what we publish between Python and our consumers: none lost, none twice', async () => {
    const consumers = [kombu('consume', 'shared', stopFile), kombu('consume', 'shared', stopFile)]
    await Promise.all(consumers.map((consumer) => consumer.until(() => consumer.lines[0] === 'ready')))
    const connection = await connect()
    const collector = new Collector((delivery: Delivery) => void delivery.ack())
    await connection.consume(['shared'], collector.options(1))
    const texts = numbered('m', 500)
    for (let at = 0; at < texts.length; at += 5) {
      const part = texts.slice(at, at + 5).map((text) => `"${text}"`)
      await connection.publish(toQueue('shared', part))
    }
    const taken = (): string[] =>
      [...collector.texts, ...consumers.flatMap(({ lines }) => lines.slice(1))].map(plain)
    await Promise.race([
      collector.until(() => taken().length >= 500, 30_000),
      ...consumers.map((consumer) => consumer.until(() => taken().length >= 500)),
    ])
    await writeFile(stopFile, '')
    expect(await Promise.all(consumers.map((consumer) => consumer.ended))).toEqual([0, 0])
    expect(taken().toSorted()).toEqual(texts.toSorted())
  })

  it('WRK-071 takes what a Python consumer put back when it left, and gives Python what we put back', async () => {
    const connection = await connect()
    await connection.publish(toQueue('back', ['"a"', '"b"']))
    expect(await kombu('hold', 'back', '2').ended).toBe(0)
    const collector = new Collector()
    await connection.consume(['back'], collector.options(0))
    await collector.count(2)
    expect(collector.texts.map(plain).toSorted()).toEqual(['a', 'b'])
    expect(collector.deliveries.map((delivery) => delivery.redelivered)).toEqual([true, true])
    await connection.close()
    const consumer = kombu('consume', 'back', stopFile)
    await consumer.until(() => consumer.lines.length === 3)
    expect(consumer.lines.slice(1).toSorted()).toEqual(['a', 'b'])
    await writeFile(stopFile, '')
    expect(await consumer.ended).toBe(0)
  })

  it('WRK-016 loses no binding when both sides write one table at the same time', async () => {
    const connection = await connect()
    const bind = (name: string, exchange: string): Promise<void> =>
      connection.declare({
        exchanges: [{ name: exchange, type: 'direct', durable: true }],
        queues: [],
        bindings: [{ from: exchange, to: { queue: name }, routingKey: 'key' }],
      })
    // The table is there before: two kombu processes that make a new one at once can empty it, whoever else is there.
    await bind('first', 'x')
    const writers = ['p', 'q'].map((name) => kombu('bind', name, 'x', 'direct', '25'))
    for (const name of numbered('ours', 15)) await bind(name, 'x')
    expect(await Promise.all(writers.map((writer) => writer.ended))).toEqual([0, 0])
    const table: unknown = JSON.parse(await readFile(path.join(folder, 'control', 'x.exchange'), 'utf8'))
    const queues = (table as string[][]).map(([, , queue]) => queue)
    const expected = ['first', ...numbered('p', 25), ...numbered('q', 25), ...numbered('ours', 15)]
    expect(queues.toSorted()).toEqual(expected.toSorted())
  })

  it('WRK-016 writes its binding again when a Python process emptied the new table', async () => {
    const transportOptions = { visibility_timeout: 0.5 }
    const connection = await createFilesystemTransport().connect(`filesystem://${folder}`, {
      transportOptions,
    })
    connections.push(connection)
    await connection.declare({
      exchanges: [{ name: 'x', type: 'fanout', durable: true }],
      queues: [],
      bindings: [{ from: 'x', to: { queue: 'ours' }, routingKey: '' }],
    })
    // What kombu's open('wb') does when it looked before we had made the file.
    await writeFile(path.join(folder, 'control', 'x.exchange'), '[["", "", "theirs"]]')
    const collector = new Collector()
    await connection.consume(['ours'], collector.options(0))
    const table = (): Promise<string> => readFile(path.join(folder, 'control', 'x.exchange'), 'utf8')
    await expect.poll(table, { timeout: 10_000 }).toBe('[["", "", "ours"], ["", "", "theirs"]]')
    expect(await kombu('fanout', 'any', 'x').ended).toBe(0)
    await collector.count(1)
    expect(collector.deliveries.map(textOf).map(plain)).toEqual(['to all'])
    const waiting = (await readdir(folder)).filter((name) => name.endsWith('.theirs.msg'))
    expect(waiting).toHaveLength(1)
  })
})
