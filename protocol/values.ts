/**
 * What Python has and JavaScript lacks, so that nothing is lost on the way through (wire-format 3.2, 3.5).
 *
 * Rule 1: a value is checked when it is made, and never changes after.
 * Rule 2: what JavaScript has is used as it is: `Set` is set, `Uint8Array` bytes, `bigint` and safe integers
 * int, `Date` an aware datetime in UTC, plain objects dict, arrays list.
 */
import { EncodeError } from './errors.js'
import {
  epochMsToParts,
  formatIsoDate,
  formatIsoDateTime,
  formatIsoTime,
  type IsoDate,
  type IsoDateTime,
  type IsoTime,
  isCalendarDate,
  isClockTime,
  isoToEpochMs,
  parseIsoDate,
  parseIsoDateTime,
  parseIsoTime,
} from './iso-time.js'

const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** Reads text with `parse`; what it refuses becomes an `EncodeError`, as for any value with no wire form. */
function checked<T>(parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    throw new EncodeError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/** A number that must stay a float for Python, even when it is whole: `float(2)` is written `2.0`. */
export class Float {
  readonly value: number

  /** Throws `EncodeError` unless given a number. */
  constructor(value: number) {
    if (typeof value !== 'number') throw new EncodeError(`A Float needs a number, not ${typeof value}`)
    this.value = value
  }

  valueOf(): number {
    return this.value
  }

  toJSON(): number {
    return this.value
  }

  toString(): string {
    return String(this.value)
  }

  [INSPECT](): string {
    return `Float(${Object.is(this.value, -0) ? '-0' : this.value})`
  }
}

const DECIMAL = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|s?nan\d*)$/i

/** A Python `Decimal`, kept as the text that Python reads: `1.10`, `1E+5`, `NaN`, `-Infinity`. */
export class Decimal {
  readonly text: string

  /** Throws `EncodeError` for text that Python's `Decimal` refuses. */
  constructor(text: string) {
    const clean = typeof text === 'string' ? text.trim().replaceAll('_', '') : ''
    if (!DECIMAL.test(clean)) throw new EncodeError(`Not a decimal number: ${JSON.stringify(text)}`)
    this.text = clean
  }

  /** The nearest JavaScript number. */
  valueOf(): number {
    if (/inf/i.test(this.text)) return this.text.startsWith('-') ? -Infinity : Infinity
    return Number(this.text)
  }

  toJSON(): string {
    return this.text
  }

  toString(): string {
    return this.text
  }

  [INSPECT](): string {
    return `Decimal(${this.text})`
  }
}

/** A Python `uuid.UUID`. */
export class Uuid {
  /** 32 lower-case hexadecimal digits. */
  readonly hex: string

  /** Takes 32 digits with or without dashes, braces or `urn:uuid:`, as Python does. Throws `EncodeError`. */
  constructor(text: string) {
    const hex =
      typeof text === 'string'
        ? text
            .replace('urn:', '')
            .replace('uuid:', '')
            .replace(/^[{}]+|[{}]+$/g, '')
            .replaceAll('-', '')
        : ''
    if (!/^[0-9a-f]{32}$/i.test(hex)) throw new EncodeError(`Not a UUID: ${JSON.stringify(text)}`)
    this.hex = hex.toLowerCase()
  }

  /** The dashed form. */
  toString(): string {
    return this.hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  }

  valueOf(): string {
    return this.toString()
  }

  toJSON(): string {
    return this.toString()
  }

  [INSPECT](): string {
    return `Uuid(${this.toString()})`
  }
}

/** A Python `date`: a day without a time or zone. */
export class PlainDate implements IsoDate {
  readonly year: number
  readonly month: number
  readonly day: number

  /** `YYYY-MM-DD` or parts. Throws `EncodeError` for a day that is not in the calendar. */
  constructor(from: string | IsoDate) {
    const date = typeof from === 'string' ? checked(() => parseIsoDate(from)) : from
    if (!isCalendarDate(date)) throw new EncodeError(`Not a calendar date: ${formatIsoDate(date)}`)
    this.year = date.year
    this.month = date.month
    this.day = date.day
  }

