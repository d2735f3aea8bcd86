/** One trial: a broker, workers that are disturbed, a publisher, and the oracle that saw it all. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Redis } from 'ioredis'
import { Celery } from '../../src/index.js'
import type { Transport } from '../../src/transport/transport.js'
import { type Broker, FilesystemBroker, type Place, RedisBroker } from '../brokers.js'
import { pythonPath } from '../harness.js'
import { ProcessGuard } from '../process-guard.js'
import type { RabbitServer } from '../rabbitmq-server.js'
import { RedisServer } from '../redis-server.js'
import { Oracle } from './oracle.js'
import { TcpProxy } from './proxy.js'
import { LossRabbit } from './rabbit.js'
import { SeededRandom } from './seeded-random.js'
import { judge, type Verdict } from './verdict.js'
import { Workflows } from './workflows.js'

const root = resolve(import.meta.dirname, '..', '..')
/** Where the tasks of every trial go. */
export const queue = 'loss'
/** RabbitMQ answers no acknowledgement; on a busy machine it has read one by then. */
const unansweredAckMs = 500

/** Whose worker is on trial. */
export type Side = 'celeriac' | 'celery'
/** Which broker it is on trial with. */
export type BrokerName = 'redis' | 'filesystem' | 'rabbitmq' | 'quorum'

/** A worker process. */
export class TrialWorker {
  /** Of this one process. */
  readonly name: string
  readonly child: ChildProcess
  /** Resolves when the process has ended. */
  readonly gone: Promise<unknown>
  private readonly oracle: Oracle

  constructor(name: string, child: ChildProcess, oracle: Oracle) {
    this.name = name
    this.child = child
    this.oracle = oracle
    this.gone = once(child, 'exit')
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** Sends a signal to the main process, or with `all` to its whole group, as a container's end does. */
  signal(signal: NodeJS.Signals, all = false): void {
    if (!this.isRunning || this.child.pid === undefined) return
    try {
      process.kill(all ? -this.child.pid : this.child.pid, signal)
    } catch {
      // It ended in this moment.
    }
  }

  /** SIGKILL to all its processes; resolves when they are gone and the oracle knows. */
  async kill(): Promise<void> {
    this.doom()
    this.signal('SIGKILL', true)
    await this.ended(true)
  }

  /**
   * SIGTERM, and SIGKILL after `graceMs`. With `cold` a SIGQUIT: running tasks are given up and go back to the
   * broker, and a body may still come to its end before the process does; that is a sudden end.
   */
  async terminate(graceMs: number, cold = false): Promise<void> {
    if (cold) this.doom()
    this.signal(cold ? 'SIGQUIT' : 'SIGTERM')
    let sudden = cold
    const late = setTimeout(() => {
      sudden = true
      this.doom()
      this.signal('SIGKILL', true)
    }, graceMs)
    await this.gone
    clearTimeout(late)
    await this.ended(sudden)
  }

  private doom(): void {
    if (this.isRunning) this.oracle.record('doomed', { who: this.name })
  }

  /** Tells the oracle that the process has ended. */
  async ended(sudden: boolean): Promise<void> {
    await this.gone
    // Children of a pool do not outlive it.
    try {
      process.kill(-(this.child.pid ?? 0), 'SIGKILL')
    } catch {
      // None was left.
    }
    this.oracle.record('gone', { who: this.name, sudden })
  }
}

/** Sends, and tells the oracle when it is about to send again. */
class Publishing extends Celery {
  private readonly oracle: Oracle

  constructor(oracle: Oracle, options: ConstructorParameters<typeof Celery>[1]) {
    super('loss', options)
    this.oracle = oracle
  }

  override transport(url: string): Transport {
    const transport = super.transport(url)
    return {
      connect: async (address, options) => {
        const connection = await transport.connect(address, options)
        const publish = connection.publish.bind(connection)
        connection.publish = (messages, how) => {
          if (how?.after?.length) {
            for (const { envelope } of messages)
              this.oracle.record('repeated', { id: String(envelope.headers['id']) })
          }
          return publish(messages, how)
        }
        return connection
      },
    }
  }
}

/** See the file. */
export class Trial {
  readonly random: SeededRandom
  readonly oracle: Oracle
  readonly broker: Broker
  readonly visibilitySeconds: number
  /** In front of the broker; workers started with `proxied` go through it. */
  readonly proxy: TcpProxy | undefined
  private readonly side: Side
  private readonly folder: string
  private readonly place: Place
  /** In front of the broker; `publish` goes through it where there is one. */
  readonly publisherLink: TcpProxy | undefined
  private readonly publisher: Celery
  private readonly workers: TrialWorker[] = []
  private readonly guard: ProcessGuard
  private admin: Redis | undefined
  /** Where tasks have results: the broker itself, or a server beside it. */
  private readonly results: RedisServer | undefined
  /** Canvases that were sent, and how they ended for the client that waits. */
  readonly workflows: Workflows | undefined
  private log = ''

