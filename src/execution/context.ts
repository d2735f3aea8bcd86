/**
 * `self`, and who is running here (`celery/app/task.py` Context and Task; surface 2.2 and 2.4).
 *
 * Rule 1: the running task is found through AsyncLocalStorage and nothing else, so runs that share an event loop never
 * see each other.
 * Rule 2: once the soft time limit has passed, the first call of `retry`, `updateState`, `isAborted` or `checkpoint`
 * throws `SoftTimeLimitExceeded`, and only the first: Python raises it once too, so that the task can clean up after
 * catching it. Reading `request`, `signal` or `log` never throws, because those belong in `catch` and `finally`.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { SignatureData } from '../../protocol/signature-data.js'
import type { Linkable, SendOptions } from '../canvas/send-options.js'
import type { Retry } from '../errors.js'
import type { Logger } from '../logger.js'
import type { DeliveryInfo, TaskRequest } from './request.js'

/** What a task body sees as `self` (and `currentTask()`): its request, and what it can ask of its run. */
export interface TaskContext {
  /** The task's name. */
  readonly name: string
  readonly request: RequestInfo
  /** A pino-like logger with `task_id` and `task_name` bound. */
  readonly log: Logger
  /** Aborts at the soft time limit (reason: `SoftTimeLimitExceeded`), at terminate and at cold shutdown. */
  readonly signal: AbortSignal
  /** The message that is being run; undefined when the function was called directly. */
  readonly incoming: TaskRequest | undefined
  /**
   * Sends the task again with the same id and `retries + 1`, then throws `Retry` (surface TSK-079 to TSK-089).
   * `await self.retry()` and Python's idiom `throw self.retry()` both end the run. Throws `exc`, or
   * `MaxRetriesExceededError`, when no attempt is left; `Reject` when the broker did not take the message.
   */
  retry(options?: RetryOptions & { readonly throw?: true }): Promise<never>
  /** Sends the task again and returns the `Retry` instead of throwing it; the run goes on (surface TSK-088). */
  retry(options: RetryOptions & { readonly throw: false }): Promise<Retry>
  /** Stores a state of the task's own, `meta` being what `AsyncResult` shows as its info (surface TSK-090). */
  updateState(change: StateChange): Promise<void>
  /** Makes `result` (its `asTuple()` form) a child of this run's result, unless the task's `trail` is off. */
  addTrail<R extends { asTuple(): unknown }>(result: R): R
  /**
   * Puts a canvas in the place of this run, under the same id: callbacks, chord and the rest of the chain wait for it
   * instead (surface TSK-092, CNV-126 to CNV-131). Ends the run by throwing `Ignore`; with `apply()` it runs here, and its value is returned.
   * Write `return self.replace(...)`. Throws `ImproperlyConfigured` (a `RemoteTaskError`) for an empty chain or one that is in a chord.
   */
  replace(signature: Linkable): Promise<unknown>
  /**
   * Adds a task to the chord that this one is a part of, and sends it; the body waits for it too (surface TSK-093).
   * Throws `ValueError` (a `RemoteTaskError`) outside a chord, and `NotImplementedError` where the result store does not count.
   */
  addToChord(signature: Linkable): Promise<{ readonly id: string; asTuple(): unknown }>
  /** The same without sending it: what is returned must be sent, or the body never starts. */
  addToChord(signature: Linkable, options: { readonly lazy: true }): Promise<SignatureData>
  /** A signature of this very task, as data (`self.signature` in Celery). */
  signature(args?: readonly unknown[], kwargs?: Readonly<Record<string, unknown>>): SignatureData
  /** True when the state ABORTED was stored for this task (surface TST-021). */
  isAborted(): Promise<boolean>
  /** Does nothing but throw `SoftTimeLimitExceeded` once when its limit has passed: for loops without other calls. */
  checkpoint(): void
}