  toString(): string {
    return formatIsoDate(this)
  }

  valueOf(): string {
    return this.toString()
  }

  toJSON(): string {
    return this.toString()
  }

  [INSPECT](): string {
    return `PlainDate(${this.toString()})`
  }
}

/** A Python `time`: a time of day with microseconds and, where it is aware, an offset. */
export class PlainTime implements IsoTime {
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly microsecond: number
  readonly offsetSeconds: number | undefined

  /** `HH:MM[:SS[.ffffff]][+HH:MM]` or parts. Throws `EncodeError`. */
  constructor(from: string | (Partial<IsoTime> & Pick<IsoTime, 'hour'>)) {
    const time: IsoTime =
      typeof from === 'string'
        ? checked(() => parseIsoTime(from))
        : { minute: 0, second: 0, microsecond: 0, offsetSeconds: undefined, ...from }
    if (!isClockTime(time)) throw new EncodeError(`Not a time of day: ${JSON.stringify(from)}`)
    this.hour = time.hour
    this.minute = time.minute
    this.second = time.second
    this.microsecond = time.microsecond
    this.offsetSeconds = time.offsetSeconds
  }

  toString(): string {
    return formatIsoTime(this)
  }

  valueOf(): string {
    return this.toString()
  }

  toJSON(): string {
    return this.toString()
  }

  [INSPECT](): string {
    return `PlainTime(${this.toString()})`
  }
}

/** Forms every Python since 3.7 reads with `fromisoformat`; such text is sent back exactly as it came. */
const PORTABLE = /^\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d(?:\.(?:\d{3}|\d{6}))?(?:[+-]\d\d:\d\d(?::\d\d)?)?$/

/**
 * A Python `datetime`: a `Date` that also keeps microseconds, its offset (or that it has none) and its text.
 * Naive ones count as UTC in the `Date` half. Setting the `Date` half drops the microseconds, not the offset.
 */
export class DateTime extends Date {
  /** Seconds east of UTC; `undefined` for a naive datetime. */
  readonly offsetSeconds: number | undefined
  readonly #text: string
  readonly #microsecond: number
  readonly #epochMs: number

  /** ISO text as `isoparse` takes it, or parts. Throws `EncodeError`. */
  constructor(from: string | IsoDateTime) {
    const parts = typeof from === 'string' ? checked(() => parseIsoDateTime(from)) : from
    if (!isCalendarDate(parts) || !isClockTime(parts)) {
      throw new EncodeError(`Not a date and time: ${JSON.stringify(from)}`)
    }
    super(isoToEpochMs(parts))
    this.offsetSeconds = parts.offsetSeconds
    this.#microsecond = parts.microsecond
    this.#epochMs = this.getTime()
    this.#text = typeof from === 'string' && PORTABLE.test(from) ? from : formatIsoDateTime(parts)
  }

  /** A `Date` as an aware datetime in UTC. Throws `EncodeError` for an invalid one. */
  static fromDate(value: Date): DateTime {
    return new DateTime(checked(() => epochMsToParts(value.getTime(), 0)))
  }

  /** 0 to 999999. */
  get microsecond(): number {
    if (this.getTime() === this.#epochMs) return this.#microsecond
    return (((this.getTime() % 1000) + 1000) % 1000) * 1000
  }

  /** The wall clock reading at its own offset. Throws `EncodeError` when set to no valid time. */
  get parts(): IsoDateTime {
    const parts = checked(() => epochMsToParts(this.getTime(), this.offsetSeconds))
    return { ...parts, microsecond: this.microsecond }
  }

  /** The text for the wire: what came in when it is portable and unchanged, else `datetime.isoformat()`. */
  get iso(): string {
    return this.getTime() === this.#epochMs ? this.#text : formatIsoDateTime(this.parts)
  }

  override toJSON(): string {
    return this.iso
  }

  override toString(): string {
    return this.iso
  }

  [INSPECT](): string {
    return `DateTime(${this.iso})`
  }
}

/** A Python `timedelta`: days, seconds and microseconds as Python normalises them. */
export class TimeDelta {
  /** -999999999 to 999999999. */
  readonly days: number
  /** 0 to 86399. */
  readonly seconds: number
  /** 0 to 999999. */
  readonly microseconds: number

