/**
 * Signatures as plain records with Celery's wire names: the dict forms of `celery/canvas.py` (wire-format 2).
 *
 * Rule 1: all six keys are written, in Celery's order.
 * Rule 2: read is what a 5.6 worker can apply: `task`, `args` and `options` must be there and not be null; `kwargs`,
 * `subtask_type` and `immutable` may be missing; keys that we do not know are ignored.
 * Rule 3: map, starmap and chunks have no `subtask_type`: they are plain tasks of those names.
 */
import { InvalidTaskError } from './errors.js'
import { asMapping, describe, own } from './mapping.js'

/** A signature as a plain record with Celery's wire names (wire-format 2.1); `canvas/` gives it shape. */
export type SignatureData = Readonly<Record<string, unknown>>

/** What a signature says. */
export interface SignatureParts {
  readonly task: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  /** `applyAsync` options by their wire names, and one key for every stamp. */
  readonly options: Readonly<Record<string, unknown>>
  readonly subtaskType: string | undefined
  readonly immutable: boolean
  /** Celery 5.0 and older put the size of a chord into its body. */
  readonly chordSize: number | undefined
}

/** What a signature stands for. */
export type SignatureKind = 'task' | 'chain' | 'group' | 'chord' | 'map' | 'starmap' | 'chunks'

/** Option names that Celery uses in signatures; any other `apply_async` option, and every stamp, may stand beside them. */
export const SIGNATURE_OPTIONS = [
  'task_id',
  'root_id',
  'parent_id',
  'group_id',
  'group_index',
  'chord',
  'chain',
  'reply_to',
  'link',
  'link_error',
  'countdown',
  'eta',
  'expires',
  'queue',
  'exchange',
  'routing_key',
  'priority',
  'serializer',
  'compression',
  'delivery_mode',
  'time_limit',
  'soft_time_limit',
  'ignore_result',
  'shadow',
  'headers',
  'retries',
  'replaced_task_nesting',
  'stamped_headers',
] as const

const KINDS: ReadonlyMap<string, SignatureKind> = new Map<string, SignatureKind>([
  ['chain', 'chain'],
  ['group', 'group'],
  ['chord', 'chord'],
  ['xmap', 'map'],
  ['xstarmap', 'starmap'],
  ['chunks', 'chunks'],
])

const KINDS_BY_TASK: ReadonlyMap<string, SignatureKind> = new Map<string, SignatureKind>([
  ['celery.map', 'map'],
  ['celery.starmap', 'starmap'],
  ['celery.chunks', 'chunks'],
])

/** What goes into a signature; what is left out gets Celery's default. */
export interface SignatureInput {
  readonly task: string
  readonly args?: readonly unknown[]
  readonly kwargs?: Readonly<Record<string, unknown>>
  readonly options?: Readonly<Record<string, unknown>>
  readonly immutable?: boolean
  readonly subtaskType?: string | null
}

/** The dict of one task, or of any construct whose parts are given. */
export function signatureData(input: SignatureInput): SignatureData {
  return {
    task: input.task,
    args: input.args ?? [],
    kwargs: input.kwargs ?? {},
    options: input.options ?? {},
    subtask_type: input.subtaskType ?? null,
    immutable: input.immutable ?? false,
  }
}

/** A chain; `tasks` in execution order (unlike the `chain` of a message body, which is reversed). */
export function chainData(
  tasks: readonly SignatureData[],
  options: Readonly<Record<string, unknown>> = {},
): SignatureData {
  return signatureData({ task: 'celery.chain', kwargs: { tasks }, options, subtaskType: 'chain' })
}

/** A group. */
export function groupData(
  tasks: readonly SignatureData[],
  options: Readonly<Record<string, unknown>> = {},
): SignatureData {
  return signatureData({ task: 'celery.group', kwargs: { tasks }, options, subtaskType: 'group' })
}

/** A chord; `header` is a list of signatures, or one group signature as in a frozen chain. */
export function chordData(
  header: readonly SignatureData[] | SignatureData,
  body: SignatureData,
  options: Readonly<Record<string, unknown>> = {},
  kwargs: Readonly<Record<string, unknown>> = {},
): SignatureData {
  return signatureData({
    task: 'celery.chord',
    kwargs: { kwargs, header, body },
    options,
    subtaskType: 'chord',
  })
}

/** `task.map(it)`: one message that calls the task for each item. */
export function mapData(task: SignatureData, it: readonly unknown[]): SignatureData {
  return signatureData({ task: 'celery.map', kwargs: { task, it }, immutable: true })
}

/** `task.starmap(it)`: as map, with each item spread as arguments. */
export function starmapData(task: SignatureData, it: readonly (readonly unknown[])[]): SignatureData {
  return signatureData({ task: 'celery.starmap', kwargs: { task, it }, immutable: true })
}

