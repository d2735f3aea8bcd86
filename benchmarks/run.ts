/**
 * `npm run bench`: celeriac beside real Celery, in one run, in interleaved rounds. Every round checks that each task
 * ran exactly once. See README.md for what the figures mean.
 *
 *   --rounds N    rounds of each measure (default 5)
 *   --tasks N     tasks of a drain on the filesystem (default 1000)
 *   --only NAME   one of memory, drain, publish, latency, soak, redis, rabbitmq, canvas
 *   --part NAMES  of redis: drain, noop, publish, latency, startup, memory, eta (default all), separated by commas; of
 *                 rabbitmq: drain, publish, confirm, latency, startup, memory; of canvas: chord, bigchord, chain, chains
 *   --redis-tasks N  tasks of a drain over Redis (default 20000; Celery gets a tenth)
 *   --no-persistence  a Redis server that keeps nothing on disk (default: append-only file, flushed every second)
 *   --who NAMES   of redis and rabbitmq: only these (celeriac, floor, "bullmq 50", ...), separated by commas
 *   --node-only   without Celery
 *   --json        prints JSON in place of the table
 *   --markdown    prints tables as they stand in README.md
 */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { CanvasRounds } from './canvas/rounds.js'
import { Figures } from './figures.js'
import { drainFolder, latency, publishFolder } from './folder-rounds.js'
import { drainMemory } from './memory-drain.js'
import { RabbitRounds } from './rabbitmq/rounds.js'
import { installGevent, installPeers } from './redis/processes.js'
import { RedisRounds } from './redis/rounds.js'
import { type Kind, root } from './workers.js'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    tasks: { type: 'string', default: '1000' },
    only: { type: 'string' },
    part: { type: 'string' },
    'redis-tasks': { type: 'string', default: '20000' },
    who: { type: 'string' },
    'no-persistence': { type: 'boolean', default: false },
    'node-only': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const tasks = Number(values.tasks)
if (!Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(tasks) || tasks < 2) {
  throw new Error('--rounds and --tasks take whole numbers, at least 1 and 2')
}
const progress = (text: string): void => void process.stderr.write(`${text}\n`)
const wants = (name: string): boolean => values.only === undefined || values.only === name
const python = values['node-only'] ? undefined : findPython()
const kinds: readonly Kind[] =
  python === undefined ? ['celeriac'] : ['celeriac', 'celery solo', 'celery prefork 2']
const figures = new Figures()

