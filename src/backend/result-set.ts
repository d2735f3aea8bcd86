/**
 * Several results as one (`celery/result.py` ResultSet, surface RES-065 to RES-072, RES-075).
 *
 * Rule 1: `join` waits for one after another and throws the first error in the order of the set; `joinNative` waits for
 * all at once and throws the first error to arrive. Both share one timeout and return values in the order of the set.
 */
import type { ResultMeta } from '../../protocol/result-meta.js'
import { EXCEPTION_STATES, PROPAGATE_STATES } from '../../protocol/task-state.js'
import { ConfigError, InvalidArgumentError, ResultTimeoutError } from '../errors.js'
import { assertWillNotBlock } from './allow-join.js'
import type { AnyResult, GetOptions, ResultTuple, ThrowOptions, WaitOptions } from './any-result.js'
import { EagerResult } from './eager-result.js'
import type { ResultContext, RevokeOptions } from './result-context.js'
import { toTaskError } from './task-error.js'
import { WaitBound } from './wait-bound.js'

/** A task that has ended, or a nested group with its members. */
export type Arrival = readonly [id: string, meta: ResultMeta | readonly AnyResult[]]

type Callback = NonNullable<GetOptions['callback']>

/** A mutable collection of results; `T` are their values. */
export class ResultSet<T extends readonly unknown[] = readonly unknown[]> implements AnyResult {
  readonly id: string | undefined = undefined
  parent: AnyResult | undefined = undefined
  readonly #results: AnyResult[]
  protected readonly context: ResultContext

  constructor(results: Iterable<AnyResult>, context: ResultContext) {
    this.#results = [...results]
    this.context = context
  }

  get results(): readonly AnyResult[] {
    return this.#results
  }

  get length(): number {
    return this.#results.length
  }

