/**
 * What to run, as data: one call with its arguments and options (`celery/canvas.py` Signature; surface 9.1,
 * wire-format 2.1).
 *
 * Rule 1: what it writes are Celery's six keys, in Celery's order; `options` are by wire names at all times, so what
 * Python wrote travels on untouched.
 * Rule 2: applied with more arguments, those come BEFORE the stored ones; `immutable` drops them, options still merge.
 * Rule 3: `set`, `link` and `linkError` change this signature; `clone` first to keep another.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SignatureData } from '../../protocol/signature-data.js'
import { Tuple } from '../../protocol/values.js'
import type { AsyncResult } from '../backend/async-result.js'
import type { EagerResult } from '../backend/eager-result.js'
import { InvalidArgumentError } from '../errors.js'
import type { AnyKwargs, Arguments } from './call-types.js'
import { type Kw, splitArguments } from './kw.js'
import type { Linkable, SendOptions } from './send-options.js'
import type { Call, SignatureApp } from './signature-app.js'
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
  readonly taskId?: string
  readonly groupId?: string
  readonly chord?: Linkable
  readonly rootId?: string
  readonly parentId?: string
  readonly groupIndex?: number
}

/** Options of `applyAsync` on a signature: arguments to put before the stored ones, and call options. */
export type SignatureCall<A extends Arguments = Arguments> = SendOptions & {
  readonly args?: A
  readonly kwargs?: AnyKwargs
}

/** Types that are one task on the wire (wire-format 2.2). */
const singleTasks: ReadonlySet<string> = new Set(['xmap', 'xstarmap', 'chunks'])

const keptOnceSet: readonly string[] = ['group_id', 'stamped_headers']

/** A call that can be sent, linked, stored or passed on; `A` are the arguments it still takes, `R` its result. */
export class Signature<A extends Arguments = Arguments, R = unknown> {
  readonly task: string
  readonly args: readonly unknown[]
  readonly kwargs: AnyKwargs
  private wireOptions: Record<string, unknown>
  private isImmutable: boolean
  private readonly argsAsTuple: boolean
  private readonly app: SignatureApp

  constructor(app: SignatureApp, init: SignatureInit) {
    this.app = app
    this.task = init.task
    this.args = init.args ?? []
    this.kwargs = init.kwargs ?? {}
    this.wireOptions = { ...init.options }
    this.isImmutable = init.immutable ?? false
    this.argsAsTuple = init.argsAsTuple ?? true
  }

  /**
   * A signature from its data, as read from the wire or made by hand. Throws `InvalidArgumentError` for data that is
   * not a plain task's: chains, groups and chords are made of several.
   */
  static fromData(app: SignatureApp, data: SignatureData): Signature {
    const { task, args, kwargs, options, subtask_type: type, immutable } = data
    if (typeof task !== 'string' || task === '') {
      throw new InvalidArgumentError('A signature needs the name of its task under "task"')
    }
    if (type && !singleTasks.has(String(type))) {
      throw new InvalidArgumentError(
        `Signature ${task} has subtask_type ${JSON.stringify(type)}; only signatures of single tasks can be sent from here`,
      )
    }
    return new Signature(app, {
      task,
      args: listOf(args, task),
      kwargs: recordOf(kwargs, 'kwargs', task),
      options: recordOf(options, 'options', task),
      immutable: Boolean(immutable),
      argsAsTuple: args instanceof Tuple,
    })
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
    return this.wireOptions.task_id as string | undefined
  }

  /** The six keys of wire-format 2.1, in Celery's order. */
  toSignatureData(): SignatureData {
    return {
      task: this.task,
      args: this.args,
      kwargs: this.kwargs,
      options: this.wireOptions,
      subtask_type: null,
      immutable: this.isImmutable,
    }
  }

  /** What `JSON.stringify` writes. */
  toJSON(): SignatureData {
    return this.toSignatureData()
  }

  /** Sends it, with more arguments before its own. Resolves when the broker has the message. */
  delay(...args: A | [...A, Kw<AnyKwargs>]): Promise<AsyncResult<R>> {
    return this.applyAsync(splitArguments(args) as SignatureCall<A>)
  }

  /** Sends it; options win over the stored ones, but for the group id and stamps (surface CNV-005). */
  async applyAsync(call: SignatureCall<A> = {}): Promise<AsyncResult<R>> {
    return (await this.app.dispatch(this.merged(call))) as AsyncResult<R>
  }

  /** Runs it here, now, with a result (surface TST-003). Throws `TaskNotRegisteredError`. */
  async apply(call: SignatureCall<A> = {}): Promise<EagerResult<R>> {
    return (await this.app.dispatchEagerly(this.merged(call))) as EagerResult<R>
  }

  /** Calls the function itself and returns what it returns (surface CNV-013). Throws `TaskNotRegisteredError`. */
  call(...args: A): R | Promise<R> {
    const { args: all, kwargs } = this.merged({ args })
    return this.app.callTask(this.task, all, kwargs) as R | Promise<R>
  }

  /** A copy with more arguments before its own, and options over its own. */
  clone(call: SignatureCall = {}): Signature<A, R> {
    const { args, kwargs, options } = this.merge(call, { evenImmutable: true })
    return this.copy({ args, kwargs, options })
  }

