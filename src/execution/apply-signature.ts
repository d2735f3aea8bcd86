/**
 * Sends what a signature describes, whatever it is: a task, a chain, a group, a chord (`apply_async` of the classes in
 * `celery/canvas.py`; wire-format 2.3).
 *
 * Rule 1: ids come before messages: nothing is sent until every task of the canvas has its id.
 * Rule 2: nothing here touches the running task's children; the caller adds the tuple that it gets.
 */
import { randomUUID } from 'node:crypto'
import { InvalidTaskError } from '../../protocol/errors.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import type { ChordCounter } from '../backend/backend.js'
import type { Sender } from '../canvas/sender.js'
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

/** What sending needs. */
export interface Applier {
  send: Sender['send']
  /** Present when the backend counts chord parts; otherwise `celery.chord_unlock` is sent. */
  readonly chords?: ChordCounter | undefined
  readonly newId?: (() => string) | undefined
  /** `interval`, `countdown` and `max_retries` of the `celery.chord_unlock` that is sent. */
  readonly unlock?: Readonly<Record<string, unknown>>
  /** What is done for a run goes through this: its gate. */
  readonly effect?: <T>(act: () => Promise<T>) => Promise<T>
}

/** What was sent: the id to wait for, and the result in `as_tuple` form. */
export interface Applied {
  readonly id: string
  readonly tuple: ResultTuple
}

/** Applies a signature dict. Throws `InvalidTaskError` for one that cannot be read, and what sending throws. */
export async function applySignature(applier: Applier, data: SignatureData, call: Call): Promise<Applied> {
  const shape = merge(readShape(data), call)
  switch (shape.subtaskType) {
    case 'chain':
      return applyChain(applier, shape)
    case 'group':
      return applyGroup(applier, shape, call)
    case 'chord':
      return applyChord(applier, shape, call)
    case 'chunks':
      return applyGroup(applier, withRoute(chunkGroup(shape), shape), {})
    case 'xmap':
    case 'xstarmap':
      return applyTask(applier, { ...withRoute(shape, shape), subtaskType: undefined })
    case undefined:
      return applyTask(applier, shape)
    default:
      throw new InvalidTaskError(`The signature of ${shape.task} has the unknown type ${shape.subtaskType}`)
  }
}

async function applyTask(applier: Applier, shape: Shape): Promise<Applied> {
  const { shape: frozen, result } = freeze(shape, {}, idMaker(applier))
  await applier.send(writeShape(frozen), { add_to_parent: false })
  return { id: result[0][0], tuple: result }
}

/** Sends the first step with the rest of the chain in it, the next one last (surface CNV-041, CNV-051). */
async function applyChain(applier: Applier, shape: Shape): Promise<Applied> {
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
    idMaker(applier),
  )
  const [first, ...others] = steps
  if (first === undefined) throw new InvalidTaskError('A chain without tasks cannot be applied')
  const later = others.map((step, index) => (index === others.length - 1 ? withLinks(step, link) : step))
  const chain = [...listOption(outer), ...later.reverse().map(writeShape)]
  const start = others.length === 0 ? withLinks(first, link) : first
  const started = await applySignature(applier, writeShape(start), {
    args: shape.args,
    kwargs: withoutTasks(shape.kwargs),
    options: { ...options, chain },
  })
  return others.length === 0 ? started : { id: result[0][0], tuple: result }
}

/** Sends each member with the group's id and its index (surface CNV-064 to CNV-069). */
async function applyGroup(applier: Applier, shape: Shape, call: Call): Promise<Applied> {
  const newId = idMaker(applier)
  const { task_id: known, group_id: _outer, chord, link, link_error: linkError, ...options } = shape.options
  if (link !== undefined || linkError !== undefined) {
    throw new InvalidTaskError('Cannot add link to group: use a chord, or link its tasks')
  }
  const gid = text(known) ?? newId()
  const members = groupMembers(shape).map(({ member, index }) =>
    freeze(member, { groupId: gid, groupIndex: index, rootId: text(options['root_id']) }, newId),
  )
  const inChord = isRecord(chord)
    ? chord
    : members.map(({ shape: member }) => member.options['chord']).find(isRecord)
  if (inChord !== undefined && members.length > 0) {
    await applier.chords?.begin(
      gid,
      members.reduce((size, member) => size + chordSize(member.shape), 0),
    )
  }
  for (const { shape: member } of members) {
    const { group_index: _index, ...shared } = options
    await applySignature(applier, writeShape(member), {
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
async function applyChord(applier: Applier, shape: Shape, call: Call): Promise<Applied> {
  const newId = idMaker(applier)
  const { task_id: ownId, ...forBody } = shape.options
  const body = withLinksOf(merge(readShape(shape.kwargs['body']), { options: forBody }), shape)
  const rootId = text(body.options['root_id'])
  const { shape: frozen, result } = freeze(
    { ...shape, kwargs: { ...shape.kwargs, body: writeShape(body) } },
    { id: text(ownId), rootId },
    newId,
  )
  const header = readShape(frozen.kwargs['header'])
  const gid = text(header.options['task_id']) ?? newId()
  const bodyShape = readShape(frozen.kwargs['body'])
  // Down to the task that ends the body, and nowhere else: a Python worker would give a chord's own group to its body.
  const inGroup =
    bodyShape.subtaskType === 'group'
      ? { ...bodyShape, options: { group_id: gid, ...bodyShape.options } }
      : freeze(bodyShape, { groupId: gid, rootId }, newId).shape
  const chord = writeShape(inGroup)
  const members = headerMembers(frozen).map(
    (member, groupIndex) => freeze(member, { groupId: gid, groupIndex, chord, rootId }, newId).shape,
  )
  if (members.length === 0) {
    const { id } = await applySignature(applier, chord, { args: [[]] })
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
  if (applier.chords === undefined) await sendUnlock(applier, gid, chord, frozen, options)
  else
    await applier.chords.begin(
      gid,
      members.reduce((size, member) => size + chordSize(member), 0),
    )
  for (const member of members) {
    await applySignature(applier, writeShape(member), {
      ...(shape.immutable ? {} : { args: call.args ?? [], kwargs: headerKwargs(shape, call) }),
      options,
    })
  }
  return { id: result[0][0], tuple: result }
}

/** The task that waits for a header whose backend cannot count (wire-format 9.6; surface BLT-004). */
async function sendUnlock(
  applier: Applier,
  gid: string,
  body: SignatureData,
  frozen: Shape,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { queue, priority } = readShape(body).options
  const result = listOption(readShape(frozen.kwargs['header']).kwargs['tasks']).map(
    (member) => freeze(readShape(member), {}, idMaker(applier)).result,
  )
  await applier.send(
    {
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
    },
    { add_to_parent: false },
  )
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

function idMaker(applier: Applier): () => string {
  return applier.newId ?? randomUUID
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
