/** A broker, a Python worker, a TypeScript worker and a Python client for canvases, each test file's own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { type AnyResult, type AppOptions, Celery, RemoteTaskError } from '../../src/index.js'
import type { Broker, Place } from '../brokers.js'
import { pythonPath } from '../harness.js'
import { ProcessGuard } from '../process-guard.js'
import { build } from './build.js'
import { defineTasks, type Note } from './node-tasks.js'
import type { Lang, Spec } from './spec.js'

/** How a canvas ended for a client. */
export interface Answer {
  readonly value?: unknown
  readonly error?: string
  readonly args?: readonly string[]
  /** The client could not send it. */
  readonly refused?: string
}

/** Which tasks and canvases there are, in both languages. */
export interface RigKind {
  /** The Python module. */
  readonly module: string
  tasks(app: Celery, log: string, lang: Lang): void
  send(app: Celery, spec: never, timeout: number): Promise<Answer>
}

const marks: RigKind = { module: 'canvas_app', tasks: defineTasks, send: sendSpec }

/** What runs on the rig. */
export interface RigOptions {
  /** Default those of canvas_app.py and node-tasks.ts. */
  readonly kind?: RigKind
  /** Whose tasks the Python worker runs; default only its own. */
  readonly pythonRuns?: readonly Lang[]
  /** Whose tasks the TypeScript worker runs; default only its own. */
  readonly nodeRuns?: readonly Lang[]
  /** Where tasks of the Python worker run; default threads, which over AMQP do a few a second only. */
  readonly pool?: 'threads' | 'prefork'
  /** Celery settings of the Python side. */
  readonly python?: Readonly<Record<string, unknown>>
  /** Settings of the TypeScript side. */
  readonly settings?: AppOptions
}

/** See above. */
export class CanvasRig {
  readonly folder: string
  readonly place: Place
  /** A TypeScript client. */
  readonly app: Celery
  readonly #options: RigOptions
  readonly #guard: ProcessGuard
  readonly #children: ChildProcess[] = []
  readonly #ends: (() => Promise<unknown>)[] = []
  #printed = ''
  #lines: AsyncIterator<string> | undefined
  #client: ChildProcess | undefined

  private constructor(broker: Broker, options: RigOptions) {
    this.folder = mkdtempSync(join(tmpdir(), 'celeriac-canvas-'))
    this.#guard = new ProcessGuard(this.folder)
    this.place = broker.place(this.folder)
    this.#options = options
    this.app = this.newApp()
  }

  /** Starts everything; `broker` stays the caller's to close. */
  static async start(broker: Broker, options: RigOptions = {}): Promise<CanvasRig> {
    const rig = new CanvasRig(broker, options)
    try {
      const { pythonRuns = ['py'], nodeRuns = ['node'] } = options
      if (nodeRuns.length > 0) await rig.startNodeWorker()
      if (pythonRuns.length > 0) await rig.startPythonWorker(pythonRuns)
      await rig.#startClient()
    } catch (error) {
      await rig.close()
      throw error
    }
    return rig
  }

  /** Another app on the same broker and results, with the tasks of the TypeScript side. */
  newApp(settings: AppOptions = {}): Celery {
    const { brokerUrl, brokerOptions, resultBackend, resultOptions } = this.place
    const app = new Celery('canvas', {
      brokerUrl,
      brokerTransportOptions: brokerOptions,
      resultBackend,
      ...(resultOptions ? { resultBackendTransportOptions: resultOptions } : {}),
      taskRoutes: { 'py.*': { queue: 'py' }, 'node.*': { queue: 'node' } },
      taskDefaultQueue: 'node',
      resultChordRetryInterval: 0.1,
      ...this.#options.settings,
      ...settings,
    })
    for (const lang of this.#options.nodeRuns ?? ['node']) this.#kind.tasks(app, this.#log, lang)
    this.#ends.push(() => app.close())
    return app
  }

  get #kind(): RigKind {
    return this.#options.kind ?? marks
  }

