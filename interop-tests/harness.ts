/**
 * The Python side of the interop tests: the Django shop of python-fixtures/app, its Celery worker and a driver for
 * its client, as children of the test, each on folders of its own.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { type Codec, createCodec } from '../protocol/index.js'
import { type Broker, FilesystemBroker, type Place } from './brokers.js'

const root = resolve(import.meta.dirname, '..')
const appFolder = join(root, 'python-fixtures', 'app')

/** The interpreter with the pinned Celery; makes the virtual environment when it is not there. */
export function pythonPath(): string {
  return execFileSync(join(root, 'scripts', 'python-env.sh'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim()
}

/** What the Python client saw: a value with Python's own repr and type, or the exception it caught. */
export interface PythonOutcome {
  readonly ok?: { readonly value: unknown; readonly repr: string; readonly type: string }
  readonly error?: {
    readonly type: string
    readonly module: string
    readonly args: readonly unknown[]
    readonly text: string
    readonly mro: readonly string[]
  }
}

/** One Django shop: its folders, and the processes started on them. */
export class Shop {
  readonly folder: string
  readonly place: Place
  readonly python: string
  private readonly settings: Record<string, unknown>
  private readonly children = new Set<ChildProcess>()
  private drive: Driver | undefined

  /**
   * `settings` are Django settings with CELERY_ names, as a project would have them. `broker` stays the caller's to
   * close; without one, messages and results are files in the folder of the shop.
   */
  constructor(options: { settings?: Record<string, unknown>; broker?: Broker } = {}) {
    const { settings = {}, broker = new FilesystemBroker() } = options
    this.folder = mkdtempSync(join(tmpdir(), 'celeriac-shop-'))
    this.place = broker.place(this.folder)
    this.python = pythonPath()
    const { resultOptions } = this.place
    this.settings = resultOptions
      ? { CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS: resultOptions, ...settings }
      : settings
    execFileSync(this.python, ['manage.py', 'migrate', '-v0'], {
      cwd: appFolder,
      env: this.env(),
      stdio: 'inherit',
    })
  }

  private env(): NodeJS.ProcessEnv {
    const { DJANGO_SETTINGS_MODULE: _, ...env } = process.env
    return {
      ...env,
      SHOP_VAR: this.folder,
      // The folder broker has no URL with a path in kombu; its folders are options.
      SHOP_BROKER_URL: this.place.brokerUrl.replace(/^filesystem:.*/, 'filesystem://'),
      SHOP_BROKER_OPTIONS: JSON.stringify(this.place.brokerOptions),
      SHOP_RESULT_BACKEND: this.place.resultBackend,
      SHOP_SETTINGS: JSON.stringify(this.settings),
      C_FORCE_ROOT: '1',
      PYTHONUNBUFFERED: '1',
      PYTHONDONTWRITEBYTECODE: '1',
    }
  }

  /** Starts a real `celery worker` on `queues` and resolves when it is ready. */
  async startPythonWorker(
    options: { queues?: string[]; pool?: 'solo' | 'prefork'; concurrency?: number } = {},
  ): Promise<PythonWorker> {
    const { queues = ['celery'], pool = 'solo', concurrency = 1 } = options
    const args = [
      '-m',
      'celery',
      '-A',
      'shop',
      'worker',
      '-P',
      pool,
      '-c',
      String(concurrency),
      '-l',
      'INFO',
      '-Q',
      queues.join(','),
    ]
    args.push(
      '-n',
      `py${this.children.size}@test`,
      '--without-gossip',
      '--without-mingle',
      '--without-heartbeat',
    )
    const child = spawn(this.python, args, {
      cwd: appFolder,
      env: this.env(),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    this.children.add(child)
    const worker = new PythonWorker(child)
    await worker.saw(/ ready\.$/m, 40_000)
    return worker
  }

  /** The Python client, started on first use. */
  async client(): Promise<Driver> {
    if (this.drive === undefined) {
      const child = spawn(this.python, ['manage.py', 'drive'], {
        cwd: appFolder,
        env: this.env(),
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      this.children.add(child)
      this.drive = new Driver(child)
      await this.drive.ready
    }
    return this.drive
  }

  /** Runs a management command to its end and returns what it printed. */
  manage(...args: string[]): string {
    return execFileSync(this.python, ['manage.py', ...args], {
      cwd: appFolder,
      env: this.env(),
      encoding: 'utf8',
      timeout: 60_000,
    })
  }

  /** Ends every child and removes the folders. */
  async close(): Promise<void> {
    await Promise.all([...this.children].map(endChild))
    rmSync(this.folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.stdin?.end()
  child.kill('SIGTERM')
  const late = setTimeout(() => killGroup(child), 8_000)
  await ended
  clearTimeout(late)
  killGroup(child)
}

/** A prefork worker has children of its own; they are in its process group. */
function killGroup(child: ChildProcess): void {
  try {
    if (child.spawnargs.includes('worker')) process.kill(-(child.pid ?? 0), 'SIGKILL')
    else child.kill('SIGKILL')
  } catch {
    // Already gone.
  }
}

/** A running Python worker and what it printed. */
export class PythonWorker {
  readonly child: ChildProcess
  log = ''
  private watchers: (() => void)[] = []

  constructor(child: ChildProcess) {
    this.child = child
    const collect = (chunk: Buffer): void => {
      this.log += chunk.toString()
      for (const watcher of this.watchers) watcher()
    }
    child.stdout?.on('data', collect)
    child.stderr?.on('data', collect)
    child.on('exit', () => {
      for (const watcher of this.watchers) watcher()
    })
  }

  /** Resolves when the log matches; rejects after `timeoutMs`, or when the worker has ended, with the log. */
  saw(pattern: RegExp, timeoutMs = 20_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        clearTimeout(timer)
        this.watchers = this.watchers.filter((w) => w !== look)
        end()
      }
      const fail = (why: string): void =>
        settle(() => reject(new Error(`${why} before ${pattern}; the Python worker printed:\n${this.log}`)))
      const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs)
      const look = (): void => {
        if (pattern.test(this.log)) settle(resolve)
        else if (this.child.exitCode !== null) fail(`it exited with ${this.child.exitCode}`)
      }
      this.watchers.push(look)
      look()
    })
  }

  async stop(): Promise<void> {
    await endChild(this.child)
  }
}

/** Speaks to `manage.py drive`: the real Celery client in Django. */
export class Driver {
  readonly ready: Promise<unknown>
  private readonly child: ChildProcess
  private readonly codec: Codec = createCodec()
  private readonly accept = this.codec.accepting(['json'])
  private readonly waiting: { resolve(value: unknown): void; reject(error: Error): void }[] = []

  constructor(child: ChildProcess) {
    this.child = child
    this.ready = new Promise((resolve, reject) => this.waiting.push({ resolve, reject }))
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const answer = this.codec.decode(
        { body: Buffer.from(line), contentType: 'application/json', contentEncoding: 'utf-8' },
        this.accept,
      ) as Record<string, unknown>
      const next = this.waiting.shift()
      if (answer.failed !== undefined) next?.reject(new Error(String(answer.failed)))
      else next?.resolve(answer.answer)
    })
    child.on('exit', (code) => {
      for (const { reject } of this.waiting.splice(0))
        reject(new Error(`the Python driver ended with ${code}`))
    })
  }

  private call<T>(request: Record<string, unknown>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve: resolve as (value: unknown) => void, reject })
      this.child.stdin?.write(Buffer.concat([this.codec.encode(request, 'json').body, Buffer.from('\n')]))
    })
  }

  /** `app.send_task`, or `task.apply_async` for a task of the shop with `local`; `options` are Celery's own names. */
  async send(
    name: string,
    args: unknown[] = [],
    kwargs: object = {},
    options: object = {},
    local = false,
  ): Promise<string> {
    const { id } = await this.call<{ id: string }>({ op: 'send', name, args, kwargs, options, local })
    return id
  }

  /** `AsyncResult(id).get(timeout)` in Python. */
  get(id: string, timeout = 20): Promise<PythonOutcome> {
    return this.call<PythonOutcome>({ op: 'get', id, timeout })
  }

  /** The stored meta as Python's backend reads it. */
  meta(id: string): Promise<Record<string, unknown>> {
    return this.call({ op: 'meta', id })
  }

  /** Applies a canvas written in Python: `chain(s('py.add', 1, 2), s('node.add', 3))`. */
  canvas(source: string): Promise<{ id: string; parents: string[] }> {
    return this.call({ op: 'canvas', source })
  }

  /** Any other operation of the driver. */
  do<T>(op: string, fields: Record<string, unknown> = {}): Promise<T> {
    return this.call<T>({ op, ...fields })
  }
}