  private constructor(
    side: Side,
    seed: number,
    visibilitySeconds: number,
    broker: Broker,
    proxy: TcpProxy | undefined,
    publisherLink?: TcpProxy,
    results: RedisServer | false | undefined = undefined,
  ) {
    this.side = side
    this.random = new SeededRandom(seed)
    this.visibilitySeconds = visibilitySeconds
    this.broker = broker
    this.proxy = proxy
    this.publisherLink = publisherLink
    this.folder = mkdtempSync(join(tmpdir(), 'celeriac-loss-'))
    this.guard = new ProcessGuard(join(this.folder, 'broker'))
    this.results = results || undefined
    const place = broker.place(this.folder)
    this.place = this.results === undefined ? place : { ...place, resultBackend: this.results.url }
    this.oracle = new Oracle(join(this.folder, 'oracle.jsonl'))
    if (this.results !== undefined)
      this.workflows = new Workflows(this.place, queue, this.oracle, this.queueType)
    const repeats = broker instanceof RedisBroker
    this.publisher = new Publishing(this.oracle, {
      brokerUrl: publisherLink ? through(this.place.brokerUrl, publisherLink) : this.place.brokerUrl,
      brokerTransportOptions: { ...this.place.brokerOptions },
      taskDefaultQueue: queue,
      taskDefaultQueueType: this.queueType,
      taskIgnoreResult: true,
      // Where a publish that is tried again cannot tell what has arrived, its copy is run, and rightly; the trials count
      // each effect.
      taskPublishRetry: repeats,
    })
  }

  static async start(options: {
    side: Side
    broker: BrokerName
    seed: number
    visibilitySeconds: number
    /** A RabbitMQ that several trials share, started by `LossRabbit.serve`. */
    rabbit?: RabbitServer | undefined
    /** Tasks have results, in the same Redis, or in one beside RabbitMQ. */
    withResults?: boolean | undefined
  }): Promise<Trial> {
    const { side, seed, visibilitySeconds } = options
    if (options.broker === 'rabbitmq' || options.broker === 'quorum') {
      const rabbit = await LossRabbit.start(options.broker === 'quorum', visibilitySeconds, options.rabbit)
      const { port } = rabbit.server
      const [proxy, link] = await Promise.all([TcpProxy.start(port), TcpProxy.start(port)])
      const results = options.withResults ? await RedisServer.start() : undefined
      return new Trial(side, seed, visibilitySeconds, rabbit, proxy, link, results)
    }
    if (options.broker === 'filesystem') {
      return new Trial(side, seed, visibilitySeconds, new FilesystemBroker(), undefined)
    }
    const broker = await RedisBroker.start(
      { broker: { visibility_timeout: visibilitySeconds } },
      { appendonly: true },
    )
    const proxy = await TcpProxy.start(broker.server.port)
    return new Trial(
      side,
      seed,
      visibilitySeconds,
      broker,
      proxy,
      undefined,
      options.withResults && broker.server,
    )
  }

  /** The Redis of this trial; throws over another broker. */
  get redis(): RedisBroker {
    if (this.broker instanceof RedisBroker) return this.broker
    throw new Error(`this scenario needs Redis, not ${this.broker.name}`)
  }

  /** The RabbitMQ of this trial; throws over another broker. */
  get rabbit(): LossRabbit {
    if (this.broker instanceof LossRabbit) return this.broker
    throw new Error(`this scenario needs RabbitMQ, not ${this.broker.name}`)
  }

  /** The server of this trial, to be stopped and started again; throws over a broker without one. */
  get server(): RedisServer | RabbitServer {
    return this.broker instanceof LossRabbit ? this.broker.server : this.redis.server
  }

  private get queueType(): 'classic' | 'quorum' {
    return this.broker instanceof LossRabbit && this.broker.isQuorum ? 'quorum' : 'classic'
  }

