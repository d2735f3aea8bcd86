/** How PyYAML's `safe_load` reads a scalar: the YAML 1.1 rules as `yaml/resolver.py` and `constructor.py` have them. */
import { DecodeError } from './errors.js'
import { DateTime, Float, PlainDate } from './values.js'

const INT =
  /^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/
const FLOAT =
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/
const BOOL = /^(?:(yes|Yes|YES|true|True|TRUE|on|On|ON)|no|No|NO|false|False|FALSE|off|Off|OFF)$/
const NULL = /^(?:~|null|Null|NULL|)$/
const DATE = /^(\d{4})-(\d\d?)-(\d\d?)$/
const TIMESTAMP =
  /^(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?(?:[ \t]*(Z|([-+])(\d\d?)(?::(\d\d))?))?$/
/** No number or date is longer; also what Python refuses to read as an int. */
const LONGEST = 4300

/** The kind of a scalar as the last part of its tag: `int`, `float`, `bool`, `null`, `timestamp` or `str`. */
export function implicitKind(text: string): string {
  if (text.length > LONGEST) return 'str'
  if (NULL.test(text)) return 'null'
  if (BOOL.test(text)) return 'bool'
  if (INT.test(text)) return 'int'
  if (FLOAT.test(text)) return 'float'
  return /^\d{4}-\d\d-\d\d$/.test(text) || (text.length >= 15 && TIMESTAMP.test(text)) ? 'timestamp' : 'str'
}

/** The value of a scalar of a kind. Throws `DecodeError` for text that is not of it. */
export function scalarValue(kind: string, text: string, isExact: boolean): unknown {
  switch (kind) {
    case 'str':
      return text
    case 'null':
      return null
    case 'bool': {
      const match = /^(?:(yes|true|on)|no|false|off)$/i.exec(text)
      if (match === null) break
      return match[1] !== undefined
    }
    case 'int':
      return text.length > LONGEST ? invalid(kind, text) : integerValue(text)
    case 'float': {
      const value = text.length > LONGEST ? invalid(kind, text) : floatValue(text)
      return isExact && Number.isInteger(value) ? new Float(value) : value
    }
    case 'timestamp':
      return timestampValue(text)
    case 'binary': {
      const clean = text.replace(/\s/g, '')
      if (!/^[A-Za-z0-9+/]*={0,2}$/.test(clean) || clean.length % 4 !== 0) break
      return Buffer.from(clean, 'base64')
    }
  }
  return invalid(kind, text)
}

function invalid(kind: string, text: string): never {
  throw new DecodeError(`Cannot read ${JSON.stringify(text.slice(0, 60))} as YAML !!${kind}`)
}

function integerValue(text: string): number | bigint {
  const clean = text.replaceAll('_', '')
  const isNegative = clean.startsWith('-')
  const digits = clean.replace(/^[-+]/, '')
  let value: bigint
  if (digits.includes(':')) {
    if (!/^\d+(?::\d+)+$/.test(digits)) return invalid('int', text)
    value = digits.split(':').reduce((sum, part) => sum * 60n + BigInt(part), 0n)
  } else if (/^(?:0b[01]+|0x[0-9a-f]+|[1-9]\d*|0)$/i.test(digits)) value = BigInt(digits)
  else if (/^0[0-7]+$/.test(digits)) value = BigInt(`0o${digits.slice(1)}`)
  else return invalid('int', text)
  const signed = isNegative ? -value : value
  return signed >= Number.MIN_SAFE_INTEGER && signed <= Number.MAX_SAFE_INTEGER ? Number(signed) : signed
}

function floatValue(text: string): number {
  const clean = text.replaceAll('_', '').toLowerCase()
  const sign = clean.startsWith('-') ? -1 : 1
  const digits = clean.replace(/^[-+]/, '')
  if (digits === '.inf') return sign * Infinity
  if (digits === '.nan') return Number.NaN
  if (/^\d+(?::\d+)+(?:\.\d*)?$/.test(digits)) {
    return sign * digits.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
  }
  if (!/^(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/.test(digits)) return invalid('float', text)
  return sign * Number(digits)
}

function timestampValue(text: string): DateTime | PlainDate {
  const day = DATE.exec(text)
  const match = day ?? (text.length < 200 ? TIMESTAMP.exec(text) : null)
  if (match === null) return invalid('timestamp', text)
  const date = { year: Number(match[1]), month: Number(match[2]), day: Number(match[3]) }
  if (day !== null) return new PlainDate(date)
  const [hour, minute, second] = [Number(match[4]), Number(match[5]), Number(match[6])]
  const microsecond = Number((match[7] ?? '').slice(0, 6).padEnd(6, '0'))
  let offsetSeconds: number | undefined
  if (match[8] === 'Z') offsetSeconds = 0
  else if (match[8] !== undefined) {
    const offset = Number(match[10]) * 3600 + Number(match[11] ?? 0) * 60
    offsetSeconds = match[9] === '-' && offset !== 0 ? -offset : offset
  }
  return new DateTime({ ...date, hour, minute, second, microsecond, offsetSeconds })
}