  /** Whether `get` waits for all at once; `undefined` for an empty set (surface RES-075). */
  get supportsNativeJoin(): boolean | undefined {
    if (this.#results.length === 0) return undefined
    // What ran here is in no store that could tell of it.
    return this.context.backend.push && !this.#results.some((result) => result instanceof EagerResult)
  }

  /** The member at `index`, from the end when negative. */
  at(index: number): AnyResult | undefined {
    return this.#results.at(index)
  }

  has(result: AnyResult | string): boolean {
    return this.#results.some((member) => member.equals(result))
  }

  /** Does nothing for a member. */
  add(result: AnyResult): void {
    if (!this.has(result)) this.#results.push(result)
  }

  /** Throws `InvalidArgumentError` for what is no member (Python: KeyError). */
  remove(result: AnyResult | string): void {
    const index = this.#results.findIndex((member) => member.equals(result))
    if (index < 0) throw new InvalidArgumentError(`${String(result)} is not in this result set.`)
    this.#results.splice(index, 1)
  }

  discard(result: AnyResult | string): void {
    if (this.has(result)) this.remove(result)
  }

  update(results: Iterable<AnyResult>): void {
    for (const result of results) this.add(result)
  }

  clear(): void {
    this.#results.length = 0
  }

  [Symbol.iterator](): IterableIterator<AnyResult> {
    return this.#results[Symbol.iterator]()
  }

  /** True when all were successful. */
  async successful(): Promise<boolean> {
    return (await this.#ask((result) => result.successful())).every(Boolean)
  }

  /** True when any has failed. */
  async failed(): Promise<boolean> {
    return (await this.#ask((result) => result.failed())).some(Boolean)
  }

  /** True when any is not ready. */
  async waiting(): Promise<boolean> {
    return !(await this.ready())
  }

  async ready(): Promise<boolean> {
    return (await this.#ask((result) => result.ready())).every(Boolean)
  }

  /** How many were successful. */
  async completedCount(): Promise<number> {
    return (await this.#ask((result) => result.successful())).filter(Boolean).length
  }

  async children(): Promise<readonly AnyResult[]> {
    return this.#results
  }

  /** Throws the first stored error in the order of the set. Does not wait. */
  async maybeThrow(options: ThrowOptions = {}): Promise<void> {
    for (const result of this.#results) await result.maybeThrow(options)
  }

  async forget(): Promise<void> {
    await this.#ask((result) => result.forget())
  }

  /** One command for all members. Throws `ConfigError` where there is no way to tell the workers. */
  async revoke(options: RevokeOptions = {}): Promise<void> {
    const ids = this.#results.flatMap((result) => result.id ?? [])
    if (this.context.revoke === undefined) {
      throw new ConfigError(
        `${ids.length} tasks cannot be revoked: this app has no way to broadcast to its workers.`,
      )
    }
    await this.context.revoke(ids, options)
  }

  /** `joinNative` where the store pushes, else `join`. With `callback`, `undefined` or an empty list comes back. */
  get(options: GetOptions & { readonly callback: Callback }): Promise<readonly unknown[] | undefined>
  get(options?: GetOptions): Promise<T>
  async get(options: GetOptions = {}): Promise<readonly unknown[] | undefined> {
    return this.supportsNativeJoin === true ? this.joinNative(options) : this.join(options)
  }

  /** Throws the first error in the order of the set, and `ResultTimeoutError` when `timeout` is over for all. */
  join(options: GetOptions & { readonly callback: Callback }): Promise<readonly unknown[]>
  join(options?: GetOptions): Promise<T>
  async join(options: GetOptions = {}): Promise<readonly unknown[]> {
    if (options.disableSyncSubtasks !== false) assertWillNotBlock(this.context)
    if (options.onMessage !== undefined) {
      throw new ConfigError('join() does not support onMessage; where the store pushes, joinNative() does.')
    }
    const { callback, ...waiting } = options
    const startedAt = this.context.clock.monotonic()
    const values: unknown[] = []
    for (const result of this.#results) {
      const left = options.timeout
        ? options.timeout - (this.context.clock.monotonic() - startedAt) / 1000
        : undefined
      if (left !== undefined && left <= 0) throw this.#timedOut(options, [String(result)])
      const value = await result.get({ ...waiting, timeout: left })
      if (callback === undefined) values.push(value)
      else callback(String(result), value)
    }
    return values
  }

  /** Throws the first error to arrive. A nested group gives the list of its values. */
  joinNative(options: GetOptions & { readonly callback: Callback }): Promise<undefined>
  joinNative(options?: GetOptions): Promise<T>
  async joinNative(options: GetOptions = {}): Promise<readonly unknown[] | undefined> {
    if (options.disableSyncSubtasks !== false) assertWillNotBlock(this.context)
    const { propagate = true, callback } = options
    const places = new Map<string, number[]>()
    for (const [index, result] of this.#results.entries()) {
      const id = String(result)
      const place = places.get(id)
      if (place === undefined) places.set(id, [index])
      else place.push(index)
    }
    const values: unknown[] = new Array(this.#results.length)
    const startedAt = this.context.clock.monotonic()
    for await (const [id, arrived] of this.iterNative(options)) {
      const value = isMeta(arrived)
        ? valueOfMeta(arrived, propagate)
        : await this.#nestedValues(arrived, options, startedAt)
      callback?.(id, value)
      for (const index of places.get(id) ?? []) values[index] = value
    }
    return callback === undefined ? values : undefined
  }

  /**
   * Yields each task's meta as it ends; nested groups come first, with their members in place of a meta. Throws
   * `ResultTimeoutError`, or the signal's reason.
   */
  async *iterNative(options: WaitOptions = {}): AsyncGenerator<Arrival, void, undefined> {
    const missing = new Set<string>()
    for (const result of this.#results) {
      if (result.results === undefined) missing.add(String(result))
      else yield [String(result), result.results]
    }
    if (missing.size === 0) return
    this.context.beforeRead?.()
    const bound = new WaitBound(this.context, options)
    const interval = options.interval === undefined ? {} : { interval: options.interval }
    try {
      for await (const meta of this.context.backend.watch([...missing], {
        signal: bound.signal,
        ...interval,
      })) {
        missing.delete(meta.taskId)
        options.onMessage?.(meta)
        yield [meta.taskId, meta]
      }
      bound.check()
      if (missing.size > 0) throw this.#timedOut(options, [...missing])
    } finally {
      bound.end()
    }
  }

  /**
   * Calls `callback` with this set once all of it is ready, whatever the states (Celery's `then`, which JavaScript would
   * call by itself). An error of the wait or of the callback goes to `onError`, or without one rejects the promise.
   */
  async onReady(
    callback: (result: this) => void | Promise<void>,
    onError?: (error: unknown) => void | Promise<void>,
    options: Pick<WaitOptions, 'signal' | 'interval'> = {},
  ): Promise<void> {
    try {
      const tasks = new ResultSet(tasksIn(this.#results), this.context)
      for await (const _ of tasks.iterNative(options)) {
        // Only the end of the last task counts.
      }
      await callback(this)
    } catch (error) {
      if (onError === undefined) throw error
      await onError(error)
    }
  }

  asTuple(): ResultTuple {
    return [
      [this.id ?? null, this.parent?.asTuple() ?? null],
      this.#results.map((result) => result.asTuple()),
    ]
  }

  /** True for a set with equal members in the same order. */
  equals(other: unknown): boolean {
    return (
      other instanceof ResultSet &&
      other.length === this.length &&
      this.#results.every((result, index) => result.equals(other.at(index)))
    )
  }

  toString(): string {
    return `[${this.#results.join(', ')}]`
  }

  toJSON(): ResultTuple {
    return this.asTuple()
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `<${this.constructor.name}: ${this.id === undefined ? '' : `${this.id} `}[${this.#results.join(', ')}]>`
  }

  #ask<T>(question: (result: AnyResult) => Promise<T>): Promise<readonly T[]> {
    return Promise.all(this.#results.map(question))
  }

  async #nestedValues(
    members: readonly AnyResult[],
    options: GetOptions,
    startedAt: number,
  ): Promise<readonly unknown[]> {
    const { callback: _, onMessage: __, ...waiting } = options
    const values: unknown[] = []
    for (const member of members) {
      const left = options.timeout
        ? options.timeout - (this.context.clock.monotonic() - startedAt) / 1000
        : undefined
      if (left !== undefined && left <= 0) throw this.#timedOut(options, [String(member)])
      values.push(await member.get({ ...waiting, timeout: left }))
    }
    return values
  }

  #timedOut(options: WaitOptions, missing: readonly string[]): ResultTimeoutError {
    const [first = ''] = missing
    return new ResultTimeoutError(
      first,
      `join operation timed out after ${options.timeout} s: of ${this.length} results at least ${missing.length} ` +
        `were not ready, among them ${first}. The tasks go on.`,
    )
  }
}

/** The tasks of nested sets. */
function tasksIn(results: readonly AnyResult[]): readonly AnyResult[] {
  return results.flatMap((result) => (result.results === undefined ? [result] : tasksIn(result.results)))
}

function isMeta(arrived: ResultMeta | readonly AnyResult[]): arrived is ResultMeta {
  return !Array.isArray(arrived)
}

function valueOfMeta(meta: ResultMeta, propagate: boolean): unknown {
  if (!EXCEPTION_STATES.has(meta.state)) return meta.result
  const error = toTaskError(meta)
  if (propagate && PROPAGATE_STATES.has(meta.state)) throw error
  return error
}
