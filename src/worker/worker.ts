/**
 * The worker: what starts, what stops, and in what order (`celery/worker/worker.py`, `apps/worker.py`).
 *
 * Rule 1: boot and shutdown are lines of code, below, not a computed order.
 * Rule 2: a shutdown is quiet, drain, close. What has not started goes back to the broker at once; the pool is drained
 * before the connection closes; and it is the ledger that must be empty, for a task is acknowledged after it has ended.
 * Rule 3: a worker starts once. `stop` is safe at any time, any number of times, and a colder shutdown overtakes a
 * warmer one. Rule 4: after `stopped` nothing of it is left: no timer, no socket, no promise.
 */
import { availableParallelism, hostname as machineName } from 'node:os'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError, ConfigError } from '../errors.js'
import type { TaskOptions } from '../execution/host.js'
import { SuccessSet } from '../execution/success-set.js'
import type { Logger } from '../logger.js'
import { AsyncPool } from '../pool/async.js'
import type { Pool } from '../pool/pool.js'
import type { Deadline, Service } from '../service.js'
import type { AdmissionRules } from './admission.js'
import { bannerOf } from './banner.js'
import { brokersOf } from './brokers.js'
import { RemoteControl } from './control.js'
import { Dispatcher } from './dispatcher.js'
import { Endings } from './endings.js'
import { Errands } from './errands.js'
import { Estate } from './estate.js'
import { Intake } from './intake.js'
import { Ledger } from './ledger.js'
import { tellLongTasks } from './long-tasks.js'
import { nodeName } from './node-name.js'
import { Refusals } from './refusals.js'
import type { Desk } from './request.js'
import { Revocations } from './revocations.js'
import { Session } from './session.js'
import { Throttle } from './throttle.js'
import { Timer } from './timer.js'
import type { WorkerApp } from './worker-app.js'
import {
  type Banner,
  checkedConcurrency,
  memoryLimits,
  type Shutdown,
  type StopOptions,
  type WorkerExit,
  type WorkerOptions,
} from './worker-options.js'

/** Cancelled tasks settle within this, or the connection's close gives them back. */
const cancelTimeoutMs = 10_000
/** Signal receivers and result stores that hang do not hang the worker. */
const errandsTimeoutMs = 10_000

/** Runs the tasks of an app: `const worker = new Worker(app, { concurrency: 10 }); await worker.start()`. */
export class Worker {
  readonly name = 'worker'
  /** Node name, `celery@host`. */
  readonly hostname: string
  readonly concurrency: number
  /** What this worker holds. */
  readonly ledger: Ledger
  /** Settles once the worker has stopped; never rejects. */
  readonly stopped: Promise<WorkerExit>
  private readonly app: WorkerApp
  private readonly options: WorkerOptions
  private readonly clock: Clock
  private readonly logger: Logger
  private readonly errands: Errands
  private readonly estate: Estate
  private readonly timer: Timer
  private readonly throttle: Throttle
  private readonly revocations: Revocations
  private readonly changedLimits = new Map<string, Pick<TaskOptions, 'softTimeLimit' | 'timeLimit'>>()
  private readonly rules: AdmissionRules
  private readonly pool: Pool
  private readonly dispatcher: Dispatcher
  private readonly refusals: Refusals
  private readonly desk: Desk
  private readonly intake: Intake
  private readonly session: Session
  private starting: Promise<void> | undefined
  private shutdownKind: Shutdown | undefined
  /** Aborts when running tasks are not waited for any longer. */
  private readonly cold = new AbortController()
  private readonly started: Service[] = []
  private startedAt: number | undefined
  private failure: Error | undefined
  private finished: WorkerExit | undefined
  private tellStopped: (exit: WorkerExit) => void = () => {}