  /** The proxy in front of the broker; throws over another broker. */
  get link(): TcpProxy {
    if (this.proxy) return this.proxy
    throw new Error(`this scenario needs a broker with connections, not ${this.broker.name}`)
  }

  /** Starts a worker of the side on trial (or `side`) and resolves when it is ready. */
  async worker(
    options: {
      concurrency?: number
      proxied?: boolean
      side?: Side
      pool?: 'prefork' | 'solo'
      /** `worker_eta_task_limit` of a celeriac worker. */
      etaLimit?: number
    } = {},
  ): Promise<TrialWorker> {
    const { concurrency = 4, proxied = false, side = this.side, pool = 'prefork', etaLimit } = options
    const name = `${side}-${this.workers.length}`
    const { brokerUrl, brokerOptions } = this.place
    const url = proxied ? through(brokerUrl, this.link) : brokerUrl
    const shared = ['worker', '-Q', queue, '-c', String(concurrency), '-n', `${name}@test`, '-l', 'WARNING']
    const [command, args, cwd] =
      side === 'celeriac'
        ? ([
            process.execPath,
            [join(root, 'dist/src/cli/main.js'), '-A', join(import.meta.dirname, 'loss-app.ts'), ...shared],
            root,
          ] as const)
        : ([
            pythonPath(),
            ['-m', 'celery', '-A', 'loss_app', ...shared, '-P', pool, '--without-gossip', '--without-mingle'],
            import.meta.dirname,
          ] as const)
    const child = spawn(command, args, {
      cwd,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...Object.fromEntries(
          Object.entries(process.env).filter(([key]) => !/^(CELERY_|VITEST|NODE_OPTIONS)/.test(key)),
        ),
        LOSS_BROKER_URL: side === 'celery' ? url.replace(/^filesystem:.*/, 'filesystem://') : url,
        LOSS_BROKER_OPTIONS: JSON.stringify(brokerOptions),
        LOSS_QUEUE_TYPE: this.queueType,
        ...(this.workflows === undefined ? {} : { LOSS_RESULTS: this.place.resultBackend }),
        LOSS_ORACLE: this.oracle.path,
        LOSS_WORKER: name,
        ...(etaLimit === undefined ? {} : { LOSS_ETA_LIMIT: String(etaLimit) }),
        C_FORCE_ROOT: '1',
        PYTHONDONTWRITEBYTECODE: '1',
        PYTHONUNBUFFERED: '1',
      },
    })
    const collect = (chunk: Buffer): void => {
      this.log = (this.log + chunk.toString()).slice(-20_000)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const worker = new TrialWorker(name, child, this.oracle)
    this.workers.push(worker)
    this.guard.watch(this.workers.filter((one) => one.isRunning).map((one) => -(one.child.pid ?? 0)))
    let seen = 0
    const isReady = await this.oracle.until((facts) => {
      if (!worker.isRunning) return true
      for (; seen < facts.length; seen++) {
        if (facts[seen]?.what === 'ready' && facts[seen]?.who === name) return true
      }
      return false
    }, 60_000)
    if (!isReady || !worker.isRunning)
      throw new Error(`the worker ${name} did not get ready; it printed:\n${this.log}`)
    return worker
  }

  /** Publishes one task that takes `seconds`; never throws: a refused publish is a fact. */
  async publish(seconds: number, options: { blocking?: boolean; countdown?: number } = {}): Promise<string> {
    const { blocking = false, countdown } = options
    const id = randomUUID()
    this.oracle.record('sending', { id })
    try {
      await this.publisher.sendTask('loss.work', {
        taskId: id,
        args: [seconds, blocking],
        queue,
        ...(countdown === undefined ? {} : { countdown }),
      })
      this.oracle.record('sent', { id })
    } catch {
      this.oracle.record('refused', { id })
    }
    return id
  }

  /** Publishes until `signal` aborts: a task every 10 to 40 ms, or so many that always `backlog` wait. */
  async load(signal: AbortSignal, options: { seconds: number; backlog?: number }): Promise<void> {
    const { seconds, backlog } = options
    while (!signal.aborted) {
      if (backlog === undefined) {
        await this.publish(this.random.between(0, seconds))
        await this.pause(this.random.between(10, 40))
      } else {
        const missing = Math.max(0, backlog - (await this.waiting()))
        await Promise.all(
          Array.from({ length: missing }, () => this.publish(this.random.between(0, seconds))),
        )
        await this.pause(20)
      }
    }
  }

