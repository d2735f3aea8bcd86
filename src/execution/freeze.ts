/**
 * Gives every task of a canvas its id before anything is sent (`freeze` and `prepare_steps` in `celery/canvas.py`).
 *
 * Rule 1: nothing is changed in place; a frozen signature is a new one.
 * Rule 2: ids that are there already stay, so freezing twice names the same tasks (surface CNV-011).
 */
import { InvalidTaskError } from '../../protocol/errors.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { listOption, readShape, type Shape, writeShape } from './signature-shape.js'
import { withErrbacks } from './with-errbacks.js'

/** `[[id, parent], null]` for a task, `[[id, parent], [members]]` for a group (wire-format 8.2). */
export type ResultTuple = readonly [readonly [string, ResultTuple | null], readonly ResultTuple[] | null]

/** What freezing passes down. */
export interface FreezeOptions {
  readonly id?: string | undefined
  readonly groupId?: string | undefined
  readonly groupIndex?: number | undefined
  readonly chord?: SignatureData | undefined
  readonly rootId?: string | undefined
}

/** What freezing asks of the app. */
export interface Freezing {
  newId(): string
  /** `task_allow_error_cb_on_chord_header`; default false. */
  readonly errbacksOnChordHeader?: boolean | undefined
}

/** A canvas whose ids are known. */
export interface Frozen {
  readonly shape: Shape
  readonly result: ResultTuple
}

/** Freezes any signature. Throws `InvalidTaskError` for an unknown `subtask_type`. */
export function freeze(shape: Shape, options: FreezeOptions, how: Freezing): Frozen {
  switch (shape.subtaskType) {
    case 'chain':
      return freezeChain(shape, options, how)
    case 'group':
      return freezeGroup(shape, options, how)
    case 'chord':
      return freezeChord(shape, options, how)
    case undefined:
    case 'xmap':
    case 'xstarmap':
    case 'chunks':
      return freezeTask(shape, options, how)
    default:
      throw new InvalidTaskError(`The signature of ${shape.task} has the unknown type ${shape.subtaskType}`)
  }
}

function freezeTask(shape: Shape, options: FreezeOptions, how: Freezing): Frozen {
  const known = shape.options['task_id']
  const id = typeof known === 'string' && known !== '' ? known : (options.id ?? how.newId())
  const added: Record<string, unknown> = { task_id: id }
  if (options.rootId !== undefined) added['root_id'] = options.rootId
  if (options.groupId !== undefined && !('group_id' in shape.options)) added['group_id'] = options.groupId
  if (options.chord !== undefined) added['chord'] = options.chord
  if (options.groupIndex !== undefined) added['group_index'] = options.groupIndex
  return { shape: { ...shape, options: { ...shape.options, ...added } }, result: [[id, null], null] }
}

/** The prepared steps of a chain, in the order they run, and the result of the last one. */
export interface PreparedChain {
  readonly steps: readonly Shape[]
  readonly result: ResultTuple
}

/**
 * Splices nested chains, turns a group that has a next step into a chord, and freezes every step. The last one is what
 * the chain's id, group and chord are about (surface CNV-039). Throws `InvalidTaskError` for an empty chain.
 */
export function prepareChain(shape: Shape, options: FreezeOptions, how: Freezing): PreparedChain {
  const steps = spliced(shape)
  const linkError = listOption(shape.options['link_error'])
  const prepared: Frozen[] = []
  for (const [index, step] of [...steps.entries()].reverse()) {
    const isLast = index === steps.length - 1
    const body = step.subtaskType === 'group' ? prepared.shift() : undefined
    const upgraded = body === undefined ? step : chordOf(step, body.shape)
    const frozen = freeze(upgraded, isLast ? options : { rootId: options.rootId }, how)
    prepared.unshift({ ...frozen, shape: withErrbacks(frozen.shape, linkError, how) })
  }
  const result = chained(prepared.map((step) => step.result))
  if (result === undefined) throw new InvalidTaskError('A chain without tasks cannot be applied')
  return { steps: prepared.map((step) => step.shape), result }
}

/** Each result has the one before it as its parent, all the way down. */
function chained(results: readonly ResultTuple[]): ResultTuple | undefined {
  return results.reduce<ResultTuple | undefined>(
    (parent, result) => (parent === undefined ? result : underneath(result, parent)),
    undefined,
  )
}

/** Puts `parent` at the far end of `result`'s parents. */
function underneath(result: ResultTuple, parent: ResultTuple): ResultTuple {
  const [[id, own], members] = result
  return [[id, own === null ? parent : underneath(own, parent)], members]
}

function freezeChain(shape: Shape, options: FreezeOptions, how: Freezing): Frozen {
  const { steps, result } = prepareChain(shape, options, how)
  return { shape: { ...shape, kwargs: { ...shape.kwargs, tasks: steps.map(writeShape) } }, result }
}

