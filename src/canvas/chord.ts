/**
 * A group whose results go to a body once all are there (`celery/canvas.py` chord; surface 9.5).
 *
 * Rule 1: ids come first: the body's id is the chord's, and every header message carries the body.
 * Rule 2: where the backend counts parts it is told how many to expect before the first header message; where it does
 * not, `celery.chord_unlock` is sent before the header and looks whether the parts are done.
 * Rule 3: each header task of a chord that is frozen inside another canvas carries the body, too, as in Celery, although
 * whoever starts the chord sets it anew. Where the body holds a chord itself these copies of copies would grow
 * threefold with every level, and are left out: Python does not miss them.
 */
import { Tuple } from '../../protocol/values.js'
import type { AnyResult, ResultTuple } from '../backend/any-result.js'
import type { AsyncResult } from '../backend/async-result.js'
import { GroupResult } from '../backend/group-result.js'
import { noChordsOverRpc } from '../backend/no-chords.js'
import { BackendDisabledError, InvalidArgumentError, NotSupportedError } from '../errors.js'
import type { AnyKwargs, Arguments } from './call-types.js'
import { Composite } from './composite.js'
import { Group, isHollow } from './group.js'
import { type Member, Members } from './members.js'
import { Outbox } from './outbox.js'
import type { Linkable } from './send-options.js'
import { type FreezeOptions, Signature, type SignatureParts, type WireCall, writtenOf } from './signature.js'
import type { SignatureApp } from './signature-app.js'
import { namedOnce } from './signature-text.js'
import { mergedStamps, type StampingVisitor, type Stamps, stampLinks } from './stamps.js'
import { type WireOptions, withListedSteps } from './wire-options.js'

/** What goes into a chord besides its header and body. */
export interface ChordInit {
  readonly args?: Arguments
  /** Keyword arguments for the header, under `kwargs`, as on the wire. */
  readonly kwargs?: AnyKwargs
  readonly options?: WireOptions
  readonly immutable?: boolean
}

/** A chord: `A` are the arguments that its header takes, `R` the result of its body. */
export class Chord<
  A extends Arguments = Arguments,
  R = unknown,
  H extends AnyResult = AsyncResult<R>,
