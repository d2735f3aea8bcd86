/**
 * A task by its name: everything that can be asked of a task without its function (`celery/app/task.py` delay,
 * apply_async, s, si, signature; surface 2.4).
 */
import type { AsyncResult } from '../backend/async-result.js'
import type { AnyKwargs, Arguments, CallArguments, Prefix, Suffix, Without } from '../canvas/call-types.js'
import { type Kw, splitArguments } from '../canvas/kw.js'
import { Chunks, Mapped } from '../canvas/mapping.js'
import type { SendOptions } from '../canvas/send-options.js'
import { Signature } from '../canvas/signature.js'
import type { Call } from '../canvas/signature-app.js'
import { optionsToWire } from '../canvas/wire-options.js'
import { InvalidArgumentError } from '../errors.js'
import type { TaskApp } from './task-app.js'

/** `applyAsync`: the arguments, all of them by position or the last ones by keyword, and call options. */
export type TaskCall<A extends Arguments, K extends object> = SendOptions &
  (
    | { readonly args: A; readonly kwargs?: K }
    | { readonly args?: Prefix<A>; readonly kwargs: K }
    | ([] extends A ? { readonly args?: A; readonly kwargs?: K } : never)
  )

/** The parameter of `applyAsync` and `apply`, which may be left out when the task needs no arguments. */
export type OptionalCall<A extends Arguments, K extends object, More = unknown> = [] extends A
  ? [call?: TaskCall<A, K> & More]
  : [call: TaskCall<A, K> & More]

/** What `signature()` takes; arguments may come later. */
export type SignatureCall<A extends Arguments, K extends object> = SendOptions & {
  readonly args?: Suffix<A> | Prefix<A>
  readonly kwargs?: K
  readonly immutable?: boolean
}

/** Sends one task; `A` are its arguments, `R` its result, `K` the keyword arguments it knows. */
export abstract class TaskHandle<A extends Arguments = Arguments, R = unknown, K extends object = AnyKwargs> {
  abstract readonly name: string
  protected readonly app: TaskApp
  /** Options of every call through this handle; those of the call win. */
  protected readonly presets: SendOptions

  constructor(app: TaskApp, presets: SendOptions = {}) {
    this.app = app
    // Frozen, so that a publisher may work out once what they mean.
    this.presets = Object.freeze({ ...presets })
  }

  /** Sends a call of this task. */
  abstract send(call: Call): Promise<AsyncResult<unknown>>

  /** Sends calls of this task together. */
  abstract sendMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]>

  /**
   * Sends the task with these arguments; keyword arguments for Python go last, in `kw(...)`. Resolves when the broker
   * has the message. Throws `TypeError` for arguments that do not fit, `EncodeError`, `BrokerUnavailableError`.
   */
  delay(...args: CallArguments<A, K>): Promise<AsyncResult<Awaited<R>>> {
    return this.start(() => positional(args))
  }

  /** `delay` with call options (surface 3.1). */
  applyAsync(...[call]: OptionalCall<A, K>): Promise<AsyncResult<Awaited<R>>> {
    return this.start(() => splitCall(call))
  }

  /**
   * `delay` for many calls, each a list of arguments, in as few round trips as the broker allows; the results come in
   * the order of the calls. All are checked, routed and encoded before anything is sent. Throws as `delay` does; after
   * `BrokerUnavailableError` some may have arrived.
   */
  async delayMany(calls: readonly CallArguments<A, K>[]): Promise<readonly AsyncResult<Awaited<R>>[]> {
    const { name, presets: options } = this
    const results = await this.sendMany(
      calls.map((given) => {
        const { args, kwargs } = splitArguments(given)
        return { name, args, kwargs, argsAsTuple: true, options }
      }),
    )
    return results as readonly AsyncResult<Awaited<R>>[]
  }

  /** A signature; arguments that are not given come before these when it is applied. */
  s<const G extends Suffix<A>>(...args: G): Signature<Without<A, G>, Awaited<R>>
  s<const G extends Prefix<A> | Suffix<A>>(...args: [...G, Kw<K>]): Signature<Prefix<A>, Awaited<R>>
  s(...given: Arguments): Signature<never, Awaited<R>> {
    return this.sign(positional(given), false)
  }

  /** An immutable signature: what it is applied with is ignored. */
  si(...given: CallArguments<A, K>): Signature<Arguments, Awaited<R>> {
    return this.sign(positional(given), true)
  }

  /** A signature with call options. */
  signature(call: SignatureCall<A, K> = {}): Signature<Prefix<A>, Awaited<R>> {
    const { immutable = false, ...rest } = call
    return this.sign(splitCall(rest), immutable)
  }

  /** One message whose worker calls the task for each item, one by one: `[task(x) for x in it]` (surface CNV-133). */
  map(items: Iterable<A[0]>): Mapped<Awaited<R>> {
    return new Mapped(this.app, 'celery.map', { task: this.bare(), it: items })
  }

  /** As `map`, each item being the list of arguments of a call. */
  starmap(items: Iterable<A>): Mapped<Awaited<R>> {
    return new Mapped(this.app, 'celery.starmap', { task: this.bare(), it: items })
  }

  /** A group of starmaps over `n` items each (surface CNV-132). Throws `InvalidArgumentError` for `n` below 1. */
  chunks(items: Iterable<A>, n: number): Chunks<Awaited<R>> {
    return new Chunks(this.app, { task: this.bare(), it: items, n })
  }

  /** The result of the call with this id. */
  asyncResult(taskId: string): AsyncResult<Awaited<R>> {
    return this.app.asyncResult<Awaited<R>>(taskId)
  }

  /** Not async itself: of a thousand calls under way, each promise in between would be kept until its answer. */
  private start(read: () => Omit<Call, 'name'>): Promise<AsyncResult<Awaited<R>>> {
    try {
      const { args, kwargs, argsAsTuple, options: given } = read()
      const options = given === noOptions ? this.presets : { ...this.presets, ...given }
      const sent = this.send({ name: this.name, args, kwargs, argsAsTuple, options })
      return sent as Promise<AsyncResult<Awaited<R>>>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  private bare(): Signature {
    return this.sign<Arguments>({ args: [], kwargs: {}, argsAsTuple: true, options: {} }, false)
  }

  private sign<B extends Arguments>(call: Omit<Call, 'name'>, immutable: boolean): Signature<B, Awaited<R>> {
    const options = optionsToWire({ ...this.presets, ...call.options })
    return new Signature(this.app, { task: this.name, ...call, options, immutable })
  }
}

/** Arguments and options apart. Throws `InvalidArgumentError` for arguments that are no list or mapping (PUB-001). */
export function splitCall(
  call: (SendOptions & { readonly args?: Arguments; readonly kwargs?: object }) | undefined,
): Omit<Call, 'name'> {
  const { args = [], kwargs = {}, ...options } = call ?? {}
  if (!Array.isArray(args)) throw new InvalidArgumentError('task args must be a list or tuple')
  if (typeof kwargs !== 'object' || Array.isArray(kwargs)) {
    throw new InvalidArgumentError('task keyword arguments must be a mapping')
  }
  return { args, kwargs: { ...kwargs }, argsAsTuple: false, options }
}

const noOptions: SendOptions = {}

function positional(given: Arguments): Omit<Call, 'name'> {
  const { args, kwargs } = splitArguments(given)
  return { args, kwargs, argsAsTuple: true, options: noOptions }
}
