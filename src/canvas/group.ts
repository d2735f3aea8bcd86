/**
 * Tasks that run side by side (`celery/canvas.py` group; surface 9.4).
 *
 * Rule 1: there is no message for a group: each member is a message with the group's id and its index.
 * Rule 2: nested groups are taken apart. In order where a group is sent, reversed in the header of a chord, and in both
 * cases as Celery does it.
 */
import type { AnyResult } from '../backend/any-result.js'
import { GroupResult } from '../backend/group-result.js'
import { InvalidArgumentError } from '../errors.js'
import type { AnyKwargs, Arguments } from './call-types.js'
import { Composite } from './composite.js'
import { type Member, Members } from './members.js'
import { Outbox } from './outbox.js'
import type { Linkable } from './send-options.js'
import {
  type FreezeOptions,
  mergeOptions,
  Signature,
  type SignatureCall,
  type SignatureParts,
  type WireCall,
} from './signature.js'
import type { SignatureApp } from './signature-app.js'
import { namedOnce } from './signature-text.js'
import { mergedStamps, type StampingVisitor, type Stamps, stampLinks } from './stamps.js'
import { linkables, type WireOptions, withListedSteps } from './wire-options.js'

/** What goes into a group besides its members. */
export interface GroupInit {
  readonly options?: WireOptions
  readonly args?: Arguments
  readonly kwargs?: AnyKwargs
}

/** A group; `T` are the results of its members. */
export class Group<
  A extends Arguments = Arguments,
  T extends readonly unknown[] = readonly unknown[],