function spliced(shape: Shape): readonly Shape[] {
  return listOption(shape.kwargs['tasks']).flatMap((data) => {
    const step = unrolled(readShape(data))
    return step.subtaskType === 'chain' ? spliced(step) : [step]
  })
}

/** A group of one is its member (surface CNV-021). */
function unrolled(shape: Shape): Shape {
  if (shape.subtaskType !== 'group') return shape
  const tasks = listOption(shape.kwargs['tasks'])
  return tasks.length === 1 ? unrolled(readShape(tasks[0])) : shape
}

function chordOf(header: Shape, body: Shape): Shape {
  const id = body.options['task_id']
  return {
    task: 'celery.chord',
    args: [],
    kwargs: { kwargs: {}, header: writeShape(header), body: writeShape(body) },
    options: typeof id === 'string' ? { task_id: id } : {},
    subtaskType: 'chord',
    immutable: false,
  }
}

/** Members in order; nested groups are taken apart, each with its own index there (surface CNV-066). */
export function groupMembers(shape: Shape): readonly { readonly member: Shape; readonly index: number }[] {
  return listOption(shape.kwargs['tasks']).flatMap((data, index) => {
    const member = readShape(data)
    return member.subtaskType === 'group' ? groupMembers(member) : [{ member, index }]
  })
}

function freezeGroup(shape: Shape, options: FreezeOptions, how: Freezing): Frozen {
  const known = shape.options['task_id']
  const id = typeof known === 'string' ? known : (options.id ?? options.groupId ?? how.newId())
  const members = groupMembers(shape).map(({ member, index }) =>
    freeze(member, { groupId: id, groupIndex: index, chord: options.chord, rootId: options.rootId }, how),
  )
  return {
    shape: {
      ...shape,
      kwargs: { ...shape.kwargs, tasks: members.map((member) => writeShape(member.shape)) },
      options: { ...shape.options, task_id: id },
    },
    result: [[id, null], members.map((member) => member.result)],
  }
}

/** The header of a chord as one list: a nested group comes out reversed, as Celery's does (surface CNV-084). */
export function headerMembers(shape: Shape): readonly Shape[] {
  const header = shape.kwargs['header']
  const group = Array.isArray(header) ? undefined : readShape(header)
  const stack = [...listOption(group === undefined ? header : group.kwargs['tasks'])]
  const members: Shape[] = []
  while (stack.length > 0) {
    const member = readShape(stack.shift())
    if (member.subtaskType === 'group') stack.unshift(...[...listOption(member.kwargs['tasks'])].reverse())
    else members.push(member)
  }
  return members
}

/** The id of a chord's header: that of its group; a header that is a list has that of the chord (surface CNV-091). */
function headerId(shape: Shape, how: Freezing): string {
  const header = shape.kwargs['header']
  const known = (Array.isArray(header) ? shape : readShape(header)).options['task_id']
  return typeof known === 'string' && known !== '' ? known : how.newId()
}

/**
 * As Celery does: the chord's own id becomes that of its header, by which a Python worker counts the parts and the
 * parts get their group when the header is sent.
 */
function holdsChord(shape: Shape): boolean {
  if (shape.subtaskType === 'chord') return true
  const steps = listOption(shape.kwargs['tasks']).map(readShape)
  if (shape.subtaskType === 'group') return steps.some(holdsChord)
  // A group that has a next step is a chord once it runs.
  const last = steps.length - 1
  return (
    shape.subtaskType === 'chain' &&
    steps.some((step, index) => holdsChord(step) || (step.subtaskType === 'group' && index < last))
  )
}

function freezeChord(shape: Shape, options: FreezeOptions, how: Freezing): Frozen {
  const gid = headerId(shape, how)
  const body = freeze(readShape(shape.kwargs['body']), options, how)
  const chord = writeShape(body.shape)
  // Whoever starts the chord sets it anew. Copies of a body that holds a chord itself would grow threefold with every
  // level, and are left out (see canvas/chord.ts).
  const copied = holdsChord(body.shape) ? undefined : chord
  const members = headerMembers(shape).map((member, groupIndex) =>
    freeze(member, { groupIndex, chord: copied, rootId: options.rootId }, how),
  )
  const header = writeShape({
    task: 'celery.group',
    args: [],
    kwargs: { tasks: members.map((member) => writeShape(member.shape)) },
    options: { task_id: gid, ...(copied === undefined ? {} : { chord }) },
    subtaskType: 'group',
    immutable: false,
  })
  return {
    shape: {
      ...shape,
      kwargs: { ...shape.kwargs, header, body: chord },
      options: { ...shape.options, task_id: gid },
    },
    result: underneath(body.result, [[gid, null], members.map((member) => member.result)]),
  }
}
