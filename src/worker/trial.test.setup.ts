/** What the worker's tests share: a real app on a memory broker and a memory result store of its own. */
import { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import type { Envelope } from '../../protocol/envelope.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { systemClock } from '../clock.js'
import type { Logger } from '../logger.js'
import { openTransport } from '../transport/open.js'
import type { Connection } from '../transport/transport.js'
import { Celery } from './celery.js'
import type { Worker } from './worker.js'
import type { WorkerOptions } from './worker-options.js'

/** One line of the log. */
export interface Line {
  readonly level: string
  readonly text: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** An app, its broker and what was logged; `await using` cleans up. */
export class Trial implements AsyncDisposable {
  readonly url = `memory://${randomUUID()}/`
  readonly lines: Line[] = []
  readonly app: Celery
  private readonly workers: Worker[] = []
  private connection: Connection | undefined

  constructor(settings: object = {}) {
    const logger = this.logger()
    this.app = new Celery('trial', {
      brokerUrl: this.url,
      resultBackend: 'cache+memory://',
      ...settings,
      logger,
    } as ConstructorParameters<typeof Celery>[1])
  }

  worker(options: WorkerOptions = {}): Worker {
    const worker = this.app.worker({ concurrency: 2, hostname: 'w@test', ...options })
    this.workers.push(worker)
    return worker
  }

  async started(options: WorkerOptions = {}): Promise<Worker> {
    const worker = this.worker(options)
    await worker.start()
    return worker
  }

  /** Puts a message on the queue as its bytes are. */
  async publish(envelope: Partial<Envelope>, queue = 'celery'): Promise<void> {
    const broker = await this.broker()
    const whole: Envelope = {
      body: Buffer.from('[[], {}, {}]'),
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      headers: {},
      properties: {},
      ...envelope,
    }
    await broker.publish([{ envelope: whole, to: { exchange: '', routingKey: queue } }])
  }

  /** A task message of protocol 2 as Python writes it; resolves with its id. */
  async send(
    task: string,
    change: { args?: unknown[]; headers?: object; id?: string; queue?: string } = {},
  ): Promise<string> {
    const id = change.id ?? randomUUID()
    const headers = { lang: 'py', task, id, root_id: id, argsrepr: '()', kwargsrepr: '{}', ...change.headers }
    const body = Buffer.from(JSON.stringify([change.args ?? [], {}, {}]))
    await this.publish({ body, headers, properties: { correlationId: id } }, change.queue)
    return id
  }

  /** How many messages wait in a queue, those that a worker holds not counted. */
  async waiting(queue = 'celery'): Promise<number> {
    return (await this.broker()).queueLength(queue)
  }

  /** Takes what waits in a queue away, in its order; the ids. */
  async drain(queue = 'celery'): Promise<string[]> {
    const broker = await this.broker()
    const ids: string[] = []
    for (let delivery = await broker.get(queue); delivery !== undefined; delivery = await broker.get(queue)) {
      ids.push(String(delivery.envelope.headers['id']))
      await delivery.ack()
    }
    return ids
  }

  meta(id: string): Promise<ResultMeta | undefined> {
    return this.app.backend.fetch(id)
  }

  async state(id: string): Promise<string | undefined> {
    return (await this.meta(id))?.state
  }

  logged(pattern: RegExp, level?: string): readonly Line[] {
    return this.lines.filter(
      (line) => pattern.test(line.text) && (level === undefined || line.level === level),
    )
  }

  /** A connection of the test's own, with the default queue declared. */
  async broker(): Promise<Connection> {
    this.connection ??= await openTransport(this.url).connect(this.url, { transportOptions: {} })
    const queue = { durable: true, exclusive: false, autoDelete: false, arguments: {} }
    await this.connection.declare({
      exchanges: [],
      queues: ['celery', 'other'].map((name) => ({ name, ...queue })),
      bindings: [],
    })
    return this.connection
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.stop({ how: 'cold' })))
    await this.connection?.close()
    await this.app.close()
  }

  private logger(): Logger {
    const log =
      (level: string) =>
      (fields: object, text = ''): void => {
        this.lines.push({ level, text, fields: fields as Record<string, unknown> })
      }
    const logger: Logger = {
      trace: log('trace'),
      debug: log('debug'),
      info: log('info'),
      warn: log('warn'),
      error: log('error'),
      fatal: log('fatal'),
      child: () => logger,
    }
    return logger
  }
}

const clock = systemClock()

/** Polls until `claim` holds; fails with `what` after 8 s. */
export async function until(what: string, claim: () => unknown): Promise<void> {
  const end = clock.monotonic() + 8000
  while (!(await claim())) {
    if (clock.monotonic() > end) throw new Error(`It never came to be that ${what}.`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** A promise and its resolve: a task that waits for the test. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