> extends Composite<A, T, GroupResult<T>> {
  readonly isGroup = true
  private members: Members
  private isHeader = false

  constructor(app: SignatureApp, members: Members, init: GroupInit = {}) {
    super(app, { task: 'celery.group', ...init })
    this.members = members
  }

  override get subtaskType(): 'group' {
    return 'group'
  }

  /** The app of the first member with a task, once there is one: a group that is made empty belongs to none. */
  override get app(): SignatureApp {
    const { first } = this.members
    const isBound = this.members.isOpen || !isHollow(first)
    return (isBound ? first : this.members.all.find((member) => !isHollow(member)))?.app ?? this.ownApp
  }

  /** True where there is no task in it, nor in the groups in it. */
  get isHollow(): boolean {
    return !this.members.isOpen && this.members.all.every(isHollow)
  }

  /** Its members. Reads an iterable to its end; throws `InvalidArgumentError` for an asynchronous one (see `load`). */
  get tasks(): readonly Member[] {
    return this.members.all
  }

  /** How many members there are. */
  get length(): number {
    return this.members.all.length
  }

  [Symbol.iterator](): IterableIterator<Member> {
    return this.members.all[Symbol.iterator]()
  }

  /** The only member, where there is but one (surface CNV-021); a group whose members are not made yet stays one. */
  unrolled(): Member {
    const [only] = this.members.isOpen ? [] : this.tasks
    return only !== undefined && this.length === 1 ? only : this
  }

  override load(signal?: AbortSignal): Promise<void> {
    return this.members.load(signal)
  }

  /** The list itself, for those that freeze it. */
  get memberList(): Members {
    return this.members
  }

  /** This group, about to be sent as the header of a chord: how many parts that waits for is told then, and only then. */
  asHeader(): this {
    this.isHeader = true
    return this
  }

  /** Each member starts `step` seconds after the one before, from `start` up to `stop` (surface CNV-073). */
  skew({ start = 1, stop, step = 1 }: { start?: number; stop?: number; step?: number } = {}): this {
    let countdown = start
    for (const member of this.tasks) {
      member.setWire({ countdown })
      if (stop === undefined || countdown + step < stop) countdown += step
    }
    return this
  }

  override setImmutable(immutable: boolean): void {
    for (const member of this.tasks) member.setImmutable(immutable)
  }

  /** Links an immutable copy to the first member (surface CNV-061): to wait for all members, use a chord. */
  override link<C extends Linkable>(callback: C): C {
    const first = this.tasks[0]
    if (first === undefined) throw new InvalidArgumentError('A group without members has nothing to link to')
    const copy = this.copyOf(callback)
    copy.setImmutable(true)
    first.link(copy)
    return callback
  }

  /** Links a copy to every member. Celery 5.6 means to make it immutable, and fails to: errbacks get the failed id. */
  override linkError<C extends Linkable>(errback: C): C {
    for (const member of this.tasks) member.linkError(this.copyOf(errback))
    return errback
  }

  override stampWith(visitor: StampingVisitor | undefined, append: boolean, given: Stamps): void {
    const own = visitor && (visitor.onGroupStart?.(this, given) ?? {})
    const headers = mergedStamps(this.wireOptions, own, append, given)
    stampLinks(this, visitor, append, headers)
    for (const member of this.tasks) member.stampWith(visitor, append, headers)
    visitor?.onGroupEnd?.(this, headers)
  }

  override chordSize(): number {
    return this.tasks.reduce((size, member) => size + member.chordSize(), 0)
  }

  override hasChord(): boolean {
    return this.tasks.some((member) => member.hasChord())
  }

  override freeze(options: FreezeOptions = {}): GroupResult<T> {
    const wire = this.wireOptions
    const { chord, rootId, parentId, groupId, groupIndex } = options
    const id = (wire['task_id'] as string | undefined) || groupId || this.app.newId()
    wire['task_id'] = id
    if (groupId) wire['group_id'] = groupId
    if (chord) wire['chord'] = chord
    if (groupIndex !== undefined) wire['group_index'] = groupIndex
    wire['root_id'] ??= rootId ?? null
    wire['parent_id'] ??= parentId ?? null
    const root = (wire['root_id'] as string | null) ?? undefined
    const parent = (wire['parent_id'] as string | null) ?? undefined
    const frozen = reversedApart(this.members.all).map((member) => member.cloneWire({}))
    const results = frozen.map((member, index) =>
      member.freeze({ groupId, chord, rootId: root, parentId: parent, groupIndex: index }),
    )
    this.members.all.splice(0, this.length, ...frozen)
    return this.resultOf(id, results)
  }

  override plan(call: WireCall, outbox: Outbox): GroupResult<T> {
    refuseLinks(call)
    if (this.length === 0) return this.cloneWire({}).freeze()
    const sending = this.sending(call)
    const results = this.planMembers(this.members.all, call, sending, outbox)
    this.announceSize(sending, outbox)
    return this.ended(sending, results, outbox)
  }

  /** With members still to be made, the first ones are sent while the others are made. */
  protected override async publish(call: WireCall, signal: AbortSignal | undefined): Promise<GroupResult<T>> {
    if (!this.members.isOpen) return super.publish(call, signal)
    refuseLinks(call)
    const sending = this.sending(call)
    const results: AnyResult[] = []
    let outbox = new Outbox()
    for await (const { members, isLast } of this.members.batches(signal)) {
      outbox = new Outbox()
      for (const result of this.planMembers(members, call, sending, outbox)) results.push(result)
      if (isLast) this.announceSize(sending, outbox)
      else await outbox.send(this.app, { signal })
    }
    const result = this.ended(sending, results, outbox)
    await outbox.send(this.app, { signal })
    return result
  }

  override async applyAsync(call: SignatureCall<A> = {}): Promise<GroupResult<T>> {
    // An asynchronous iterable does not tell its app before its first member is there.
    await this.members.begin(call.signal)
    return super.applyAsync(call)
  }

  override async applyEagerly(call: WireCall): Promise<GroupResult<T>> {
    const { options, gid, rootId, links } = this.sending(call)
    const results: AnyResult[] = []
    for (const [member, groupIndex] of inOrder(this.members.all)) {
      const copy = withLinks(member.cloneWire({}), links)
      copy.freeze({ groupId: gid, rootId, groupIndex })
      results.push(await copy.applyEagerly({ ...this.callFor(call), options }))
    }
    return this.resultOf(gid, results)
  }

  override toString(): string {
    const [first] = this.members.isOpen ? [] : this.tasks
    if (first === undefined) return this.members.isOpen ? 'group(<generator>)' : 'group(<empty>)'
    return namedOnce(first.task, `group([${this.tasks.join(', ')}])`)
  }

  protected override copy({ args, kwargs, options }: SignatureParts): this {
    const members = this.members.isOpen ? this.members : new Members([...this.members.all])
    return new Group<A, T>(this.app, members, { args, kwargs, options }) as this
  }

  protected override writtenKwargs(left: ReadonlySet<unknown>): AnyKwargs {
    return { tasks: this.tasks.map((member) => member.written(left)) }
  }

  private planMembers(
    members: readonly Member[],
    call: WireCall,
    sending: Sending,
    outbox: Outbox,
  ): AnyResult[] {
    const { gid, rootId, chord, options, links } = sending
    const given = this.callFor(call)
    const results: AnyResult[] = []
    let shared: WireCall = given
    for (const [member, index] of inOrder(members)) {
      const frozen = { groupId: gid, rootId, groupIndex: sending.sent + index }
      const isPlain = !links.link && !links.linkError && member.isSingle
      const copy = isPlain ? member : withLinks(member.cloneWire({}), links)
      const result = isPlain ? undefined : copy.freeze(frozen)
      sending.size += copy.chordSize()
      const inChord = chord ?? copy.options['chord']
      if (shared === given || inChord !== sending.inChord) {
        sending.inChord = inChord
        shared = { ...given, options: { ...options, add_to_parent: false, chord: inChord ?? null } }
      }
      if (result === undefined) results.push(member.planFrozen(frozen, shared, outbox))
      else {
        copy.plan(shared, outbox)
        results.push(result)
      }
    }
    sending.sent += members.length
    return results
  }

  private announceSize({ gid, size, inChord }: Sending, outbox: Outbox): void {
    if (inChord === undefined || inChord === null) return
    const { group_id: around, chord } = this.wireOptions
    // At the end of a chain in a header: its members were counted with that. (Celery tells their number as that of the whole
    // header, whose body may then start before all is there.)
    if (!this.isHeader && around === gid && chord !== undefined && chord !== null) return
    const { chords } = this.app.backend
    if (chords !== undefined) outbox.before.push(() => chords.begin(gid, size))
  }

  private ended(sending: Sending, results: readonly AnyResult[], outbox: Outbox): GroupResult<T> {
    const [only] = results
    const inner = results.length === 1 && only instanceof GroupResult ? only : undefined
    const result = (inner ?? this.resultOf(sending.gid, results)) as GroupResult<T>
    if (sending.addsToParent) outbox.trail.push(result)
    return result
  }

  private sending(call: WireCall): Sending {
    const { add_to_parent: addToParent, ...given } = withListedSteps(call.options ?? {})
    const merged = mergeOptions(this.wireOptions, given, 'all')
    const { task_id: known, chord, group_index: _index, link, link_error: linkError, ...options } = merged
    const gid = (known as string | undefined) || this.app.newId()
    return {
      gid,
      rootId: (options['root_id'] as string | null | undefined) ?? undefined,
      chord,
      options: { ...options, group_id: gid },
      links: { link, linkError },
      addsToParent: addToParent !== false,
      sent: 0,
      size: 0,
      inChord: undefined,
    }
  }

  /** Arguments of the call go to every member. */
  private callFor({ args = [], kwargs = {} }: WireCall): WireCall {
    return { args: [...args, ...this.args], kwargs: { ...this.kwargs, ...kwargs } }
  }

  private resultOf(id: string, results: readonly AnyResult[]): GroupResult<T> {
    return new GroupResult<T>(id, results, this.app)
  }

  private copyOf(callback: Linkable): Member {
    const { app } = this
    const own =
      callback instanceof Signature ? callback : (app.algebra.rebuild(app, callback as never) as Member)
    return own.cloneWire({})
  }
}