/** What `retry` takes (surface TSK-079): its own options, and any option of `applyAsync`. */
export interface RetryOptions extends Omit<SendOptions, 'eta' | 'countdown' | 'retry' | 'retries'> {
  /** Positional arguments of the next attempt; default the current ones. */
  readonly args?: readonly unknown[]
  /** Keyword arguments of the next attempt; default the current ones. */
  readonly kwargs?: Readonly<Record<string, unknown>>
  /** The error that made the task retry: stored with RETRY, and thrown when no attempt is left. */
  readonly exc?: unknown
  /** Seconds from now; default the task's `defaultRetryDelay`. */
  readonly countdown?: number
  /** A moment, or ISO text. */
  readonly eta?: Date | string
  /** Overrides the task's `maxRetries` for this attempt; null retries for ever. */
  readonly maxRetries?: number | null
}

/** What `updateState` takes. */
export interface StateChange {
  readonly state: string
  readonly meta?: unknown
  /** Default the running task's id. */
  readonly taskId?: string
}

/** `self.request`: Celery's Context in camelCase (surface 2.2). */
export interface RequestInfo {
  /** Empty when the function was called directly. */
  readonly id: string
  readonly task: string
  readonly rootId: string
  readonly parentId: string | undefined
  readonly args: readonly unknown[]
  /** All keyword arguments that came, also those that no parameter takes. */
  readonly kwargs: Readonly<Record<string, unknown>>
  /** Id of the group that the task is part of. */
  readonly group: string | undefined
  readonly groupIndex: number | undefined
  /** The body of the chord that the task is part of. */
  readonly chord: SignatureData | undefined
  /** Remaining steps of the chain, the next one LAST. */
  readonly chain: readonly SignatureData[]
  readonly callbacks: readonly SignatureData[]
  readonly errbacks: readonly SignatureData[]
  /** Attempts made before this one. */
  readonly retries: number
  /** ISO text as it came. */
  readonly eta: string | undefined
  /** ISO text as it came. */
  readonly expires: string | undefined
  /** Seconds, `[hard, soft]`, as on the wire. */
  readonly timelimit: readonly [number | undefined, number | undefined]
  /** Seconds; the hard limit of the message. */
  readonly timeLimit: number | undefined
  /** Seconds. */
  readonly softTimeLimit: number | undefined
  readonly replyTo: string | undefined
  readonly correlationId: string
  readonly deliveryInfo: DeliveryInfo & { readonly isEager: boolean }
  /** Message properties by their wire names. */
  readonly properties: Readonly<Record<string, unknown>>
  /** Custom headers; undefined when there are none. */
  readonly headers: Readonly<Record<string, unknown>> | undefined
  /** Node name of the executing worker. */
  readonly hostname: string
  /** `gen<pid>@<host>` of the sender. */
  readonly origin: string | undefined
  readonly argsRepr: string
  readonly kwargsRepr: string
  readonly shadow: string | undefined
  /** The header's value, else the task's option. */
  readonly ignoreResult: boolean
  readonly isEager: boolean
  /** True when the function was called by itself, outside a worker and `apply()`. */
  readonly calledDirectly: boolean
  readonly loglevel: string | undefined
  readonly logfile: string | undefined
  readonly replacedTaskNesting: number
  readonly stampedHeaders: readonly string[] | undefined
  readonly stamps: Readonly<Record<string, unknown>>
  /** `as_tuple` forms of the results of tasks sent by this run, so far. */
  readonly children: readonly unknown[]
  readonly utc: boolean
  readonly lang: string | undefined
  /** Mime type of the body's compression. */
  readonly compression: string | undefined
}

/** The one module constant: AsyncLocalStorage holds no state of its own, each async context does. */
const running = new AsyncLocalStorage<TaskContext>()

/** The task that is running in this async context; undefined outside a task. */
export function currentTask(): TaskContext | undefined {
  return running.getStore()
}

/** Calls `body` with `context` as its `currentTask()`; undefined hides an outer task. */
export function runInContext<T>(context: TaskContext | undefined, body: () => T): T {
  return context === undefined ? running.exit(body) : running.run(context, body)
}
