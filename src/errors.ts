/**
 * One tree, cut by who must act. Every class has a constant `code` and a `retriable` flag, and keeps its `cause`.
 *
 *   CeleriacError
 *     ConfigError         the programmer
 *     ConnectivityError   nobody: wait and try again (retriable)
 *     TaskError           the caller of a task
 *   ProtocolError         whoever wrote the message (protocol/errors.ts)
 *   TaskVerdict           not failures: what task code throws to say how its run ends
 */
import type { RemoteError } from '../protocol/remote-error.js'

/** Base of every error that celeriac throws, but for `ProtocolError` (which is `protocol/`'s own). */
export abstract class CeleriacError extends Error {
  abstract readonly code: string
  readonly retriable: boolean = false

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }
}

// ---- the programmer ----

/** Something the programmer must change; Celery's `ImproperlyConfigured`. */
export class ConfigError extends CeleriacError {
  readonly code: string = 'CONFIG'
}
/** A setting that Celery does not have; the message names the nearest one that it has. */
export class UnknownSettingError extends ConfigError {
  override readonly code = 'UNKNOWN_SETTING'
}
/** A URL whose scheme no transport or backend of ours serves. */
export class UnknownSchemeError extends ConfigError {
  override readonly code = 'UNKNOWN_SCHEME'
}
/** An optional package that a chosen feature needs is not installed. */
export class MissingDriverError extends ConfigError {
  override readonly code = 'MISSING_DRIVER'
}
/** A task name that this app does not have (Celery's `NotRegistered`). */
export class TaskNotRegisteredError extends ConfigError {
  override readonly code = 'TASK_NOT_REGISTERED'
  readonly taskName: string
  constructor(taskName: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.taskName = taskName
  }
}
/** A queue that is not in `task_queues` while `task_create_missing_queues` is off. */
export class QueueNotFoundError extends ConfigError {
  override readonly code = 'QUEUE_NOT_FOUND'
}
/**
 * The broker refuses what it was asked for, and would again: a queue declared otherwise, rights that the user lacks, an
 * exchange that does not exist, a message larger than it takes.
 */
export class BrokerRefusedError extends ConfigError {
  override readonly code = 'BROKER_REFUSED'
}
/** No queue is bound for a message, which the broker gave back; it is nowhere now. */
export class UnroutableError extends ConfigError {
  override readonly code = 'UNROUTABLE'
  /** Those of the messages given to the transport that came back. */
  readonly returned: readonly object[]
  constructor(message: string, returned: readonly object[] = [], options?: ErrorOptions) {
    super(message, options)
    this.returned = returned
  }
}
/** An argument or option of a call that cannot be used as given. */
export class InvalidArgumentError extends ConfigError {
  override readonly code = 'INVALID_ARGUMENT'
}

/** Arguments or a result that a task's schema refuses; `issues` says what is wrong and where (surface TSK-029). */
export class ValidationError extends ConfigError {
  override readonly code = 'VALIDATION'
  /** `path` is dotted, empty for the whole value. */
  readonly issues: readonly { readonly path: string; readonly message: string }[]
  constructor(message: string, issues: readonly { readonly path: string; readonly message: string }[]) {
    super(message)
    this.issues = issues
  }
}
/** Something that the chosen result backend cannot do, here as in Celery: chords and saved groups over `rpc://`. */
export class NotSupportedError extends ConfigError {
  override readonly code = 'NOT_SUPPORTED'
}
/** A value that the result store will never take, such as one of more than 512 MiB for Redis (surface RES-024). */
export class BackendStoreError extends ConfigError {
  override readonly code = 'BACKEND_STORE'
}

// ---- nobody: wait ----

/** A peer is away or slow; trying again later may work. */
export class ConnectivityError extends CeleriacError {
  readonly code: string = 'CONNECTIVITY'
  override readonly retriable = true
}
/** The broker cannot be reached, or did not answer within the bound. */
export class BrokerUnavailableError extends ConnectivityError {
  override readonly code = 'BROKER_UNAVAILABLE'
}
/** A session with the broker ended while something still needed it. */
export class ConnectionLostError extends ConnectivityError {
  override readonly code = 'CONNECTION_LOST'
}
/** The broker did not keep a message (a full queue with `reject-publish`, or a fault of its own); kombu's `MessageNacked`. */
export class MessageNackedError extends CeleriacError {
  readonly code = 'MESSAGE_NACKED'
  override readonly retriable = true
}
/** A delivery can no longer be settled: its session ended, or the lease went to somebody else. */
export class DeliveryLostError extends ConnectivityError {
  override readonly code = 'DELIVERY_LOST'
}
/**
 * A worker was frozen, cut off or held up for so long that the broker may have given what it held to others: nothing of
 * it is started any more, and its session is made anew. What ran goes on, and others may run it too.
 */
