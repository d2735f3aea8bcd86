/**
 * Runs tasks on this event loop.
 *
 * Rule 1: a run is accepted before its body starts, and those of one turn before the first of their bodies: a body that
 * blocks the event loop must not hold up what follows from the others' starts.
 * Rule 2: JavaScript cannot stop a function. A run that hits its hard limit, or is terminated, is given up: its signal
 * aborts, its gate closes so that nothing it does later counts, and its slot is `leaked` until the body really ends.
 * Rule 3: at the hard limit the pool stores the failure (in Celery the parent process does), then the run ends: a
 * message is not acknowledged before its end is known. At terminate it stores nothing; only the worker knows whether
 * the task was revoked or goes back to the broker.
 * Rule 4: the pool logs the two limits in Celery's words, so the worker need not.
 */
import type { RemoteError } from '../../protocol/remote-error.js'
import { type Clock, pause } from '../clock.js'
import { SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceededError } from '../errors.js'
import { DateTexts } from '../execution/date-texts.js'
import { executeFor } from '../execution/execute.js'
import type { Host } from '../execution/host.js'
import type { Outcome } from '../execution/outcome.js'
import type { OutcomeWatcher } from '../execution/quick-run.js'
import type { TaskRequest } from '../execution/request.js'
import type { RunOptions } from '../execution/run.js'
import { RunGate } from '../execution/run-gate.js'
import { SuccessSet } from '../execution/success-set.js'
import { recordTimeOut } from '../execution/time-out.js'
import { type Seated, Seats } from '../seats.js'
import type { Deadline } from '../service.js'
import type { Execution, Pool, RunWatcher, TimeLimits } from './pool.js'
import { watchLimits } from './time-limit.js'

/** What an `AsyncPool` is made of. */
export interface AsyncPoolOptions {
  /** How many tasks run at once; at least 1. */
  readonly size: number
  /** Shown in STARTED results and given to `accepted`; default this process's. */
  readonly pid?: number
  /** Ids of tasks that succeeded; default a set of its own. */
  readonly successes?: SuccessSet
}

/** The pool of `--pool async`: every task is a call on this event loop. */
export class AsyncPool implements Pool {
  readonly name = 'async'
  private readonly home: Home
  private readonly running = new Seats<AsyncExecution>()
  /** Those that start at the end of this turn. */
  private starting: AsyncExecution[] = []
  private idleWaiters: (() => void)[] = []
  private slots: number
  private leakedSlots = 0
  private isStopped = false

  constructor(host: Host, options: AsyncPoolOptions) {
    this.slots = wholeSlots(options.size)
    this.home = {
      host,
      pid: options.pid ?? process.pid,
      successes: options.successes ?? new SuccessSet(host.clock),
      dates: new DateTexts(),
      onLeak: (change) => {
        this.leakedSlots += change
      },
      onEnd: (ended) => this.forget(ended),
    }
  }

  get size(): number {
    return this.slots
  }

  get leaked(): number {
    return this.leakedSlots
  }

  start(): Promise<void> {
    this.isStopped = false
    return Promise.resolve()
  }

  /** After `stop` the execution ends as `terminated` without having started, so that its message goes back. */
  run(request: TaskRequest, limits: TimeLimits, watcher: RunWatcher): Execution {
    if (this.isStopped) return refuse(watcher)
    const execution = new AsyncExecution(this.home, request, limits, watcher)
    this.running.add(execution)
    this.starting.push(execution)
    if (this.starting.length === 1) void endOfTurn.then(() => this.startAll())
    return execution
  }

  resize(size: number): Promise<void> {
    this.slots = wholeSlots(size)
    return Promise.resolve()
  }

  /** Waits for what runs; at `deadline` gives up the rest. Bodies that ignore their signal then run on without effect. */
  async stop(deadline: Deadline): Promise<void> {
    this.isStopped = true
    if (this.running.size > 0) await settledBy(this.idle(), deadline, this.home.host.clock)
    for (const execution of this.running.all()) execution.terminate('SIGTERM')
    await this.idle()
  }

  info(): Readonly<Record<string, unknown>> {
    return {
      implementation: 'celeriac.pool:AsyncPool',
      'max-concurrency': this.slots,
      processes: [this.home.pid],
      running: this.running.size,
      leaked: this.leakedSlots,
    }
  }

  private startAll(): void {
    const executions = this.starting
    this.starting = []
    for (const execution of executions) execution.accept()
    for (const execution of executions) execution.begin()
  }

  private forget(ended: AsyncExecution): void {
    this.running.delete(ended)
    if (this.running.size > 0 || this.idleWaiters.length === 0) return
    for (const wake of this.idleWaiters.splice(0)) wake()
  }

  private idle(): Promise<void> {
    if (this.running.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.idleWaiters.push(resolve))
  }
}

const endOfTurn = Promise.resolve()

/** What the executions of one pool share. */
interface Home {
  readonly host: Host
  readonly pid: number
  readonly successes: SuccessSet
  readonly dates: DateTexts
  /** Told 1 when a body goes on after its run was given up, and -1 when it ends. */
  onLeak(change: 1 | -1): void
  /** The outcome is known. */
  onEnd(execution: AsyncExecution): void
}

