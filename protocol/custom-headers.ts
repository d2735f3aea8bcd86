/** Which headers of a task message belong to the sender (wire-format 1.5, surface TSK-058; `Context` of `app/task.py`). */
import { asMapping, own } from './mapping.js'

/**
 * Names that are never custom: every attribute and method of Celery's `Context` class, and five more. A custom header
 * named `get`, `update` or `clear` is therefore hidden from `request.headers`, in Python as here.
 */
const CONTEXT_NAMES: ReadonlySet<string> = new Set([
  // fields
  '_children',
  '_protected',
  'args',
  'callbacks',
  'called_directly',
  'chain',
  'children',
  'chord',
  'correlation_id',
  'delivery_info',
  'errbacks',
  'eta',
  'expires',
  'group',
  'group_index',
  'headers',
  'hostname',
  'id',
  'ignore_result',
  'is_eager',
  'kwargs',
  'logfile',
  'loglevel',
  'origin',
  'parent_id',
  'properties',
  'replaced_task_nesting',
  'reply_to',
  'retries',
  'root_id',
  'shadow',
  'stamped_headers',
  'stamps',
  'taskset',
  'timelimit',
  'utc',
  // methods and Python's own
  '__dict__',
  '__doc__',
  '__init__',
  '__module__',
  '__repr__',
  '__weakref__',
  '_filter_x_death_headers',
  '_get_custom_headers',
  'as_execution_options',
  'clear',
  'get',
  'update',
  // the five that are headers but not fields
  'argsrepr',
  'compression',
  'kwargsrepr',
  'lang',
  'task',
])

/** RabbitMQ's dead-letter trail: never sent again, or RabbitMQ sees a cycle (Celery 5.6.3 `X_DEATH_HEADERS`). */
const DEATH_HEADERS: ReadonlySet<string> = new Set([
  'x-death',
  'x-first-death-exchange',
  'x-first-death-queue',
  'x-first-death-reason',
  'x-last-death-exchange',
  'x-last-death-queue',
  'x-last-death-reason',
])

/**
 * `request.headers`: the object under the header key `headers` where there is one (the old idiom; other custom headers
 * are then not in it), else every header that is not the protocol's.
 */
export function customHeaders(headers: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const nested = own(headers, 'headers')
  if (nested !== null && nested !== undefined) return asMapping(nested) ?? {}
  let custom: [string, unknown][] | undefined
  for (const name in headers) {
    if (CONTEXT_NAMES.has(name) || !Object.hasOwn(headers, name)) continue
    custom ??= []
    custom.push([name, headers[name]])
  }
  // fromEntries defines properties: a key named `__proto__` stays data
  return custom === undefined ? {} : Object.fromEntries(custom)
}

/** The headers without RabbitMQ's dead-letter trail. */
export function withoutDeathHeaders(
  headers: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !DEATH_HEADERS.has(name)))
}
