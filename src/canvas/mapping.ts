/**
 * One task for many items (`celery/canvas.py` xmap, xstarmap, chunks; surface CNV-132 to CNV-135).
 *
 * Rule 1: map and starmap are one message each: the worker that gets it calls the task for all items, one by one.
 * Rule 2: they are immutable, have no `subtask_type` on the wire, and go where the task inside them goes.
 * Rule 3: chunks that are sent are a group of starmaps; as part of another canvas they are one task, `celery.chunks`,
 * which sends the group from a worker.
 */
import { pyRepr } from '../../protocol/python-repr.js'
import type { GroupResult } from '../backend/group-result.js'
import { InvalidArgumentError } from '../errors.js'
import type { Arguments } from './call-types.js'
import { Group } from './group.js'
import { type Member, Members } from './members.js'
import type { Outbox } from './outbox.js'
import { Signature, type SignatureCall, type SignatureParts, type WireCall, wireCall } from './signature.js'
import type { Call, SignatureApp } from './signature-app.js'
import type { WireOptions } from './wire-options.js'

/** A map or starmap; its result is the list of the task's results. */
export class Mapped<R = unknown> extends Signature<Arguments, R[]> {
  constructor(
    app: SignatureApp,
    task: 'celery.map' | 'celery.starmap',
    parts: { readonly task: Member; readonly it: Iterable<unknown>; readonly options?: WireOptions },
  ) {
    const { it, options } = parts
    const kwargs = { task: parts.task, it: Array.isArray(it) ? it : [...it] }
    super(app, { task, kwargs, immutable: true, options: options ?? {} })
  }

  /** The task that is called for each item. */
  get mapped(): Member {
    return this.kwargs['task'] as Member
  }

  override toString(): string {
    const items = pyRepr(this.kwargs.it)
    const argument = this.task === 'celery.map' ? 'x' : '*x'
    return `[${this.mapped.task}(${argument}) for x in ${items.length > 100 ? `${items.slice(0, 97)}...` : items}]`
  }

  protected override callWith(options: WireOptions, call: WireCall): Call {
    const ready = super.callWith(options, call)
    return { ...ready, options: { routeName: this.mapped.task, ...ready.options } }
  }

  protected override copy({ options }: SignatureParts): this {
    const task = this.task as 'celery.map' | 'celery.starmap'
    return new Mapped<R>(this.app, task, {
      task: this.mapped,
      it: this.kwargs['it'] as unknown[],
      options,
    }) as this
  }
}

/** Chunks; its result is a list of results for each. */
export class Chunks<R = unknown> extends Signature<Arguments, R[][], GroupResult<R[][]>> {
  readonly mapped: Member
  readonly it: readonly unknown[]
  readonly n: number

  /** Throws `InvalidArgumentError` unless `n` is a whole number of at least 1. */
  constructor(
    app: SignatureApp,
    parts: {
      readonly task: Member
      readonly it: Iterable<unknown>
      readonly n: number
      readonly options?: WireOptions
    },
  ) {
    const { task, n, options } = parts
    if (!Number.isInteger(n) || n < 1)
      throw new InvalidArgumentError(`Chunks are of 1 item or more, not of ${n}`)
    const it = [...parts.it]
    super(app, { task: 'celery.chunks', kwargs: { task, it, n }, immutable: true, options: options ?? {} })
    this.mapped = task
    this.it = it
    this.n = n
  }

  /** The group of starmaps, for chords and chains (surface CNV-135). */
  group(): Group<Arguments, R[][]> {
    const { app, mapped, it, n } = this
    const members = Array.from(
      { length: Math.ceil(it.length / n) },
      (_, index) =>
        new Mapped(app, 'celery.starmap', { task: mapped, it: it.slice(index * n, (index + 1) * n) }),
    )
    return new Group<Arguments, R[][]>(app, new Members(members))
  }

  override applyAsync(call: SignatureCall = {}): Promise<GroupResult<R[][]>> {
    const { task_id: _id, ...own } = this.wireOptions
    const { options } = wireCall(call)
    const signal = call.signal === undefined ? {} : { signal: call.signal }
    return this.group()
      .setWire(own)
      .setWire(options ?? {})
      .applyAsync(signal)
  }

  override applyWire({ options = {} }: WireCall): Promise<GroupResult<R[][]>> {
    return this.group().applyWire({ options: { ...this.wireOptions, ...options } })
  }

  override get isSingle(): boolean {
    return false
  }

  override plan({ options = {} }: WireCall, outbox: Outbox): GroupResult<R[][]> {
    return this.group().plan({ options: { ...this.wireOptions, ...options } }, outbox)
  }

  /** As part of another canvas they are the task of their name. */
  protected override copy({ args, kwargs, options }: SignatureParts): this {
    const plain: Member = new Signature(this.app, { task: this.task, args, kwargs, options, immutable: true })
    return plain as this
  }
}