  get #log(): string {
    return join(this.folder, 'log')
  }

  /** What tasks and error callbacks did, in order. */
  notes(): readonly Note[] {
    if (!existsSync(this.#log)) return []
    const lines = readFileSync(this.#log, 'utf8').split('\n').filter(Boolean)
    return lines.map((line) => JSON.parse(line) as Note)
  }

  async startNodeWorker(settings: AppOptions = {}): Promise<Celery> {
    const app = this.newApp(settings)
    const worker = app.worker({ queues: [...(this.#options.nodeRuns ?? ['node'])], concurrency: 8 })
    await worker.start()
    this.#ends.unshift(() => worker.stop())
    return app
  }

  async startPythonWorker(langs: readonly Lang[]): Promise<ChildProcess> {
    const queues = langs.join(',')
    const child = this.#python(
      [
        '-m',
        'celery',
        '-A',
        this.#kind.module,
        'worker',
        '-P',
        this.#options.pool ?? 'threads',
        '-c',
        '4',
        '-Q',
        queues,
        '-l',
        'WARNING',
      ].concat(['-n', `py${this.#children.length}@test`, '--without-gossip', '--without-mingle']),
      { CANVAS_LANGS: queues, CANVAS_READY: '1' },
    )
    let printed = ''
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new Error(`the Python worker ${why}; it printed:\n${printed}`))
      const late = setTimeout(() => fail('did not get ready in 40 s'), 40_000)
      child.on('exit', (code) => fail(`ended with ${code}`))
      // Celery moves what is printed into its log.
      child.stderr?.on('data', (chunk: Buffer) => {
        printed += chunk.toString()
        if (!/worker is ready/.test(printed)) return
        clearTimeout(late)
        resolve()
      })
    })
    return child
  }

  async #startClient(): Promise<void> {
    this.#client = this.#python([`${this.#kind.module}.py`], {})
    const lines: Interface = createInterface({ input: this.#client.stdout! })
    this.#lines = lines[Symbol.asyncIterator]()
    await this.#answer()
  }

  async #answer(): Promise<Record<string, unknown>> {
    const { value, done } = (await this.#lines?.next()) ?? { done: true, value: undefined }
    if (done || value === undefined) throw new Error(`the Python client ended:\n${this.#printed}`)
    const answer = JSON.parse(value) as Record<string, unknown>
    if (answer['failed'] !== undefined) throw new Error(String(answer['failed']))
    return answer
  }

  /** Builds these canvases in Python, sends them all, and waits for each up to `timeout` seconds. */
  async run<A = Answer>(specs: readonly unknown[], timeout = 20): Promise<readonly A[]> {
    this.#client?.stdin?.write(`${JSON.stringify({ specs, timeout })}\n`)
    return (await this.#answer())['answers'] as readonly A[]
  }

  /** The same with a TypeScript client. */
  runFromNode<A = Answer>(specs: readonly unknown[], timeout = 20): Promise<readonly A[]> {
    return Promise.all(specs.map((spec) => this.#kind.send(this.app, spec as never, timeout) as Promise<A>))
  }

  #python(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    const { brokerUrl, brokerOptions, resultBackend } = this.place
    const child = spawn(pythonPath(), args, {
      cwd: import.meta.dirname,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        CANVAS_BROKER: brokerUrl.replace(/^filesystem:.*/, 'filesystem://'),
        CANVAS_BROKER_OPTIONS: JSON.stringify(brokerOptions),
        CANVAS_BACKEND: resultBackend,
        CANVAS_SETTINGS: JSON.stringify(this.#options.python ?? {}),
        CANVAS_LOG: this.#log,
        C_FORCE_ROOT: '1',
        PYTHONUNBUFFERED: '1',
        PYTHONDONTWRITEBYTECODE: '1',
        ...env,
      },
    })
    const collect = (chunk: Buffer): void => {
      this.#printed = (this.#printed + chunk.toString()).slice(-20_000)
    }
    child.stderr?.on('data', collect)
    child.stdout?.on('data', collect)
    this.#children.push(child)
    this.#guard.watch(this.#children.map(({ pid }) => -(pid ?? 0)))
    return child
  }

  /** The last that the Python processes printed. */
  get printed(): string {
    return this.#printed
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#ends.map((end) => end()))
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const ended = once(child, 'exit')
      process.kill(-(child.pid ?? 0), 'SIGKILL')
      await ended
    }
    this.#guard.watch([])
    await this.#guard.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

async function sendSpec(app: Celery, spec: Spec, timeout: number): Promise<Answer> {
  let result: AnyResult
  try {
    result = (await build(app, spec).applyAsync()) as AnyResult
  } catch (error) {
    return { refused: String(error) }
  }
  try {
    return { value: await result.get({ timeout }) }
  } catch (error) {
    if (error instanceof RemoteTaskError) return { error: error.excType, args: error.args.map(String) }
    return { error: error instanceof Error ? error.constructor.name : String(error), args: [String(error)] }
  }
}
