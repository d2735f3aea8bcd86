/**
 * Sends what a signature describes, whatever it is: a task, a chain, a group, a chord (`apply_async` of the classes in
 * `celery/canvas.py`; wire-format 2.3).
 *
 * Rule 1: everything is planned before anything is sent: ids first, and a canvas that cannot be sent sends no part of
 * itself. Messages go out in Celery's order, in batches.
 * Rule 2: what the backend must know (sizes and shapes of chord headers) is written before the first message.
 * Rule 3: nothing here touches the running task's children; the caller adds the tuple that it gets.
 */
import { InvalidTaskError } from '../../protocol/errors.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { type Applier, freezingOf } from './applier.js'
import { freeze, groupMembers, headerMembers, prepareChain, type ResultTuple } from './freeze.js'
import {
  type Call,
  distinct,
  isRecord,
  listOption,
  merge,
  readShape,
  type Shape,
  writeShape,
} from './signature-shape.js'

/** What was sent: the id to wait for, and the result in `as_tuple` form. */
export interface Applied {
  readonly id: string
  readonly tuple: ResultTuple
}

/** What is about to be sent. */
interface Plan {
  /** Writes that must be done before the first message goes out. */
  readonly before: (() => Promise<void>)[]
  /** Single tasks, in the order in which they are sent. */
  readonly messages: SignatureData[]
}

/** Most messages in one batch: each has a time within which the broker must take it. */
const MAX_BATCH = 1000

/** Applies a signature dict. Throws `InvalidTaskError` for one that cannot be read, and what sending throws. */
export async function applySignature(applier: Applier, data: SignatureData, call: Call): Promise<Applied> {
  return sendPlanned(applier, (plan) => planSignature(applier, plan, data, call))
}

/** `applySignature` for several, with the same call, in one go. */
export async function applySignatures(
  applier: Applier,
  signatures: readonly SignatureData[],
  call: Call,
): Promise<void> {
  await sendPlanned(applier, (plan) => {
    for (const data of signatures) planSignature(applier, plan, data, call)
  })
}

async function sendPlanned<T>(applier: Applier, fill: (plan: Plan) => T): Promise<T> {
  const plan: Plan = { before: [], messages: [] }
  const applied = fill(plan)
  const { before, messages } = plan
  if (before.length > 0) await Promise.all(before.map((write) => write()))
  const options = { add_to_parent: false }
  const [only] = messages
  if (only !== undefined && messages.length === 1) await applier.send(only, options)
  else
    for (let from = 0; from < messages.length; from += MAX_BATCH)
      await applier.sendMany(messages.slice(from, from + MAX_BATCH), options)
  return applied
}

function planSignature(applier: Applier, plan: Plan, data: SignatureData, call: Call): Applied {
  const shape = merge(readShape(data), call)
  switch (shape.subtaskType) {
    case 'chain':
      return planChain(applier, plan, shape)
    case 'group':
      return planGroup(applier, plan, shape, call)
    case 'chord':
      return planChord(applier, plan, shape, call)
    case 'chunks':
      return planGroup(applier, plan, withRoute(chunkGroup(shape), shape), {})
    case 'xmap':
    case 'xstarmap':
      return planTask(applier, plan, { ...withRoute(shape, shape), subtaskType: undefined })
    case undefined:
      return planTask(applier, plan, shape)
    default:
      throw new InvalidTaskError(`The signature of ${shape.task} has the unknown type ${shape.subtaskType}`)
  }
}

function planTask(applier: Applier, plan: Plan, shape: Shape): Applied {
  const { shape: frozen, result } = freeze(shape, {}, freezingOf(applier))
  plan.messages.push(writeShape(frozen))
  return { id: result[0][0], tuple: result }
}

/** Sends the first step with the rest of the chain in it, the next one last (surface CNV-041, CNV-051). */
function planChain(applier: Applier, plan: Plan, shape: Shape): Applied {
  const { chain: outer, chord, link, link_error: _ofSteps, ...rest } = shape.options
  const { task_id: id, group_id: groupId, group_index: groupIndex, root_id: rootId, ...options } = rest
  const own = shape.immutable ? { ...shape, args: [] } : shape
  const { steps, result } = prepareChain(
    own,
    {
      id: text(id),
      groupId: text(groupId),
      groupIndex: typeof groupIndex === 'number' ? groupIndex : undefined,
      chord: isRecord(chord) ? chord : undefined,
      rootId: text(rootId),
    },
    freezingOf(applier),
  )
  const [first, ...others] = steps
  if (first === undefined) throw new InvalidTaskError('A chain without tasks cannot be applied')
  const later = others.map((step, index) => (index === others.length - 1 ? withLinks(step, link) : step))
  const chain = [...listOption(outer), ...later.reverse().map(writeShape)]
  const start = others.length === 0 ? withLinks(first, link) : first
  const started = planSignature(applier, plan, writeShape(start), {
    args: shape.args,
    kwargs: withoutTasks(shape.kwargs),
    options: { ...options, chain },
  })
  return others.length === 0 ? started : { id: result[0][0], tuple: result }
}