// Once unmeasured: the compiler of the engine needs to have seen the code.
if (wants('memory')) await drainMemory({ count: 20_000, ignoreResult: false })
for (let round = 1; round <= rounds; round += 1) {
  progress(`round ${round} of ${rounds}`)
  if (wants('memory')) {
    for (const ignoreResult of [false, true]) {
      const count = 20_000
      const ms = await drainMemory({ count, ignoreResult })
      const what = ignoreResult ? 'results ignored' : 'results in memory'
      figures.add(`drain memory, ${what}`, 'celeriac', 'tasks/s', (count / ms) * 1000)
      figures.add(`drain memory, ${what}, per task`, 'celeriac', 'µs', (ms * 1000) / count)
    }
  }
  if (wants('drain')) {
    for (const ignoreResult of [false, true]) {
      for (const kind of kinds) await drainFolder(figures, kind, { count: tasks, ignoreResult, python })
    }
  }
  if (wants('publish')) await publishFolder(figures, tasks, python)
  if (wants('latency')) {
    for (const kind of kinds.slice(0, 2)) await latency(figures, kind, 150, python)
  }
}
if (wants('redis')) await redis()
if (wants('rabbitmq')) await rabbitmq()
if (wants('canvas')) await canvas()
if (wants('soak')) {
  progress('long runs')
  await soak('50,000 x add', 50_000, 'add')
  await soak('200,000 mixed', 200_000, 'mix')
}
const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${process.platform}, Node ${process.version}`
if (values.json) console.log(JSON.stringify({ machine, rounds, tasks, figures: figures.list }, undefined, 2))
else if (values.markdown) console.log(`${machine}\n\n${figures.markdown()}`)
else {
  console.log(machine)
  console.table(figures.rows())
}

async function redis(): Promise<void> {
  const parts = values.part?.split(',')
  const has = (part: string): boolean => parts === undefined || parts.includes(part)
  const only = values.who?.split(',')
  const count = Number(values['redis-tasks'])
  installPeers()
  const measures = await RedisRounds.open(figures, python, !values['no-persistence'])
  try {
    const kinds = measures.kinds(hasGevent()).filter((kind) => only?.includes(kind) ?? true)
    const main = kinds.filter((kind) => ['celeriac', 'bullmq 50', 'celery prefork 2'].includes(kind))
    const gevent = kinds.filter((kind) => kind === 'celery gevent 100')
    const clients = (['celeriac', 'bullmq', 'celery-node', 'ioredis', 'celery'] as const).filter(
      (kind) => (only?.includes(kind) ?? true) && (kind !== 'celery' || python !== undefined),
    )
    for (let round = 1; round <= rounds; round += 1) {
      progress(`redis, round ${round} of ${rounds}`)
      for (const ignoreResult of [false, true]) {
        for (const lateAck of [false, true]) {
          for (const kind of has('drain') ? kinds : []) {
            // Only these three know the difference.
            if (lateAck && !kind.startsWith('celeriac') && !kind.startsWith('celery prefork')) continue
            // celery-node cannot leave results out.
            if (ignoreResult && kind === 'celery-node') continue
            const size = kind.startsWith('celery ') ? Math.ceil(count / 10) : count
            await measures.drain(kind, size, { ignoreResult, lateAck })
          }
        }
      }
      for (const ignoreResult of [false, true]) {
        for (const kind of has('noop') ? kinds : []) {
          if (ignoreResult && kind === 'celery-node') continue
          const size = kind.startsWith('celery ') ? Math.ceil(count / 10) : count
          await measures.drain(kind, size, { ignoreResult, lateAck: false, task: 'noop' })
        }
      }
      for (const kind of has('publish') ? clients : []) await measures.publish(kind, count)
      const answering = kinds.filter((kind) => main.includes(kind) || kind === 'floor')
      for (const kind of has('latency') ? [...answering, ...gevent] : []) {
        await measures.latency(kind, 800)
        if (kind === 'celery prefork 2') await measures.latency(kind, 800, 'celeriac')
      }
      for (const kind of has('startup') ? [...main, ...gevent] : []) await measures.startUp(kind)
    }
    const once = main.filter((kind) => !kind.startsWith('bullmq'))
    for (const kind of has('memory') ? [...main, ...gevent] : []) await measures.memory(kind, 100_000)
    for (const kind of has('eta') ? once : []) await measures.etas(kind, 50_000)
  } finally {
    await measures.close()
  }
}

async function rabbitmq(): Promise<void> {
  const parts = values.part?.split(',')
  const has = (part: string): boolean => parts === undefined || parts.includes(part)
  const only = values.who?.split(',')
  const count = Number(values['redis-tasks'])
  installPeers()
  const measures = await RabbitRounds.open(figures, python)
  try {
    const kinds = measures.kinds(hasGevent()).filter((kind) => only?.includes(kind) ?? true)
    const answering = kinds.filter((kind) => kind !== 'celery-node')
    const main = answering.filter((kind) => kind !== 'celery gevent 100')
    const clients = (['celeriac', 'amqplib', 'celery'] as const).filter(
      (kind) => (only?.includes(kind) ?? true) && (kind !== 'celery' || python !== undefined),
    )
    for (let round = 1; round <= rounds; round += 1) {
      progress(`rabbitmq, round ${round} of ${rounds}; load average ${loadavg()[0]?.toFixed(1)}`)
      for (const ignoreResult of [false, true]) {
        for (const kind of has('drain') ? kinds : []) {
          // celery-node cannot leave results out.
          if (ignoreResult && kind === 'celery-node') continue
          const size = kind.startsWith('celery ') ? Math.ceil(count / 10) : count
          await measures.drain(kind, size, { ignoreResult, lateAck: false })
        }
      }
      for (const kind of has('publish') ? clients : []) await measures.publish(kind, count)
      if (has('confirm')) await measures.confirms(2000)
      for (const kind of has('latency') ? answering : []) {
        await measures.latency(kind, 300, 'redis')
        // The floor knows results in Redis only.
        if (kind !== 'amqplib floor') await measures.latency(kind, 300, 'rpc')
      }
      for (const kind of has('startup') ? main : []) await measures.startUp(kind)
    }
    for (const kind of has('memory') ? main : []) await measures.memory(kind, 50_000)
  } finally {
    await measures.close()
  }
}

async function canvas(): Promise<void> {
  const parts = values.part?.split(',')
  const loads = [
    ['chord', { what: 'chord', count: 1, length: 1000, times: 8 }],
    ['bigchord', { what: 'chord', count: 1, length: 10_000, times: 2 }],
    ['chain', { what: 'chain', count: 1, length: 200, times: 8 }],
    ['chains', { what: 'chains', count: 1000, length: 5, times: 3 }],
  ] as const
  const measures = await CanvasRounds.open(figures, python)
  try {
    for (let round = 1; round <= rounds; round += 1) {
      progress(`canvas, round ${round} of ${rounds}; load average ${loadavg()[0]?.toFixed(1)}`)
      for (const [part, load] of loads) {
        if (parts !== undefined && !parts.includes(part)) continue
        // Celery takes half a minute for each.
        if (part === 'bigchord' && round > 2) continue
        for (const kind of measures.kinds(load)) await measures.run(kind, load)
      }
    }
  } finally {
    await measures.close()
  }
}

/** Where it cannot be installed, it is left out, and said so. */
function hasGevent(): boolean {
  if (python === undefined) return false
  try {
    installGevent(python)
    return true
  } catch (error) {
    progress(`Celery with gevent is not measured: ${String(error)}`)
    return false
  }
}

async function soak(name: string, count: number, mix: 'add' | 'mix'): Promise<void> {
  const args = ['--expose-gc', '--import', 'tsx', join(root, 'benchmarks', 'soak.ts'), String(count), mix]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root })
  const told = JSON.parse(stdout) as {
    idleRssMb: number
    samples: { tasks: number; rssMb: number; heapMb: number }[]
  }
  // The first half warms up the engine; what grows after it is a leak.
  const [middle, last] = [told.samples[Math.floor(told.samples.length / 2) - 1], told.samples.at(-1)]
  if (middle === undefined || last === undefined) throw new Error('the long run told of no memory')
  const per = 1000 / (last.tasks - middle.tasks)
  figures.add(`${name}: RSS idle`, 'celeriac', 'MB', told.idleRssMb)
  figures.add(`${name}: RSS at the end`, 'celeriac', 'MB', last.rssMb)
  figures.add(
    `${name}: RSS slope, second half`,
    'celeriac',
    'KB/1000 tasks',
    (last.rssMb - middle.rssMb) * 1024 * per,
  )
  figures.add(
    `${name}: heap slope, second half`,
    'celeriac',
    'KB/1000 tasks',
    (last.heapMb - middle.heapMb) * 1024 * per,
  )
}

function findPython(): string | undefined {
  try {
    const path = execFileSync(join(root, 'scripts', 'python-env.sh'), { encoding: 'utf8' }).trim()
    if (existsSync(path)) return path
  } catch (error) {
    progress(`No Python with Celery, so celeriac is measured alone: ${String(error)}`)
  }
  return undefined
}