  /** Throws `ConfigError` for queues or names that cannot be. Nothing is opened yet. */
  constructor(app: WorkerApp, options: WorkerOptions = {}) {
    const { conf, clock } = app
    this.app = app
    this.options = options
    this.clock = clock
    this.logger = options.logger ?? app.logger
    this.hostname = nodeName(options.hostname, machineName())
    this.concurrency = checkedConcurrency(
      options.concurrency ?? conf.workerConcurrency ?? availableParallelism(),
    )
    this.stopped = new Promise((resolve) => {
      this.tellStopped = resolve
    })
    this.errands = new Errands(this.logger)
    this.estate = new Estate(this.logger)
    this.ledger = new Ledger(clock)
    this.timer = new Timer(clock)
    const memory = memoryLimits(options.memory)
    this.revocations = new Revocations(clock, memory.revocations)
    this.pool =
      options.pool ??
      new AsyncPool(app, {
        size: this.concurrency,
        successes: new SuccessSet(clock, memory.successes),
      })
    this.rules = {
      knows: (task) => app.task(task) !== undefined,
      isRevoked: (candidate) => this.revocations.covers(candidate),
      isThrottled: (task) => this.throttle.isThrottled(task),
    }
    this.dispatcher = new Dispatcher({ pool: this.pool, clock, logger: this.logger, rules: this.rules })
    this.throttle = new Throttle(clock, this.timer, (request) => this.dispatcher.push(request))
    const endings = new Endings(app, this.logger)
    this.refusals = new Refusals({
      host: app,
      endings,
      errands: this.errands,
      logger: this.logger,
      sender: this,
    })
    this.desk = {
      host: app,
      clock,
      logger: this.logger,
      errands: this.errands,
      endings,
      estate: this.estate,
      nodeName: this.hostname,
      timeLimit: options.timeLimit ?? conf.taskTimeLimit ?? undefined,
      softTimeLimit: options.softTimeLimit ?? conf.taskSoftTimeLimit ?? undefined,
      changedLimits: this.changedLimits,
      onAccepted: (request) => this.ledger.countStart(request.name),
      onAcknowledged: () => this.intake.consumer?.onAcknowledged(),
      onSettled: (request) => this.ledger.delete(request),
    }
    const { desk, ledger, dispatcher, throttle, timer, refusals, rules, logger, concurrency } = this
    const parts = { desk, ledger, dispatcher, throttle, timer, refusals, rules, logger, concurrency }
    const isStopping = (): boolean => this.shutdownKind !== undefined
    this.intake = new Intake({ ...parts, app, options, sender: this, isStopping })
    this.session = this.makeSession()
  }

  /**
   * Resolves when the worker consumes. Rejects with `BrokerUnavailableError` when the broker cannot be had and the
   * settings say to give up, or when it is stopped meanwhile; the worker has stopped by then.
   */
  start(): Promise<void> {
    this.starting ??= this.boot()
    return this.starting
  }

  private async boot(): Promise<void> {
    if (this.shutdownKind !== undefined) {
      throw new ConfigError('A worker that was stopped cannot start again: make a new one.')
    }
    const { signals, conf } = this.app
    try {
      await signals.celerydInit.send(this.hostname, { instance: this, conf, options: this.options })
      await signals.workerInit.send(this, {})
      await signals.celerydAfterSetup.send(this.hostname, { instance: this, conf })
      await this.app.backend.check?.()
      if (!this.ignoresRateLimits) this.throttle.setOwnRates(this.app)
      this.tellLongTasks()
      await this.startPart(this.pool)
      if (this.shutdownKind !== undefined) throw stoppedMeanwhile()
      await this.session.start()
      for (const service of this.options.services ?? []) await this.startPart(service)
    } catch (error) {
      if (this.shutdownKind === undefined) this.giveUp(error)
      await this.stopped
      throw error
    }
    if (this.shutdownKind !== undefined) {
      await this.stopped
      throw stoppedMeanwhile()
    }
    this.startedAt = this.clock.now()
    await signals.workerReady.send(this, {})
    this.logger.info({ hostname: this.hostname }, `${this.hostname} ready.`)
  }

  private async startPart(part: Service): Promise<void> {
    if (this.shutdownKind !== undefined) return
    this.started.push(part)
    await part.start()
  }

  /**
   * Stops and resolves when nothing is left running. `warm` waits for running tasks without limit, `soft` for
   * `worker_soft_shutdown_timeout` seconds, `cold` puts them back at once. Asked again with a colder kind, it does
   * that instead (surface WRK-071 to WRK-079).
   */
  async shutdown(how: Shutdown): Promise<void> {
    if (this.shutdownKind === undefined) {
      this.shutdownKind = how
      if (how === 'cold') this.cold.abort()
      void this.shutDown().catch((error: unknown) => this.endBadly(error))
    } else if (how !== 'warm') {
      // During a warm or a soft wait, quit means now (WRK-076).
      const hasSoftWait = how === 'soft' && this.shutdownKind === 'warm' && this.softWaitMs() > 0
      this.shutdownKind = how
      if (hasSoftWait) this.errands.run('The soft shutdown', this.goColdAfterSoftWait())
      else this.cold.abort()
    }
    await this.stopped
  }

