import type { ExchangeType, QueuesSetting } from './queue-declaration.js'
import type { RoutesSetting } from './router.js'

/** The value that a setting takes, in words that `config.ts` checks and errors show. */
export type SettingType =
  | 'string'
  | 'int'
  | 'float'
  | 'bool'
  | 'bytes'
  | 'list'
  | 'dict'
  | 'any'
  | 'urls'
  | 'bool or dict'
  | 'duration'
  | 'delivery mode'
  | 'exchange type'
  | 'rate limit'
  | 'list or dict'

/**
 * One row of the settings table. `Value` is what the app reads, `Input` what a user may write; both exist for the
 * type checker alone.
 */
export interface Setting<Value, Input = Value> {
  readonly type: SettingType
  readonly default: Value
  /** One line, with the unit. */
  readonly help: string
  /** Spellings of Celery 3; without them it is the name in upper case (`celery/app/defaults.py`, `Option.old`). */
  readonly old?: readonly string[]
  /** Why the setting says something to Python alone; it is accepted, and a note says so when it is used. */
  readonly python?: string
  /** `main`: not in a released Celery yet. */
  readonly since?: 'main'
  /** True: null is a value although the default is another (`broker_pool_limit = None` turns the pool off). */
  readonly nullable?: boolean
  /** Never present; carries `Input`. */
  readonly input?: Input
}

/** What a row may say besides type, default and help. */
export type SettingNotes = Pick<Setting<unknown>, 'old' | 'python' | 'since'>

/** A span of time by its parts, as Python's `timedelta`. */
export interface Duration {
  readonly days?: number
  readonly hours?: number
  readonly minutes?: number
  readonly seconds?: number
}

/** Makes rows of one type: with a default of null, null is a value of the setting too. */
interface RowMaker<Value, Input = Value> {
  (fallback: null, help: string, notes?: SettingNotes): Setting<Value | null, Input | null>
  (fallback: Value, help: string, notes?: SettingNotes): Setting<Value, Input>
}

function rows<Value, Input = Value>(type: SettingType, nullable = false): RowMaker<Value, Input> {
  function row(fallback: null, help: string, notes?: SettingNotes): Setting<Value | null, Input | null>
  function row(fallback: Value, help: string, notes?: SettingNotes): Setting<Value, Input>
  function row(
    fallback: Value | null,
    help: string,
    notes: SettingNotes = {},
  ): Setting<Value | null, Input | null> {
    return { type, default: fallback, help, ...(nullable ? { nullable } : {}), ...notes }
  }
  return row
}

/** Rows by type; each takes the default, the help and further notes. */
export const setting = {
  text: rows<string>('string'),
  int: rows<number>('int'),
  /** A whole number with a default of its own, where null says something too. */
  intOrNull: rows<number | null>('int', true),
  float: rows<number>('float'),
  bool: rows<boolean>('bool'),
  bytes: rows<Uint8Array | string>('bytes'),
  list: rows<readonly string[]>('list'),
  dict: rows<Readonly<Record<string, unknown>>>('dict'),
  any: rows<unknown>('any'),
  urls: rows<string | readonly string[]>('urls'),
  boolOrDict: rows<boolean | Readonly<Record<string, unknown>>>('bool or dict'),
  /** Seconds once read. */
  duration: rows<number | null, number | Duration | null>('duration', true),
  deliveryMode: rows<1 | 2, 1 | 2 | 'transient' | 'persistent'>('delivery mode'),
  exchangeType: rows<ExchangeType>('exchange type'),
  rateLimit: rows<string | number>('rate limit'),
  queues: rows<QueuesSetting>('list or dict'),
  routes: rows<RoutesSetting>('any'),
  annotations: rows<object>('any'),
}
