/**
 * The transport options of kombu's Redis transport, by its names (wire-format 6.9), and the keys that follow from them.
 *
 * Rule 1: `sep`, `priority_steps`, the `unacked*` keys, `fanout_*` and `global_keyprefix` must be the same on the Python
 *         side; their defaults are kombu's.
 * Rule 2: `global_keyprefix` stands in front of every key and channel of ours, verbatim.
 */
import { ConfigError } from '../errors.js'

/** Kombu's options, read. */
export interface RedisOptions {
  /** `global_keyprefix`; default none. */
  readonly prefix: string
  /** `sep`: between a queue's name and its priority step; default bytes 06 16. */
  readonly separator: string
  /** `priority_steps`; default 0, 3, 6, 9. */
  readonly steps: readonly number[]
  /** `queue_order_strategy`. */
  readonly order: 'round_robin' | 'priority' | 'sorted'
  readonly unackedKey: string
  readonly indexKey: string
  readonly mutexKey: string
  /** `unacked_mutex_expire` in milliseconds; default 300,000. */
  readonly mutexExpireMs: number
  /** `visibility_timeout` in milliseconds; default 3,600,000. */
  readonly visibilityTimeoutMs: number
  /** `unacked_restore_limit`: most messages restored in one look; default all. */
  readonly restoreLimit: number | undefined
  /** In front of a fanout exchange's name, with the database filled in. */
  readonly fanoutPrefix: string
  /** `fanout_patterns`: whether the routing key is a part of the channel. */
  readonly fanoutPatterns: boolean
  /** `polling_interval` in milliseconds: between looks where the server cannot tell of arrivals; default 1000. */
  readonly pollMs: number
  readonly bodyEncoding: 'base64' | 'utf-8'
  readonly deadletterQueue: string | undefined
}

/** Reads the options for a connection to database `db`. Throws `ConfigError`. */
export function redisOptions(given: Readonly<Record<string, unknown>>, db: number): RedisOptions {
  const prefix = text(given, 'global_keyprefix', '')
  const steps = given['priority_steps'] ?? [0, 3, 6, 9]
  if (
    !Array.isArray(steps) ||
    steps.length === 0 ||
    !steps.every((step, at) => Number.isInteger(step) && (at === 0 || step > steps[at - 1]))
  ) {
    throw wrong('priority_steps', 'a list of whole numbers, each above the one before', steps)
  }
  const order = text(given, 'queue_order_strategy', 'round_robin')
  if (order !== 'round_robin' && order !== 'priority' && order !== 'sorted') {
    throw wrong('queue_order_strategy', "'round_robin', 'priority' or 'sorted'", order)
  }
  const limit = given['unacked_restore_limit'] ?? undefined
  if (limit !== undefined && !(Number.isInteger(limit) && Number(limit) > 0)) {
    throw wrong('unacked_restore_limit', 'a whole number above 0', limit)
  }
  const bodyEncoding = text(given, 'body_encoding', 'base64').toLowerCase()
  if (bodyEncoding !== 'base64' && bodyEncoding !== 'utf-8') {
    throw wrong('body_encoding', "'base64' or 'utf-8'", bodyEncoding)
  }
  const deadletterQueue = text(given, 'deadletter_queue', '')
  return {
    prefix,
    separator: text(given, 'sep', '\x06\x16'),
    steps,
    order,
    unackedKey: prefix + text(given, 'unacked_key', 'unacked'),
    indexKey: prefix + text(given, 'unacked_index_key', 'unacked_index'),
    mutexKey: prefix + text(given, 'unacked_mutex_key', 'unacked_mutex'),
    mutexExpireMs: milliseconds(given, 'unacked_mutex_expire', 300),
    visibilityTimeoutMs: milliseconds(given, 'visibility_timeout', 3600),
    restoreLimit: limit === undefined ? undefined : Number(limit),
    fanoutPrefix: prefix + fanoutPrefix(given['fanout_prefix'], db),
    fanoutPatterns: Boolean(given['fanout_patterns'] ?? true),
    pollMs: milliseconds(given, 'polling_interval', 1),
    bodyEncoding,
    deadletterQueue: deadletterQueue === '' ? undefined : deadletterQueue,
  }
}

/** The list of one queue and priority step, as kombu's `_q_for_pri`. */
export function stepKey({ prefix, separator }: RedisOptions, queue: string, step: number): string {
  return step === 0 ? prefix + queue : `${prefix}${queue}${separator}${step}`
}

/** The largest step that is not above the priority, which is clamped to 0..9 (surface PUB-062). */
export function stepOf({ steps }: RedisOptions, priority: number | undefined): number {
  const clamped = Math.max(0, Math.min(9, Math.trunc(priority ?? 0) || 0))
  // Kombu's bisect gives the last step for a priority below the first.
  return steps.findLast((step) => step <= clamped) ?? (steps.at(-1) as number)
}

/** The lists of a queue, most urgent first. */
export function stepKeys(options: RedisOptions, queue: string): readonly string[] {
  return options.steps.map((step) => stepKey(options, queue, step))
}

/** Where list items that are no messages are kept, with their bytes. */
export function unreadableKey({ prefix }: RedisOptions, queue: string): string {
  return `${prefix}_celeriac.unreadable.${queue}`
}

/** Which messages of a queue are parked, and until when (redis-scripts.ts, rule 6). */
export function parkedKey({ prefix }: RedisOptions, queue: string): string {
  return `${prefix}_celeriac.parked.${queue}`
}

/** Who waits for a queue (redis-scripts.ts, rule 5): watchers, and those that are woken one by one. */
export function waitingKeys(
  { prefix }: RedisOptions,
  queue: string,
): readonly [waiting: string, idle: string] {
  return [`${prefix}_celeriac.waiting.${queue}`, `${prefix}_celeriac.idle.${queue}`]
}

/** The beginning of the channels on which one connection is woken. As long as that of the idle keys. */
export function wakeChannel({ prefix }: RedisOptions): string {
  return `${prefix}_celeriac.wake.`
}

/** The set of an exchange's bindings. */
export function bindingKey({ prefix }: RedisOptions, exchange: string): string {
  return `${prefix}_kombu.binding.${exchange}`
}

/** The channel of a fanout message, or with a binding's key (`#` as `*`) the pattern to subscribe to. */
export function fanoutChannel(options: RedisOptions, exchange: string, routingKey: string): string {
  const channel = options.fanoutPrefix + exchange
  return routingKey !== '' && options.fanoutPatterns ? `${channel}/${routingKey}` : channel
}

function fanoutPrefix(value: unknown, db: number): string {
  if (value === false || value === '') return ''
  return (typeof value === 'string' ? value : '/{db}.').replaceAll('{db}', String(db))
}

function text(given: Readonly<Record<string, unknown>>, option: string, fallback: string): string {
  const value = given[option] ?? fallback
  if (typeof value !== 'string') throw wrong(option, 'a text', value)
  return value
}

function milliseconds(given: Readonly<Record<string, unknown>>, option: string, fallback: number): number {
  const value = given[option] ?? fallback
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value * 1000
  throw wrong(option, 'a number of seconds above 0', value)
}

function wrong(option: string, wanted: string, value: unknown): ConfigError {
  return new ConfigError(
    `the Redis transport option '${option}' must be ${wanted}, not ${JSON.stringify(value) ?? String(value)}`,
  )
}
