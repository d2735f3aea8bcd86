/** Workers and clients of the comparison over Redis, and what is left on the server after them. */
import { execFile, execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { RedisServer } from '../../interop-tests/redis-server.js'
import { root, WorkerProcess } from '../workers.js'

/** Who drains. `bullmq N` runs N jobs at once. */
export type RedisKind =
  | 'celeriac'
  | 'bullmq 50'
  | 'bullmq 200'
  | 'celery-node'
  | 'celery solo'
  | 'celery prefork 2'
  | 'celery gevent 100'
  | 'floor'
  | 'amqplib floor'

/** One round's place: a server, a folder for the log of runs, and how tasks are declared. */
export interface Round {
  readonly server: Pick<RedisServer, 'url'>
  /** Where results go when that is another server. */
  readonly resultsUrl?: string
  readonly folder: string
  readonly ignoreResult: boolean
  readonly lateAck: boolean
  /** `add` gives the sum of its two arguments, `noop` nothing; default `add`. */
  readonly task?: 'add' | 'noop'
  readonly python: string | undefined
}

const here = join(root, 'benchmarks', 'redis')
const peersFolder = join(root, '.cache', 'bench-peers')
const execute = promisify(execFile)
/** A client that takes longer hangs: its round, and the run, ends with an error. */
const clientBoundMs = 600_000

/** Installs the peers of benchmarks/peers into .cache/, unless those of this lock file are there. */
export function installPeers(): void {
  mkdirSync(peersFolder, { recursive: true })
  const from = join(root, 'benchmarks', 'peers')
  const lock = join(peersFolder, 'package-lock.json')
  const isSame =
    existsSync(lock) &&
    existsSync(join(peersFolder, 'node_modules', 'bullmq')) &&
    readFileSync(lock, 'utf8') === readFileSync(join(from, 'package-lock.json'), 'utf8')
  if (isSame) return
  for (const file of ['package.json', 'package-lock.json'])
    copyFileSync(join(from, file), join(peersFolder, file))
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: peersFolder,
    stdio: 'pipe',
  })
}

const geventFolder = join(root, '.cache', 'bench-gevent')

/**
 * Installs Celery with gevent into .cache/, by benchmarks/peers/requirements.txt; gives its Python. `python` is any of
 * the same version. Throws what pip says when that cannot be had.
 */
export function installGevent(python: string): string {
  const from = join(root, 'benchmarks', 'peers', 'requirements.txt')
  const pins =
    readFileSync(from, 'utf8') + readFileSync(join(root, 'python-fixtures', 'requirements.txt'), 'utf8')
  const stamp = join(geventFolder, 'pins.txt')
  const own = join(geventFolder, 'bin', 'python')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === pins) return own
  rmSync(geventFolder, { recursive: true, force: true })
  execFileSync(python, ['-m', 'venv', geventFolder], { stdio: 'pipe' })
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', from]
  execFileSync(own, install, { stdio: 'pipe' })
  writeFileSync(stamp, pins)
  return own
}

/** The environment of every process of a round. */
export function environmentOf(round: Round, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    ...process.env,
    BENCH_DIR: round.folder,
    BENCH_URL: round.server.url,
    ...(round.resultsUrl === undefined ? {} : { BENCH_RESULTS: round.resultsUrl }),
    BENCH_IGNORE: round.ignoreResult ? '1' : '0',
    BENCH_LATE: round.lateAck ? '1' : '0',
    BENCH_TASK: round.task ?? 'add',
    BENCH_PEERS: peersFolder,
    PYTHONDONTWRITEBYTECODE: '1',
    ...more,
  }
}

/** Starts a worker; `defaults` leaves Celery's gossip, mingle and heartbeat on. */
export function startWorker(kind: RedisKind, round: Round, defaults = false): WorkerProcess {
  const concurrency = kind.startsWith('bullmq') ? { BENCH_CONCURRENCY: kind.slice('bullmq '.length) } : {}
  return new WorkerProcess(commandOf(kind, round.python, defaults), environmentOf(round, concurrency), here)
}

