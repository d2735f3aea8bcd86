/**
 * What to run, as data: one call with its arguments and options (`celery/canvas.py` Signature; surface 9.1,
 * wire-format 2.1).
 *
 * Rule 1: what it writes are Celery's six keys, in Celery's order; `options` are by wire names at all times, so what
 * Python wrote travels on untouched.
 * Rule 2: applied with more arguments, those come BEFORE the stored ones; `immutable` drops them, options still merge.
 * Rule 3: `set`, `link`, `linkError`, `freeze` and `stamp` change this signature; `clone` first to keep another.
 * Rule 4: signatures among the options are kept as they are, not copied: a body that is frozen later is frozen in the
 * options of its header too.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SignatureData } from '../../protocol/signature-data.js'
import { Tuple } from '../../protocol/values.js'
import type { AnyResult } from '../backend/any-result.js'
import type { AsyncResult } from '../backend/async-result.js'
import type { EagerResult } from '../backend/eager-result.js'
import type { AnyKwargs, Arguments } from './call-types.js'
import type { AnySignature, Fits, HandleOfLast, io, ResultOfLast, Step } from './canvas-types.js'
import { type Kw, splitArguments } from './kw.js'
import type { Outbox } from './outbox.js'
import type { Linkable, SendOptions } from './send-options.js'
import type { Call, SignatureApp } from './signature-app.js'
import { callText } from './signature-text.js'
import {
  mergedStamps,
  type StampingVisitor,
  type StampOptions,
  type Stamps,
  stampLinks,
  stampsOf,
} from './stamps.js'
import { optionsFromWire, optionsToWire, signatureDataOf, type WireOptions } from './wire-options.js'

/** How a signature is made. */
export interface SignatureInit {
  readonly task: string
  readonly args?: readonly unknown[]
  readonly kwargs?: AnyKwargs
  /** By wire names. */
  readonly options?: WireOptions
  readonly immutable?: boolean
  /** True when the arguments were given one by one, which only `argsrepr` shows. Default true. */
  readonly argsAsTuple?: boolean
}

/** What `freeze` may set; each only where given (surface CNV-011). */
export interface FreezeOptions {
  readonly taskId?: string | undefined
  readonly groupId?: string | undefined
  readonly chord?: Linkable | undefined
  readonly rootId?: string | undefined
  readonly parentId?: string | undefined
  readonly groupIndex?: number | undefined
}

/** Options of `applyAsync` on a signature: arguments to put before the stored ones, and call options. */
export type SignatureCall<A extends Arguments = Arguments> = SendOptions & {
  readonly args?: A
  readonly kwargs?: AnyKwargs
}

/** A call by wire names. */
export interface WireCall {
  readonly args?: Arguments | undefined
  readonly kwargs?: AnyKwargs | undefined
  readonly options?: WireOptions | undefined
  /** `interval`, `countdown` and `max_retries` of the `celery.chord_unlock` of a chord, where one is sent. */
  readonly unlock?: WireOptions | undefined
}

/** The parts of a copy. */
export interface SignatureParts {
  readonly args: Arguments
  readonly kwargs: AnyKwargs
  readonly options: WireOptions
}

const keptOnceSet: readonly string[] = ['group_id', 'stamped_headers']
const nothing: ReadonlySet<unknown> = new Set()
const NONE: readonly string[] = []

/**
 * A call that can be sent, linked, stored or passed on; `A` are the arguments it still takes, `R` its result, `H` what
 * one waits with.
 */
