/**
 * What a result store keeps for a task or a group (`_get_result_meta`, `prepare_value` and `meta_from_decoded` of
 * `celery/backends/base.py`; wire-format 8.1, 8.2, 9.1, 14, 16.3).
 *
 * Rule 1: keys in Celery's order: status, result, traceback, children, date_done, [group_id], [parent_id], [extended],
 * task_id.
 * Rule 2: the stored bytes carry no content type: both sides must agree on `result_serializer`.
 * Rule 3: every version's meta is read: without children, date_done, group or parent; naive and aware dates alike.
 */
import { DecodeError, ProtocolError } from './errors.js'
import { asMapping, describe, own } from './mapping.js'
import { decodeRemoteError, encodeRemoteError, isRemoteError } from './remote-error.js'
import type { Codec, Payload } from './serializers.js'
import { EXCEPTION_STATES, READY_STATES, type TaskState } from './task-state.js'
import { DateTime, dateToIso } from './values.js'

export type { TaskState } from './task-state.js'

/** What a result store keeps for one task, in our spelling (wire-format 8.2). */
export interface ResultMeta {
  readonly taskId: string
  /** `status` on the wire. */
  readonly state: TaskState
  /** The value; for FAILURE, RETRY and REVOKED a `RemoteError`; for custom states the meta given to `updateState`. */
  readonly result: unknown
  readonly traceback: string | undefined
  /** `as_tuple` forms of the results of sub-tasks; `undefined` (null on the wire) when stored outside a task. */
  readonly children: readonly unknown[] | undefined
  /** ISO text, only for ready states. */
  readonly dateDone: string | undefined
  readonly groupId?: string
  readonly parentId?: string
  /** name, args, kwargs, worker, retries, queue, stamped_headers and stamps (wire names), with `result_extended`. */
  readonly extended?: Readonly<Record<string, unknown>>
}

/** How results are written: the app's codec and the name of `result_serializer`. */
export interface ResultEncoding {
  readonly codec: Codec
  /** Name or content type. */
  readonly serializer: string
}

const OWN_KEYS: ReadonlySet<string> = new Set([
  'status',
  'result',
  'traceback',
  'children',
  'date_done',
  'group_id',
  'parent_id',
  'task_id',
])

/** `celery-task-meta-<id>`: key, file name and Redis channel of a task's result. Throws `DecodeError` for an empty id. */
export function taskKey(taskId: string, prefix = ''): string {
  if (taskId === '') throw new DecodeError('A result without task id cannot be stored or found.')
  return `${prefix}celery-task-meta-${taskId}`
}

/** `celery-taskset-meta-<id>`: key of a saved group. Throws `DecodeError` for an empty id. */
export function groupKey(groupId: string, prefix = ''): string {
  if (groupId === '') throw new DecodeError('A group without id cannot be stored or found.')
  return `${prefix}celery-taskset-meta-${groupId}`
}

/** The meta as a mapping with wire names, for stores that do not keep bytes. */
export function resultMetaToWire(meta: ResultMeta, how: ResultEncoding): Readonly<Record<string, unknown>> {
  const isReady = READY_STATES.has(meta.state)
  // The usual case, without copies.
  if (!meta.groupId && !meta.parentId && meta.extended === undefined) {
    return {
      status: meta.state,
      result: wireResult(meta, how),
      traceback: meta.traceback ?? null,
      children: meta.children ?? null,
      date_done: isReady ? (meta.dateDone ?? null) : null,
      task_id: meta.taskId,
    }
  }
  return {
    status: meta.state,
    result: wireResult(meta, how),
    traceback: meta.traceback ?? null,
    children: meta.children ?? null,
    date_done: isReady ? (meta.dateDone ?? null) : null,
    ...(meta.groupId ? { group_id: meta.groupId } : {}),
    ...(meta.parentId ? { parent_id: meta.parentId } : {}),
    ...meta.extended,
    task_id: meta.taskId,
  }
}

/** Throws `EncodeError` for a value that the serializer cannot write. */
export function encodeResultMeta(meta: ResultMeta, how: ResultEncoding): Uint8Array {
  return how.codec.encode(resultMetaToWire(meta, how), how.serializer).body
}

/** `encodeResultMeta` before it is made UTF-8; undefined where the serializer does not write text. Throws `EncodeError`. */
export function resultMetaText(meta: ResultMeta, how: ResultEncoding): string | undefined {
  return how.codec.encodeText?.(resultMetaToWire(meta, how), how.serializer)
}

