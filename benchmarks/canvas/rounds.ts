/**
 * Measures canvases over Redis, celeriac beside Celery prefork: time from the call to the result, and the processor
 * time of the worker. Each round has an emptied server and a new worker that has run one task; client and worker are of
 * the same kind. What is sent is sent again and again to the same worker by the same client: the first time its code has
 * just been loaded, the last it has run as that of any process that lives for a while. Every task must have run exactly
 * once, and the result be right.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { RedisServer } from '../../interop-tests/redis-server.js'
import type { Figures } from '../figures.js'
import { treeProcessorMicros } from '../redis/processes.js'
import { exactRuns, makeFolder, removeFolder, root, WorkerProcess, whenRan } from '../workers.js'

/** Who runs canvases. `one get()`: its client waits as one writes it; else in short steps (bench_canvas_app.py). */
export type CanvasKind = 'celeriac' | 'celery prefork 2' | 'celery prefork 2, one get()'

/** What is sent so many times: one chord with `length` tasks in its header, one chain of `length`, or `count` such chains at once. */
export interface CanvasLoad {
  readonly what: 'chord' | 'chain' | 'chains'
  readonly count: number
  readonly length: number
  readonly times: number
}

const here = join(root, 'benchmarks', 'canvas')
const execute = promisify(execFile)
/** Of one canvas: four times what Celery takes for a chord of 10,000. */
const boundMs = 150_000
const ordinals: readonly (string | undefined)[] = ['1st', '2nd', '3rd']

/** The measures of one server, which lives until `close`. */
export class CanvasRounds {
  readonly #figures: Figures
  readonly #server: RedisServer
  readonly #python: string | undefined

  private constructor(figures: Figures, server: RedisServer, python: string | undefined) {
    this.#figures = figures
    this.#server = server
    this.#python = python
  }

  static async open(figures: Figures, python: string | undefined): Promise<CanvasRounds> {
    const server = await RedisServer.start({ appendonly: true, extra: { appendfsync: 'everysec' } })
    return new CanvasRounds(figures, server, python)
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  /** Those that can run here. */
  kinds({ what, length }: CanvasLoad): readonly CanvasKind[] {
    if (this.#python === undefined) return ['celeriac']
    // Of a longer chord one get() does not end: see README.md.
    const waitsOnce = what === 'chord' && length <= 1000
    return ['celeriac', 'celery prefork 2', ...(waitsOnce ? (['celery prefork 2, one get()'] as const) : [])]
  }

  /** One round: sends the load, waits for its results, again and again, and checks that every task ran once. */
  async run(kind: CanvasKind, load: CanvasLoad): Promise<void> {
    const { what, count, length, times } = load
    const redis = this.#server.client()
    await redis.flushall()
    redis.disconnect()
    const tasks = what === 'chord' ? length + 1 : count * length
    const name = `${what === 'chains' ? `${count} chains` : what} of ${length}`
    const folder = makeFolder()
    const env = {
      ...process.env,
      BENCH_DIR: folder,
      BENCH_URL: this.#server.url,
      PYTHONDONTWRITEBYTECODE: '1',
    }
    try {
      const worker = new WorkerProcess(this.#workerOf(kind), env, here)
      try {
        const [command, ...args] = this.#clientOf(kind)
        const client = execute(command, [...args, what, ...[count, length, times].map(String)], {
          env,
          cwd: here,
          maxBuffer: 64 * 2 ** 20,
          timeout: boundMs * times,
        })
        const [{ stdout }, micros] = await Promise.all([client, spent(folder, worker, tasks, times)])
        const told = JSON.parse(stdout) as readonly { readonly ms: number; readonly sentMs: number }[]
        for (const [time, { ms, sentMs }] of told.entries()) {
          if (time > 1 && time < times - 1) continue
          const which = `${name}, ${ordinals[time] ?? `${time + 1}th`} time`
          this.#figures.add(`${which}, call to result`, kind, 'ms', ms)
          this.#figures.add(`${which}, until all is sent`, kind, 'ms', sentMs)
          this.#figures.add(`${which}, worker's processor time`, kind, 'µs/task', (micros[time] ?? 0) / tasks)
        }
      } finally {
        await worker.stop({ mayHang: kind !== 'celeriac' })
      }
      exactRuns(folder, times * tasks + 1)
    } finally {
      removeFolder(folder)
    }
  }

  #workerOf(kind: CanvasKind): readonly [string, readonly string[]] {
    const quiet = ['-l', 'ERROR', '--without-gossip', '--without-mingle', '--without-heartbeat']
    if (kind === 'celeriac') {
      const cli = join(root, 'dist', 'src', 'cli', 'main.js')
      return [process.execPath, [cli, '-A', join(here, 'app.mjs'), 'worker', '-c', '100', ...quiet]]
    }
    const args = ['-m', 'celery', '-A', 'bench_canvas_app', 'worker', '-P', 'prefork', '-c', '2', ...quiet]
    return [this.#required, args]
  }

  #clientOf(kind: CanvasKind): readonly [string, ...string[]] {
    return kind === 'celeriac'
      ? [process.execPath, join(here, 'client.mjs')]
      : [this.#required, 'bench_canvas_app.py', kind === 'celery prefork 2' ? 'steps' : 'once']
  }

  get #required(): string {
    if (this.#python === undefined) throw new Error('No Python with Celery: see scripts/python-env.sh')
    return this.#python
  }
}

/** The processor time of a worker for each time, without that for its start and first task; in each client's pause. */
async function spent(
  folder: string,
  worker: WorkerProcess,
  tasks: number,
  times: number,
): Promise<readonly number[]> {
  const read: number[] = []
  for (let time = 0; time <= times; time += 1) {
    await whenRan(folder, 1 + time * tasks, worker, boundMs)
    // The last result is on its way.
    await pause(200)
    read.push(treeProcessorMicros(worker.pid))
  }
  return read.slice(1).map((micros, time) => micros - (read[time] ?? 0))
}
