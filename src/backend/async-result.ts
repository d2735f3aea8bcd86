/**
 * The caller's end of a task (`celery/result.py` AsyncResult, surface RES-042 to RES-064).
 *
 * Rule 1: what Celery has as properties are methods here, since reading the store takes time: `await result.state()`.
 * Rule 2: there is no `then`: JavaScript would call it whenever a result is returned from an async function or awaited,
 * and hand out the task's value in place of the result. Its name is `onReady`.
 * Rule 3: once a ready state was seen it is kept, and later changes of the store are not.
 * Rule 4: every wait frees its timers, listeners and watches, however it ends.
 */
import type { ResultMeta, TaskState } from '../../protocol/result-meta.js'
import { EXCEPTION_STATES, PROPAGATE_STATES, READY_STATES } from '../../protocol/task-state.js'
import { DateTime } from '../../protocol/values.js'
import { ConfigError, InvalidArgumentError, ResultTimeoutError, type TaskError } from '../errors.js'
import { assertWillNotBlock } from './allow-join.js'
import type { AnyResult, GetOptions, ResultTuple, ThrowOptions, WaitOptions } from './any-result.js'
import { collectValues, graphOf, iterateDependencies, leafValue } from './dependencies.js'
import { GroupResult } from './group-result.js'
import { ParentErrors } from './parent-errors.js'
import type { ResultContext, RevokeOptions } from './result-context.js'
import type { ResultGraph } from './result-graph.js'
import { buildResult } from './result-tuple.js'
import { toTaskError } from './task-error.js'
import { WaitBound } from './wait-bound.js'

/** How to wait for the value of one task. */
export interface TaskGetOptions extends GetOptions {
  /** Throw the error of a parent that failed, since this task will then never run. Default true. */
  readonly followParents?: boolean | undefined
}

/** A state that a task passed through before it was ready, and what was stored with it. */
export interface Progress {
  readonly state: TaskState
  readonly meta: unknown
}

/** One task's result; `R` is the type of its value. */
export class AsyncResult<R = unknown> implements AnyResult {
  readonly id: string
  /** The result of the step before; set while a canvas is frozen. */
  parent: AnyResult | undefined
  /** The call asked for no result, so `get` returns at once (surface RES-044, PUB-015). */
  ignored: boolean
  readonly #context: ResultContext
  #cache: ResultMeta | undefined

  /** Throws `InvalidArgumentError` unless `id` is a text. An empty one is refused when it is used, as in Celery. */
  constructor(
    id: string,
    context: ResultContext,
    options: { readonly parent?: AnyResult | undefined; readonly ignored?: boolean | undefined } = {},
  ) {
    if (typeof id !== 'string')
      throw new InvalidArgumentError(`AsyncResult requires valid id, not ${typeof id}`)
    this.id = id
    this.#context = context
    this.parent = options.parent
    this.ignored = options.ignored ?? false
  }

  /** Celery's other name of `id`. */
  get taskId(): string {
    return this.id
  }