  /** A copy with the parts that are given in the place of its own (surface CNV-009). */
  replace(parts: {
    readonly args?: Arguments
    readonly kwargs?: AnyKwargs
    readonly options?: SendOptions
  }): Signature<A, R> {
    return this.copy({
      args: parts.args ?? this.args,
      kwargs: parts.kwargs ?? this.kwargs,
      options: parts.options === undefined ? structureOf(this.wireOptions) : optionsToWire(parts.options),
    })
  }

  /** Sets options of this signature and returns it. */
  set(options: SendOptions & { readonly immutable?: boolean }): this {
    const { immutable, ...rest } = options
    if (immutable !== undefined) this.isImmutable = immutable
    Object.assign(this.wireOptions, optionsToWire(rest))
    return this
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
    this.append('link_error', errback)
    return this
  }

  /** This signature's data and those of its callbacks, and theirs (surface CNV-014). */
  flattenLinks(): readonly SignatureData[] {
    return linksOf(this.toSignatureData())
  }

  /** Gives it the id that its task will have, and returns the result to wait for (surface CNV-011). */
  freeze(options: FreezeOptions = {}): AsyncResult<R> {
    const wire = this.wireOptions
    const id = (wire.task_id as string | undefined) ?? options.taskId ?? this.app.newId()
    wire.task_id = id
    if (options.rootId) wire.root_id = options.rootId
    if (options.parentId) wire.parent_id = options.parentId
    if (!('reply_to' in wire)) wire.reply_to = this.app.oid
    if (options.groupId && !('group_id' in wire)) wire.group_id = options.groupId
    if (options.chord) wire.chord = signatureDataOf(options.chord)
    if (options.groupIndex !== undefined) wire.group_index = options.groupIndex
    return this.app.asyncResult<R>(id)
  }

  /** True for a signature, or data, that says the same (surface CNV-017). */
  equals(other: Linkable): boolean {
    return isDeepStrictEqual(plain(this.toSignatureData()), plain(signatureDataOf(other)))
  }

  private merged(call: SignatureCall): Call {
    const { args, kwargs, options } = this.merge(call, { evenImmutable: false })
    const signal = call.signal === undefined ? {} : { signal: call.signal }
    const argsAsTuple = this.argsAsTuple || (call.args !== undefined && call.args.length > 0)
    return { name: this.task, args, kwargs, argsAsTuple, options: { ...optionsFromWire(options), ...signal } }
  }

  private merge(
    call: SignatureCall,
    how: { readonly evenImmutable: boolean },
  ): { args: Arguments; kwargs: AnyKwargs; options: Record<string, unknown> } {
    const { args = [], kwargs = {}, ...rest } = call
    const options = mergeOptions(this.wireOptions, optionsToWire(rest))
    if (this.isImmutable && !how.evenImmutable) return { args: this.args, kwargs: this.kwargs, options }
    return { args: [...args, ...this.args], kwargs: { ...this.kwargs, ...kwargs }, options }
  }

  private copy(parts: { args: Arguments; kwargs: AnyKwargs; options: WireOptions }): Signature<A, R> {
    const { isImmutable: immutable, argsAsTuple } = this
    return new Signature<A, R>(this.app, { task: this.task, ...parts, immutable, argsAsTuple })
  }

  private append(option: 'link' | 'link_error', value: Linkable): void {
    const data = signatureDataOf(value)
    const before = this.wireOptions[option]
    const list = before === undefined || before === null ? [] : Array.isArray(before) ? before : [before]
    const isThere = list.some((one) => isDeepStrictEqual(plain(signatureDataOf(one)), plain(data)))
    this.wireOptions[option] = isThere ? list : [...list, data]
  }
}

/** Options of a call over those of a signature (`canvas.py` `_merge`; surface CNV-005, CNV-006); a new record. */
export function mergeOptions(stored: WireOptions, given: WireOptions): Record<string, unknown> {
  const stampNames = Array.isArray(stored.stamped_headers) ? stored.stamped_headers.map(String) : []
  const kept = new Set([...keptOnceSet, ...stampNames].filter((name) => name in stored))
  const merged = structureOf(stored)
  for (const [name, value] of Object.entries(given)) {
    if (value !== null && value !== undefined && !kept.has(name)) merged[name] = value
  }
  return merged
}

/** A copy whose lists can be appended to without touching the original's (surface CNV-008). */
function structureOf(options: WireOptions): Record<string, unknown> {
  const copied = Object.entries(options).map(([name, value]) => [
    name,
    Array.isArray(value) ? [...value] : value,
  ])
  return Object.fromEntries(copied) as Record<string, unknown>
}

function linksOf(data: SignatureData): readonly SignatureData[] {
  const link = recordOf(data.options, 'options', String(data.task)).link
  const callbacks = link === undefined || link === null ? [] : Array.isArray(link) ? link : [link]
  return [data, ...callbacks.flatMap((one) => linksOf(signatureDataOf(one)))]
}

function listOf(value: unknown, task: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  throw new InvalidArgumentError(`Signature ${task}: task args must be a list or tuple`)
}

function recordOf(value: unknown, what: string, task: string): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>
  throw new InvalidArgumentError(`Signature ${task}: task ${what} must be a mapping`)
}

/** A signature inside arguments or options compares by its data. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Signature) return plain(value.toSignatureData())
  if (Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}