export class Signature<A extends Arguments = Arguments, R = unknown, H extends AnyResult = AsyncResult<R>>
  implements Step<A, R, H>
{
  /** Only in the types. */
  declare readonly [io]?: { readonly args: A; readonly result: R; readonly handle: H }
  readonly task: string
  readonly args: readonly unknown[]
  readonly kwargs: AnyKwargs
  protected ownApp: SignatureApp
  protected wireOptions: Record<string, unknown>
  protected isImmutable: boolean
  private readonly argsAsTuple: boolean

  constructor(app: SignatureApp, init: SignatureInit) {
    this.ownApp = app
    this.task = init.task
    this.args = init.args ?? []
    this.kwargs = init.kwargs ?? {}
    this.wireOptions = { ...init.options }
    this.isImmutable = init.immutable ?? false
    this.argsAsTuple = init.argsAsTuple ?? true
  }

  /** Where it is sent from. */
  get app(): SignatureApp {
    return this.ownApp
  }

  /** Options by wire names. */
  get options(): WireOptions {
    return this.wireOptions
  }

  /** True when arguments given at the call are ignored (`si`). */
  get immutable(): boolean {
    return this.isImmutable
  }

  /** The id it was frozen with. */
  get id(): string | undefined {
    return (this.wireOptions['task_id'] as string | null | undefined) ?? undefined
  }

  /** `chain`, `group` or `chord`; null for single tasks (surface CNV-001). */
  get subtaskType(): string | null {
    return null
  }

  /** Whether one message is all that it is. */
  get isSingle(): boolean {
    return true
  }

  /** The six keys of wire-format 2.1, in Celery's order. */
  toSignatureData(): SignatureData {
    return this.written(nothing)
  }

  /** The data without those `chord` options that are one of `left`: the receiver makes them anew (see `Chord`). */
  written(left: ReadonlySet<unknown>): SignatureData {
    return {
      task: this.task,
      args: this.argsAsTuple && !(this.args instanceof Tuple) ? Tuple.from(this.args) : this.args,
      kwargs: this.writtenKwargs(left),
      options: this.writtenOptions(left),
      subtask_type: this.subtaskType,
      immutable: this.isImmutable,
    }
  }

  /** What `JSON.stringify` writes. */
  toJSON(): SignatureData {
    return this.toSignatureData()
  }

  /** Sends it, with more arguments before its own. Resolves when the broker has the message. */
  delay(...args: A | [...A, Kw<AnyKwargs>]): Promise<H> {
    return this.applyAsync(splitArguments(args) as SignatureCall<A>)
  }

  /** Sends it; options win over the stored ones, but for the group id and stamps (surface CNV-005). */
  async applyAsync(call: SignatureCall<A> = {}): Promise<H> {
    const { signal } = call
    const { options, ...ready } = this.callOf(wireCall(call))
    const result = await this.app.dispatch({ ...ready, options: signal ? { ...options, signal } : options })
    return result as AnyResult as H
  }

  /** `applyAsync` with everything by wire names, as the worker has it. */
  async applyWire(call: WireCall): Promise<H> {
    return (await this.app.dispatch(this.callOf(call))) as AnyResult as H
  }

  /** Puts the calls to send into `outbox`, and returns the result to wait for. */
  plan(call: WireCall, outbox: Outbox): H {
    const ready = this.callOf(call)
    const taskId = ready.options.taskId || this.app.newId()
    outbox.calls.push({ ...ready, options: { ...ready.options, taskId } })
    return this.app.asyncResult(taskId) as AnyResult as H
  }

  /** Freezes a copy of a single task and plans that, without making the copy: a group may have thousands. */
  planFrozen(frozen: FreezeOptions, call: WireCall, outbox: Outbox): H {
    const wire = structureOf(this.wireOptions)
    const taskId = this.frozenInto(wire, frozen)
    outbox.calls.push(this.callWith(mergeInto(wire, call.options ?? {}), call))
    return this.app.asyncResult(taskId) as AnyResult as H
  }

  /** Runs it here, now, with a result (surface TST-003). Throws `TaskNotRegisteredError`. */
  apply(call: SignatureCall<A> = {}): Promise<EagerResult<R>> {
    return this.applyEagerly(wireCall(call)) as Promise<EagerResult<R>>
  }

  /** `apply` with everything by wire names. */
  applyEagerly(call: WireCall): Promise<AnyResult> {
    return this.app.dispatchEagerly(this.callOf(call))
  }

  /** Calls the function itself and returns what it returns (surface CNV-013). Throws `TaskNotRegisteredError`. */
  call(...args: A): R | Promise<R> {
    const { args: all, kwargs } = this.callOf({ args })
    return this.app.callTask(this.task, all, kwargs) as R | Promise<R>
  }

  /**
   * This one, then the next ones, each with the result of the one before it: Celery's `|` (surface 9.2). A group that
   * something follows becomes a chord. Throws `InvalidArgumentError` for what is no signature.
   */
  pipe<S extends readonly AnySignature[]>(
    ...next: [...S] & Fits<S, R>
  ): Signature<A, ResultOfLast<S, R>, HandleOfLast<S, H>> {
    const { algebra } = this.app
    return (next as readonly unknown[]).reduce((all, one) => algebra.join(all, one), this) as Signature<
      A,
      ResultOfLast<S, R>,
      HandleOfLast<S, H>
    >
  }

  /** A copy with more arguments before its own (unless it is immutable), and options over its own. */
  clone(call: SignatureCall = {}): this {
    return this.cloneWire(wireCall(call))
  }

  /** `clone` with everything by wire names. */
  cloneWire(call: WireCall): this {
    const { args = [], kwargs = {}, options } = call
    const mayTake = !this.isImmutable
    return this.copy({
      args: mayTake && args.length > 0 ? [...args, ...this.args] : this.args,
      kwargs: mayTake ? { ...this.kwargs, ...kwargs } : this.kwargs,
      options:
        options === undefined
          ? structureOf(this.wireOptions)
          : mergeOptions(this.wireOptions, options, 'all'),
    })
  }

  /** A copy with the parts that are given in the place of its own (surface CNV-009). */
  replace(parts: {
    readonly args?: Arguments
    readonly kwargs?: AnyKwargs
    readonly options?: SendOptions
  }): this {
    return this.copy({
      args: parts.args ?? this.args,
      kwargs: parts.kwargs ?? this.kwargs,
      options: parts.options === undefined ? structureOf(this.wireOptions) : optionsToWire(parts.options),
    })
  }

  /** Sets options of this signature and returns it. */
  set(options: SendOptions & { readonly immutable?: boolean }): this {
    const { immutable, ...rest } = options
    if (immutable !== undefined) this.setImmutable(immutable)
    return this.setWire(optionsToWire(rest))
  }

  /** `set` by wire names. */
  setWire(options: WireOptions): this {
    Object.assign(this.wireOptions, options)
    return this
  }

  /** Whether arguments given at the call are ignored; of groups and chords, those of every member. */
  setImmutable(immutable: boolean): void {
    this.isImmutable = immutable
  }

  /** Sends `callback` with the result when the task succeeds; returns `callback` (surface CNV-010). */
  link<C extends Linkable>(callback: C): C {
    this.append('link', callback)
    return callback
  }

  /** Sends `errback` when the task fails; returns `errback`. */
  linkError<C extends Linkable>(errback: C): C {
    this.append('link_error', errback)
    return errback
  }

  /** `linkError` that returns this signature. */
  onError(errback: Linkable): this {
    this.linkError(errback)
    return this
  }

  /** This signature's data and those of its callbacks, and theirs (surface CNV-014). */
  flattenLinks(): readonly SignatureData[] {
    return linksOf(this.toSignatureData())
  }

  /**
   * Adds stamps: custom headers that are shown with the task, and by which tasks can be revoked (surface 9.9). Either
   * the stamps themselves, or a visitor that is asked for those of every part. Returns this signature.
   */
  stamp(by: Stamps | StampingVisitor, options: StampOptions = {}): this {
    const { visitor, append, headers } = stampsOf(by, options)
    this.stampWith(visitor, append, headers)
    return this
  }

  /** `stamp` with what was given from above. */
  stampWith(visitor: StampingVisitor | undefined, append: boolean, headers: Stamps): void {
    stampLinks(this, visitor, append, headers)
    this.setWire(
      mergedStamps(this.wireOptions, visitor && (visitor.onSignature(this, headers) ?? {}), append, headers),
    )
  }

  /** Gives it the id that its task will have, and returns the result to wait for (surface CNV-011). */
  freeze(options: FreezeOptions = {}): H {
    return this.app.asyncResult(this.frozenInto(this.wireOptions, options)) as AnyResult as H
  }

  /** Reads what asynchronous iterables in it have to give; the rest of a canvas needs no waiting. */
  async load(_signal?: AbortSignal): Promise<void> {}

  /** How many completions it counts for in the header of a chord (surface CNV-086). */
  chordSize(): number {
    return 1
  }

  /** True when a chord is in it. */
  hasChord(): boolean {
    return false
  }

  /** True for a signature, or data, that says the same (surface CNV-017). */
  equals(other: Linkable): boolean {
    return isDeepStrictEqual(plain(this.toSignatureData()), plain(signatureDataOf(other)))
  }

  /** As Celery shows it: `t.add(2, y=3)` (surface CNV-018). */
  toString(): string {
    return this.textWith([])
  }

  /** The same with texts of more arguments before its own. */
  textWith(before: readonly string[]): string {
    return callText(this.task, before, this.args, this.kwargs)
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }

  protected copy(parts: SignatureParts): this {
    const { isImmutable: immutable, argsAsTuple } = this
    return new Signature<A, R, H>(this.app, { task: this.task, ...parts, immutable, argsAsTuple }) as this
  }

  protected writtenKwargs(_left: ReadonlySet<unknown>): AnyKwargs {
    return this.kwargs
  }

  protected writtenOptions(left: ReadonlySet<unknown>): WireOptions {
    const options = this.wireOptions
    let copied: Record<string, unknown> | undefined
    for (const name of ['link', 'link_error', 'chain', 'chord']) {
      const value = options[name]
      if (value === undefined || value === null) continue
      copied ??= { ...options }
      if (name === 'chord' && left.has(value)) delete copied[name]
      else
        copied[name] = Array.isArray(value)
          ? value.map((one) => writtenOf(one, left))
          : writtenOf(value, left)
    }
    return copied ?? options
  }

  private callOf(call: WireCall): Call {
    return this.callWith(mergeOptions(this.wireOptions, call.options ?? {}), call)
  }

  protected callWith(options: WireOptions, { args = [], kwargs = {} }: WireCall): Call {
    const taken = this.isImmutable ? [] : args
    return {
      name: this.task,
      args: taken.length > 0 ? [...taken, ...this.args] : this.args,
      kwargs: this.isImmutable ? this.kwargs : { ...this.kwargs, ...kwargs },
      argsAsTuple: this.argsAsTuple || args.length > 0,
      options: optionsFromWire(options),
    }
  }

  /** Freezes these options, which are its own or a copy; gives the id. */
  private frozenInto(wire: Record<string, unknown>, options: FreezeOptions): string {
    const id = (wire['task_id'] as string | undefined) || options.taskId || this.app.newId()
    wire['task_id'] = id
    if (options.rootId) wire['root_id'] = options.rootId
    if (options.parentId) wire['parent_id'] = options.parentId
    if (!('reply_to' in wire)) wire['reply_to'] = this.app.oid
    if (options.groupId && !('group_id' in wire)) wire['group_id'] = options.groupId
    if (options.chord) wire['chord'] = options.chord
    if (options.groupIndex !== undefined) wire['group_index'] = options.groupIndex
    return id
  }

  private append(option: 'link' | 'link_error', value: Linkable): void {
    const data = plain(signatureDataOf(value))
    const before = this.wireOptions[option]
    const list = before === undefined || before === null ? [] : Array.isArray(before) ? before : [before]
    const isThere = list.some((one) => isDeepStrictEqual(plain(signatureDataOf(one)), data))
    this.wireOptions[option] = isThere ? list : [...list, value]
  }
}