/** An `rpc://` result (wire-format 9.1): no dates, group or parent, and the id first. Throws `EncodeError`. */
export function encodeRpcResult(meta: ResultMeta, how: ResultEncoding): Payload {
  const wire = {
    task_id: meta.taskId,
    status: meta.state,
    result: wireResult(meta, how),
    traceback: meta.traceback ?? null,
    children: meta.children ?? null,
  }
  return how.codec.encode(wire, how.serializer)
}

/**
 * Reads stored bytes. `taskId` is used where the meta has none (it is known from the key). Throws `DecodeError`,
 * `SizeLimitError`.
 */
export function decodeResultMeta(
  bytes: Uint8Array,
  how: ResultEncoding & { readonly taskId?: string },
): ResultMeta {
  return resultMetaFromWire(decodeStored(bytes, how), how.taskId)
}

/** Reads a decoded meta. Throws `DecodeError`. */
export function resultMetaFromWire(stored: unknown, knownId?: string): ResultMeta {
  const wire = asMapping(stored)
  if (wire === undefined) throw new DecodeError(`A stored result is ${describe(stored)}, not a mapping.`)
  const state = own(wire, 'status')
  if (typeof state !== 'string') throw new DecodeError('A stored result has no status.')
  const id = own(wire, 'task_id') ?? knownId
  const taskId = typeof id === 'number' || typeof id === 'bigint' ? String(id) : id
  if (typeof taskId !== 'string') throw new DecodeError('A stored result has no task_id.')
  const traceback = text(own(wire, 'traceback'))
  const children = own(wire, 'children')
  const groupId = text(own(wire, 'group_id'))
  const parentId = text(own(wire, 'parent_id'))
  const extended = Object.entries(wire).filter(([key]) => !OWN_KEYS.has(key))
  return {
    taskId,
    state,
    result: EXCEPTION_STATES.has(state)
      ? decodeRemoteError(own(wire, 'result'), traceback)
      : (own(wire, 'result') ?? null),
    traceback,
    children: Array.isArray(children) ? children : undefined,
    dateDone: isoText(own(wire, 'date_done')),
    ...(groupId ? { groupId } : {}),
    ...(parentId ? { parentId } : {}),
    ...(extended.length > 0 ? { extended: Object.fromEntries(extended) } : {}),
  }
}

/** The stored form of a saved group: `{"result": tuple}` (surface RES-019). Throws `EncodeError`. */
export function encodeGroupMeta(tuple: unknown, how: ResultEncoding): Uint8Array {
  return how.codec.encode({ result: tuple }, how.serializer).body
}

/** The `as_tuple` form in a saved group. Throws `DecodeError`. */
export function decodeGroupMeta(bytes: Uint8Array, how: ResultEncoding): unknown {
  const wire = asMapping(decodeStored(bytes, how))
  const tuple = wire === undefined ? undefined : own(wire, 'result')
  if (tuple === undefined || tuple === null) throw new DecodeError('A stored group has no result.')
  return tuple
}

function decodeStored(bytes: Uint8Array, { codec, serializer }: ResultEncoding): unknown {
  if (bytes.length === 0) throw new DecodeError('A stored result is empty.')
  try {
    const accept = codec.accepting([serializer])
    const [contentType = ''] = accept
    const isBinary =
      contentType === 'application/x-msgpack' || contentType === 'application/x-python-serialize'
    return codec.decode({ body: bytes, contentType, contentEncoding: isBinary ? 'binary' : 'utf-8' }, accept)
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new DecodeError(`A stored result cannot be decoded as ${serializer}: ${String(cause)}`, { cause })
  }
}

/** `result` as it is written: an error in Celery's form. Throws nothing that encoding it would not. */
export function wireResult(meta: ResultMeta, { codec, serializer }: ResultEncoding): unknown {
  if (!EXCEPTION_STATES.has(meta.state) || !isRemoteError(meta.result)) return meta.result ?? null
  return encodeRemoteError(meta.result, (value) => {
    try {
      codec.encode(value, serializer)
      return true
    } catch {
      return false
    }
  })
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** YAML and pickle give dates back as dates. */
function isoText(value: unknown): string | undefined {
  if (value instanceof DateTime) return value.iso
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : dateToIso(value)
  return text(value) || undefined
}