class AsyncExecution implements Execution, RunOptions, OutcomeWatcher, Seated {
  /** Among those that run. */
  seat = -1
  readonly gate = new RunGate()
  private readonly home: Home
  private readonly request: TaskRequest
  private readonly watcher: RunWatcher
  /** Made when somebody asks for the signal, or when it aborts: most tasks never look. */
  private lazyController: AbortController | undefined
  private readonly cancelLimits: (() => void) | undefined
  private state: 'queued' | 'running' | 'ended' = 'queued'
  private isLeaked = false

  constructor(home: Home, request: TaskRequest, limits: TimeLimits, watcher: RunWatcher) {
    this.home = home
    this.request = request
    this.watcher = watcher
    if (!limits.soft && !limits.hard) return
    this.cancelLimits = watchLimits(home.host.clock, limits, {
      onSoft: (seconds) => this.reachSoftLimit(seconds),
      onHard: (seconds) => void this.reachHardLimit(seconds),
    })
  }

  get pid(): number {
    return this.home.pid
  }

  get successes(): SuccessSet {
    return this.home.successes
  }

  get dates(): DateTexts {
    return this.home.dates
  }

  signal(): AbortSignal {
    return this.controller.signal
  }

  private get controller(): AbortController {
    this.lazyController ??= new AbortController()
    return this.lazyController
  }

  accept(): void {
    if (this.state !== 'queued') return
    this.state = 'running'
    this.watcher.onAccepted(this.home.pid)
  }

  begin(): void {
    if (this.state !== 'running') return
    executeFor(this.request, this.home.host, this, this)
  }

  terminate(signal: NodeJS.Signals): void {
    if (this.state === 'ended') return
    const wasRunning = this.state === 'running'
    this.giveUp(`it was terminated (${signal})`)
    this.controller.abort(this.terminatedError(signal))
    if (wasRunning) this.leak()
    // Not before this call has returned.
    void endOfTurn.then(() => this.watcher.onEnded({ kind: 'terminated', signal }))
    this.home.onEnd(this)
  }

  /** The body, and all around it, has ended. */
  onOutcome(outcome: Outcome): void {
    if (this.isLeaked) this.home.onLeak(-1)
    if (this.gate.isClosed) return
    this.giveUp('it has ended')
    this.home.onEnd(this)
    this.watcher.onEnded(outcome)
  }

  private leak(): void {
    this.isLeaked = true
    this.home.onLeak(1)
  }

  private reachSoftLimit(seconds: number): void {
    const { request } = this
    this.home.host.logger.warn(
      this.logFields(),
      `Soft time limit (${seconds}s) exceeded for ${nameOf(request)}`,
    )
    this.controller.abort(new SoftTimeLimitExceeded(seconds))
  }

  private async reachHardLimit(seconds: number): Promise<void> {
    const { request } = this
    const { host } = this.home
    // It has not exceeded its time when it has ended by now.
    const { ending } = this.gate
    if (ending !== undefined && ((await ending) || this.gate.isClosed)) return
    host.logger.error(this.logFields(), `Hard time limit (${seconds}s) exceeded for ${nameOf(request)}`)
    const wasRunning = this.state === 'running'
    this.giveUp(`its hard time limit of ${seconds}s has passed`)
    this.controller.abort(this.timeLimitError(seconds))
    if (wasRunning) this.leak()
    await recordTimeOut(request, host, seconds, this.gate)
    this.home.onEnd(this)
    this.watcher.onEnded({ kind: 'timed-out', seconds })
  }

  private giveUp(reason: string): void {
    this.state = 'ended'
    this.gate.close(reason)
    this.cancelLimits?.()
  }

  private timeLimitError(seconds: number): TimeLimitExceededError {
    const remote = remoteError('TimeLimitExceeded', 'billiard.exceptions', seconds)
    const { request } = this
    return new TimeLimitExceededError(
      request.message.id,
      remote,
      `${nameOf(request)} exceeded its hard time limit of ${seconds}s and was given up`,
    )
  }

  private terminatedError(signal: NodeJS.Signals): TaskRevokedError {
    const remote = remoteError('TaskRevokedError', 'celery.exceptions', 'terminated')
    const { request } = this
    return new TaskRevokedError(request.message.id, remote, `${nameOf(request)} was terminated (${signal})`)
  }

  private logFields(): object {
    const { id, task } = this.request.message
    return { task_id: id, task_name: task }
  }
}

/** What a stopped pool answers. */
function refuse(watcher: RunWatcher): Execution {
  void endOfTurn.then(() => watcher.onEnded({ kind: 'terminated', signal: 'SIGTERM' }))
  return { terminate() {} }
}

function nameOf(request: TaskRequest): string {
  return `${request.message.task}[${request.message.id}]`
}

function remoteError(type: string, module: string, ...args: readonly unknown[]): RemoteError {
  return { type, module, args, traceback: undefined }
}

function wholeSlots(size: number): number {
  return Math.max(1, Math.trunc(size) || 1)
}

/** Resolves when `all` has, or when the deadline has passed. */
async function settledBy(all: Promise<unknown>, deadline: Deadline, clock: Clock): Promise<void> {
  if (deadline === Number.POSITIVE_INFINITY) {
    await all
    return
  }
  const cancel = new AbortController()
  const late = pause(clock, Math.max(0, deadline - clock.now()), cancel.signal).catch(() => {})
  await Promise.race([all, late])
  cancel.abort()
}
