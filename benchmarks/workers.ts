/** Worker processes of both kinds on one folder, and the check that every task ran exactly once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

export const root = join(import.meta.dirname, '..')
const recordBytes = 32

/** What can be measured. */
export type Kind = 'celeriac' | 'celery solo' | 'celery prefork 2'

/** A fresh folder for broker, results and the log of runs. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-bench-'))
  for (const part of ['broker/control', 'results']) mkdirSync(join(folder, part), { recursive: true })
  closeSync(openSync(join(folder, 'ran.log'), 'a'))
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

export function environment(folder: string, ignoreResult: boolean): NodeJS.ProcessEnv {
  const ignore = ignoreResult ? '1' : '0'
  return { ...process.env, BENCH_DIR: folder, BENCH_IGNORE: ignore, PYTHONDONTWRITEBYTECODE: '1' }
}

/** A worker process; `stop` ends it and throws with its output if it did not end well. */
export class WorkerProcess {
  readonly spawnedAtMs: number
  private readonly child: ChildProcess
  private output = ''

  constructor([command, args]: readonly [string, readonly string[]], env: NodeJS.ProcessEnv, cwd: string) {
    this.spawnedAtMs = performance.timeOrigin + performance.now()
    this.child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const keep = (chunk: Buffer): void => {
      this.output = (this.output + chunk.toString()).slice(-4000)
    }
    this.child.stdout?.on('data', keep)
    this.child.stderr?.on('data', keep)
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Throws once the process has ended. */
  assertRuns(): void {
    if (this.child.exitCode === null && this.child.signalCode === null) return
    throw new Error(`A worker ended early (${this.child.exitCode}):\n${this.output}`)
  }

  /** Throws when it ends badly, or, unless `mayHang`, has to be killed after 20 s. */
  async stop({ mayHang = false } = {}): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const late = setTimeout(() => this.child.kill('SIGKILL'), 20_000)
    await ended
    clearTimeout(late)
    const wasKilled = this.child.signalCode === 'SIGKILL'
    if (this.child.exitCode !== 0 && !(mayHang && wasKilled))
      throw new Error(`A worker ended with ${this.child.exitCode}:\n${this.output}`)
  }
}

/** Starts a worker on a folder. */
export function startFolderWorker(
  kind: Kind,
  folder: string,
  python: string | undefined,
  ignoreResult: boolean,
): WorkerProcess {
  return new WorkerProcess(
    commandOf(kind, python),
    environment(folder, ignoreResult),
    join(root, 'benchmarks'),
  )
}

/** One line of `ran.log`. */
export interface Ran {
  readonly number: number
  /** Epoch milliseconds. */
  readonly startedAtMs: number
}

/** Waits until `count` runs are recorded, at most `boundMs`; throws when the worker ends before. */
export async function whenRan(
  folder: string,
  count: number,
  worker: WorkerProcess,
  boundMs = 120_000,
): Promise<void> {
  const until = performance.now() + boundMs
  while (statSync(join(folder, 'ran.log')).size < count * recordBytes) {
    worker.assertRuns()
    if (performance.now() > until) throw new Error(`${count} tasks were not done after ${boundMs} ms`)
    await pause(5)
  }
}

/** Every run, by its start; throws unless the numbers 0 to count - 1 each ran exactly once. */
export function exactRuns(folder: string, count: number): readonly Ran[] {
  const lines = readFileSync(join(folder, 'ran.log'), 'utf8').trimEnd().split('\n')
  const runs = lines.map((line) => {
    const [number = '', micros = ''] = line.trim().split(/ +/)
    return { number: Number(number), startedAtMs: Number(micros) / 1000 }
  })
  const numbers = new Set(runs.map((run) => run.number))
  const isExact = runs.length === count && numbers.size === count && Math.max(...numbers) === count - 1
  if (!isExact) throw new Error(`${runs.length} runs of ${numbers.size} tasks, expected ${count} of each`)
  return runs.sort((a, b) => a.startedAtMs - b.startedAtMs)
}

/** Throws unless the broker is empty and, where results are stored, there is one for each task. */
export function assertSettled(folder: string, count: number, ignoreResult: boolean): void {
  const left = readdirSync(join(folder, 'broker'), { withFileTypes: true }).filter((entry) => entry.isFile())
  const messages = left.filter((entry) => entry.name.endsWith('.msg') && entry.name.includes('.celery.'))
  if (messages.length > 0)
    throw new Error(`${messages.length} messages are left, such as ${messages[0]?.name}`)
  const results = readdirSync(join(folder, 'results')).filter((name) => name.startsWith('celery-task-meta-'))
  const expected = ignoreResult ? 0 : count
  if (results.length !== expected) throw new Error(`${results.length} results, expected ${expected}`)
}

function commandOf(kind: Kind, python: string | undefined): readonly [string, readonly string[]] {
  if (kind === 'celeriac') {
    const cli = join(root, 'dist', 'src', 'cli', 'main.js')
    const app = join(root, 'benchmarks', 'app.ts')
    return [process.execPath, [cli, '-A', app, 'worker', '-c', '2', '-l', 'ERROR']]
  }
  if (python === undefined) throw new Error('No Python with Celery: see scripts/python-env.sh')
  const pool = kind === 'celery solo' ? ['-P', 'solo'] : ['-P', 'prefork', '-c', '2']
  const quiet = ['-l', 'ERROR', '--without-gossip', '--without-mingle', '--without-heartbeat']
  return [python, ['-m', 'celery', '-A', 'bench_app', 'worker', ...pool, ...quiet]]
}