> extends Composite<A, R, H> {
  private headerMembers: Members
  /** The header as a group, once it is frozen. */
  private header: Group | undefined
  private ownBody: Member | undefined

  constructor(app: SignatureApp, header: Members, body: Member | undefined, init: ChordInit = {}) {
    super(app, { task: 'celery.chord', ...init, kwargs: init.kwargs ?? { kwargs: {} } })
    this.headerMembers = header
    this.ownBody = body
  }

  override get subtaskType(): 'chord' {
    return 'chord'
  }

  /** That of its body, or of its header: one of them may be empty, and then belongs to none (surface CNV-191). */
  override get app(): SignatureApp {
    const { ownBody, ownApp } = this
    return (isHollow(ownBody) ? new Group(ownApp, this.headerMembers) : ownBody)?.app ?? ownApp
  }

  /** The members of its header. */
  get tasks(): readonly Member[] {
    return (this.header?.memberList ?? this.headerMembers).all
  }

  /** Throws `InvalidArgumentError` for a chord that was given none. */
  get body(): Member {
    if (this.ownBody === undefined) {
      throw new InvalidArgumentError('This chord has no body: give it one, chord(header, body)')
    }
    return this.ownBody
  }

  /** Replaces the body of this chord, and returns it. */
  withBody(body: Member): this {
    this.ownBody = body
    return this
  }

  override async load(signal?: AbortSignal): Promise<void> {
    await this.headerMembers.load(signal)
    await this.ownBody?.load(signal)
  }

  /** The callback gets the result of the body. */
  override link<C extends Linkable>(callback: C): C {
    this.body.link(callback)
    return callback
  }

  /**
   * The errback is called when the body fails, which it does when a header task has. With
   * `taskAllowErrorCbOnChordHeader` every header task calls it, too (surface CNV-089).
   */
  override linkError<C extends Linkable>(errback: C): C {
    const { app } = this
    for (const member of this.tasks) {
      if (app.canvas.errbacksOnChordHeader) member.linkError(copyOf(errback, app))
      else if (member instanceof Chord) member.linkError(errback)
    }
    this.body.linkError(errback)
    return errback
  }

  /** Of the header's members. */
  override setImmutable(isImmutable: boolean): void {
    for (const member of this.tasks) member.setImmutable(isImmutable)
  }

  override stampWith(visitor: StampingVisitor | undefined, append: boolean, given: Stamps): void {
    const started = visitor?.onChordHeaderStart
      ? visitor.onChordHeaderStart(this, given)
      : this.startOf(visitor, given)
    const headers = mergedStamps(this.wireOptions, visitor && (started ?? {}), append, given)
    stampLinks(this, visitor, append, headers)
    for (const member of this.tasks) member.stampWith(visitor, append, headers)
    if (visitor === undefined) return
    if (visitor.onChordHeaderEnd) visitor.onChordHeaderEnd(this, headers)
    else visitor.onGroupEnd?.(this.headerGroup(), headers)
    const { ownBody } = this
    if (ownBody === undefined) return
    const own = visitor.onChordBody?.(this, headers) ?? {}
    ownBody.stampWith(visitor, append, mergedStamps(this.wireOptions, own, append, headers))
  }

  override chordSize(): number {
    return this.body.chordSize()
  }

  override hasChord(): boolean {
    return true
  }

  override freeze(options: FreezeOptions = {}): H {
    const { taskId, rootId, parentId, groupId, chord, groupIndex } = options
    const header = this.headerGroup()
    this.header = header
    const headerResult = header.freeze({ parentId, rootId, chord: this.body })
    this.wireOptions['task_id'] = header.id
    const result = this.body.freeze({ taskId, rootId, chord, groupId, groupIndex })
    startingAt(result).parent = headerResult
    return result as H
  }

  override plan(call: WireCall, outbox: Outbox): H {
    return this.planned(call, outbox, (header, given) => header.plan(given, outbox))
  }

  /** With header members still to be made, and a backend that counts, the first are sent while the others are made. */
  protected override async publish(call: WireCall, signal: AbortSignal | undefined): Promise<H> {
    await this.ownBody?.load(signal)
    // What turns out to have no member is no header that anybody would end.
    await this.headerMembers.begin(signal)
    if (!this.headerMembers.isOpen || this.app.backend.chords === undefined)
      return super.publish(call, signal)
    const outbox = new Outbox()
    let sending: Promise<AnyResult> | undefined
    const result = this.planned(call, outbox, (header, given) => {
      sending = header.applyWire(given, signal)
      return undefined
    })
    await outbox.send(this.app, { signal })
    const headerResult = await sending
    if (headerResult !== undefined) startingAt(result).parent = headerResult
    return result
  }

  override async applyEagerly(call: WireCall): Promise<AnyResult> {
    const { args = [], kwargs = {} } = call
    const header = new Group(this.app, new Members([...this.tasks]))
    const values = await header.applyEagerly({
      args: [...args, ...this.args],
      kwargs: this.forHeader(kwargs),
    })
    return this.body.applyEagerly({ args: [await values.get({ disableSyncSubtasks: false })] })
  }

  override toString(): string {
    const { ownBody } = this
    const header = this.headerMembers.isOpen ? '<generator>' : `[${this.tasks.join(', ')}]`
    if (ownBody === undefined) return `<chord without body: ${header}>`
    if (!('tasks' in ownBody) || ownBody.subtaskType !== 'chain') {
      return `%${namedOnce(ownBody.task, ownBody.textWith([header]))}`
    }
    const [first, ...others] = ownBody.tasks as readonly Member[]
    const text = `%(${[first?.textWith([header]), ...others].join(' | ')})`
    return first === undefined ? text : namedOnce(first.task, text)
  }

  protected override copy({ args, kwargs, options }: SignatureParts): this {
    const { header, headerMembers, ownBody, isImmutable } = this
    const members = headerMembers.isOpen
      ? headerMembers
      : new Members(header === undefined ? this.tasks.map((member) => member.cloneWire({})) : [...this.tasks])
    const init = { args, kwargs, options, immutable: isImmutable }
    return new Chord<A, R, H>(this.app, members, ownBody?.cloneWire({}), init) as this
  }

  protected override writtenKwargs(left: ReadonlySet<unknown>): AnyKwargs {
    const { header, ownBody } = this
    const inHeader = ownBody?.hasChord() ? new Set([...left, ownBody]) : left
    return {
      ...this.kwargs,
      header: header?.written(inHeader) ?? this.tasks.map((member) => member.written(inHeader)),
      body: ownBody === undefined ? null : writtenOf(ownBody, left),
    }
  }

  /** Everything but the header's own messages: those come from `sendHeader`, which returns their result if it knows it. */
  private planned(
    call: WireCall,
    outbox: Outbox,
    sendHeader: (header: Group, call: WireCall) => AnyResult | undefined,
  ): H {
    const { app } = this
    // A countdown is counted once, before the header; with it the body would be late a second time.
    const { task_id: asked, countdown, ...given } = withListedSteps(call.options ?? {})
    const { task_id: own, ...stored } = this.wireOptions
    const isFree = call.args !== undefined && call.args.length > 0 && !this.isImmutable
    const args = isFree ? [...(call.args ?? []), ...this.args] : this.args
    const options: WireOptions = { ...stored, ...given }
    const body = this.body.cloneWire({ options: given }).setWire(options)
    const header = this.header?.cloneWire({}) ?? this.groupOf((own as string | undefined) || app.newId())
    const gid = header.id ?? app.newId()
    const rootId = (body.options['root_id'] as string | null | undefined) ?? undefined
    const taskId = ((asked ?? own) as string | null | undefined) || app.newId()
    const result = body.freeze({ taskId, groupId: gid, rootId }) as H
    const { chain: _chain, chord: _chord, ...forHeader } = options
    if (header.isHollow) {
      body.plan({ args: [[]] }, outbox)
      startingAt(result).parent = new GroupResult(gid, [], app)
      return result
    }
    assertChords(app)
    if (header.memberList.isOpen) header.setWire({ task_id: gid, group_id: gid, chord: body })
    // Nobody is told of the results of such a header before it is sent, so its members are frozen as they are planned.
    else if (app.backend.chords !== undefined && header.tasks.every((member) => member.isSingle)) {
      const { root_id: ownRoot, parent_id: ownParent } = header.options
      const [root, parent] = [ownRoot ?? rootId ?? null, ownParent ?? null]
      header.setWire({ task_id: gid, group_id: gid, chord: body, root_id: root, parent_id: parent })
    } else announce(app, gid, header.freeze({ groupId: gid, chord: body, rootId }), body, outbox, call.unlock)
    const headerCall = {
      args,
      kwargs: this.forHeader(call.kwargs),
      options: { ...forHeader, ...(countdown ? { countdown } : {}), task_id: gid },
    }
    const headerResult = sendHeader(header.asHeader(), headerCall)
    if (headerResult !== undefined) startingAt(result).parent = headerResult
    return result
  }

  private forHeader(kwargs: AnyKwargs = {}): AnyKwargs {
    return { ...(this.kwargs['kwargs'] as AnyKwargs | undefined), ...kwargs }
  }

  private headerGroup(): Group {
    return this.header ?? new Group(this.app, this.headerMembers)
  }

  private groupOf(id: string): Group {
    const members = this.headerMembers.isOpen ? this.headerMembers : new Members([...this.tasks])
    return new Group(this.app, members, { options: { task_id: id } })
  }

  private startOf(visitor: StampingVisitor | undefined, given: Stamps): Stamps | undefined {
    return visitor?.onGroupStart?.(this.headerGroup(), given)
  }
}