  /**
   * Tells the oracle that a worker cannot reach its broker, or do anything, from before `begin` until after `end`: what
   * it does thereafter has no excuse.
   */
  async absence(
    worker: TrialWorker,
    steps: { begin(): unknown; during(): Promise<void>; end(): unknown },
  ): Promise<void> {
    this.oracle.record('away', { who: worker.name })
    await steps.begin()
    try {
      await steps.during()
    } finally {
      // Before the end of it, for what is done at once when it is over.
      this.oracle.record('back', { who: worker.name })
      await steps.end()
    }
  }

  /** Resolves when a worker has said that its connection ended, now or later; after 100 ms at most: it may have none. */
  async noticed(worker: TrialWorker): Promise<void> {
    const known = this.oracle.read().length
    await this.oracle.until(
      (facts) => facts.slice(known).some(({ what, who }) => what === 'lost' && who === worker.name),
      100,
    )
  }

  pause(ms: number): Promise<void> {
    return new Promise((done) => setTimeout(done, ms))
  }

  /**
   * Waits until every task whose publish returned has come to its end and the broker holds nothing, and tells whether that
   * came true; gives up when nothing at all has happened for `quietMs`. Keep a worker running.
   */
  async settle(quietMs: number): Promise<boolean> {
    let facts = -1
    let since = performance.now()
    for (;;) {
      const pending = this.oracle.pending() + (this.workflows?.open ?? 0)
      if (pending === 0 && (await this.isEmpty())) return true
      if (this.oracle.facts.length !== facts) {
        facts = this.oracle.facts.length
        since = performance.now()
      }
      if (performance.now() - since > quietMs) return false
      await this.pause(100)
    }
  }

  /** How many messages wait in the queue, beside those that a worker holds or held when it died. */
  private async waiting(): Promise<number> {
    if (this.broker instanceof LossRabbit) return this.broker.waiting(queue)
    if (this.broker instanceof RedisBroker) {
      this.admin ??= this.broker.server.client()
      return this.admin.llen(queue)
    }
    const folder = join(this.folder, 'broker')
    // Nothing was published yet.
    if (!existsSync(folder)) return 0
    const names = readdirSync(folder)
    return names.filter((name) => name.endsWith('.msg')).length
  }

  private async isEmpty(): Promise<boolean> {
    if (!(this.broker instanceof LossRabbit)) return (await this.leftover()).length === 0
    // The whole count is dear, so the cheap one goes first.
    return (await this.broker.waiting(queue)) === 0 && (await this.broker.held()) === 0
  }

  /** Messages that are still in the broker, waiting or unacknowledged, as they stand there. */
  async leftover(): Promise<readonly string[]> {
    if (this.broker instanceof LossRabbit) return this.broker.left()
    if (this.broker instanceof RedisBroker) {
      const client = this.broker.server.client()
      try {
        const found: string[] = await client.hvals('unacked')
        for (const key of await client.keys(`${queue}*`)) {
          if ((await client.type(key)) === 'list') found.push(...(await client.lrange(key, 0, -1)))
        }
        return found
      } finally {
        client.disconnect()
      }
    }
    const folder = join(this.folder, 'broker')
    return readdirSync(folder, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.msg') && !name.startsWith('processed'))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
  }

  verdict(): Verdict {
    return judge(this.oracle.read(), {
      leaseMs: this.visibilitySeconds * 1000,
      ackMs: this.broker instanceof LossRabbit ? unansweredAckMs : 0,
      isOneStep: this.side === 'celeriac',
    })
  }

  /** The last lines that the workers printed. */
  get printed(): string {
    return this.log
  }

  /** Ends all that was started. `keepFolder` leaves the oracle's file and returns its path. */
  async close(keepFolder = false): Promise<string> {
    for (const worker of this.workers) {
      worker.signal('SIGKILL', true)
      if (worker.isRunning) await worker.gone
    }
    this.guard.watch([])
    await this.guard.close()
    await Promise.all([this.publisher.close(), this.workflows?.close()])
    await Promise.all([this.proxy?.close(), this.publisherLink?.close()])
    await this.broker.close()
    if (!(this.broker instanceof RedisBroker)) await this.results?.close()
    this.oracle.close()
    if (!keepFolder) rmSync(this.folder, { recursive: true, force: true })
    return this.oracle.path
  }
}

/** The broker's URL, through a proxy in front of it. */
function through(url: string, proxy: TcpProxy): string {
  return url.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${proxy.port}`)
}
