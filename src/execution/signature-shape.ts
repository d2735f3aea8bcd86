/** Signature dicts as a worker reads them: what it needs, checked (wire-format 2.1 and 2.2). */
import { isDeepStrictEqual } from 'node:util'
import { InvalidTaskError } from '../../protocol/errors.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { Tuple } from '../../protocol/values.js'

/** A signature with every part there. */
export interface Shape {
  readonly task: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly options: Readonly<Record<string, unknown>>
  readonly subtaskType: string | undefined
  readonly immutable: boolean
}

/** Reads a signature dict. Throws `InvalidTaskError` for one without `task`, `args` or `options`. */
export function readShape(data: unknown): Shape {
  if (!isRecord(data)) throw new InvalidTaskError('A signature must be a mapping')
  const { task, args, options, kwargs, subtask_type: subtaskType, immutable } = data
  if (typeof task !== 'string') throw new InvalidTaskError('A signature needs a task name')
  if (!Array.isArray(args)) throw new InvalidTaskError(`The signature of ${task} needs args: a list`)
  if (!isRecord(options)) throw new InvalidTaskError(`The signature of ${task} needs options: a mapping`)
  return {
    task,
    args,
    kwargs: isRecord(kwargs) ? kwargs : {},
    options,
    subtaskType: typeof subtaskType === 'string' && subtaskType !== '' ? subtaskType : undefined,
    immutable: immutable === true,
  }
}

/** The dict of a shape: six keys in Celery's order. */
export function writeShape(shape: Shape): SignatureData {
  return {
    task: shape.task,
    args: shape.args,
    kwargs: shape.kwargs,
    options: shape.options,
    subtask_type: shape.subtaskType ?? null,
    immutable: shape.immutable,
  }
}

/** What a caller adds to a signature when it applies it. */
export interface Call {
  readonly args?: readonly unknown[]
  readonly kwargs?: Readonly<Record<string, unknown>>
  /** By wire names; undefined and null are dropped (surface CNV-006). */
  readonly options?: Readonly<Record<string, unknown>>
}

/**
 * `Signature._merge`: call args first, call kwargs and options over the stored ones; but the stored `group_id` and
 * stamps stay, and an immutable signature takes options only (surface CNV-005, CNV-007).
 */
export function merge(shape: Shape, call: Call): Shape {
  const stamped = shape.options['stamped_headers']
  const kept = new Set<unknown>(['group_id', 'stamped_headers', ...(Array.isArray(stamped) ? stamped : [])])
  const options: Record<string, unknown> = { ...shape.options }
  for (const [name, value] of Object.entries(call.options ?? {})) {
    if (value === undefined || value === null) continue
    if (!(kept.has(name) && name in shape.options)) options[name] = value
  }
  if (shape.immutable) return { ...shape, options }
  return {
    ...shape,
    options,
    // A tuple, as in Celery, which `argsrepr` shows.
    args: call.args?.length ? Tuple.from([...call.args, ...shape.args]) : shape.args,
    kwargs: { ...shape.kwargs, ...call.kwargs },
  }
}

/** A list option of one or many values (`link`, `link_error`, `chain`). */
export function listOption(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

/** Without those that say the same as one before (surface CNV-010, CNV-017). */
export function distinct(signatures: readonly unknown[]): readonly unknown[] {
  return signatures.filter(
    (one, index) => signatures.findIndex((other) => isDeepStrictEqual(other, one)) === index,
  )
}

/** A plain object of names and values. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