  /**
   * Waits for the value. Throws the task's error (`RemoteTaskError` and its kinds), `ResultTimeoutError`,
   * `SyncSubtaskError` inside a task, `BackendDisabledError`, `BackendUnavailableError`, or the signal's reason.
   */
  get(options: TaskGetOptions & { readonly propagate: false }): Promise<R | TaskError>
  get(options?: TaskGetOptions): Promise<R>
  async get(options: TaskGetOptions = {}): Promise<R | TaskError> {
    if (this.ignored) return undefined as R
    if (options.disableSyncSubtasks !== false) assertWillNotBlock(this.#context)
    const { propagate = true, followParents = true, callback } = options
    const throwing = { propagate, callback }
    if (this.#cache !== undefined) return this.#valueOf(this.#cache, throwing)
    const bound = new WaitBound(this.#context, options)
    try {
      const follows = followParents && propagate && this.parent !== undefined
      const parents = follows ? new ParentErrors(this.#context.backend, this.parent) : undefined
      if (parents !== undefined) await bound.until(parents.look())
      return this.#valueOf(await this.#wait(bound, options, parents), throwing)
    } finally {
      bound.end()
    }
  }

  /** The stored meta; `undefined` while nothing is stored. A ready one is kept and returned from then on. */
  async meta(): Promise<ResultMeta | undefined> {
    if (this.#cache !== undefined) return this.#cache
    this.#context.beforeRead?.()
    const meta = await this.#context.backend.fetch(this.id)
    return meta === undefined ? undefined : this.#keep(meta)
  }

  /** The ready meta that was seen, without asking the store. */
  get cachedMeta(): ResultMeta | undefined {
    return this.#cache
  }

  /** Takes over a ready meta that somebody else has read; other states and other tasks' metas are left alone. */
  adopt(meta: ResultMeta): void {
    if (meta.taskId === this.id) this.#keep(meta)
  }

  /** PENDING while nothing is stored: an unknown id looks the same (surface RES-004). */
  async state(): Promise<TaskState> {
    return (await this.meta())?.state ?? 'PENDING'
  }

  /** Celery's other name of `state`. */
  status(): Promise<TaskState> {
    return this.state()
  }

  /** The value of a finished task, its error (not thrown) after a failure or retry, else the meta of its state. */
  async result(): Promise<unknown> {
    const meta = await this.meta()
    if (meta === undefined) return undefined
    return EXCEPTION_STATES.has(meta.state) ? toTaskError(meta) : meta.result
  }

  /** Celery's other name of `result`. */
  info(): Promise<unknown> {
    return this.result()
  }

  async traceback(): Promise<string | undefined> {
    return (await this.meta())?.traceback
  }

  async children(): Promise<readonly AnyResult[] | undefined> {
    return (await this.meta())?.children?.map((tuple) => resultFromTuple(tuple, this.#context))
  }

  /** The task's name; like `args` to `queue` only stored with `result_extended`. */
  async name(): Promise<string | undefined> {
    return optional<string>((await this.meta())?.extended?.['name'])
  }

  async args(): Promise<readonly unknown[] | undefined> {
    return optional<readonly unknown[]>((await this.meta())?.extended?.['args'])
  }

  async kwargs(): Promise<Readonly<Record<string, unknown>> | undefined> {
    return optional<Readonly<Record<string, unknown>>>((await this.meta())?.extended?.['kwargs'])
  }

  async worker(): Promise<string | undefined> {
    return optional<string>((await this.meta())?.extended?.['worker'])
  }

  async retries(): Promise<number | undefined> {
    return optional<number>((await this.meta())?.extended?.['retries'])
  }

  async queue(): Promise<string | undefined> {
    return optional<string>((await this.meta())?.extended?.['queue'])
  }

  /** When the task ended, as a `Date` that keeps microseconds and offset. */
  async dateDone(): Promise<DateTime | undefined> {
    const text = (await this.meta())?.dateDone
    return text === undefined ? undefined : new DateTime(text)
  }

  async ready(): Promise<boolean> {
    return READY_STATES.has(await this.state())
  }

  async successful(): Promise<boolean> {
    return (await this.state()) === 'SUCCESS'
  }

  /** True for FAILURE alone: a revoked task has not failed (surface RES-052). */
  async failed(): Promise<boolean> {
    return (await this.state()) === 'FAILURE'
  }

  /** Whether the store holds anything for this id. */
  async exists(): Promise<boolean> {
    return (await this.meta()) !== undefined
  }

  /**
   * Deletes the stored results of this task and of its parents. Who waits for one here gets it first; when there is none
   * yet, they wait on, and get what is stored later.
   */
  async forget(): Promise<void> {
    this.#cache = undefined
    await this.parent?.forget()
    await this.#context.backend.forget(this.id)
  }

  /** Tells every worker to skip this task. Throws `ConfigError` where there is no way to tell them. */
  async revoke(options: RevokeOptions = {}): Promise<void> {
    if (this.#context.revoke === undefined) {
      throw new ConfigError(
        `Task ${this.id} cannot be revoked: this app has no way to broadcast to its workers.`,
      )
    }
    await this.#context.revoke([this.id], options)
  }

  /**
   * Calls `callback` with this result once it is ready, whatever its state (Celery's `then`). The promise ends after
   * the callback; an error of the wait or of the callback goes to `onError`, or without one rejects the promise.
   */
  async onReady(
    callback: (result: this) => void | Promise<void>,
    onError?: (error: unknown) => void | Promise<void>,
    options: Pick<WaitOptions, 'signal' | 'interval'> = {},
  ): Promise<void> {
    try {
      if (this.#cache === undefined) {
        const bound = new WaitBound(this.#context, options)
        try {
          await this.#wait(bound, options)
        } finally {
          bound.end()
        }
      }
      await callback(this)
    } catch (error) {
      if (onError === undefined) throw error
      await onError(error)
    }
  }

  /**
   * The states that the task passes through, until it is ready: STARTED, RETRY and what `updateState` stored. States
   * that follow each other faster than the store is asked are not all seen. Throws the signal's reason when it aborts.
   */
  async *progress(
    options: Pick<WaitOptions, 'signal' | 'interval' | 'disableSyncSubtasks'> = {},
  ): AsyncGenerator<Progress, void, undefined> {
    if (options.disableSyncSubtasks !== false) assertWillNotBlock(this.#context)
    if (this.#cache !== undefined) return
    this.#context.beforeRead?.()
    const bound = new WaitBound(this.#context, options)
    try {
      const how = { signal: bound.signal, every: true, ...intervalOf(options) }
      for await (const meta of this.#context.backend.watch([this.id], how)) {
        this.#keep(meta)
        if (READY_STATES.has(meta.state)) return
        yield { state: meta.state, meta: EXCEPTION_STATES.has(meta.state) ? toTaskError(meta) : meta.result }
      }
      bound.check()
    } finally {
      bound.end()
    }
  }

  /** Throws the error of a failed or revoked task; else returns its value. Does not wait. */
  async maybeThrow(options: ThrowOptions = {}): Promise<unknown> {
    const meta = await this.meta()
    return meta === undefined ? undefined : this.#valueOf(meta, options)
  }

  /** The tree of results below this one, breadth first: pairs of a parent and a node. See `iterateDependencies`. */
  iterdeps(options: { readonly intermediate?: boolean } = {}): ReturnType<typeof iterateDependencies> {
    return iterateDependencies(this, options)
  }

  /** Waits for every result of the tree and yields it with its value. */
  collect(options: GetOptions & { readonly intermediate?: boolean } = {}): ReturnType<typeof collectValues> {
    return collectValues(this, options)
  }

  /** The value of the last result of the tree. */
  getLeaf(options: GetOptions = {}): Promise<unknown> {
    return leafValue(this, options)
  }

  /** The tree of results as a graph; `toDot()` draws it. */
  graph(options: { readonly intermediate?: boolean } = {}): Promise<ResultGraph> {
    return graphOf(this, options)
  }

  asTuple(): ResultTuple {
    return [[this.id, this.parent?.asTuple() ?? null], null]
  }

  /** This id and those of the parents, nearest first. */
  asList(): readonly string[] {
    const ids: string[] = []
    for (let node: AnyResult | undefined = this; node !== undefined; node = node.parent) {
      if (node.id !== undefined) ids.push(node.id)
    }
    return ids
  }

  /** By id, with another result or a plain id. */
  equals(other: unknown): boolean {
    return other instanceof AsyncResult ? other.id === this.id : other === this.id
  }

  /** The id. */
  toString(): string {
    return this.id
  }

  /** The tuple, from which `resultFromTuple` makes a result again. */
  toJSON(): ResultTuple {
    return this.asTuple()
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `<${this.constructor.name}: ${this.id}>`
  }

  async #wait(bound: WaitBound, options: TaskGetOptions, parents?: ParentErrors): Promise<ResultMeta> {
    const { backend } = this.#context
    this.#context.beforeRead?.()
    if (parents !== undefined) bound.repeat(() => parents.lookAside())
    // Who asks for messages gets those of the parents, too.
    const ids = options.onMessage === undefined ? [this.id] : [this.id, ...(parents?.ids ?? [])]
    for await (const meta of backend.watch(ids, { signal: bound.signal, ...intervalOf(options) })) {
      options.onMessage?.(meta)
      if (meta.taskId !== this.id) continue
      // A body fails because of a part, whose error says more.
      if (parents !== undefined && PROPAGATE_STATES.has(meta.state)) {
        await bound.until(parents.lookAside())
        bound.check()
      }
      return this.#keep(meta)
    }
    bound.check()
    // A result that came with the last tick of the clock is not thrown away.
    const last = await bound.lastLook(backend.fetch(this.id))
    if (last !== undefined && READY_STATES.has(last.state)) return this.#keep(last)
    if (parents !== undefined) await bound.lastLook(parents.look())
    throw new ResultTimeoutError(
      this.id,
      `The operation timed out: task ${this.id} was ${last?.state ?? 'PENDING'} after ${options.timeout} s. It goes on, ` +
        `and its result can still be asked for. PENDING may also mean that the id is unknown, that no worker serves ` +
        `its queue, or that the worker stores results elsewhere than in ${backend.displayUrl}.`,
    )
  }

  #valueOf(meta: ResultMeta, { propagate = true, callback }: ThrowOptions): R | TaskError {
    const isError = EXCEPTION_STATES.has(meta.state)
    const value = isError ? toTaskError(meta) : (meta.result as R)
    if (propagate && PROPAGATE_STATES.has(meta.state)) throw value
    callback?.(this.id, value)
    return value
  }

  #keep(meta: ResultMeta): ResultMeta {
    if (READY_STATES.has(meta.state)) this.#cache = meta
    return meta
  }
}

/** The result that an `as_tuple` form describes (surface RES-018, RES-078). Throws `DecodeError`. */
export function resultFromTuple(tuple: unknown, context: ResultContext): AnyResult {
  return buildResult(tuple, {
    task: (id, parent) => new AsyncResult(id, context, { parent }),
    group: (id, results, parent) => new GroupResult(id, results, context, { parent }),
  })
}

/** The group that was saved under `id`, or `undefined` (Celery's `GroupResult.restore`, surface RES-073). */
export async function restoreGroup(id: string, context: ResultContext): Promise<GroupResult | undefined> {
  const tuple = await context.backend.fetchGroup(id)
  if (tuple === undefined) return undefined
  const result = resultFromTuple(tuple, context)
  return result instanceof GroupResult ? result : undefined
}

function intervalOf({ interval }: Pick<WaitOptions, 'interval'>): { readonly interval?: number } {
  return interval === undefined ? {} : { interval }
}

/** Fields that the store may hold as null. */
function optional<T>(value: unknown): T | undefined {
  return value === null || value === undefined ? undefined : (value as T)
}
