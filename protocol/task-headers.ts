/**
 * Protocol 2 headers into a `TaskMessage`, with the tolerances of `celery/worker/request.py` (wire-format 16.1).
 *
 * Rule 1: null and absent mean the same for every header but `task` and `id`, which must be there.
 * Rule 2: scalars that Python would print are taken as text (a number as id); structures there are refused, because
 * Python's dictionary look-ups would die on them.
 */
import { customHeaders } from './custom-headers.js'
import type { Envelope } from './envelope.js'
import { InvalidTaskError, ProtocolError } from './errors.js'
import { parseIsoDateTime } from './iso-time.js'
import { asMapping, describe, own } from './mapping.js'
import type { TaskMessage } from './task.js'
import { DateTime, dateToIso } from './values.js'

/** What the headers do not say. */
export interface HeaderContext {
  readonly protocol: 1 | 2
  readonly utc: boolean
  /** Custom headers where they are not found by the rule for protocol 2. */
  readonly custom?: Readonly<Record<string, unknown>>
}

/** Reads headers (of protocol 2, or made from a protocol 1 body). Throws `InvalidTaskError`. */
export function messageFromHeaders(
  headers: Readonly<Record<string, unknown>>,
  envelope: Envelope,
  context: HeaderContext,
): TaskMessage {
  const task = identifier(headers, 'task', 'None')
  if (!Object.hasOwn(headers, 'id')) {
    throw new InvalidTaskError(
      `A message for task ${task} has no id header, so its result could not be found.`,
    )
  }
  const id = identifier(headers, 'id', '')
  const where = `task ${task} (id ${id})`
  const [timeLimit, softTimeLimit] = timeLimits(headers['timelimit'], where)
  const { properties } = envelope
  // None of these names is a member of every object.
  return {
    protocol: context.protocol,
    lang: text(headers['lang']),
    id,
    task,
    shadow: nonEmptyText(headers['shadow']),
    rootId: nonEmptyText(headers['root_id']) ?? id,
    parentId: text(headers['parent_id']),
    groupId: nonEmptyText(headers['group']),
    groupIndex: number(headers['group_index']),
    retries: Math.max(0, Math.trunc(number(headers['retries']) ?? 0)),
    eta: moment(headers['eta'], 'eta', where),
    expires: moment(headers['expires'], 'expires', where),
    utc: context.utc,
    softTimeLimit,
    timeLimit,
    replyTo: nonEmptyText(properties.replyTo),
    correlationId: nonEmptyText(properties.correlationId) ?? id,
    priority: properties.priority,
    ignoreResult: truth(headers['ignore_result']),
    replacedTaskNesting: Math.trunc(number(headers['replaced_task_nesting']) ?? 0),
    stampedHeaders: names(headers['stamped_headers']),
    stamps: asMapping(headers['stamps']) ?? {},
    origin: text(headers['origin']),
    argsRepr: text(headers['argsrepr']) ?? '',
    kwargsRepr: text(headers['kwargsrepr']) ?? '',
    headers: context.custom ?? customHeaders(headers),
    properties,
    body: {
      body: envelope.body,
      contentType: envelope.contentType,
      contentEncoding: envelope.contentEncoding,
      compression: nonEmptyText(envelope.headers['compression']),
    },
  }
}

/** `task` or `id`: text, or a scalar as Python prints it; null as `whenNull`. */
function identifier(headers: Readonly<Record<string, unknown>>, name: string, whenNull: string): string {
  const value = own(headers, name)
  if (value === null || value === undefined) return whenNull
  const read = text(value)
  if (read === undefined)
    throw new InvalidTaskError(`The ${name} header of a task message is ${describe(value)}.`)
  return read
}

/** Text, or a scalar as text; `undefined` for null and for structures. */
function text(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  return undefined
}

function nonEmptyText(value: unknown): string | undefined {
  return text(value) || undefined
}

/** A finite number, also from text (`"0"`) and from typed values that hold one; else `undefined`. */
function number(value: unknown): number | undefined {
  if (typeof value === 'string' && value.trim() === '') return undefined
  if (value === null || Array.isArray(value) || value instanceof Date) return undefined
  if (typeof value === 'object' && asMapping(value) !== undefined) return undefined
  if (typeof value === 'symbol' || typeof value === 'function') return undefined
  const read = Number(typeof value === 'object' ? value.valueOf() : value)
  return Number.isFinite(read) ? read : undefined
}

function truth(value: unknown): boolean | undefined {
  if (value === null || value === undefined) return undefined
  return Boolean(value)
}

function names(value: unknown): readonly string[] | undefined {
  const items = value instanceof Set ? [...(value as Set<unknown>)] : value
  if (!Array.isArray(items)) return undefined
  return items.filter((name): name is string => typeof name === 'string')
}

/** `[hard, soft]` in seconds; 0 means none, as in Python. Exactly two items: another length kills a Python worker. */
function timeLimits(value: unknown, where: string): [hard: number | undefined, soft: number | undefined] {
  if (value === null || value === undefined || value === false || value === 0 || value === '') {
    return [undefined, undefined]
  }
  if (Array.isArray(value) && value.length === 0) return [undefined, undefined]
  if (!Array.isArray(value) || value.length !== 2) {
    throw new InvalidTaskError(`The timelimit of ${where} is ${describe(value)}, not [hard, soft].`)
  }
  return [limit(value[0], where), limit(value[1], where)]
}

function limit(value: unknown, where: string): number | undefined {
  if (value === null || value === undefined) return undefined
  const seconds = typeof value === 'string' ? undefined : number(value)
  if (seconds === undefined) {
    throw new InvalidTaskError(`A time limit of ${where} is ${describe(value)}, not a number of seconds.`)
  }
  return seconds === 0 ? undefined : seconds
}

/** ISO text as it came; typed datetimes as their text. Falsy values mean none, as in Celery's `maybe_iso8601`. */
function moment(value: unknown, name: string, where: string): string | undefined {
  if (value === null || value === undefined || value === '' || value === false || value === 0)
    return undefined
  try {
    if (value instanceof DateTime) return value.iso
    if (value instanceof Date) return dateToIso(value)
    if (typeof value === 'string') {
      parseIsoDateTime(value)
      return value
    }
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause
    throw new InvalidTaskError(`The ${name} of ${where} is no ISO 8601 time: ${cause.message}`, { cause })
  }
  throw new InvalidTaskError(`The ${name} of ${where} is ${describe(value)}, not ISO 8601 text.`)
}