/** Callbacks and errbacks that a group was given, for every member. */
interface Links {
  readonly link: unknown
  readonly linkError: unknown
}

/** One sending of a group. */
interface Sending {
  readonly gid: string
  readonly rootId: string | undefined
  readonly chord: unknown
  /** Of every member. */
  readonly options: WireOptions
  readonly links: Links
  readonly addsToParent: boolean
  /** Members planned so far. */
  sent: number
  /** Completions that the chord around it waits for. */
  size: number
  inChord: unknown
}

function refuseLinks({ options = {} }: WireCall): void {
  if (options['link'] !== undefined && options['link'] !== null)
    throw new InvalidArgumentError('Cannot add link to group: use a chord')
  if (options['link_error'] !== undefined && options['link_error'] !== null)
    throw new InvalidArgumentError('Cannot add link to group: do that on individual tasks')
}

/** Celery's chain gives its callbacks to the group at its end so, where they take the place of the members' own; here both stay. */
function withLinks(member: Member, { link, linkError }: Links): Member {
  for (const callback of linkables(link)) member.link(callback)
  for (const errback of linkables(linkError)) member.linkError(errback)
  return member
}

/** A group without a task. */
export function isHollow(signature: unknown): boolean {
  return signature instanceof Group && signature.isHollow
}

/** Members with their index; those of a nested group with their index there (surface CNV-066). */
function* inOrder(members: readonly Member[]): Generator<readonly [Member, number]> {
  for (const [index, member] of members.entries()) {
    if (member instanceof Group) yield* inOrder(member.memberList.all)
    else yield [member, index]
  }
}

/** Members with nested groups taken apart, each reversed (surface CNV-084). */
function reversedApart(members: readonly Member[]): readonly Member[] {
  const stack = [...members].reverse()
  const apart: Member[] = []
  for (let member = stack.pop(); member !== undefined; member = stack.pop()) {
    if (member instanceof Group) for (const one of member.memberList.all) stack.push(one)
    else apart.push(member)
  }
  return apart
}