/** Sends each member with the group's id and its index (surface CNV-064 to CNV-069). */
function planGroup(applier: Applier, plan: Plan, shape: Shape, call: Call): Applied {
  const how = freezingOf(applier)
  const { task_id: known, group_id: _outer, chord, link, link_error: linkError, ...options } = shape.options
  if (link !== undefined || linkError !== undefined) {
    throw new InvalidTaskError('Cannot add link to group: use a chord, or link its tasks')
  }
  const gid = text(known) ?? how.newId()
  const members = groupMembers(shape).map(({ member, index }) =>
    freeze(member, { groupId: gid, groupIndex: index, rootId: text(options['root_id']) }, how),
  )
  const inChord = isRecord(chord)
    ? chord
    : members.map(({ shape: member }) => member.options['chord']).find(isRecord)
  if (inChord !== undefined && members.length > 0) {
    planSize(
      applier,
      plan,
      gid,
      members.map((member) => member.shape),
    )
  }
  for (const { shape: member } of members) {
    const { group_index: _index, ...shared } = options
    planSignature(applier, plan, writeShape(member), {
      ...call,
      options: { ...shared, ...(isRecord(chord) ? { chord } : {}) },
    })
  }
  return { id: gid, tuple: [[gid, null], members.map((member) => member.result)] }
}

/**
 * Sends the header, its parts counted by the backend or looked after by `celery.chord_unlock`; the body follows when
 * they are done. An empty header sends the body at once (surface CNV-080 to CNV-088).
 */
function planChord(applier: Applier, plan: Plan, shape: Shape, call: Call): Applied {
  const how = freezingOf(applier)
  const { task_id: ownId, ...forBody } = shape.options
  const body = withLinksOf(merge(readShape(shape.kwargs['body']), { options: forBody }), shape)
  const rootId = text(body.options['root_id'])
  const { shape: frozen, result } = freeze(
    { ...shape, kwargs: { ...shape.kwargs, body: writeShape(body) } },
    { id: text(ownId), rootId },
    how,
  )
  const header = readShape(frozen.kwargs['header'])
  const gid = text(header.options['task_id']) ?? how.newId()
  const bodyShape = readShape(frozen.kwargs['body'])
  // Down to the task that ends the body, and nowhere else: a Python worker would give a chord's own group to its body.
  const inGroup =
    bodyShape.subtaskType === 'group'
      ? { ...bodyShape, options: { group_id: gid, ...bodyShape.options } }
      : freeze(bodyShape, { groupId: gid, rootId }, how).shape
  const chord = writeShape(inGroup)
  const members = headerMembers(frozen).map((member, groupIndex) =>
    freeze(member, { groupId: gid, groupIndex, chord, rootId }, how),
  )
  if (members.length === 0) {
    const { id } = planSignature(applier, plan, chord, { args: [[]] })
    return { id, tuple: result }
  }
  const {
    chain: _chain,
    chord: _chord,
    group_id: _gid,
    group_index: _index,
    link: _link,
    link_error: _linkError,
    ...options
  } = forBody
  const parts = members.map((member) => member.shape)
  if (applier.chords === undefined) planUnlock(applier, plan, gid, chord, frozen, options)
  else {
    planSize(applier, plan, gid, parts)
    // Values of groups in the header are to arrive as lists, which only the saved group tells (surface CNV-109).
    const results = members.map((member) => member.result)
    if (results.some(([, ofGroup]) => ofGroup !== null)) {
      plan.before.push(() => effectOf(applier, async () => applier.storeGroup?.(gid, [[gid, null], results])))
    }
  }
  for (const part of parts) {
    planSignature(applier, plan, writeShape(part), {
      ...(shape.immutable ? {} : { args: call.args ?? [], kwargs: headerKwargs(shape, call) }),
      options,
    })
  }
  return { id: result[0][0], tuple: result }
}

