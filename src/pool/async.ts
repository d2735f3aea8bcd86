/**
 * Runs tasks on this event loop.
 *
 * Rule 1: `accepted` settles before the body starts; `outcome` never rejects.
 * Rule 2: JavaScript cannot stop a function. A run that hits its hard limit, or is terminated, is given up: its signal
 * aborts, its gate closes so that nothing it does later counts, and its slot is `leaked` until the body really ends.
 * Rule 3: at the hard limit the pool stores the failure (in Celery the parent process does), then `outcome` settles: a
 * message is not acknowledged before its end is known. At terminate it stores nothing; only the worker knows whether
 * the task was revoked or goes back to the broker.
 * Rule 4: the pool logs the two limits in Celery's words, so the worker need not.
 */
import type { RemoteError } from '../../protocol/remote-error.js'
import { type Clock, pause } from '../clock.js'
import { SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceededError } from '../errors.js'
import { execute } from '../execution/execute.js'
import type { Host } from '../execution/host.js'
import type { Outcome } from '../execution/outcome.js'
import type { TaskRequest } from '../execution/request.js'
import { RunGate } from '../execution/run-gate.js'
import { SuccessSet } from '../execution/success-set.js'
import { recordTimeOut } from '../execution/time-out.js'
import type { Deadline } from '../service.js'
import type { Execution, Pool, TimeLimits } from './pool.js'
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
  private readonly host: Host
  private readonly pid: number
  private readonly successes: SuccessSet
  private readonly running = new Set<AsyncExecution>()
  private slots: number
  private leakedSlots = 0
  private isStopped = false

  constructor(host: Host, options: AsyncPoolOptions) {
    this.host = host
    this.pid = options.pid ?? process.pid
    this.slots = wholeSlots(options.size)
    this.successes = options.successes ?? new SuccessSet(host.clock)
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
  run(request: TaskRequest, limits: TimeLimits): Execution {
    if (this.isStopped) return refused
    const execution = new AsyncExecution({
      host: this.host,
      request,
      limits,
      pid: this.pid,
      successes: this.successes,
      onLeak: (body) => this.leak(body),
      onEnd: (ended) => this.running.delete(ended),
    })
    this.running.add(execution)
    return execution
  }

  resize(size: number): Promise<void> {
    this.slots = wholeSlots(size)
    return Promise.resolve()
  }

  /** Waits for what runs; at `deadline` gives up the rest. Bodies that ignore their signal then run on without effect. */
  async stop(deadline: Deadline): Promise<void> {
    this.isStopped = true
    const all = Promise.all([...this.running].map((execution) => execution.outcome))
    if (this.running.size > 0) await settledBy(all, deadline, this.host.clock)
    for (const execution of this.running) execution.terminate('SIGTERM')
    await Promise.all([...this.running].map((execution) => execution.outcome))
  }

  info(): Readonly<Record<string, unknown>> {
    return {
      implementation: 'celeriac.pool:AsyncPool',
      'max-concurrency': this.slots,
      processes: [this.pid],
      running: this.running.size,
      leaked: this.leakedSlots,
    }
  }

  private leak(body: Promise<unknown>): void {
    this.leakedSlots += 1
    void body.then(() => {
      this.leakedSlots -= 1
    })
  }
}

interface AsyncExecutionParts {
  readonly host: Host
  readonly request: TaskRequest
  readonly limits: TimeLimits
  readonly pid: number
  readonly successes: SuccessSet
  /** Called with the body that goes on after its run was given up. */
  onLeak(body: Promise<unknown>): void
  /** Called when the outcome is known. */
  onEnd(execution: AsyncExecution): void
}

class AsyncExecution implements Execution {
  readonly accepted: Promise<{ readonly pid: number } | undefined>
  readonly outcome: Promise<Outcome>
  private readonly parts: AsyncExecutionParts
  private readonly gate = new RunGate()
  /** Made when somebody asks for the signal, or when it aborts: most tasks never look. */
  private lazyController: AbortController | undefined
  private readonly cancelLimits: () => void
  private readonly settle: (outcome: Outcome) => void
  private readonly body: Promise<void>
  private state: 'queued' | 'running' | 'ended' = 'queued'

