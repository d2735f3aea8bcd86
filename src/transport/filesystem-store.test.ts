import { type ChildProcess, spawnSync } from 'node:child_process'
import { watch } from 'node:fs'
import {
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LineProcess } from '../../interop-tests/line-process.js'
import { ConfigError, InvalidArgumentError } from '../errors.js'
import { ackAndForget, Collector, message, textOf, toQueue } from './collector.conformance.js'
import { createFilesystemTransport } from './filesystem-transport.js'
import { describeTransport } from './transport.conformance.js'
import type { Connection } from './transport.js'

const peerScript = path.join(import.meta.dirname, 'filesystem-peer.conformance.ts')

/** Another process on the same folder. */
class Peer extends LineProcess {
  constructor(...args: readonly string[]) {
    super(process.execPath, ['--import', 'tsx', peerScript, ...args])
  }

  async end(): Promise<void> {
    this.process.stdin?.end()
    await this.ended
  }
}

let folder: string
let connections: Connection[]
let peers: Peer[]

async function setUp(): Promise<void> {
  folder = await mkdtemp(path.join(tmpdir(), 'celeriac-broker-'))
  connections = []
  peers = []
}

async function tearDown(): Promise<void> {
  for (const peer of peers) if (peer.process.exitCode === null) await peer.kill()
  await Promise.all(connections.map((connection) => connection.close()))
  await rm(folder, { recursive: true, force: true })
}

async function connect(transportOptions: Record<string, unknown> = {}): Promise<Connection> {
  const options = { transportOptions: { visibility_timeout: 2, ...transportOptions } }
  const connection = await createFilesystemTransport().connect(`filesystem://${folder}`, options)
  connections.push(connection)
  return connection
}

function peer(job: 'hold' | 'work' | 'publish', queue: string, count = 0, name: string = job): Peer {
  const started = new Peer(folder, job, queue, String(count), name)
  peers.push(started)
  return started
}

/** A signal takes effect a little after it was sent: field 3 of `/proc/<pid>/stat`, where there is one. */
async function isStopped({ pid }: ChildProcess): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') T')
  return text.slice(text.lastIndexOf(')') + 2).startsWith('T')
}

const messageFiles = async (where = folder): Promise<string[]> =>
  (await readdir(where)).filter((name) => name.endsWith('.msg')).sort()

describeTransport(
  'filesystem',
  async () => {
    await setUp()
    return {
      connect: () => connect(),
      async killHolder(queue, count) {
        const holder = peer('hold', queue, count)
        await holder.until(() => holder.lines.length === count + 1)
        await holder.kill()
      },
      putGarbage: (queue, bytes) => writeFile(path.join(folder, `1_x.${queue}.msg`), bytes),
      async end() {
        await Promise.all(connections.map((connection) => connection.close()))
        expect(await readdir(path.join(folder, '.celeriac', 'held'))).toEqual([])
        expect(await readdir(path.join(folder, '.celeriac', 'tmp'))).toEqual([])
        await tearDown()
      },
    }
  },
  { park: 'a folder has no place for a message that kombu must not take yet' },
)

