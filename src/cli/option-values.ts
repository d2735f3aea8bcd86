/** Readers of option values (surface CLI-007, `celery/bin/base.py`); each throws commander's `InvalidArgumentError`. */
import { InvalidArgumentError } from 'commander'
import { createCodec } from '../../protocol/index.js'
import { type LogLevel, logLevels } from './log-format.js'

/** `a,b` as a list without blanks. */
export function commaList(text: string): string[] {
  return text.split(',').flatMap((part) => part.trim() || [])
}

/** A whole number from `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`not a whole number from ${least}: ${text}`)
    return value
  }
}

/** Seconds, fractions allowed. */
export function seconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError(`not a number of seconds: ${text}`)
  return value
}

/** Python's numbers of the levels. */
const levelNumbers: Readonly<Record<string, LogLevel>> = {
  10: 'DEBUG',
  20: 'INFO',
  30: 'WARNING',
  40: 'ERROR',
  50: 'CRITICAL',
}

/** A level name in any case, or Python's number of one. */
export function logLevel(text: string): LogLevel {
  const name = levelNumbers[text] ?? text.toUpperCase()
  if (Object.hasOwn(logLevels, name)) return name as LogLevel
  throw new InvalidArgumentError(`not a log level: ${text} (one of DEBUG, INFO, WARNING, ERROR, CRITICAL)`)
}

function json(text: string): unknown {
  const codec = createCodec()
  const payload = { body: Buffer.from(text), contentType: 'application/json', contentEncoding: 'utf-8' }
  try {
    return codec.decode(payload, codec.accepting(['json']))
  } catch (error) {
    throw new InvalidArgumentError(`not JSON: ${text} (${error instanceof Error ? error.message : error})`)
  }
}

/** A JSON array, with kombu's typed values. */
export function jsonArray(text: string): unknown[] {
  const value = json(text)
  if (Array.isArray(value)) return value
  throw new InvalidArgumentError(`not a JSON array: ${text}`)
}

/** A JSON object, with kombu's typed values. */
export function jsonObject(text: string): Record<string, unknown> {
  const value = json(text)
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
    return value as Record<string, unknown>
  throw new InvalidArgumentError(`not a JSON object: ${text}`)
}

/** An ISO date and time, kept as text. */
export function isoTime(text: string): string {
  if (
    /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  )
    return text
  throw new InvalidArgumentError(`not an ISO 8601 time: ${text}`)
}

/** Seconds, or an ISO time. */
export function isoOrSeconds(text: string): string | number {
  return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : isoTime(text)
}