  /**
   * Stops the worker: by default warm, without limit. A number is the moment (epoch milliseconds) at which a warm
   * stop turns cold, as a `Service` is stopped. Resolves when nothing is left running.
   */
  async stop(options: StopOptions | Deadline = {}): Promise<void> {
    const { how, timeoutMs } =
      typeof options === 'number'
        ? { how: 'warm' as const, timeoutMs: options - this.clock.now() }
        : { how: options.how ?? 'warm', timeoutMs: options.timeoutMs }
    const isBounded = timeoutMs !== undefined && Number.isFinite(timeoutMs)
    const cancel = isBounded ? this.clock.after(Math.max(0, timeoutMs), () => this.cold.abort()) : undefined
    await this.shutdown(how)
    cancel?.()
  }

  /** A warm stop. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  private async shutDown(): Promise<void> {
    const { signals } = this.app
    for (const service of [...this.started].reverse()) {
      if (service !== this.pool) await this.stopPart(service)
    }
    // Quiet: nothing new, and what has not started goes back at once, for others to run.
    this.intake.consumer?.quiet()
    this.dispatcher.pause()
    await this.session.quiet()
    this.intake.consumer?.returnAll(this.cold.signal.aborted)
    this.estate.close()
    this.throttle.clear()
    this.dispatcher.clear()
    // Drain.
    if (this.shutdownKind === 'soft') await this.goColdAfterSoftWait()
    await this.ledger.whenEmpty(Number.POSITIVE_INFINITY, this.cold.signal)
    for (const request of this.ledger.active()) request.cancel('shutdown')
    await this.ledger.whenEmpty(this.clock.now() + cancelTimeoutMs)
    await this.stopPart(this.pool)
    // What is refused or told beside the tasks is part of the drain too.
    await this.errands.settled(this.clock, errandsTimeoutMs)
    await this.ledger.whenEmpty(this.clock.now() + cancelTimeoutMs)
    // Close: the broker takes back what was not settled, if anything.
    await this.session.stop(Number.POSITIVE_INFINITY)
    this.intake.consumer?.forgetWaits()
    this.timer.clear()
    if (!this.cold.signal.aborted) await signals.workerShutdown.send(this, {})
    this.finished = this.exit()
    this.tellStopped(this.finished)
  }

  private async stopPart(part: Service): Promise<void> {
    try {
      await part.stop(this.cold.signal.aborted ? this.clock.now() : Number.POSITIVE_INFINITY)
    } catch (error) {
      this.logger.error({ err: error }, `The service ${part.name} did not stop as it should.`)
    }
  }

  /**
   * WRK-075. Celery sleeps the whole time; with nothing running that waits for nothing, so we end early then, unless
   * `worker_enable_soft_shutdown_on_idle` asks for the wait.
   */
  private async goColdAfterSoftWait(): Promise<void> {
    const { conf } = this.app
    const isIdle = this.ledger.active().length === 0
    const ms = this.softWaitMs()
    if (ms > 0 && (!isIdle || conf.workerEnableSoftShutdownOnIdle)) {
      this.logger.warn({}, `Initiating Soft Shutdown, terminating in ${ms / 1000} seconds`)
      if (conf.workerEnableSoftShutdownOnIdle) {
        await pause(this.clock, ms, this.cold.signal).catch(() => undefined)
      } else await this.ledger.whenEmpty(this.clock.now() + ms, this.cold.signal)
    }
    this.cold.abort()
  }

  private softWaitMs(): number {
    return (this.app.conf.workerSoftShutdownTimeout ?? 0) * 1000
  }

  private giveUp(error: unknown): void {
    this.failure = error instanceof Error ? error : new Error(String(error))
    this.logger.fatal({ err: error }, `Unrecoverable error: ${this.failure.message}`)
    void this.shutdown('warm')
  }

  /** Nothing in `shutDown` is expected to throw; if it does, whoever waits is not left waiting. */
  private endBadly(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new Error(String(error))
    this.logger.fatal({ err: error }, `The shutdown failed: ${this.failure.message}`)
    this.timer.clear()
    this.finished = this.exit()
    this.tellStopped(this.finished)
  }