/** The backend is told of the header, or a task is sent that watches it (`apply_chord` in `celery/backends/`). */
function announce(
  app: SignatureApp,
  gid: string,
  header: GroupResult,
  body: Member,
  outbox: Outbox,
  unlock: WireOptions = {},
): void {
  const { backend } = app
  if (backend.chords !== undefined) {
    // Values of groups in the header are to arrive as lists, which only the saved group tells (surface CNV-109).
    if (header.results.some((result) => result instanceof GroupResult)) {
      outbox.before.push(() => backend.storeGroup(gid, header.asTuple()))
    }
    return
  }
  const place = app.placeOf(body.task)
  const queue = (body.options['queue'] ?? place?.queue ?? undefined) as string | undefined
  const priority = (body.options['priority'] ?? (place === undefined ? 0 : place.priority)) as number | null
  outbox.calls.push({
    name: 'celery.chord_unlock',
    args: [gid, body],
    kwargs: {
      interval: unlock['interval'] ?? null,
      max_retries: unlock['max_retries'] ?? null,
      result: header.results.map((result) => tupleOf(result.asTuple())),
    },
    argsAsTuple: true,
    options: {
      taskId: app.newId(),
      countdown: (unlock['countdown'] as number | undefined) ?? 1,
      ...(queue === undefined ? { routeName: body.task } : { queue }),
      ...(priority === null ? {} : { priority }),
    },
  })
}

/** As Celery has it, which only `kwargsrepr` shows. */
function tupleOf([[id, parent], children]: ResultTuple): Tuple {
  const head = Tuple.from([id, parent === null ? null : tupleOf(parent)])
  return Tuple.from([head, children === null ? null : children.map(tupleOf)])
}

/** Throws where nobody could tell when the header is done (surface CNV-092). */
export function assertChords({ backend }: SignatureApp): void {
  if (!backend.enabled) {
    throw new BackendDisabledError(
      'A chord needs a result backend that keeps the results of its header. Set resultBackend, in the workers too.',
    )
  }
  if (backend.kind === 'rpc') {
    throw new NotSupportedError(noChordsOverRpc)
  }
}

/** The earliest result of a chain of them. Throws `InvalidArgumentError` for one that is its own parent. */
function startingAt(result: AnyResult): AnyResult {
  const seen = new Set<AnyResult>()
  let node = result
  while (node.parent !== undefined) {
    if (seen.has(node)) throw new InvalidArgumentError('Recursive result parents')
    seen.add(node)
    node = node.parent
  }
  return node
}

/** For a header task, which calls it with its own id. */
function copyOf(errback: Linkable, app: SignatureApp): Linkable {
  const own = errback instanceof Signature ? errback : (app.algebra.rebuild(app, errback as never) as Member)
  return own.cloneWire({})
}
