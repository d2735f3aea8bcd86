/** The two programs of the wire-identity tests, each with a broker of its own: Celery in Python, and celeriac. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { AnyResult } from '../src/backend/any-result.js'
import { GroupResult } from '../src/backend/group-result.js'
import { optionsFromWire } from '../src/canvas/wire-options.js'
import { Celery, Ignore, Reject } from '../src/index.js'
import { pythonPath } from './harness.js'
import { ProcessGuard } from './process-guard.js'

/** Settings by Celery's names. */
export type Settings = Readonly<Record<string, unknown>>

/** A running worker. */
export interface WireWorker {
  /** A warm stop. */
  stop(): Promise<void>
}

/** One program, and what it does at its broker. */
export interface Program {
  readonly name: 'celery' | 'celeriac'
  /** Makes the client application of this name. */
  use(name: string, settings: Settings): Promise<void>
  /** An operation of the client; see wire_identity.py for what there is. */
  do(client: string, op: string, fields?: Readonly<Record<string, unknown>>): Promise<unknown>
  worker(settings: Settings, queue: string): Promise<WireWorker>
  close(): Promise<void>
}

/** What each program's settings begin with: `broker_url` and `result_backend`. */
export interface Connected {
  readonly broker_url: string
  readonly result_backend: string
}

const script = resolve(import.meta.dirname, 'wire_identity.py')

