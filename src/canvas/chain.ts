/**
 * Tasks that run one after the other, each with the result of the one before (`celery/canvas.py` _chain; surface 9.3).
 *
 * Rule 1: one message is sent, that of the first step; the other steps travel in it, the next one last.
 * Rule 2: steps are prepared from the last to the first: nested chains are spliced, groups of one unrolled, and a group
 * that has a next step becomes a chord with that step as its body.
 * Rule 3: the id, group and chord that are given for the chain are those of its last step.
 */
import type { AnyResult } from '../backend/any-result.js'
import type { AsyncResult } from '../backend/async-result.js'
import { GroupResult } from '../backend/group-result.js'
import { InvalidArgumentError } from '../errors.js'
import type { AnyKwargs, Arguments } from './call-types.js'
import { assertChords, Chord } from './chord.js'
import { Composite } from './composite.js'
import { Group, isHollow } from './group.js'
import type { Member } from './members.js'
import type { Outbox } from './outbox.js'
import type { Linkable } from './send-options.js'
import { type FreezeOptions, type SignatureParts, structureOf, type WireCall } from './signature.js'
import type { SignatureApp } from './signature-app.js'
import { namedOnce } from './signature-text.js'
import { mergedStamps, type StampingVisitor, type Stamps, stampLinks } from './stamps.js'
import { type WireOptions, withListedSteps } from './wire-options.js'

/** How steps are prepared. */
interface Preparing extends FreezeOptions {
  readonly args?: Arguments | undefined
  readonly kwargs?: AnyKwargs | undefined
  readonly linkError?: unknown
  /** False freezes the steps themselves. */
  readonly copies: boolean
}

/** Steps and their results, the last one first. */
interface Prepared {
  readonly tasks: Member[]
  readonly results: AnyResult[]
}

/** The steps of a chain that nobody has looked at yet: copies that nobody changes, shared by chains, and the last one. */
interface Extended {
  readonly before: Member[]
  /** How many of `before` are steps of this chain. */
  readonly count: number
  readonly last: Member
}

/** A chain: `A` are the arguments that its first step still takes, `R` the result of the last one. */
export class Chain<
  A extends Arguments = Arguments,
  R = unknown,
  H extends AnyResult = AsyncResult<R>,