describe('FilesystemStore', () => {
  beforeEach(setUp)
  afterEach(tearDown)

  it('TST-022 writes files that kombu reads: its names, its envelope, nothing else in its way', async () => {
    const connection = await connect()
    const before = Number(process.hrtime.bigint() / 1_000_000n)
    await connection.publish(toQueue('celery', ['a']))
    const [name] = await messageFiles()
    expect(name).toMatch(
      /^\d+_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.celery\.msg$/,
    )
    expect(Math.abs(Number.parseInt(name!, 10) - before)).toBeLessThan(5000)
    const envelope = JSON.parse(await readFile(path.join(folder, name!), 'utf8'))
    expect(envelope).toMatchObject({
      body: Buffer.from('a').toString('base64'),
      properties: { delivery_info: { exchange: '', routing_key: 'celery' }, body_encoding: 'base64' },
    })
    expect((await readdir(folder)).sort()).toEqual(['.celeriac', name, 'control'].sort())
  })

  it('keeps the binding table as kombu does: rows of three, newest first, in Python separators', async () => {
    const connection = await connect()
    const exchange = (name: string, type: 'direct' | 'topic') => ({ name, type, durable: true })
    await connection.declare({
      exchanges: [exchange('celery', 'direct'), exchange('celeryev', 'topic')],
      queues: [],
      bindings: [
        { from: 'celery', to: { queue: 'celery' }, routingKey: 'celery' },
        { from: 'celery', to: { queue: 'second' }, routingKey: 'celery' },
        { from: 'celeryev', to: { queue: 'ev' }, routingKey: '#' },
      ],
    })
    const table = (name: string): Promise<string> =>
      readFile(path.join(folder, 'control', `${name}.exchange`), 'utf8')
    expect(await table('celery')).toBe('[["celery", "", "second"], ["celery", "", "celery"]]')
    expect(await table('celeryev')).toBe('[["#", "^.*?$", "ev"]]')
  })

  it('uses the folders of the options and of the URL, and store_processed keeps what was settled', async () => {
    const url = `filesystem://${path.join(folder, 'short')}`
    const kept = path.join(folder, 'kept')
    const options = { transportOptions: { store_processed: true, processed_folder: kept } }
    const connection = await createFilesystemTransport().connect(url, options)
    connections.push(connection)
    await connection.publish(toQueue('q', ['a']))
    const [name] = await messageFiles(path.join(folder, 'short'))
    const got = await connection.get('q')
    await rm(kept, { recursive: true })
    await got?.ack()
    expect(await messageFiles(kept)).toEqual([name])
    expect(await messageFiles(path.join(folder, 'short'))).toEqual([])
  })

  it('reads from data_folder_in and writes to data_folder_out', async () => {
    const [one, other] = [path.join(folder, 'one'), path.join(folder, 'other')]
    const make = async (dataIn: string, dataOut: string): Promise<Connection> => {
      const transportOptions = {
        data_folder_in: dataIn,
        data_folder_out: dataOut,
        control_folder: path.join(folder, 'control'),
      }
      const connection = await createFilesystemTransport().connect('filesystem://', { transportOptions })
      connections.push(connection)
      return connection
    }
    const [left, right] = [await make(one, other), await make(other, one)]
    await left.publish(toQueue('q', ['to the right']))
    expect(await left.get('q')).toBeUndefined()
    const got = await right.get('q')
    expect(got && textOf(got)).toBe('to the right')
    await right.close()
    expect(await messageFiles(other)).toHaveLength(1)
  })

  it('waits for a writer that has made its file but not yet written it', async () => {
    const connection = await connect()
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    await connection.publish(toQueue('other', ['late']))
    const [whole] = await messageFiles()
    const content = await readFile(path.join(folder, whole!))
    // As kombu does: open under the final name, then write through the open file, wherever it is by then.
    const file = await open(path.join(folder, '7_00000000-0000-4000-8000-000000000000.q.msg'), 'w')
    await connection.publish(toQueue('q', ['while it waits']))
    await collector.count(1)
    await file.write(content.subarray(0, 20))
    await file.write(content.subarray(20))
    await file.close()
    await collector.count(2)
    expect(collector.texts).toEqual(['while it waits', 'late'])
    expect(collector.unreadable).toEqual([])
  })

  it('gives a file back as it is while its writer has not finished, so that the rest still reaches it', async () => {
    const connection = await connect()
    await connection.publish(toQueue('other', ['late']))
    const [whole] = await messageFiles()
    const content = await readFile(path.join(folder, whole!))
    const name = '7_00000000-0000-4000-8000-000000000000.q.msg'
    const file = await open(path.join(folder, name), 'w')
    await file.write(content.subarray(0, 20))
    expect(await connection.get('q')).toBeUndefined()
    expect(await messageFiles()).toEqual([whole])
    await connection.close()
    expect(await messageFiles()).toContain(name)
    await file.write(content.subarray(20))
    await file.close()
    const got = await (await connect()).get('q')
    expect(got && textOf(got)).toBe('late')
  })

  it('sets aside a file that stays cut, with its bytes', async () => {
    const connection = await connect()
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    await writeFile(path.join(folder, '7_a.q.msg'), '{"body": "abc')
    await collector.until(() => collector.unreadable.length === 1)
    const [report] = collector.unreadable
    expect(await readFile(report!.keptAt, 'utf8')).toBe('{"body": "abc')
    expect(report!.keptAt).toContain(path.join('.celeriac', 'unreadable'))
  })

  it('sets aside what has the name of a message and cannot be read, and goes on with the rest', async () => {
    const connection = await connect()
    await mkdir(path.join(folder, '0_a.q.msg'))
    await symlink('0_b.q.msg', path.join(folder, '0_b.q.msg'))
    spawnSync('mkfifo', [path.join(folder, '0_c.q.msg')])
    await connection.publish(toQueue('q', ['fine']))
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    await collector.count(1)
    await collector.until(() => collector.unreadable.length === 3)
    expect(collector.unreadable.map(({ keptAt }) => path.basename(keptAt)).sort()).toEqual([
      '0_a.q.msg',
      '0_b.q.msg',
      '0_c.q.msg',
    ])
    expect(await messageFiles()).toEqual([])
  })

  it('gives back what a dead process held, also when one file among it cannot be read', async () => {
    const [publisher, consumer] = [await connect(), await connect()]
    await publisher.publish(toQueue('q', ['fine']))
    const [file] = await messageFiles()
    const left = path.join(folder, '.celeriac', 'held', 'left-by-a-dead-process')
    await mkdir(path.join(left, '0_a.q.msg'), { recursive: true })
    await rename(path.join(folder, file!), path.join(left, file!))
    const collector = new Collector()
    await consumer.consume(['q'], collector.options(0))
    await collector.count(1)
    await collector.until(() => collector.unreadable.length === 1)
  })

  it('refuses queue names that cannot be part of a file name, and writes nothing', async () => {
    const connection = await connect()
    for (const queue of ['../out', 'a/b', 'a\0b', 'x'.repeat(300)]) {
      const both = [...toQueue('fine', ['a']), ...toQueue(queue, ['b'])]
      await expect(connection.publish(both)).rejects.toBeInstanceOf(InvalidArgumentError)
    }
    expect(await messageFiles()).toEqual([])
  })

  it('leaves a message with the process that holds it while that is stopped, and takes it when that dies', async () => {
    const connection = await connect({ visibility_timeout: 0.3 })
    await connection.publish(toQueue('q', ['a']))
    const holder = peer('hold', 'q', 1)
    await holder.until(() => holder.lines.includes('a'))
    holder.process.kill('SIGSTOP')
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    // Thirty rounds of looking for abandoned messages pass in a second; messages keep the consumer going meanwhile.
    const start = performance.now()
    for (let ticks = 1; performance.now() - start < 1000; ticks += 1) {
      await connection.publish(toQueue('q', ['tick']))
      await collector.count(ticks)
    }
    expect(collector.texts).not.toContain('a')
    await holder.kill()
    await collector.until(() => collector.texts.includes('a'))
    expect(collector.deliveries.find((delivery) => textOf(delivery) === 'a')?.redelivered).toBe(true)
  })

  it('takes back what a process of another machine held once that gives no sign of life', async () => {
    const connection = await connect({ visibility_timeout: 0.5 })
    await connection.publish(toQueue('q', ['a']))
    const [name] = await messageFiles()
    const foreign = path.join(folder, '.celeriac', 'held', '1-1-0123456789ab-other')
    await mkdir(foreign, { recursive: true })
    await rename(path.join(folder, name!), path.join(foreign, name!))
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    const alive = performance.now()
    while (performance.now() - alive < 1000) {
      const sign = new Date(Date.now() + (performance.now() - alive))
      await utimes(foreign, sign, sign)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(collector.texts).toEqual([])
    await collector.count(1)
    expect(collector.deliveries[0]?.redelivered).toBe(true)
  })

  it('shares thousands of messages between processes: each is worked once, none is lost', async () => {
    const workers = [peer('work', 'q'), peer('work', 'q'), peer('work', 'q')]
    await Promise.all(workers.map((worker) => worker.until(() => worker.lines[0] === 'ready')))
    const publishers = [peer('publish', 'q', 1000, 'left'), peer('publish', 'q', 1000, 'right')]
    const connection = await connect()
    await connection.publish(
      toQueue(
        'q',
        Array.from({ length: 500 }, (_, index) => `here-${index}`),
      ),
    )
    await Promise.all(publishers.map((publisher) => publisher.until(() => publisher.lines.includes('done'))))
    const worked = (): string[] => workers.flatMap((worker) => worker.lines.slice(1))
    await Promise.race(workers.map((worker) => worker.until(() => worked().length >= 2500)))
    await Promise.all([...workers, ...publishers].map((each) => each.end()))
    expect(new Set(worked()).size).toBe(2500)
    expect(worked()).toHaveLength(2500)
    expect(await messageFiles()).toEqual([])
  })

  it('loses nothing when consumers are killed over and over', async () => {
    const connection = await connect()
    const texts = Array.from({ length: 60 }, (_, index) => `m${index}`)
    await connection.publish(toQueue('q', texts))
    for (let round = 0; round < 3; round += 1) {
      const holder = peer('hold', 'q', 20)
      await holder.until(() => holder.lines.length > 5)
      await holder.kill()
    }
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    await collector.count(60)
    expect(collector.texts.toSorted()).toEqual(texts.toSorted())
  })

  it('loses and doubles nothing when a consumer is killed while it gives back what it held', async () => {
    const connection = await connect()
    const texts = Array.from({ length: 120 }, (_, index) => `m${index}`)
    await connection.publish(toQueue('q', texts))
    for (let round = 0; round < 3; round += 1) {
      const holder = peer('hold', 'q', 120)
      await holder.until(() => holder.lines.length === 121)
      expect(await messageFiles()).toEqual([])
      holder.process.stdin?.end()
      await expect
        .poll(async () => (await messageFiles()).length, { interval: 1, timeout: 10_000 })
        .toBeGreaterThan(5 * round)
      await holder.kill()
    }
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    await collector.count(120)
    expect(collector.texts.toSorted()).toEqual(texts.toSorted())
    expect(await messageFiles()).toEqual([])
  })

  it('never shows a file before it is whole, nor under a name that kombu would take for a message', async () => {
    const connection = await connect()
    const text = 'x'.repeat(300_000)
    const shown = new Set<string>()
    const written: string[] = []
    const scratch = new Set<string>()
    const watchers = [
      watch(folder, (event, name) => {
        if (name === null || name === '.celeriac') return
        shown.add(name)
        // A file that is renamed to its place is never written to there.
        if (event === 'change') written.push(name)
      }),
      watch(path.join(folder, '.celeriac', 'tmp'), (_event, name) => void scratch.add(name ?? '')),
    ]
    let isDone = false
    const publishing = (async () => {
      for (let round = 0; round < 10; round += 1) {
        await connection.publish(
          toQueue(
            'q',
            Array.from({ length: 20 }, () => text),
          ),
        )
      }
    })().finally(() => (isDone = true))
    try {
      const read = new Set<string>()
      while (!isDone || read.size < 200) {
        const names = (await readdir(folder)).filter((name) => name.includes('.q.msg') && !read.has(name))
        for (const name of names) {
          const { body } = JSON.parse(await readFile(path.join(folder, name), 'utf8')) as { body: string }
          expect(Buffer.from(body, 'base64')).toHaveLength(text.length)
          read.add(name)
        }
        if (isDone && names.length === 0) break
      }
      await publishing
      expect(read.size).toBe(200)
      await expect.poll(() => shown.size).toBeGreaterThanOrEqual(200)
      expect([...shown].toSorted()).toEqual(await messageFiles())
      expect(written).toEqual([])
      expect(scratch.size).toBeGreaterThan(0)
      expect([...scratch].filter((name) => name.includes('.msg'))).toEqual([])
    } finally {
      for (const watcher of watchers) watcher.close()
      await publishing.catch(() => {})
    }
  })

  it('sweeps what a dead publisher had half written, and leaves what a stopped one goes on with', async () => {
    const tmp = path.join(folder, '.celeriac', 'tmp')
    const scratchOf = async ({ process: child }: Peer): Promise<string[]> =>
      (await readdir(tmp)).filter((name) => name.startsWith(`${child.pid}-`))
    const stoppedWhileWriting = async (name: string): Promise<Peer> => {
      const publisher = peer('publish', 'q', 5000, name)
      await publisher.until(() => publisher.lines.length > 1)
      for (;;) {
        publisher.process.kill('SIGSTOP')
        await expect.poll(() => isStopped(publisher.process)).toBe(true)
        if ((await scratchOf(publisher)).length > 0) return publisher
        if (publisher.lines.includes('done')) throw new Error('it published all without being seen to write')
        publisher.process.kill('SIGCONT')
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const dead = await stoppedWhileWriting('dead')
    const stopped = await stoppedWhileWriting('stopped')
    const foreign = path.join(tmp, '1-1-0123456789ab-other.1')
    await writeFile(foreign, '{')
    const kept = await scratchOf(stopped)
    await dead.kill()
    expect(await scratchOf(dead)).not.toEqual([])
    const connection = await connect()
    await connection.consume(['other'], new Collector().options(0))
    await expect.poll(() => scratchOf(dead), { timeout: 10_000 }).toEqual([])
    expect(await scratchOf(stopped)).toEqual(kept)
    stopped.process.kill('SIGCONT')
    await stopped.until(() => stopped.lines.includes('done'))
    expect(stopped.lines.filter((line) => line.startsWith('stopped-'))).toHaveLength(5000)
    expect(await readdir(tmp)).toEqual([path.basename(foreign)])
  })

  it('finds messages among ten thousand others without looking at each again for each claim', async () => {
    const connection = await connect()
    const names = Array.from(
      { length: 10_000 },
      (_, i) => `${1000 + i}_00000000-0000-4000-8000-000000000000.other.msg`,
    )
    const first = path.join(folder, 'first')
    await writeFile(first, '{}')
    for (let at = 0; at < names.length; at += 500) {
      await Promise.all(names.slice(at, at + 500).map((name) => link(first, path.join(folder, name))))
    }
    const collector = new Collector(ackAndForget)
    await connection.consume(['q'], collector.options(1))
    const start = performance.now()
    for (let index = 0; index < 300; index += 1) {
      await connection.publish(toQueue('q', [`m${index}`]))
      await collector.count(index + 1)
    }
    // Listing 10,000 names takes some ten milliseconds: twice per message would be most of this bound.
    expect(performance.now() - start).toBeLessThan(9000)
    expect(await connection.queueLength('other')).toBe(10_000)
  })

  it('says which folder it cannot make', async () => {
    await writeFile(path.join(folder, 'file'), '')
    const url = `filesystem://${path.join(folder, 'file')}`
    const failing = createFilesystemTransport().connect(url, { transportOptions: {} })
    await expect(failing).rejects.toBeInstanceOf(ConfigError)
    await expect(failing).rejects.toThrow(path.join(folder, 'file'))
    const wrong = createFilesystemTransport().connect(url, { transportOptions: { data_folder_in: 5 } })
    await expect(wrong).rejects.toBeInstanceOf(ConfigError)
  })

  it('ends with the cause when its folder goes away, and refuses further work', async () => {
    const connection = await connect({ polling_interval: 0.05 })
    const collector = new Collector()
    await connection.consume(['q'], collector.options(0))
    await rm(folder, { recursive: true })
    expect(await connection.closed).toBeInstanceOf(Error)
    await expect(
      connection.publish([{ envelope: message('a'), to: { exchange: '', routingKey: 'q' } }]),
    ).rejects.toThrow(/has ended/)
  })
})
