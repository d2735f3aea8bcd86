import type { ResultMeta } from '../../protocol/result-meta.js'
import type { RevokeOptions } from './result-context.js'

/** Celery's `as_tuple` form: `[[id, parent], null]` for a task, `[[id, parent], children]` for a group (wire-format 8.2). */
export type ResultTuple = readonly [
  readonly [id: string | null, parent: ResultTuple | null],
  readonly ResultTuple[] | null,
]

/** How to wait for a result. */
export interface WaitOptions {
  /** Seconds; `undefined` and 0 wait for as long as it takes. Then `ResultTimeoutError`; the task goes on. */
  readonly timeout?: number | undefined
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal | undefined
  /** Seconds between looks where the store does not tell of changes, and between calls of `onInterval`. Default 0.5. */
  readonly interval?: number | undefined
  /** Called every `interval` while waiting; what it throws ends the wait. */
  readonly onInterval?: (() => void) | undefined
  /** Called with each meta as it arrives; `ConfigError` where the store does not push (surface RES-049). */
  readonly onMessage?: ((meta: ResultMeta) => void) | undefined
  /** `false` allows waiting inside a task, which can deadlock a worker. Default true. */
  readonly disableSyncSubtasks?: boolean | undefined
}

/** How to wait for a value. */
export interface GetOptions extends WaitOptions {
  /** `false` returns the error of a failed task instead of throwing it. Default true. */
  readonly propagate?: boolean | undefined
  /** Called with the value, or with the error when `propagate` is false. */
  readonly callback?: ((taskId: string, value: unknown) => void) | undefined
}

/** What tells whether to throw a stored error. */
export interface ThrowOptions {
  readonly propagate?: boolean | undefined
  readonly callback?: ((taskId: string, value: unknown) => void) | undefined
}

/** What results of tasks and of groups have in common (`celery/result.py` ResultBase). */
export interface AnyResult {
  /** The task's or group's id; `undefined` for a set without one. */
  readonly id: string | undefined
  /** The result that this one was chained to. */
  parent: AnyResult | undefined
  /** The members of a group; `undefined` for a task. */
  readonly results?: readonly AnyResult[] | undefined
  ready(): Promise<boolean>
  successful(): Promise<boolean>
  failed(): Promise<boolean>
  /** Results of sub-tasks, or a group's members; `undefined` when none are known. */
  children(): Promise<readonly AnyResult[] | undefined>
  get(options?: GetOptions): Promise<unknown>
  maybeThrow(options?: ThrowOptions): Promise<unknown>
  forget(): Promise<void>
  revoke(options?: RevokeOptions): Promise<void>
  asTuple(): ResultTuple
  equals(other: unknown): boolean
  toString(): string
}