  constructor(parts: AsyncExecutionParts) {
    this.parts = parts
    let resolve: (outcome: Outcome) => void = () => {}
    this.outcome = new Promise((done) => {
      resolve = done
    })
    this.settle = (outcome) => {
      parts.onEnd(this)
      resolve(outcome)
    }
    this.cancelLimits = watchLimits(parts.host.clock, parts.limits, {
      onSoft: (seconds) => this.reachSoftLimit(seconds),
      onHard: (seconds) => void this.reachHardLimit(seconds),
    })
    this.accepted = Promise.resolve().then(() => {
      if (this.state !== 'queued') return undefined
      this.state = 'running'
      return { pid: parts.pid }
    })
    this.body = this.runBody()
  }

  private get controller(): AbortController {
    this.lazyController ??= new AbortController()
    return this.lazyController
  }

  terminate(signal: NodeJS.Signals): void {
    if (this.state === 'ended') return
    const wasRunning = this.state === 'running'
    this.giveUp(`it was terminated (${signal})`)
    this.controller.abort(this.terminatedError(signal))
    if (wasRunning) this.parts.onLeak(this.body)
    this.settle({ kind: 'terminated', signal })
  }

  private async runBody(): Promise<void> {
    const accepted = await this.accepted
    // One more turn, so that whoever waits for `accepted` acts before the body does.
    await Promise.resolve()
    if (accepted === undefined || this.state === 'ended') return
    const { host, request, pid, successes } = this.parts
    const { gate } = this
    const signal = (): AbortSignal => this.controller.signal
    const outcome = await execute(request, host, { signal, gate, pid, successes })
    if (this.gate.isClosed) return
    this.giveUp('it has ended')
    this.settle(outcome)
  }

  private reachSoftLimit(seconds: number): void {
    const { host, request } = this.parts
    host.logger.warn(this.logFields(), `Soft time limit (${seconds}s) exceeded for ${nameOf(request)}`)
    this.controller.abort(new SoftTimeLimitExceeded(seconds))
  }

  private async reachHardLimit(seconds: number): Promise<void> {
    const { host, request, onLeak } = this.parts
    host.logger.error(this.logFields(), `Hard time limit (${seconds}s) exceeded for ${nameOf(request)}`)
    this.giveUp(`its hard time limit of ${seconds}s has passed`)
    this.controller.abort(this.timeLimitError(seconds))
    onLeak(this.body)
    await recordTimeOut(request, host, seconds, this.gate)
    this.settle({ kind: 'timed-out', seconds })
  }

  private giveUp(reason: string): void {
    this.state = 'ended'
    this.gate.close(reason)
    this.cancelLimits()
  }

  private timeLimitError(seconds: number): TimeLimitExceededError {
    const remote = remoteError('TimeLimitExceeded', 'billiard.exceptions', seconds)
    const { request } = this.parts
    return new TimeLimitExceededError(
      request.message.id,
      remote,
      `${nameOf(request)} exceeded its hard time limit of ${seconds}s and was given up`,
    )
  }

  private terminatedError(signal: NodeJS.Signals): TaskRevokedError {
    const remote = remoteError('TaskRevokedError', 'celery.exceptions', 'terminated')
    const { request } = this.parts
    return new TaskRevokedError(request.message.id, remote, `${nameOf(request)} was terminated (${signal})`)
  }

  private logFields(): object {
    const { id, task } = this.parts.request.message
    return { task_id: id, task_name: task }
  }
}

/** What a stopped pool answers. */
const refused: Execution = {
  accepted: Promise.resolve(undefined),
  outcome: Promise.resolve({ kind: 'terminated', signal: 'SIGTERM' }),
  terminate() {},
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