/** Celery, driven over standard input. */
export async function celeryProgram(connected: Connected): Promise<Program> {
  const guard = new ProcessGuard(mkdtempSync(join(tmpdir(), 'celeriac-wire-')))
  const children: ChildProcess[] = []
  const start = (args: string[], stdio: ('pipe' | 'ignore')[]): ChildProcess => {
    const child = spawn(pythonPath(), [script, ...args], {
      stdio,
      env: { ...process.env, C_FORCE_ROOT: '1', PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' },
    })
    children.push(child)
    guard.watch(children.flatMap(({ pid }) => (pid === undefined ? [] : [pid])))
    return child
  }
  const child = start([], ['pipe', 'pipe', 'ignore'])
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  child.stdin?.on('error', () => {})
  await lines.next()
  let last: Promise<unknown> = Promise.resolve()
  const call = (request: object): Promise<unknown> => {
    const answered = last.then(async () => {
      child.stdin?.write(`${JSON.stringify(request)}\n`)
      const line = await lines.next()
      if (line.done) throw new Error('the Python client ended')
      const { answer, error } = JSON.parse(line.value) as { answer?: unknown; error?: string }
      if (error !== undefined) throw new Error(`Celery: ${error}`)
      return answer
    })
    last = answered.catch(() => {})
    return answered
  }
  return {
    name: 'celery',
    use: async (name, settings) =>
      void (await call({ op: 'use', name, settings: { ...connected, ...settings } })),
    do: (client, op, fields = {}) => call({ op, as: client, ...fields }),
    async worker(settings, queue) {
      const flags = ['-P', 'prefork', '-l', 'INFO', '-n', 'w1@wire', '-Q', queue, '-c', '1']
      flags.push('--without-gossip', '--without-mingle', '--without-heartbeat')
      const json = JSON.stringify({ ...connected, ...settings })
      const worker = start(['worker', json, ...flags], ['ignore', 'pipe', 'pipe'])
      let log = ''
      await new Promise<void>((ready, reject) => {
        const timer = setTimeout(() => reject(new Error(`the worker did not start:\n${log}`)), 30_000)
        const look = (chunk: Buffer): void => {
          log += chunk.toString()
          if (!/ ready\.$/m.test(log)) return
          clearTimeout(timer)
          ready()
        }
        worker.stdout?.on('data', look)
        worker.stderr?.on('data', look)
        worker.once('exit', () => {
          clearTimeout(timer)
          reject(new Error(`the worker ended:\n${log}`))
        })
      })
      return {
        async stop() {
          if (worker.exitCode !== null || worker.signalCode !== null) return
          const ended = once(worker, 'exit')
          worker.kill('SIGTERM')
          await ended
        },
      }
    },
    async close() {
      await Promise.all(
        children.map(async (each) => {
          if (each.exitCode !== null || each.signalCode !== null) return
          const ended = once(each, 'exit')
          each.kill('SIGKILL')
          await ended
        }),
      )
      await guard.close()
    },
  }
}

/** The same tasks as in wire_identity.py. */
function addTasks(app: Celery): void {
  app.task('wire.add', (x: number, y: number) => x + y)
  app.task('wire.late', { acksLate: true }, (x: unknown) => x)
  app.task('wire.fail', () => {
    throw new TypeError('bad argument')
  })
  app.task('wire.quiet', { ignoreResult: true }, (x: unknown) => x)
  app.task('wire.tracked', { trackStarted: true }, (x: unknown) => x)
  app.task('wire.progress', { bind: true }, async (self, total: number) => {
    await self.updateState({ state: 'PROGRESS', meta: { done: 1, total } })
    return total
  })
  app.task('wire.retry', { bind: true, maxRetries: 2 }, (self, x: unknown) => {
    if (self.request.retries < 1) throw self.retry({ countdown: 0.2, exc: new TypeError('again') })
    return x
  })
  app.task('wire.reject', { acksLate: true }, () => {
    throw new Reject('no', false)
  })
  app.task('wire.requeue', { bind: true, acksLate: true }, (self) => {
    if (!self.request.deliveryInfo?.redelivered) throw new Reject('again', true)
    return 'redelivered'
  })
  app.task('wire.ignore', () => {
    throw new Ignore()
  })
  app.task('wire.parent', { bind: true }, async (_self, child: string) => {
    await app.sendTask('wire.add', { args: [1, 2], taskId: child })
  })
}

/** celeriac, in this process. */
export async function celeriacProgram(connected: Connected): Promise<Program> {
  const apps = new Map<string, Celery>()
  const workers: WireWorker[] = []
  const results = new Map<string, AnyResult>()
  const make = (settings: Settings): Celery => new Celery('wire', { config: { ...connected, ...settings } })
  return {
    name: 'celeriac',
    async use(name, settings) {
      apps.set(name, make(settings))
    },
    async do(client, op, fields = {}) {
      const app = apps.get(client) as Celery
      const {
        id = '',
        members = [],
        queue = '',
      } = fields as { id?: string; members?: string[]; queue?: string }
      const result = app.asyncResult(id)
      switch (op) {
        case 'send': {
          const {
            name,
            args = [],
            kwargs = {},
            options = {},
          } = fields as {
            name: string
            args?: unknown[]
            kwargs?: Record<string, unknown>
            options?: Settings
          }
          const sent = await app.sendTask(name, { args, kwargs, ...optionsFromWire(options) })
          results.set(sent.id, sent)
          return undefined
        }
        case 'get':
          return result.get({ timeout: 20 })
        case 'state':
          return result.state()
        case 'forget':
          return result.forget()
        case 'store':
          return app.backend.store({
            taskId: id,
            state: String(fields.state),
            result: fields.result,
            traceback: undefined,
            children: undefined,
            dateDone:
              fields.state === 'SUCCESS' ? new Date().toISOString().replace('Z', '+00:00') : undefined,
          })
        case 'save_group':
          return new GroupResult(
            id,
            members.map((each) => app.asyncResult(each)),
            app,
          ).save()
        case 'forget_group':
          return app.backend.forgetGroup(id)
        case 'purge':
          return app.purge()
        case 'delete': {
          const connection = await app.transport(connected.broker_url).connect(connected.broker_url, {
            transportOptions: app.conf.brokerTransportOptions,
          })
          try {
            await connection.declare({
              exchanges: [{ name: queue, type: 'direct', durable: true }],
              queues: [{ name: queue, durable: true, exclusive: false, autoDelete: false, arguments: {} }],
              bindings: [{ from: queue, to: { queue }, routingKey: queue }],
            })
            await connection.deleteQueue(queue)
          } finally {
            await connection.close()
          }
          return undefined
        }
        case 'revoke':
          return app.control.revoke(id, { reply: true, timeout: 5, destination: ['w1@wire'] })
        case 'ping':
          return app.control.ping({ timeout: 5, destination: ['w1@wire'] })
        default:
          throw new Error(`unknown operation ${op}`)
      }
    },
    async worker(settings, queue) {
      const app = make(settings)
      addTasks(app)
      const worker = app.worker({ queues: [queue], hostname: 'w1@wire', concurrency: 1 })
      const stop = async (): Promise<void> => {
        await worker.stop()
        await app.close()
      }
      workers.push({ stop })
      await worker.start()
      return { stop }
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.stop()))
      await Promise.all([...apps.values()].map((app) => app.close()))
    },
  }
}
