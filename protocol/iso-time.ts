/**
 * Dates as Python writes and reads them (wire-format 1.2): `datetime.isoformat()` out, and in whatever
 * `dateutil.parser.isoparse` and `datetime.fromisoformat` of Python 3.11 take.
 *
 * Rule 1: microseconds survive; digits past the sixth are cut off, as Python does.
 * Rule 2: UTC is written `+00:00`, never `Z`: `fromisoformat` before Python 3.11 refuses `Z`.
 * Rule 3: a time without offset is naive and stays so; only a comparison gives it a zone.
 */
import { DecodeError } from './errors.js'

/** A wall clock reading with microseconds; `offsetSeconds` is `undefined` for a naive one. */
export interface IsoTime {
  readonly hour: number
  readonly minute: number
  readonly second: number
  /** 0 to 999999. */
  readonly microsecond: number
  /** East of UTC, in seconds (a fraction is possible, as in Python); `undefined` means naive. */
  readonly offsetSeconds: number | undefined
}

/** A calendar day, years 1 to 9999 as in Python. */
export interface IsoDate {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number
}

/** A Python `datetime` taken apart. */
export interface IsoDateTime extends IsoDate, IsoTime {}

const DATE = /^(\d{4})(?:-(\d\d)(?:-(\d\d))?|(\d\d)(\d\d)|-?W(\d\d)(?:-?(\d))?|-?(\d{3}))?$/
const TIME =
  /^(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?(Z|z|[+-]\d\d(?::?\d\d(?::?\d\d(?:\.\d{1,6})?)?)?)?$/
/** The years 1970 to 9999. */
const FIRST_PLAIN_MS = 0
const END_OF_PLAIN_MS = Date.UTC(10_000, 0)
/** Longer text is no date; Python's longest form has 42 characters. */
const LONGEST_TEXT = 64

function invalid(what: string, text: string): DecodeError {
  const shown = text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : text
  return new DecodeError(`Invalid ISO 8601 ${what}: ${JSON.stringify(shown)}`)
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0')
}

/** Epoch milliseconds of a wall clock reading taken as UTC; right for years below 100, unlike `Date.UTC`. */
function utcMilliseconds(year: number, month: number, day: number, millisecondsOfDay: number): number {
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  return date.getTime() + millisecondsOfDay
}

/** Whether year, month and day name a day that Python's `date` accepts. */
export function isCalendarDate({ year, month, day }: IsoDate): boolean {
  if (!Number.isInteger(year) || year < 1 || year > 9999) return false
  if (!Number.isInteger(month) || month < 1 || month > 12) return false
  if (!Number.isInteger(day) || day < 1 || day > 31) return false
  return new Date(utcMilliseconds(year, month, day, 0)).getUTCDate() === day
}

/** Whether the parts make a valid Python `time`. */
export function isClockTime({ hour, minute, second, microsecond, offsetSeconds }: IsoTime): boolean {
  const within = (value: number, limit: number) => Number.isInteger(value) && value >= 0 && value < limit
  return (
    within(hour, 24) &&
    within(minute, 60) &&
    within(second, 60) &&
    within(microsecond, 1_000_000) &&
    (offsetSeconds === undefined || Math.abs(offsetSeconds) < 86_400)
  )
}

function readOffset(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (text === 'Z' || text === 'z') return 0
  const digits = text.slice(1).replaceAll(':', '')
  const seconds =
    Number(digits.slice(0, 2)) * 3600 + Number(digits.slice(2, 4) || 0) * 60 + Number(digits.slice(4) || 0)
  if (Number(digits.slice(2, 4) || 0) > 59) return Number.NaN
  return text[0] === '-' && seconds !== 0 ? -seconds : seconds
}

/** `time.fromisoformat`, leniently (`Z`, any number of fraction digits). Throws `DecodeError`. */
export function parseIsoTime(text: string): IsoTime {
  const match = text.length > LONGEST_TEXT ? null : TIME.exec(text.replace(/^[Tt]/, ''))
  if (match === null) throw invalid('time', text)
  const time: IsoTime = {
    hour: Number(match[1]),
    minute: Number(match[2] ?? 0),
    second: Number(match[3] ?? 0),
    microsecond: Number((match[4] ?? '').slice(0, 6).padEnd(6, '0')),
    offsetSeconds: readOffset(match[5]),
  }
  if (!isClockTime(time)) throw invalid('time', text)
  return time
}

/** `date` from `YYYY-MM-DD` and the shorter, week and ordinal forms of isoparse. Throws `DecodeError`. */
export function parseIsoDate(text: string): IsoDate {
  const match = text.length > LONGEST_TEXT ? null : DATE.exec(text)
  if (match === null) throw invalid('date', text)
  const year = Number(match[1])
  if (match[6] !== undefined) return dateOfWeek(year, Number(match[6]), Number(match[7] ?? 1), text)
  if (match[8] !== undefined) return dateOfOrdinal(year, Number(match[8]), text)
  const date = { year, month: Number(match[2] ?? match[4] ?? 1), day: Number(match[3] ?? match[5] ?? 1) }
  if (!isCalendarDate(date)) throw invalid('date', text)
  return date
}

function dateOfWeek(year: number, week: number, weekday: number, text: string): IsoDate {
  if (year < 1 || week < 1 || week > 53 || weekday < 1 || weekday > 7) throw invalid('week date', text)
  // Week 1 is the week with 4 January in it.
  const fourth = utcMilliseconds(year, 1, 4, 0)
  const monday = fourth - ((new Date(fourth).getUTCDay() + 6) % 7) * 86_400_000
  return dateOfEpoch(monday + ((week - 1) * 7 + weekday - 1) * 86_400_000, 'week date', text)
}

function dateOfOrdinal(year: number, dayOfYear: number, text: string): IsoDate {
  const date = dateOfEpoch(utcMilliseconds(year, 1, dayOfYear, 0), 'ordinal date', text)
  if (date.year !== year) throw invalid('ordinal date', text)
  return date
}

function dateOfEpoch(milliseconds: number, what: string, text: string): IsoDate {
  const date = new Date(milliseconds)
  const parts = { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() }
  if (!isCalendarDate(parts)) throw invalid(what, text)
  return parts
}

/**
 * Reads a date and time as `isoparse` does: `T`, space or any one character between them, `Z`, one or more
 * fraction digits, `24:00` as the next midnight, a date alone as its midnight. Throws `DecodeError`.
 */
export function parseIsoDateTime(text: string): IsoDateTime {
  if (text.length > LONGEST_TEXT) throw invalid('date and time', text)
  const split = /^(\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d-?\d|\d{4}-?\d{3}(?!\d))[^\d]?(?=\d)(.+)$/.exec(text)
  if (split === null) {
    return { ...parseIsoDate(text), hour: 0, minute: 0, second: 0, microsecond: 0, offsetSeconds: undefined }
  }
  const date = parseIsoDate(split[1] as string)
  const clock = split[2] as string
  const midnight = /^24(?:(?::?00){1,2}(?:[.,]0+)?)?(?=$|[Zz+-])/.exec(clock)
  if (midnight === null) return { ...date, ...parseIsoTime(clock) }
  const next = dateOfEpoch(utcMilliseconds(date.year, date.month, date.day + 1, 0), 'date and time', text)
  return { ...next, ...parseIsoTime(`00${clock.slice(2)}`) }
}

/** `date.isoformat()`. */
export function formatIsoDate(date: IsoDate): string {
  return `${pad(date.year, 4)}-${pad(date.month, 2)}-${pad(date.day, 2)}`
}

/** A UTC offset as Python writes it: `+05:30`, with seconds only where there are any; empty for naive. */
export function formatOffset(offsetSeconds: number | undefined): string {
  if (offsetSeconds === undefined) return ''
  const micros = Math.round(Math.abs(offsetSeconds) * 1e6)
  const seconds = Math.floor(micros / 1e6)
  const head = `${offsetSeconds < 0 ? '-' : '+'}${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}`
  if (micros % 60e6 === 0) return head
  return `${head}:${pad(seconds % 60, 2)}${micros % 1e6 === 0 ? '' : `.${pad(micros % 1e6, 6)}`}`
}

/** `time.isoformat()`: six fraction digits, or none when the microseconds are zero. */
export function formatIsoTime(time: IsoTime): string {
  const fraction = time.microsecond === 0 ? '' : `.${pad(time.microsecond, 6)}`
  return `${pad(time.hour, 2)}:${pad(time.minute, 2)}:${pad(time.second, 2)}${fraction}${formatOffset(time.offsetSeconds)}`
}

/** `datetime.isoformat()`. */
export function formatIsoDateTime(value: IsoDateTime): string {
  return `${formatIsoDate(value)}T${formatIsoTime(value)}`
}

/** Epoch milliseconds, microseconds cut off; a naive value is taken as `naiveOffsetSeconds` east of UTC. */
export function isoToEpochMs(value: string | IsoDateTime, naiveOffsetSeconds = 0): number {
  const parts = typeof value === 'string' ? parseIsoDateTime(value) : value
  const offset = parts.offsetSeconds ?? naiveOffsetSeconds
  const clock = ((parts.hour * 60 + parts.minute) * 60 + parts.second) * 1000
  const milliseconds = Math.floor(parts.microsecond / 1000)
  return utcMilliseconds(parts.year, parts.month, parts.day, clock + milliseconds) - Math.round(offset * 1000)
}

/** Epoch milliseconds as Python would print them, in a zone `offsetSeconds` east of UTC (default UTC). */
export function epochMsToIso(epochMs: number, offsetSeconds = 0): string {
  const ms = Math.floor(epochMs)
  // The engine writes four digits for these years, and three for the milliseconds.
  if (offsetSeconds === 0 && ms >= FIRST_PLAIN_MS && ms < END_OF_PLAIN_MS) {
    const text = new Date(ms).toISOString()
    return ms % 1000 === 0 ? `${text.slice(0, 19)}+00:00` : `${text.slice(0, 23)}000+00:00`
  }
  return formatIsoDateTime(epochMsToParts(epochMs, offsetSeconds))
}

/** A moment taken apart in a fixed zone; `undefined` gives a naive UTC reading. Throws `DecodeError` outside years 1-9999. */
export function epochMsToParts(epochMs: number, offsetSeconds: number | undefined): IsoDateTime {
  const wall = new Date(Math.floor(epochMs) + Math.round((offsetSeconds ?? 0) * 1000))
  const year = wall.getUTCFullYear()
  if (!(year >= 1 && year <= 9999)) throw invalid('date and time: year outside 1-9999', String(epochMs))
  return {
    year,
    month: wall.getUTCMonth() + 1,
    day: wall.getUTCDate(),
    hour: wall.getUTCHours(),
    minute: wall.getUTCMinutes(),
    second: wall.getUTCSeconds(),
    microsecond: wall.getUTCMilliseconds() * 1000,
    offsetSeconds,
  }
}

/** Negative, zero or positive as `a` is before, at or after `b`; microseconds count, naive times are UTC by default. */
export function compareIso(a: string, b: string, naiveOffsetSeconds = 0): number {
  const [left, right] = [parseIsoDateTime(a), parseIsoDateTime(b)]
  const milliseconds = isoToEpochMs(left, naiveOffsetSeconds) - isoToEpochMs(right, naiveOffsetSeconds)
  return milliseconds !== 0 ? milliseconds : (left.microsecond % 1000) - (right.microsecond % 1000)
}
