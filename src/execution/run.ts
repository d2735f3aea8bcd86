/** One run of one message: what its steps share. */
import type { ResultMeta, TaskState } from '../../protocol/result-meta.js'
import type { TaskContext } from './context.js'
import type { DateTexts } from './date-texts.js'
import type { Host, RunnableTask } from './host.js'
import type { TaskRequest } from './request.js'
import { ignoresResult } from './request-info.js'
import { resultRecord } from './result-record.js'
import { RunGate } from './run-gate.js'
import { RunLog } from './run-log.js'
import { RunningTask, type RunParts, RunState, resultRequest } from './running-task.js'
import type { SuccessSet } from './success-set.js'

/** What the place that runs tasks gives to each run. */
export interface RunOptions {
  /** Gives the signal that aborts at the soft limit, at terminate and at cold shutdown; default one that never does. */
  signal?(): AbortSignal
  /** Closed by whoever gives the run up. */
  readonly gate?: RunGate
  /** Stored with STARTED; default 0. */
  readonly pid?: number
  /** Shared by all runs of a worker. */
  readonly dates?: DateTexts
  /** Shared by all runs of a worker; without it every redelivery asks the backend. */
  readonly successes?: SuccessSet
}

/** Made once per message by `execute`; everything that touches the world goes through its gate. */
export class Run implements RunParts {
  readonly task: RunnableTask
  readonly host: Host
  readonly request: TaskRequest
  readonly state = new RunState()
  readonly gate: RunGate
  readonly self: TaskContext
  readonly pid: number
  readonly successes: SuccessSet | undefined
  readonly startedAtMs: number
  private readonly options: RunOptions

  constructor(task: RunnableTask, host: Host, request: TaskRequest, options: RunOptions) {
    this.task = task
    this.host = host
    this.request = request
    this.gate = options.gate ?? new RunGate()
    this.pid = options.pid ?? 0
    this.successes = options.successes
    this.startedAtMs = host.clock.monotonic()
    this.options = options
    this.self = new RunningTask(this)
  }

  makeSignal(): AbortSignal {
    return this.options.signal?.() ?? new AbortController().signal
  }

  /** Made for each line: most runs write none. */
  get log(): RunLog {
    return new RunLog(this.host.logger, this.request)
  }

  get signal(): AbortSignal {
    return this.self.signal
  }

  get id(): string {
    return this.request.message.id
  }

  get args(): readonly unknown[] {
    return this.request.body.args
  }

  get kwargs(): Readonly<Record<string, unknown>> {
    return this.request.body.kwargs
  }

  /** Seconds since the run began. */
  get seconds(): number {
    return (this.host.clock.monotonic() - this.startedAtMs) / 1000
  }

  /** What the message gives to tasks that follow from this one; undefined unless `task_inherit_parent_priority`. */
  get inheritedPriority(): number | undefined {
    return this.host.execution.inheritParentPriority ? this.request.deliveryInfo.priority : undefined
  }

  get ignoresResult(): boolean {
    return ignoresResult(this.request, this.task)
  }

  /** Whether a SUCCESS is stored: eager runs only with `store_eager_result`. */
  get storesResult(): boolean {
    if (this.ignoresResult) return false
    return !this.request.isEager || this.task.options.storeEagerResult
  }

  /** Whether FAILURE and RETRY are stored (`handle_error_state`). */
  get storesErrors(): boolean {
    if (this.ignoresResult) return this.task.options.storeErrorsEvenIfIgnored
    return !this.request.isEager || this.task.options.storeEagerResult
  }

  /** The record of this run in `state`. */
  record(state: TaskState, result: unknown, traceback?: string): ResultMeta {
    return resultRecord(this.request, {
      state,
      result,
      traceback,
      children: this.state.children,
      nowMs: this.host.clock.now(),
      dates: this.options.dates,
      extended: this.host.execution.resultExtended,
    })
  }

  /** Stores `record`, unless the message had no id to store it under; throws what the backend throws, or `RunAbandoned`. */
  store(record: ResultMeta): Promise<void> {
    const { gate, host, request } = this
    if (record.taskId === '') return gate.effect(() => {})
    return gate.passing(() => host.backend.store(record, resultRequest(request)))
  }
}