/** `task.chunks(it, n)`: starmaps of n items each. */
export function chunksData(
  task: SignatureData,
  it: readonly (readonly unknown[])[],
  n: number,
): SignatureData {
  return signatureData({ task: 'celery.chunks', kwargs: { task, it, n }, immutable: true })
}

/** Reads a signature's own six keys. Throws `InvalidTaskError` for what a Python worker could not apply. */
export function readSignature(data: unknown): SignatureParts {
  const mapping = asMapping(data)
  if (mapping === undefined) throw invalid(`is ${describe(data)}, not a mapping`)
  const task = own(mapping, 'task')
  if (typeof task !== 'string' || task === '') throw invalid('has no task name')
  const args = own(mapping, 'args')
  if (!Array.isArray(args)) throw invalid(`has args that are ${describe(args)}`, task)
  const options = asMapping(own(mapping, 'options'))
  if (options === undefined) throw invalid(`has options that are ${describe(mapping['options'])}`, task)
  const kwargs = asMapping(own(mapping, 'kwargs') ?? {})
  if (kwargs === undefined) throw invalid(`has kwargs that are ${describe(mapping['kwargs'])}`, task)
  const type = own(mapping, 'subtask_type') || undefined
  if (type !== undefined && (typeof type !== 'string' || !KINDS.has(type))) {
    throw invalid('has a subtask_type that Celery does not know', task)
  }
  const size = own(mapping, 'chord_size')
  return {
    task,
    args,
    kwargs,
    options,
    subtaskType: type,
    immutable: Boolean(own(mapping, 'immutable')),
    chordSize: typeof size === 'number' ? size : undefined,
  }
}

/** What a signature stands for. Throws `InvalidTaskError`. */
export function signatureKind(data: unknown): SignatureKind {
  const { subtaskType, task } = readSignature(data)
  if (subtaskType !== undefined) return KINDS.get(subtaskType) as SignatureKind
  return KINDS_BY_TASK.get(task) ?? 'task'
}

/** The tasks of a chain (in execution order) or group. Throws `InvalidTaskError`. */
export function readTasks(data: unknown): readonly SignatureData[] {
  const { task, kwargs } = readSignature(data)
  return signatureList(own(kwargs, 'tasks'), 'tasks', task)
}

/** The parts of a chord. `header` lists its tasks in either wire form. Throws `InvalidTaskError`. */
export function readChord(data: unknown): {
  readonly header: readonly SignatureData[]
  /** Options of the header where it is a group signature. */
  readonly headerOptions: Readonly<Record<string, unknown>>
  readonly body: SignatureData
  readonly kwargs: Readonly<Record<string, unknown>>
} {
  const { task, kwargs } = readSignature(data)
  const header = own(kwargs, 'header')
  const group = asMapping(header)
  const body = asMapping(own(kwargs, 'body'))
  if (body === undefined) throw invalid(`has a body that is ${describe(own(kwargs, 'body'))}`, task)
  readSignature(body)
  return {
    header: group === undefined ? signatureList(header, 'header', task) : headerTasks(group),
    headerOptions: group === undefined ? {} : readSignature(group).options,
    body,
    kwargs: asMapping(own(kwargs, 'kwargs')) ?? {},
  }
}

/** A header that is one signature: the members of a group, else itself. */
function headerTasks(signature: SignatureData): readonly SignatureData[] {
  return signatureKind(signature) === 'group' ? readTasks(signature) : [signature]
}

/** The parts of a map, starmap or chunks. Throws `InvalidTaskError`. */
export function readMap(data: unknown): {
  readonly task: SignatureData
  readonly it: readonly unknown[]
  /** Of chunks only. */
  readonly n: number | undefined
} {
  const { task: name, kwargs } = readSignature(data)
  const task = asMapping(own(kwargs, 'task'))
  const it = own(kwargs, 'it')
  if (task === undefined || !Array.isArray(it)) throw invalid('lacks its task or its items', name)
  readSignature(task)
  const n = own(kwargs, 'n')
  return { task, it, n: typeof n === 'number' ? n : undefined }
}

/** `link` or `link_error` of options: a list, one signature, or nothing. Throws `InvalidTaskError`. */
export function readLinks(value: unknown): readonly SignatureData[] {
  if (value === null || value === undefined) return []
  const one = asMapping(value)
  return one === undefined ? signatureList(value, 'links', 'options') : [one]
}

function signatureList(value: unknown, field: string, task: string): readonly SignatureData[] {
  if (!Array.isArray(value)) throw invalid(`has ${field} that are ${describe(value)}`, task)
  return value.map((item: unknown) => {
    const one = asMapping(item)
    if (one === undefined) throw invalid(`has ${describe(item)} among its ${field}`, task)
    return one
  })
}

function invalid(what: string, task?: string): InvalidTaskError {
  return new InvalidTaskError(`A signature${task === undefined ? '' : ` of ${task}`} ${what}.`)
}