/** The data of a signature or of its data, without the `chord` options in `left`. */
export function writtenOf(value: unknown, left: ReadonlySet<unknown>): unknown {
  return value instanceof Signature ? value.written(left) : value
}

/** A call by wire names of one by ours; the signal stays out. */
export function wireCall({ args, kwargs, signal: _signal, ...options }: SignatureCall): WireCall {
  return { args, kwargs, options: optionsToWire(options) }
}

/**
 * Options of a call over those of a signature (`canvas.py` `_merge`; surface CNV-005); a new record. Of the call's,
 * those that are null are left out (surface CNV-006), unless `nulls` is `all`.
 */
export function mergeOptions(
  stored: WireOptions,
  given: WireOptions,
  nulls: 'dropped' | 'all' = 'dropped',
): Record<string, unknown> {
  return mergeInto(structureOf(stored), given, nulls)
}

/** `mergeOptions` into a copy of the stored ones, which it gives back. */
function mergeInto(
  stored: Record<string, unknown>,
  given: WireOptions,
  nulls: 'dropped' | 'all' = 'dropped',
): Record<string, unknown> {
  const stamped = stored['stamped_headers']
  const stampNames = Array.isArray(stamped) ? stamped.map(String) : NONE
  for (const name in given) {
    const value = given[name]
    if (value === undefined || (value === null && nulls === 'dropped')) continue
    const isKept = (keptOnceSet.includes(name) || stampNames.includes(name)) && name in stored
    if (!isKept) stored[name] = value
  }
  return stored
}

/** A copy whose lists can be appended to without touching the original's (surface CNV-008). */
export function structureOf(options: WireOptions): Record<string, unknown> {
  const copied: Record<string, unknown> = { ...options }
  for (const name in copied) {
    const value = copied[name]
    if (Array.isArray(value)) copied[name] = [...value]
  }
  return copied
}

function linksOf(data: SignatureData): readonly SignatureData[] {
  const options = data['options'] as WireOptions | undefined
  const link = options?.['link']
  const callbacks = link === undefined || link === null ? [] : Array.isArray(link) ? link : [link]
  return [data, ...callbacks.flatMap((one) => linksOf(signatureDataOf(one)))]
}

/** A signature inside arguments or options compares by its data. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Signature) return plain(value.toSignatureData())
  if (Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}
