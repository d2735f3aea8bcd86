/** Values of settings: checked against their type, and read from text (environment, command line). Pure. */
import { ConfigError } from '../errors.js'
import { deliveryModeOf } from './queues.js'
import type { SettingType } from './setting.js'
import { type SettingName, settingRow } from './settings.js'

/** Celery's `strtobool` (surface CFG-010): false, no, 0, off and true, yes, 1, on in any case. Throws `ConfigError`. */
export function parseBoolean(text: string): boolean {
  const word = text.toLowerCase()
  if (['true', 'yes', '1', 'on'].includes(word)) return true
  if (['false', 'no', '0', 'off'].includes(word)) return false
  throw new ConfigError(`Cannot coerce ${JSON.stringify(text)} to type bool: write true or false`)
}

/** What each type takes, for people. */
const expectations: Readonly<Record<SettingType, string>> = {
  string: 'text',
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
  bytes: 'bytes or text',
  list: 'a list of texts',
  dict: 'an object',
  any: 'anything',
  urls: 'a URL or a list of URLs',
  'bool or dict': 'true, false or an object',
  duration: 'seconds, or { days, hours, minutes, seconds }',
  'delivery mode': "1, 2, 'transient' or 'persistent'",
  'exchange type': "'direct', 'topic', 'fanout' or 'headers'",
  'rate limit': "a number or text such as '10/m'",
  'list or dict': 'a list or an object',
}

/** A value as the app keeps it. `source` says where it came from. Throws `ConfigError`. */
export function checkedValue(name: SettingName, value: unknown, source: string): unknown {
  const row = settingRow(name)
  if (value === null && (row.default === null || row.nullable === true)) return null
  const { ok, result } = conformed(row.type, value)
  if (!ok) {
    throw new ConfigError(
      `${name} (${source}) must be ${expectations[row.type]}${row.default === null ? ' or null' : ''}, ` +
        `not ${shown(name, value)}.`,
    )
  }
  return result
}

/** A value written as text: JSON for lists and objects, also commas for lists. Throws `ConfigError`. */
export function valueFromText(name: SettingName, text: string, source: string): unknown {
  return checkedValue(name, fromText(name, settingRow(name).type, text, source), source)
}

function fromText(name: SettingName, type: SettingType, text: string, source: string): unknown {
  if (/^(none|null)$/i.test(text)) return null
  switch (type) {
    case 'bool':
      try {
        return parseBoolean(text)
      } catch (cause) {
        throw new ConfigError(`${name} (${source}) must be true or false, not ${shown(name, text)}.`, {
          cause,
        })
      }
    case 'int':
    case 'float':
      return numberOf(text) ?? text
    case 'delivery mode':
    case 'rate limit':
      return numberOf(text) ?? text
    case 'duration':
      return numberOf(text) ?? json(name, text, source)
    case 'list':
      return text.trimStart().startsWith('[')
        ? json(name, text, source)
        : text
            .split(',')
            .map((part) => part.trim())
            .filter((part) => part !== '')
    case 'urls':
      return text.trimStart().startsWith('[') ? json(name, text, source) : text
    case 'bool or dict':
      return text.trimStart().startsWith('{') ? json(name, text, source) : parseBoolean(text)
    case 'dict':
    case 'list or dict':
      return json(name, text, source)
    case 'any':
      return /^\s*[[{"]/.test(text) ? json(name, text, source) : text
    default:
      return text
  }
}

function numberOf(text: string): number | undefined {
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity
  const value = text.trim() === '' ? Number.NaN : Number(text)
  return Number.isNaN(value) ? undefined : value
}

function json(name: SettingName, text: string, source: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ConfigError(`${name} (${source}) must be JSON, but cannot be read: ${shown(name, text)}.`, {
      cause,
    })
  }
}

interface Conformed {
  readonly ok: boolean
  readonly result: unknown
}

function conformed(type: SettingType, value: unknown): Conformed {
  const asIs = (ok: boolean): Conformed => ({ ok, result: value })
  switch (type) {
    case 'string':
      return asIs(typeof value === 'string')
    case 'int':
      return asIs(Number.isInteger(value))
    case 'float':
      return asIs(typeof value === 'number' && !Number.isNaN(value))
    case 'bool':
      return asIs(typeof value === 'boolean')
    case 'bytes':
      return asIs(typeof value === 'string' || value instanceof Uint8Array)
    case 'list':
      return asIs(isTexts(value))
    case 'dict':
      return asIs(isRecord(value))
    case 'urls':
      return asIs(typeof value === 'string' || (isTexts(value) && value.length > 0))
    case 'bool or dict':
      return asIs(typeof value === 'boolean' || isRecord(value))
    case 'duration':
      return duration(value)
    case 'delivery mode':
      return value === 1 || value === 2 || value === 'transient' || value === 'persistent'
        ? { ok: true, result: deliveryModeOf(value) }
        : asIs(false)
    case 'exchange type':
      return asIs(typeof value === 'string' && ['direct', 'topic', 'fanout', 'headers'].includes(value))
    case 'rate limit':
      return asIs(typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value)))
    case 'list or dict':
      return asIs(typeof value === 'object' && value !== null)
    case 'any':
      return asIs(true)
  }
}

const secondsIn: Readonly<Record<string, number>> = {
  weeks: 604800,
  days: 86400,
  hours: 3600,
  minutes: 60,
  seconds: 1,
  milliseconds: 0.001,
  microseconds: 0.000001,
}

function duration(value: unknown): Conformed {
  if (typeof value === 'number') return { ok: Number.isFinite(value), result: value }
  if (!isRecord(value)) return { ok: false, result: value }
  const parts = Object.entries(value).filter(([, amount]) => amount !== undefined)
  const ok =
    parts.length > 0 &&
    parts.every(
      ([unit, amount]) =>
        Object.hasOwn(secondsIn, unit) && typeof amount === 'number' && Number.isFinite(amount),
    )
  return {
    ok,
    result: ok
      ? parts.reduce((sum, [unit, amount]) => sum + (secondsIn[unit] ?? 0) * (amount as number), 0)
      : value,
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** A value in an error: never one that may be a secret. */
function shown(name: string, value: unknown): string {
  if (/key|secret|pass|token|url|backend/i.test(name)) return `a value of type ${typeof value}`
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