> extends Composite<A, R, H> {
  private steps: Member[] | Extended

  constructor(app: SignatureApp, tasks: Member[] | Extended, options: WireOptions = {}) {
    super(app, { task: 'celery.chain', options })
    this.steps = tasks
  }

  /** Its steps, the first one first; whoever asks may change them. */
  get tasks(): Member[] {
    const { steps } = this
    if (Array.isArray(steps)) return steps
    const { before, count, last } = steps
    this.steps = [...before.slice(0, count).map((step) => step.cloneWire({})), last]
    return this.steps
  }

  /** True while its steps are shared with chains that it was made of, or that were made of it. */
  get isShared(): boolean {
    return !Array.isArray(this.steps)
  }

  /** The last step. */
  get last(): Member | undefined {
    return Array.isArray(this.steps) ? this.steps.at(-1) : this.steps.last
  }

  /** A chain of copies of these steps, and `step`. Of chains that are made so, one of the other, each shares the copies. */
  extended(step: Member): Chain {
    const { steps, app } = this
    const hasLinks = this.wireOptions['link'] !== undefined || this.wireOptions['link_error'] !== undefined
    if (Array.isArray(steps) || hasLinks) {
      const before = this.unchained()
      return new Chain(app, { before, count: before.length, last: step })
    }
    // Somebody else may have gone on from the same steps.
    const before = steps.before.length === steps.count ? steps.before : steps.before.slice(0, steps.count)
    before.push(steps.last.cloneWire({}))
    return new Chain(app, { before, count: before.length, last: step })
  }

  override get subtaskType(): 'chain' {
    return 'chain'
  }

  override get app(): SignatureApp {
    const { steps } = this
    return (Array.isArray(steps) ? steps[0] : (steps.before[0] ?? steps.last))?.app ?? this.ownApp
  }

  override async load(signal?: AbortSignal): Promise<void> {
    for (const task of this.tasks) await task.load(signal)
  }

  /** Copies of its steps, with its callbacks on the last one and its errbacks on all (surface CNV-038). */
  unchained(): Member[] {
    return this.linked(this.tasks.map((task) => task.cloneWire({})))
  }

  override stampWith(visitor: StampingVisitor | undefined, append: boolean, given: Stamps): void {
    const own = visitor && (visitor.onChainStart?.(this, given) ?? {})
    const headers = mergedStamps(this.wireOptions, own, append, given)
    stampLinks(this, visitor, append, headers)
    for (const task of this.tasks) task.stampWith(visitor, append, headers)
    visitor?.onChainEnd?.(this, headers)
  }

  /** That of the last step that counts. */
  override chordSize(): number {
    for (const task of [...this.tasks].reverse()) {
      const size = task.chordSize()
      if (size > 0) return size
    }
    return 0
  }

  override hasChord(): boolean {
    const last = this.tasks.length - 1
    return this.tasks.some((task, index) => task.hasChord() || (task instanceof Group && index < last))
  }

  /** Throws `InvalidArgumentError` for a chain without steps. */
  override freeze(options: FreezeOptions = {}): H {
    const [last] = this.prepare({ ...options, copies: false }).results
    this.wireOptions.task_id = options.taskId ?? null
    if (last === undefined) throw new InvalidArgumentError('A chain without steps has no result to freeze')
    return last as H
  }

  /** A chain without steps sends nothing, and there is nothing to wait for: `undefined` (surface CNV-049). */
  override plan(call: WireCall, outbox: Outbox): H {
    const options = withListedSteps({ ...structureOf(this.wireOptions), ...call.options })
    const { group_id: groupId, chord, task_id: taskId, link, link_error: linkError, ...more } = options
    const { root_id: rootId, parent_id: _parent, group_index: groupIndex, chain: outer, ...first } = more
    const { tasks, results } = this.prepare({
      args: this.immutable ? [] : call.args,
      kwargs: call.kwargs,
      rootId: text(rootId),
      linkError,
      taskId: text(taskId),
      groupId: text(groupId),
      chord: (chord ?? undefined) as Linkable | undefined,
      groupIndex: typeof groupIndex === 'number' ? groupIndex : undefined,
      copies: true,
    })
    // At its end a group calls them for each of its members (surface CNV-045).
    const [last] = tasks
    for (const one of listOf(link))
      for (const task of last instanceof Group ? last.tasks : [last]) task?.link(one)
    const start = tasks.pop()
    if (start === undefined) return undefined as AnyResult | undefined as H
    const chain = this.app.canvas.linksChains ? null : [...listOf(outer), ...tasks]
    const applied = start.plan({ options: { ...first, chain } }, outbox)
    return (tasks.length === 0 ? applied : results[0]) as H
  }

  /** One step after the other, here; ends early after a step without a result (surface CNV-053). */
  override async applyEagerly(call: WireCall): Promise<AnyResult> {
    let last: AnyResult | undefined
    let { args, kwargs } = call
    const { link, link_error: linkError, ...options } = { ...this.wireOptions, ...call.options }
    for (const task of new Chain(this.app, this.tasks, { link, link_error: linkError }).unchained()) {
      const before = last === undefined ? [] : [await last.get({ disableSyncSubtasks: false })]
      const result = await task.cloneWire({ args, kwargs }).applyEagerly({ args: before, options })
      if (last !== undefined) result.parent = last
      last = result
      args = undefined
      kwargs = undefined
      if (await endsSilently(result)) break
    }
    return last as AnyResult
  }

  override toString(): string {
    const [first] = this.tasks
    return first === undefined ? '<chain: empty>' : namedOnce(first.task, this.tasks.join(' | '))
  }

  protected override copy({ options }: SignatureParts): this {
    const tasks = this.tasks.map((task) => task.cloneWire({}))
    return new Chain<A, R, H>(this.app, tasks, options) as this
  }

  protected override writtenKwargs(left: ReadonlySet<unknown>): AnyKwargs {
    return { tasks: this.tasks.map((task) => task.written(left)) }
  }

  /** `prepare_steps`: unpacks, upgrades and freezes, and links the results to each other. */
  private prepare(how: Preparing): Prepared {
    const { linksChains } = this.app.canvas
    const { rootId, copies } = how
    const steps = how.chord === undefined ? [...this.tasks] : toBeWaitedFor(this.tasks)
    const tasks: Member[] = []
    const results: AnyResult[] = []
    let previous: Member | undefined
    let before: AnyResult | undefined
    let isLast = true
    for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
      const isFirst = steps.length === 0
      let task = step instanceof Group ? step.unrolled() : step
      if (copies) task = task.cloneWire(isFirst ? { args: how.args, kwargs: how.kwargs } : {})
      if (task instanceof Chain) {
        for (const one of task.linked(task.tasks)) steps.push(one)
        continue
      }
      if (task instanceof Group && previous !== undefined) {
        tasks.pop()
        const bodyResult = results.pop()
        const taskId = bodyResult instanceof GroupResult ? {} : { task_id: bodyResult?.id }
        task = new Chord(this.app, task.memberList, previous, {
          args: task.args,
          options: { ...taskId, root_id: rootId ?? null },
        })
        previous = tasks.at(-1)
        before = results.at(-1)
      }
      const { taskId, groupId, chord, groupIndex } = how
      const result = task.freeze(isLast ? { taskId, rootId, groupId, chord, groupIndex } : { rootId })
      isLast = false
      if (previous !== undefined) {
        if (linksChains) task.link(previous)
        if (before !== undefined && before.parent === undefined) before.parent = result
      }
      for (const errback of listOf(how.linkError)) task.linkError(errback)
      tasks.push(task)
      results.push(result)
      previous = task
      before = result
      // The group of a chord's header is what comes after the step before it.
      if (!(task instanceof Chord)) continue
      assertChords(task.app)
      while (before.parent !== undefined) before = before.parent
    }
    return { tasks, results }
  }

  private linked(tasks: Member[]): Member[] {
    for (const callback of listOf(this.wireOptions['link'])) tasks.at(-1)?.link(callback)
    for (const errback of listOf(this.wireOptions['link_error'])) {
      for (const task of tasks) task.linkError(errback)
    }
    return tasks
  }
}

/** Steps whose last one ends: in a group without a task at the end of a chain there is nobody who could tell a chord. */
export function toBeWaitedFor(steps: readonly Member[]): Member[] {
  return steps.slice(0, steps.findLastIndex((step) => !isHollow(step)) + 1 || steps.length)
}

async function endsSilently(result: AnyResult): Promise<boolean> {
  if (!('state' in result) || typeof result.state !== 'function') return false
  const state: unknown = await result.state()
  return state === 'IGNORED' || state === 'REJECTED'
}

function listOf(value: unknown): readonly Linkable[] {
  if (value === undefined || value === null) return []
  return (Array.isArray(value) ? value : [value]) as readonly Linkable[]
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
