/**
 * Values that JSON has no form for: `{"__type__": t, "__value__": v}` (kombu/utils/json.py, wire-format 3.2).
 *
 * Rule 1: only a mapping with exactly these two keys is one; a third key makes it an ordinary mapping.
 * Rule 2: an unknown marker is an error, as in kombu: guessing would hand a task something else than was sent.
 */
import { isUtf8 } from 'node:buffer'
import { DecodeError, EncodeError, ProtocolError } from './errors.js'
import { DateTime, Decimal, dateToIso, PlainDate, PlainTime, Uuid } from './values.js'

/** A user's own type in JSON bodies, as `kombu.utils.json.register_type` makes one. */
export interface CustomType {
  /** The `__type__`; `undefined` when `encode` alone turns the value into plain data. */
  readonly marker: string | undefined
  /** Whether `value` is of this type; asked before every built-in rule for objects. */
  test(value: unknown): boolean
  /** Plain data to send; it may hold typed values again. */
  encode(value: never): unknown
  /** The value back from what `encode` gave. */
  decode?(data: unknown): unknown
}

/** A value in its wire form, or `undefined` when it is not a typed value. Throws `EncodeError`. */
export function typedForm(value: object): { readonly marker: string; readonly data: unknown } | undefined {
  if (value instanceof Date) return { marker: 'datetime', data: dateToIso(value) }
  if (value instanceof Uint8Array) return bytesForm(value)
  if (value instanceof Decimal) return { marker: 'decimal', data: value.text }
  if (value instanceof Uuid) return { marker: 'uuid', data: { hex: value.hex } }
  if (value instanceof PlainDate) return { marker: 'date', data: value.toString() }
  if (value instanceof PlainTime) return { marker: 'time', data: value.toString() }
  return undefined
}

function bytesForm(bytes: Uint8Array): { readonly marker: string; readonly data: string } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(buffer)
    ? { marker: 'bytes', data: buffer.toString('utf8') }
    : { marker: 'base64', data: buffer.toString('base64') }
}

/** The value of a typed mapping. Throws `DecodeError` for an unknown marker or data that does not fit it. */
export function typedValue(marker: unknown, data: unknown, types: readonly CustomType[]): unknown {
  try {
    for (const type of types) {
      if (type.marker !== undefined && type.marker === marker) return type.decode ? type.decode(data) : data
    }
    return builtInValue(marker, data)
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DecodeError(`Invalid ${JSON.stringify(marker)} value in JSON: ${reason}`, { cause })
  }
}

function builtInValue(marker: unknown, data: unknown): unknown {
  switch (marker) {
    case 'datetime':
      return new DateTime(text(data))
    case 'date':
      return new PlainDate(
        text(data).slice(0, 10).length < text(data).length ? new DateTime(text(data)).parts : text(data),
      )
    case 'time':
      return new PlainTime(text(data))
    case 'decimal':
      if (typeof data === 'bigint' || Number.isSafeInteger(data)) return new Decimal(String(data))
      return new Decimal(text(data))
    case 'uuid':
      return uuidValue(data)
    case 'bytes':
      return bytesOfText(text(data))
    case 'base64':
      return bytesOfBase64(text(data))
    default:
      throw new DecodeError(
        `Unsupported type ${shown(marker)} in JSON: register it with the codec's \`types\`, or rename the key __type__`,
      )
  }
}

function shown(marker: unknown): string {
  return typeof marker === 'string' ? JSON.stringify(marker.slice(0, 100)) : typeof marker
}

function text(data: unknown): string {
  if (typeof data !== 'string')
    throw new DecodeError(`Expected text in a typed JSON value, not ${typeof data}`)
  return data
}

function bytesOfText(data: string): Uint8Array {
  if (/\p{Surrogate}/u.test(data)) throw new DecodeError('Typed bytes hold a lone surrogate')
  return Buffer.from(data, 'utf8')
}

/** Python's `b64decode`: characters outside the alphabet are skipped, the padding must be right. */
function bytesOfBase64(data: string): Uint8Array {
  const clean = data.replace(/[^A-Za-z0-9+/=]/g, '')
  if (clean.length % 4 !== 0) throw new DecodeError('Incorrect base64 padding in typed bytes')
  return Buffer.from(clean, 'base64')
}

/** `uuid.UUID(**data)`: `hex` or `int`, and kombu 5.3.0's `version`, which rewrites version and variant bits. */
function uuidValue(data: unknown): Uuid {
  if (typeof data !== 'object' || data === null) throw new DecodeError('A typed uuid must hold a mapping')
  const { hex, int, version, ...rest } = data as Record<string, unknown>
  if (Object.keys(rest).length > 0) throw new DecodeError(`A typed uuid with ${Object.keys(rest).join(', ')}`)
  if ((hex === undefined || hex === null) === (int === undefined || int === null)) {
    throw new DecodeError('A typed uuid needs one of hex and int')
  }
  const value = typeof hex === 'string' ? new Uuid(hex) : new Uuid(hexOfInteger(int))
  if (version === undefined || version === null) return value
  if (typeof version !== 'number' || ![1, 2, 3, 4, 5].includes(version)) {
    throw new DecodeError('A typed uuid has an illegal version number')
  }
  const digits = value.hex
  const variant = ((Number.parseInt(digits[16] as string, 16) & 0x3) | 0x8).toString(16)
  return new Uuid(`${digits.slice(0, 12)}${version}${digits.slice(13, 16)}${variant}${digits.slice(17)}`)
}

function hexOfInteger(value: unknown): string {
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value))
    throw new DecodeError('A typed uuid int must be an integer')
  const integer = BigInt(value as number | bigint)
  if (integer < 0n || integer >> 128n !== 0n) throw new DecodeError('A typed uuid int must have 128 bits')
  return integer.toString(16).padStart(32, '0')
}

/** Applies the first fitting custom type. Throws `EncodeError` with the cause when its `encode` fails. */
export function customForm(
  value: unknown,
  types: readonly CustomType[],
): { readonly marker: string | undefined; readonly data: unknown } | undefined {
  for (const type of types) {
    try {
      if (type.test(value)) return { marker: type.marker, data: type.encode(value as never) }
    } catch (cause) {
      if (cause instanceof ProtocolError) throw cause
      throw new EncodeError(
        `The custom type ${shown(type.marker)} could not encode a value: ${String(cause)}`,
        { cause },
      )
    }
  }
  return undefined
}
