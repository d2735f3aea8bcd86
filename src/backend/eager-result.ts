import { isRemoteError } from '../../protocol/remote-error.js'
import type { TaskState } from '../../protocol/result-meta.js'
import { PROPAGATE_STATES } from '../../protocol/task-state.js'
import { TaskError } from '../errors.js'
import { assertWillNotBlock } from './allow-join.js'
import type { AnyResult, GetOptions, ResultTuple, ThrowOptions } from './any-result.js'
import type { ResultContext } from './result-context.js'
import { toTaskError } from './task-error.js'

/** What an eager call may know beside its value. */
export interface EagerResultOptions {
  readonly traceback?: string | undefined
  readonly name?: string | undefined
  /** Tells whether this runs inside a task. Default: it does not. */
  readonly context?: Pick<ResultContext, 'insideTask'> | undefined
}

/** The result of a task that ran here, at once (`celery/result.py` EagerResult, surface RES-076). */
export class EagerResult<R = unknown> implements AnyResult {
  readonly id: string
  /** The result of the step before, where it ran as part of a chain. */
  parent: AnyResult | undefined = undefined
  readonly #value: unknown
  readonly #options: EagerResultOptions
  #state: TaskState

  /** `value` is what the task returned, or the error that it threw. */
  constructor(id: string, value: unknown, state: TaskState, options: EagerResultOptions = {}) {
    this.id = id
    this.#value = value
    this.#state = state
    this.#options = options
  }

  get taskId(): string {
    return this.id
  }

  /**
   * The value; for a failed or revoked task its error is thrown (with `propagate: false` returned), and for ignored,
   * rejected and retried ones there is no value. Throws `SyncSubtaskError` inside a task.
   */
  async get(options: GetOptions = {}): Promise<R> {
    if (options.disableSyncSubtasks !== false)
      assertWillNotBlock(this.#options.context ?? { insideTask: () => false })
    if (this.#state === 'SUCCESS') return this.#value as R
    if (!PROPAGATE_STATES.has(this.#state)) return undefined as R
    const error = this.#error()
    if (options.propagate ?? true) throw error
    return error as R
  }

  async state(): Promise<TaskState> {
    return this.#state
  }

  status(): Promise<TaskState> {
    return this.state()
  }

  async result(): Promise<unknown> {
    return this.#value
  }

  info(): Promise<unknown> {
    return this.result()
  }

  async traceback(): Promise<string | undefined> {
    return this.#options.traceback
  }

  async name(): Promise<string | undefined> {
    return this.#options.name
  }

  async ready(): Promise<boolean> {
    return true
  }

  async successful(): Promise<boolean> {
    return this.#state === 'SUCCESS'
  }

  async failed(): Promise<boolean> {
    return this.#state === 'FAILURE'
  }

  async children(): Promise<undefined> {
    return undefined
  }

  /** Calls `callback` at once; its error goes to `onError`, or without one rejects the promise. */
  async onReady(
    callback: (result: this) => void | Promise<void>,
    onError?: (error: unknown) => void | Promise<void>,
  ): Promise<void> {
    try {
      await callback(this)
    } catch (error) {
      if (onError === undefined) throw error
      await onError(error)
    }
  }

  async maybeThrow({ propagate = true, callback }: ThrowOptions = {}): Promise<unknown> {
    if (propagate && PROPAGATE_STATES.has(this.#state)) throw this.#error()
    callback?.(this.id, this.#value)
    return this.#value
  }

  /** Nothing is stored, so nothing is forgotten. */
  async forget(): Promise<void> {}

  /** The task has run; only the state changes, as in Celery. */
  async revoke(): Promise<void> {
    this.#state = 'REVOKED'
  }

  asTuple(): ResultTuple {
    return [[this.id, null], null]
  }

  asList(): readonly string[] {
    return [this.id]
  }

  equals(other: unknown): boolean {
    return other instanceof EagerResult ? other.id === this.id : other === this.id
  }

  toString(): string {
    return this.id
  }

  toJSON(): ResultTuple {
    return this.asTuple()
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `<EagerResult: ${this.id}>`
  }

  #error(): Error {
    if (this.#value instanceof Error) return this.#value
    if (!isRemoteError(this.#value)) return new TaskError(this.id, String(this.#value))
    return toTaskError({
      taskId: this.id,
      state: this.#state,
      result: this.#value,
      traceback: this.#options.traceback,
      children: undefined,
      dateDone: undefined,
    })
  }
}
