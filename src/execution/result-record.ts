/** What a run stores: one `ResultMeta` per state (`_get_result_meta` in `celery/backends/base.py`; wire-format 8.2). */
import { epochMsToIso } from '../../protocol/iso-time.js'
import type { ResultMeta, TaskState } from '../../protocol/result-meta.js'
import type { Signature } from '../canvas/signature.js'
import type { DateTexts } from './date-texts.js'
import type { TaskRequest } from './request.js'

const NONE: readonly unknown[] = Object.freeze([])

/** What goes into a record beside the request itself. */
export interface RecordFields {
  readonly state: TaskState
  readonly result: unknown
  readonly traceback?: string | undefined
  readonly children: readonly unknown[]
  /** Epoch milliseconds. */
  readonly nowMs: number
  /** Makes the text of `nowMs`; default anew. */
  readonly dates?: DateTexts | undefined
  /** `result_extended`. */
  readonly extended: boolean
  /** Default the request's own id. */
  readonly taskId?: string
}

/** The record of a run of `request` (surface RES-007 to RES-015). */
export function resultRecord(request: TaskRequest, fields: RecordFields): ResultMeta {
  const { message, body } = request
  const record: ResultMeta = {
    taskId: fields.taskId ?? message.id,
    state: fields.state,
    result: storable(fields.result),
    traceback: fields.traceback,
    children: fields.children.length === 0 ? NONE : [...fields.children],
    dateDone: dateDone(fields),
  }
  // The usual case, without a copy.
  if (!message.groupId && !message.parentId && !fields.extended) return record
  return {
    ...record,
    ...(message.groupId ? { groupId: message.groupId } : {}),
    ...(message.parentId ? { parentId: message.parentId } : {}),
    ...(fields.extended
      ? {
          extended: {
            name: message.task,
            args: body.args,
            kwargs: body.kwargs,
            worker: request.hostname,
            retries: message.retries,
            queue: request.deliveryInfo.routingKey || null,
            ...stampFields(message.stampedHeaders, message.stamps),
          },
        }
      : {}),
  }
}

/** What the record of a step tells of its signature. */
type Step = Pick<Signature, 'task' | 'args' | 'kwargs' | 'options'>

/** The record of a chain step that will never run because an earlier one failed (surface CNV-054). */
export function stepRecord(step: Step, taskId: string, fields: RecordFields): ResultMeta {
  const groupId = text(step.options['group_id'])
  const parentId = text(step.options['parent_id'])
  return {
    taskId,
    state: fields.state,
    result: fields.result,
    traceback: fields.traceback,
    children: [],
    dateDone: dateDone(fields),
    ...(groupId ? { groupId } : {}),
    ...(parentId ? { parentId } : {}),
    ...(fields.extended
      ? {
          extended: {
            name: step.task,
            args: step.args,
            kwargs: step.kwargs,
            worker: null,
            retries: 0,
            queue: null,
          },
        }
      : {}),
  }
}

/** A result object is stored as its tuple (surface RES-015), and nothing as null. */
function storable(value: unknown): unknown {
  if (value === undefined) return null
  if (
    typeof value === 'object' &&
    value !== null &&
    'asTuple' in value &&
    typeof value.asTuple === 'function'
  ) {
    return value.asTuple()
  }
  return value
}

/** ISO time for ready states only (surface RES-009). */
function dateDone({
  state,
  nowMs,
  dates,
}: Pick<RecordFields, 'state' | 'nowMs' | 'dates'>): string | undefined {
  if (state !== 'SUCCESS' && state !== 'FAILURE' && state !== 'REVOKED') return undefined
  return dates?.of(nowMs) ?? epochMsToIso(nowMs)
}

function stampFields(
  stampedHeaders: readonly string[] | undefined,
  stamps: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return Object.keys(stamps).length === 0 ? {} : { stamped_headers: stampedHeaders ?? null, ...stamps }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