  /** Whole numbers of any size are carried over as in Python. Throws `EncodeError` past Python's range. */
  constructor(parts: { readonly days?: number; readonly seconds?: number; readonly microseconds?: number }) {
    const { days = 0, seconds = 0, microseconds = 0 } = parts
    if (![days, seconds, microseconds].every(Number.isSafeInteger)) {
      throw new EncodeError(`A TimeDelta needs whole numbers: ${JSON.stringify(parts)}`)
    }
    const carriedSeconds = seconds + Math.floor(microseconds / 1_000_000)
    this.microseconds = microseconds - Math.floor(microseconds / 1_000_000) * 1_000_000
    this.days = days + Math.floor(carriedSeconds / 86_400)
    this.seconds = carriedSeconds - Math.floor(carriedSeconds / 86_400) * 86_400
    if (Math.abs(this.days) > 999_999_999) throw new EncodeError('A TimeDelta is limited to 999999999 days')
  }

  /** In seconds, as `timedelta.total_seconds()`. */
  valueOf(): number {
    return this.days * 86_400 + this.seconds + this.microseconds / 1e6
  }

  toJSON(): number {
    return this.valueOf()
  }

  toString(): string {
    return `${this.valueOf()}s`
  }

  [INSPECT](): string {
    return `TimeDelta(${this.toString()})`
  }
}

/** A Python tuple: an array that pickle, repr and signatures tell from a list. JSON writes it as an array. */
export class Tuple<T = unknown> extends Array<T> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }
}

/** A Python `frozenset`; JavaScript's `Set` is Python's `set`. */
export class FrozenSet<T = unknown> extends Set<T> {}

/** Marks a number as a float for Python. */
export function float(value: number): Float {
  return new Float(value)
}

/** A Python `Decimal`; a bigint or a safe integer may be given as such. Throws `EncodeError`. */
export function decimal(value: string | number | bigint): Decimal {
  return new Decimal(String(value))
}

/** A Python `UUID` from its text. Throws `EncodeError`. */
export function uuid(text: string): Uuid {
  return new Uuid(text)
}

/** A Python `date`, from `YYYY-MM-DD`, parts, or the UTC day of a `Date`. Throws `EncodeError`. */
export function date(from: string | IsoDate | Date): PlainDate {
  return new PlainDate(from instanceof Date ? checked(() => epochMsToParts(from.getTime(), undefined)) : from)
}

/** A Python `time`. Throws `EncodeError`. */
export function time(from: string | (Partial<IsoTime> & Pick<IsoTime, 'hour'>)): PlainTime {
  return new PlainTime(from)
}

/** A Python `datetime`; a `Date` becomes an aware one in UTC. Throws `EncodeError`. */
export function datetime(from: string | IsoDateTime | Date): DateTime {
  if (from instanceof DateTime) return new DateTime(from.iso)
  return from instanceof Date ? DateTime.fromDate(from) : new DateTime(from)
}

/** A Python tuple of the arguments. */
export function tuple<const T extends readonly unknown[]>(...items: T): Tuple<T[number]> {
  return Tuple.from(items) as Tuple<T[number]>
}

/** The text of a `Date` on the wire: `+00:00`, and no, 3 or (for a `DateTime`) 6 fraction digits. Throws `EncodeError`. */
export function dateToIso(value: Date): string {
  if (value instanceof DateTime) return value.iso
  const ms = value.getTime()
  if (Number.isNaN(ms)) throw new EncodeError('An invalid Date cannot be sent')
  checked(() => epochMsToParts(ms, 0))
  return value.toISOString().replace(ms % 1000 === 0 ? '.000Z' : 'Z', '+00:00')
}