function commandOf(
  kind: RedisKind,
  python: string | undefined,
  defaults: boolean,
): readonly [string, readonly string[]] {
  const quiet = defaults ? [] : ['--without-gossip', '--without-mingle', '--without-heartbeat']
  const node = (file: string): readonly [string, readonly string[]] => [process.execPath, [join(here, file)]]
  switch (kind) {
    case 'celeriac': {
      const cli = join(root, 'dist', 'src', 'cli', 'main.js')
      const flags = (process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '')
      const args = ['-A', join(here, 'app.mjs'), 'worker', '-c', '100', '-l', 'ERROR', ...quiet]
      return [process.execPath, [...flags, cli, ...args]]
    }
    case 'bullmq 50':
    case 'bullmq 200':
      return node('bullmq-worker.mjs')
    case 'celery-node':
      return node('celery-node-worker.mjs')
    case 'floor':
      return node('floor.mjs')
    case 'amqplib floor':
      return node('../rabbitmq/floor.mjs')
    default: {
      const [, pool = 'solo', size] = kind.split(' ')
      const own = pool === 'gevent' ? join(geventFolder, 'bin', 'python') : python
      if (own === undefined) throw new Error('No Python with Celery: see scripts/python-env.sh')
      const args = ['-m', 'celery', '-A', 'bench_redis_app', 'worker', '-l', 'ERROR', '-P', pool]
      return [own, [...args, ...(size === undefined ? [] : ['-c', size]), ...quiet]]
    }
  }
}

/** Runs client.mjs and gives what it printed. */
export async function runClient<T>(
  round: Round,
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
): Promise<T> {
  const { stdout } = await execute(process.execPath, [join(here, 'client.mjs'), ...args], {
    env: environmentOf(round, more),
    maxBuffer: 64 * 2 ** 20,
    timeout: clientBoundMs,
  })
  return JSON.parse(stdout) as T
}

/** Runs bench_redis_app.py and gives what it printed. */
export async function runPython<T>(round: Round, args: readonly string[]): Promise<T> {
  if (round.python === undefined) throw new Error('No Python with Celery: see scripts/python-env.sh')
  const { stdout } = await execute(round.python, ['bench_redis_app.py', ...args], {
    cwd: here,
    env: environmentOf(round),
    maxBuffer: 64 * 2 ** 20,
    timeout: clientBoundMs,
  })
  return JSON.parse(stdout) as T
}

/** Resident memory of a process and all its descendants, in MB. */
export function treeMemoryMb(pid: number): number {
  let kb = 0
  for (const member of familyOf(pid)) {
    const status = readFileSync(`/proc/${member}/status`, 'utf8')
    kb += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0)
  }
  return kb / 1024
}

/** Processor time that a process and its living descendants have used, in microseconds. */
export function treeProcessorMicros(pid: number): number {
  let ticks = 0
  for (const member of familyOf(pid)) {
    const fields = statFields(member)
    ticks += Number(fields[11]) + Number(fields[12])
  }
  // Linux counts in hundredths of a second.
  return ticks * 10_000
}

function familyOf(pid: number): ReadonlySet<number> {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      parents.set(Number(name), Number(statFields(Number(name))[1]))
    } catch {
      // It ended meanwhile.
    }
  }
  const family = new Set([pid])
  for (let size = 0; size !== family.size; ) {
    size = family.size
    for (const [child, parent] of parents) if (family.has(parent)) family.add(child)
  }
  return family
}

/** What `/proc` says of a process after its name: state, parent and so on. */
function statFields(pid: number): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** Waits until nothing waits and nothing is held; throws unless there are `results` results then. */
export async function assertServerSettled(
  server: RedisServer,
  kind: RedisKind,
  results: number,
): Promise<void> {
  const redis = server.client()
  try {
    const keys = kind.startsWith('bullmq') ? ['bull:bench:wait', 'bull:bench:active'] : ['celery']
    const until = performance.now() + 15_000
    for (;;) {
      const waiting = await Promise.all(keys.map((key) => redis.llen(key)))
      const held = await redis.hlen('unacked')
      const stored = kind.startsWith('bullmq') ? results : await countKeys(redis, 'celery-task-meta-*')
      if (waiting.every((length) => length === 0) && held === 0 && stored === results) return
      if (performance.now() > until)
        throw new Error(`after ${kind}: ${waiting} waiting, ${held} held, ${stored} of ${results} results`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  } finally {
    redis.disconnect()
  }
}

/** How many keys match. */
export async function countKeys(redis: ReturnType<RedisServer['client']>, pattern: string): Promise<number> {
  let count = 0
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 5000)
    cursor = next
    count += keys.length
  } while (cursor !== '0')
  return count
}