/** The backend that counts is told how many completions to expect. */
function planSize(applier: Applier, plan: Plan, gid: string, parts: readonly Shape[]): void {
  const { chords } = applier
  if (chords === undefined) return
  const size = parts.reduce((sum, part) => sum + chordSize(part), 0)
  plan.before.push(() => effectOf(applier, () => chords.begin(gid, size)))
}

function effectOf(applier: Applier, act: () => Promise<void>): Promise<void> {
  return applier.effect === undefined ? act() : applier.effect(act)
}

/** The task that waits for a header whose backend cannot count (wire-format 9.6; surface BLT-004). */
function planUnlock(
  applier: Applier,
  plan: Plan,
  gid: string,
  body: SignatureData,
  frozen: Shape,
  options: Readonly<Record<string, unknown>>,
): void {
  const { queue, priority } = readShape(body).options
  const result = listOption(readShape(frozen.kwargs['header']).kwargs['tasks']).map(
    (member) => freeze(readShape(member), {}, freezingOf(applier)).result,
  )
  plan.messages.push({
    task: 'celery.chord_unlock',
    args: [gid, body],
    kwargs: {
      interval: applier.unlock?.['interval'] ?? null,
      max_retries: applier.unlock?.['max_retries'] ?? null,
      result,
    },
    options: {
      countdown: applier.unlock?.['countdown'] ?? 1,
      ignore_result: true,
      ...(queue === undefined ? { route_name: readShape(body).task } : { queue }),
      ...(priority === undefined ? {} : { priority }),
      ...('root_id' in options ? { root_id: options['root_id'] } : {}),
      ...('parent_id' in options ? { parent_id: options['parent_id'] } : {}),
    },
    subtask_type: null,
    immutable: false,
  })
}

/** How many completions a signature counts for in a chord (surface CNV-086). */
function chordSize(shape: Shape): number {
  const tasks = (): readonly number[] =>
    listOption(shape.kwargs['tasks']).map((task) => chordSize(readShape(task)))
  if (shape.subtaskType === 'group') return tasks().reduce((sum, size) => sum + size, 0)
  if (shape.subtaskType === 'chain') return tasks().findLast((size) => size > 0) ?? 0
  if (shape.subtaskType === 'chord') return chordSize(readShape(shape.kwargs['body']))
  return 1
}

/** A group of `celery.starmap` over slices of `n` (surface CNV-132). */
export function chunkGroup(shape: Shape): Shape {
  const { task, it, n } = shape.kwargs
  const items = listOption(it)
  const size = Number(n)
  if (!Number.isInteger(size) || size < 1) {
    throw new InvalidTaskError('celery.chunks needs n: a whole number of at least 1')
  }
  const slices = Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  )
  const tasks = slices.map((slice) => ({
    task: 'celery.starmap',
    args: [],
    kwargs: { task, it: slice },
    options: {},
    subtask_type: null,
    immutable: true,
  }))
  return {
    task: 'celery.group',
    args: [],
    kwargs: { tasks },
    options: shape.options,
    subtaskType: 'group',
    immutable: false,
  }
}

/** What is linked to a chord is linked to its body, beside what is there (surface CNV-089). */
function withLinksOf(merged: Shape, chord: Shape): Shape {
  const own = readShape(chord.kwargs['body']).options
  const both = (name: string): Readonly<Record<string, unknown>> => {
    const all = distinct([...listOption(own[name]), ...listOption(chord.options[name])])
    return all.length === 0 ? {} : { [name]: all }
  }
  return { ...merged, options: { ...merged.options, ...both('link'), ...both('link_error') } }
}

function withLinks(shape: Shape, link: unknown): Shape {
  const links = listOption(link)
  if (links.length === 0) return shape
  return { ...shape, options: { ...shape.options, link: [...listOption(shape.options['link']), ...links] } }
}

function headerKwargs(shape: Shape, call: Call): Readonly<Record<string, unknown>> {
  const own = shape.kwargs['kwargs']
  return { ...(isRecord(own) ? own : {}), ...call.kwargs }
}

function withoutTasks(kwargs: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { tasks: _tasks, ...rest } = kwargs
  return rest
}

/** Maps and chunks are routed by the task inside them. */
function withRoute(shape: Shape, mapped: Shape): Shape {
  const { task } = mapped.kwargs
  const name = isRecord(task) ? task['task'] : task
  return { ...shape, options: { route_name: name, ...shape.options } }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
