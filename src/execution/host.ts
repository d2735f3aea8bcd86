import type { AsyncResult } from '../backend/async-result.js'
import type { Linkable, SendOptions } from '../canvas/send-options.js'
import type { Call, SignatureApp } from '../canvas/signature-app.js'
import type { Logger } from '../logger.js'
import type { Signals } from '../signals.js'
import type { Outgoing } from '../transport/transport.js'
import type { TaskContext } from './context.js'
import type { Outcome } from './outcome.js'
import type { TaskRequest } from './request.js'

/** What running a task needs from its app. `app/app.ts` is the one that provides it. */
export interface Host extends SignatureApp {
  /** The app's name (`Celery('shop')`). */
  readonly main: string
  task(name: string): RunnableTask | undefined
  readonly signals: Signals
  /** 0 <= n < 1; jitter comes from here. */
  readonly random: () => number
  readonly logger: Logger
  readonly execution: ExecutionSettings
  /** Publishes the message of `request` again as a retry (wire-format 1.4); body bytes are reused unless args or kwargs are given. */
  resend(request: TaskRequest, change: Resend): Promise<void>
  /**
   * What `dispatchMany` would send, for somebody else to send it: messages in the order of the calls, and their results, of
   * which those of `trail` become children of the running task. Undefined where sending needs more than the messages (a
   * queue is not declared yet, somebody listens, the broker delays them). Throws what `dispatchMany` throws before it sends.
   */
  prepareMany?(calls: readonly Call[]): PreparedCalls | undefined | Promise<PreparedCalls | undefined>
  /** Runs a canvas here, now, and gives its value; what replaces a task of `apply()` is run so (surface CNV-130). */
  applyEagerly?(signature: Linkable): Promise<unknown>
  /** Whether `around` does more than call `run`. */
  readonly wrapsRuns: boolean
  /** Wraps every run: tracing, metrics, user interceptors. */
  around(request: TaskRequest, run: () => Promise<Outcome>): Promise<Outcome>
}

/** Messages that can be sent. */
export interface PreparedCalls {
  readonly messages: readonly Outgoing[]
  readonly trail: readonly AsyncResult<unknown>[]
}

/** How a retry differs from the message that it repeats. */
export interface Resend {
  readonly args?: readonly unknown[]
  readonly kwargs?: Readonly<Record<string, unknown>>
  readonly retries: number
  /** Seconds from now, or a moment. */
  readonly countdown?: number
  readonly eta?: Date | string
  /** Anything else given to `retry()`; wins over what the message carries. */
  readonly options?: SendOptions
}

/** The settings that a run looks at. */
export interface ExecutionSettings {
  readonly resultExtended: boolean
  readonly inheritParentPriority: boolean
  readonly deduplicateSuccessful: boolean
  readonly alwaysEager: boolean
  readonly eagerPropagates: boolean
  readonly storeEagerResult: boolean
  /** `task_allow_error_cb_on_chord_header`: errbacks of a chord are called for the tasks of its header, too. */
  readonly errbacksOnChordHeader: boolean
}

/** A task as the worker sees it. */
export interface RunnableTask {
  readonly name: string
  readonly options: TaskOptions
  /** Parameter names in order, when they are known (`params`, or the function's own where it declares them). */
  readonly params: readonly string[] | undefined
  /**
   * Runs the function. Maps `kwargs` to parameters by `params`; what has no parameter stays in the request. Throws
   * `TypeError` in Python's words for missing, surplus or doubled arguments.
   */
  run(self: TaskContext, args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): unknown
  readonly handlers: TaskHandlers
  /** `request` for errbacks called inline with (request, exc, traceback); `id` for those sent as tasks (surface PYO-011). */
  readonly errbackStyle: 'id' | 'request'
}

/** Hooks around a run (surface 2.3); each may be async. */
export interface TaskHandlers {
  beforeStart?(
    self: TaskContext,
    taskId: string,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): unknown
  onSuccess?(
    self: TaskContext,
    retval: unknown,
    taskId: string,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): unknown
  onFailure?(
    self: TaskContext,
    error: unknown,
    taskId: string,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): unknown
  onRetry?(
    self: TaskContext,
    error: unknown,
    taskId: string,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): unknown
  afterReturn?(
    self: TaskContext,
    state: string,
    retval: unknown,
    taskId: string,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): unknown
}

/** A class of errors, or a test for them. */
export type ErrorMatcher = (abstract new (...args: never[]) => unknown) | ((error: unknown) => boolean)

/** A task's options after defaults, settings and annotations (surface 2.1). Times are seconds. */
export interface TaskOptions {
  readonly bind: boolean
  /** null retries for ever. */
  readonly maxRetries: number | null
  readonly defaultRetryDelay: number
  readonly rateLimit: string | number | null
  readonly ignoreResult: boolean
  readonly trail: boolean
  readonly sendEvents: boolean
  readonly storeErrorsEvenIfIgnored: boolean
  readonly serializer: string
  readonly timeLimit: number | null
  readonly softTimeLimit: number | null
  readonly trackStarted: boolean
  readonly acksLate: boolean
  readonly acksOnFailureOrTimeout: boolean
  /** null: as `acksOnFailureOrTimeout`. */
  readonly acksOnFailure: boolean | null
  readonly acksOnTimeout: boolean | null
  readonly rejectOnWorkerLost: boolean
  readonly throws: readonly ErrorMatcher[]
  readonly expires: number | Date | null
  readonly priority: number | null
  readonly resultReprMaxsize: number
  readonly autoretryFor: readonly ErrorMatcher[]
  readonly dontAutoretryFor: readonly ErrorMatcher[]
  readonly retryKwargs: { readonly maxRetries?: number | null; readonly countdown?: number }
  readonly retryBackoff: boolean | number
  readonly retryBackoffMax: number
  readonly retryJitter: boolean
  readonly storeEagerResult: boolean
  readonly queue: string | null
  readonly exchange: string | null
  readonly routingKey: string | null
  readonly deliveryMode: 1 | 2 | 'transient' | 'persistent' | null
  readonly compression: string | null
}