export class LeaseLostError extends ConnectivityError {
  override readonly code = 'LEASE_LOST'
}
/** The result store cannot be reached, or did not answer within the bound. */
export class BackendUnavailableError extends ConnectivityError {
  override readonly code = 'BACKEND_UNAVAILABLE'
}

// ---- the caller of a task ----

/** A task did not give the value that its caller waited for. */
export class TaskError extends CeleriacError {
  readonly code: string = 'TASK'
  readonly taskId: string
  constructor(taskId: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.taskId = taskId
  }
}
/** The task raised; the error is in the worker's terms, whatever its language. */
export class RemoteTaskError extends TaskError {
  override readonly code: string = 'REMOTE_TASK'
  /** Qualified class name in the worker's language, `ValueError`. */
  readonly excType: string
  /** Module of that class, `builtins`; `undefined` when not stored. */
  readonly excModule: string | undefined
  /** Constructor arguments of the remote error. */
  readonly args: readonly unknown[]
  /** Text of the remote traceback or stack. */
  readonly traceback: string | undefined
  constructor(taskId: string, error: RemoteError, message: string, options?: { readonly cause?: unknown }) {
    super(taskId, message, options)
    this.excType = error.type
    this.excModule = error.module
    this.args = error.args
    this.traceback = error.traceback
  }
}
/** The task was revoked or had expired before it ran (state REVOKED). */
export class TaskRevokedError extends RemoteTaskError {
  override readonly code = 'TASK_REVOKED'
}
/** The task ran into its hard time limit. */
export class TimeLimitExceededError extends RemoteTaskError {
  override readonly code = 'TIME_LIMIT_EXCEEDED'
}
/** The process that ran the task died. */
export class WorkerLostError extends RemoteTaskError {
  override readonly code = 'WORKER_LOST'
}
/** A part of a chord's header failed. */
export class ChordError extends RemoteTaskError {
  override readonly code = 'CHORD'
}
/** No result within the time the caller gave (Celery's `TimeoutError`); the task goes on. */
export class ResultTimeoutError extends TaskError {
  override readonly code = 'RESULT_TIMEOUT'
}
/** `retry()` was called after the last allowed attempt and no error was given to raise instead. */
export class MaxRetriesExceededError extends TaskError {
  override readonly code = 'MAX_RETRIES_EXCEEDED'
}
/** `get()` was called inside a running task, which can deadlock a worker (surface RES-046). */
export class SyncSubtaskError extends CeleriacError {
  readonly code = 'SYNC_SUBTASK'
}
/** No result backend is configured, so there is nothing to read (surface RES-030). */
export class BackendDisabledError extends ConfigError {
  override readonly code = 'BACKEND_DISABLED'
}

// ---- verdicts of task code: not failures ----

/** Base of what task code throws to say how its run ends; never logged as an error of celeriac. */
export abstract class TaskVerdict extends Error {
  abstract readonly code: string
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }
}
/** Thrown by `self.retry()`: the task has been sent again (surface TSK-087). */
export class Retry extends TaskVerdict {
  readonly code = 'RETRY'
  /** Seconds until the next attempt, or the moment of it. */
  readonly when: number | Date | string | undefined
  /** The error that made the task retry. */
  readonly exc: unknown
  constructor(message: string, when: number | Date | string | undefined, exc?: unknown) {
    super(message, { cause: exc })
    this.when = when
    this.exc = exc
  }
}
/** Ends the run without storing a state (surface TSK-105). */
export class Ignore extends TaskVerdict {
  readonly code = 'IGNORE'
  constructor(message = 'ignored') {
    super(message)
  }
}
/** Refuses the message: dropped, dead-lettered or requeued by the broker (surface TSK-106). */
export class Reject extends TaskVerdict {
  readonly code = 'REJECT'
  readonly reason: unknown
  readonly requeue: boolean
  constructor(reason: unknown = undefined, requeue = false) {
    super(`reject requeue=${requeue}: ${String(reason)}`, { cause: reason })
    this.reason = reason
    this.requeue = requeue
  }
}
/** The soft time limit passed: the reason of `self.signal`, and thrown at the next call on `self` (surface TSK-109). */
export class SoftTimeLimitExceeded extends TaskVerdict {
  readonly code = 'SOFT_TIME_LIMIT_EXCEEDED'
  /** Seconds. */
  readonly limit: number
  constructor(limit: number) {
    super(`SoftTimeLimitExceeded(${limit},)`)
    this.limit = limit
  }
}