  private exit(): WorkerExit {
    const code = this.failure !== undefined || this.cold.signal.aborted ? 1 : 0
    return { code, reason: this.failure === undefined ? 'stopped' : 'gave up', error: this.failure }
  }

  /** 0 after a warm stop, 1 after a cold one or when it gave up; undefined while it runs (surface WRK-085). */
  get exitCode(): 0 | 1 | undefined {
    return this.finished?.code
  }

  /**
   * Revokes a task: it is dropped with REVOKED when its turn comes; with `terminate` it is stopped also when it runs.
   * True when this worker holds it.
   */
  revoke(
    id: string,
    options: { readonly terminate?: boolean; readonly signal?: NodeJS.Signals } = {},
  ): boolean {
    this.revocations.ids.add(id)
    const held = this.ledger.find(id)
    if (options.terminate) held?.terminate(options.signal ?? 'SIGTERM')
    return held !== undefined
  }

  /** Revokes every task that carries one of these stamps; they are dropped when their turn comes (WRK-036). */
  revokeByStamps(stamps: Readonly<Record<string, readonly unknown[]>>): void {
    for (const [header, values] of Object.entries(stamps)) this.revocations.addStamp(header, values)
  }

  /** Sets the rate limit of a task in this worker, `'10/m'` or null for none (surface WRK-045). */
  rateLimit(task: string, rate: string | number | null): void {
    if (this.ignoresRateLimits) return
    this.throttle.setRate(task, rate)
    this.throttle.refill()
  }

  /** Sets the time limits of a task in this worker, in seconds, for what starts from now on; null is none (CTL-046). */
  timeLimit(task: string, limits: { readonly soft: number | null; readonly hard: number | null }): void {
    this.changedLimits.set(task, { softTimeLimit: limits.soft, timeLimit: limits.hard })
  }

  /** Consumes from one more queue, until the worker ends (WRK-017). */
  async addQueue(name: string): Promise<void> {
    const queue = this.app.queues.selectAdd(name)
    await this.session.addQueue(queue.name)
  }

  /** Consumes no more from a queue (WRK-017). */
  async cancelQueue(name: string): Promise<void> {
    this.app.queues.unselect(name)
    await this.session.cancelQueue(name)
  }

  /** What to show at the start. */
  banner(): Banner {
    const { hostname, concurrency, pool, intake, session } = this
    const queues = intake.queues(session.queues)
    return bannerOf(this.app, { hostname, concurrency, pool: pool.name, queues })
  }

  /** What `inspect stats` shows (surface CTL-033). */
  info(): Readonly<Record<string, unknown>> {
    return {
      total: Object.fromEntries(this.ledger.totals),
      uptime: this.startedAt === undefined ? 0 : Math.round((this.clock.now() - this.startedAt) / 1000),
      prefetch_count: this.intake.prefetch?.value ?? 0,
      pool: this.pool.info?.() ?? {},
    }
  }

  private get ignoresRateLimits(): boolean {
    return this.options.disableRateLimits ?? this.app.conf.workerDisableRateLimits
  }

  private tellLongTasks(): void {
    const { app, desk, logger, intake, session } = this
    tellLongTasks({ ...desk, app, queues: intake.queues(session.queues), logger })
  }

  private makeSession(): Session {
    const { app, intake, logger } = this
    const { conf } = app
    const find = this.options.openTransport ?? ((url: string) => app.transport(url))
    return new Session({
      clock: this.clock,
      logger,
      brokers: brokersOf(app, find, logger),
      random: () => app.random(),
      policy: {
        onStartup: conf.brokerConnectionRetryOnStartup ?? conf.brokerConnectionRetry,
        afterLoss: conf.brokerConnectionRetry,
        maxRetries: conf.brokerConnectionMaxRetries,
      },
      queues: intake.chosenQueues(),
      topology: (names) => intake.topology(names),
      purge: this.options.purge ?? false,
      receive: (wishes, isRestart, capabilities) => intake.receive(wishes, isRestart, capabilities),
      companion: conf.workerEnableRemoteControl
        ? new RemoteControl({ app, worker: this, logger })
        : undefined,
      onConnected: (connection, broker) => this.estate.passTo(connection, broker),
      onLoss: () => intake.lose(),
      onGivenUp: (error) => this.giveUp(error),
    })
  }
}

function stoppedMeanwhile(): BrokerUnavailableError {
  return new BrokerUnavailableError('The worker was stopped before it had started to consume.')
}
