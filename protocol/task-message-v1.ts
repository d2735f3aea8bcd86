/**
 * Task protocol 1: one mapping as body, no headers (`as_task_v1` of `celery/app/amqp.py`; `proto1_to_proto2` and
 * `hybrid_to_proto2` of `celery/worker/strategy.py`; wire-format 1.6). Read as if it were protocol 2; written on
 * request.
 */
import type { Envelope } from './envelope.js'
import { InvalidTaskError } from './errors.js'
import { asMapping, describe, own } from './mapping.js'
import { saferepr } from './python-repr.js'
import type { TaskBody, TaskFields, TaskMessage } from './task.js'
import { messageFromHeaders } from './task-headers.js'

/**
 * The body of a protocol 1 message in Celery's key order. There is no chain field: the next step has to be a `link` of
 * the one before (surface PUB-036). Throws `InvalidTaskError` when `body.chain` is not empty.
 */
export function bodyV1(fields: TaskFields, body: TaskBody): Readonly<Record<string, unknown>> {
  if (body.chain.length > 0) {
    throw new InvalidTaskError(
      `Task protocol 1 has no chain field, and task ${fields.task} (id ${fields.id}) has ${body.chain.length} more ` +
        'steps. Link each step to the one before, or use protocol 2.',
    )
  }
  return {
    task: fields.task,
    id: fields.id,
    args: body.args,
    kwargs: body.kwargs,
    group: fields.groupId ?? null,
    group_index: fields.groupIndex ?? null,
    retries: fields.retries ?? 0,
    eta: fields.eta ?? null,
    expires: fields.expires ?? null,
    utc: fields.utc ?? true,
    callbacks: body.callbacks.length > 0 ? body.callbacks : null,
    errbacks: body.errbacks.length > 0 ? body.errbacks : null,
    timelimit: [fields.timeLimit ?? null, fields.softTimeLimit ?? null],
    taskset: fields.groupId ?? null,
    chord: body.chord ?? null,
  }
}

/** A body that is a mapping with `task`: protocol 1. Throws `InvalidTaskError`. */
export function messageFromBody(payload: Readonly<Record<string, unknown>>, envelope: Envelope): TaskMessage {
  const { args, kwargs } = argumentsOf(payload)
  const group = Object.hasOwn(payload, 'taskset') ? payload['taskset'] : own(payload, 'group')
  const headers = {
    ...payload,
    group,
    argsrepr: saferepr(args),
    kwargsrepr: saferepr(kwargs),
  }
  const custom = Object.fromEntries(
    Object.entries(envelope.headers).filter(([name]) => name !== 'compression'),
  )
  return messageFromHeaders(headers, envelope, { protocol: 1, utc: utcOf(payload), custom })
}

/** A `task` header over a body that is a mapping with `args`: the body's fields, under the headers. */
export function messageFromHybrid(
  payload: Readonly<Record<string, unknown>>,
  envelope: Envelope,
): TaskMessage {
  argumentsOf(payload)
  const headers = {
    lang: own(payload, 'lang'),
    task: own(payload, 'task'),
    id: own(payload, 'id'),
    root_id: own(payload, 'root_id'),
    parent_id: own(payload, 'parent_id'),
    group: own(payload, 'group'),
    shadow: own(payload, 'shadow'),
    eta: own(payload, 'eta'),
    expires: own(payload, 'expires'),
    retries: own(payload, 'retries'),
    timelimit: own(payload, 'timelimit'),
    argsrepr: own(payload, 'argsrepr'),
    kwargsrepr: own(payload, 'kwargsrepr'),
    origin: own(payload, 'origin'),
    ...envelope.headers,
  }
  return messageFromHeaders(headers, envelope, { protocol: 2, utc: utcOf(payload) })
}

function argumentsOf(payload: Readonly<Record<string, unknown>>): { args: unknown; kwargs: unknown } {
  const args = Object.hasOwn(payload, 'args') ? payload['args'] : []
  const kwargs = Object.hasOwn(payload, 'kwargs') ? payload['kwargs'] : {}
  if (asMapping(kwargs) === undefined) {
    throw new InvalidTaskError(`Task keyword arguments must be a mapping, and are ${describe(kwargs)}.`)
  }
  return { args, kwargs }
}

function utcOf(payload: Readonly<Record<string, unknown>>): boolean {
  return Object.hasOwn(payload, 'utc') ? Boolean(payload['utc']) : true
}
