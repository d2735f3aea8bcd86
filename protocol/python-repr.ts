/**
 * Values as Python shows them: `pyRepr` is `repr`, `saferepr` is `celery.utils.saferepr` (wire-format 1.3), which
 * makes `argsrepr` and `kwargsrepr`. Display only: nobody parses it, but Flower, logs and Django admin show it.
 *
 * Rule 1: neither throws, whatever it is given, nor runs longer than its bound.
 * Rule 2: plain arrays are lists, `Tuple` is tuple, plain objects and `Map` dict; `undefined` members are absent,
 * as on the wire; an object with `toJSON` is shown as what it becomes.
 */
import { isUtf8 } from 'node:buffer'
import { floatRepr } from './float-repr.js'
import type { IsoTime } from './iso-time.js'
import { PickledError } from './pickled-error.js'
import {
  DateTime,
  Decimal,
  Float,
  FrozenSet,
  PlainDate,
  PlainTime,
  TimeDelta,
  Tuple,
  Uuid,
} from './values.js'

/** How `saferepr` cuts. */
export interface SafeReprOptions {
  /** Characters (code points) before it is cut; the closing brackets come on top. Default 1024, as Celery's. */
  readonly maxlen?: number
  /** Containers nested this deep are shown as `[...]`. Default 3. */
  readonly maxlevels?: number
  /** Shows an array as a tuple: what were positional arguments. Default false. */
  readonly asTuple?: boolean
}

/** How `pyRepr` shows. */
export interface PyReprOptions {
  /** Shows an array as a tuple. Default false. */
  readonly asTuple?: boolean
}

/** Nesting past which `pyRepr` gives up with `...`: display has no use for it, and the stack has an end. */
const DEEPEST_REPR = 200

/** A piece of structure: `pending` ones are still written after the budget is gone. */
interface Literal {
  readonly text: string
  readonly pending: boolean
  readonly direction: number
}
type Token =
  | { readonly literal: Literal }
  | { readonly value: unknown }
  | { readonly key: unknown }
  | { readonly leave: object }

const SEPARATOR: Token = { literal: { text: ', ', pending: false, direction: 0 } }
const COLON: Token = { literal: { text: ': ', pending: false, direction: 0 } }

interface Container {
  readonly start: string
  readonly end: string
  readonly typeName: string
  readonly tokens: Iterable<Token>
}

/** A container that is being written. */
interface Frame {
  readonly tokens: Iterator<Token>
  /** The bracket that closes it, until it is written. */
  owed: string
}

function* sequence(items: Iterable<unknown>): Generator<Token> {
  let isFirst = true
  for (const value of items) {
    if (!isFirst) yield SEPARATOR
    isFirst = false
    yield { value }
  }
}

function* pairs(entries: Iterable<readonly [unknown, unknown]>): Generator<Token> {
  let isFirst = true
  for (const [key, value] of entries) {
    if (value === undefined) continue
    if (!isFirst) yield SEPARATOR
    isFirst = false
    yield { key }
    yield COLON
    yield { value }
  }
}

function* ownEntries(object: object): Generator<readonly [string, unknown]> {
  for (const key of Object.keys(object)) yield [key, (object as Record<string, unknown>)[key]]
}

function containerOf(value: object, asTuple: boolean): Container | undefined {
  if (value instanceof PickledError) {
    return { start: `${value.type}(`, end: ')', typeName: value.type, tokens: sequence(value.args) }
  }
  if (Array.isArray(value)) {
    return value instanceof Tuple || asTuple
      ? { start: '(', end: value.length === 1 ? ',)' : ')', typeName: 'tuple', tokens: sequence(value) }
      : { start: '[', end: ']', typeName: 'list', tokens: sequence(value) }
  }
  if (value instanceof FrozenSet) {
    return { start: 'frozenset({', end: '})', typeName: 'frozenset', tokens: sequence(value) }
  }
  if (value instanceof Set) return { start: '{', end: '}', typeName: 'set', tokens: sequence(value) }
  if (value instanceof Map) return { start: '{', end: '}', typeName: 'dict', tokens: pairs(value) }
  if (scalarRepr(value) !== undefined) return undefined
  return { start: '{', end: '}', typeName: 'dict', tokens: pairs(ownEntries(value)) }
}

/** What an object with a `toJSON` of its own stands for; our classes stand for themselves. */
function unwrapped(value: unknown): unknown {
  let current = value
  for (let times = 0; times < 5; times++) {
    if (typeof current !== 'object' || current === null || scalarRepr(current) !== undefined) return current
    if (!('toJSON' in current) || typeof current.toJSON !== 'function') return current
    current = current.toJSON()
  }
  return current
}

/** `celery.utils.saferepr.saferepr`: a repr cut at `maxlen` and `maxlevels`, token by token as Celery cuts. */
export function saferepr(value: unknown, options: SafeReprOptions = {}): string {
  const { maxlen = 1024, maxlevels = 3, asTuple = false } = options
  try {
    const short = maxlevels > 0 ? shortRepr(value, maxlen, asTuple) : undefined
    if (short !== undefined) return short
    return new SafeRepr(maxlen, maxlevels, asTuple).write(value)
  } catch (cause) {
    return `<Unrepresentable: ${cause instanceof Error ? cause.name : typeof cause}>`
  }
}

/** Longest text in a `shortRepr`, which counts no code points. */
const longestShortText = 200

/** The same for what most calls have: a few plain scalars, in a list or a mapping, with nothing to cut; else undefined. */
function shortRepr(value: unknown, maxlen: number, asTuple: boolean): string | undefined {
  let inside = ''
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) {
      const piece = shortScalar(value[at])
      if (piece === undefined || inside.length > maxlen) return undefined
      inside += at === 0 ? piece : `, ${piece}`
    }
    if (inside.length + 2 >= maxlen) return undefined
    if (!(asTuple || value instanceof Tuple)) return `[${inside}]`
    return value.length === 1 ? `(${inside},)` : `(${inside})`
  }
  if (typeof value !== 'object' || value === null) {
    const text = shortScalar(value)
    return text !== undefined && text.length < maxlen ? text : undefined
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return undefined
  for (const key of Object.keys(value)) {
    const item = (value as Readonly<Record<string, unknown>>)[key]
    if (item === undefined) continue
    const piece = shortScalar(item)
    const name = shortScalar(key)
    if (piece === undefined || name === undefined || inside.length > maxlen) return undefined
    inside += inside === '' ? `${name}: ${piece}` : `, ${name}: ${piece}`
  }
  return inside.length + 2 < maxlen ? `{${inside}}` : undefined
}

/** What needs no look at its characters but for quotes; undefined for all else. */
function shortScalar(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value.length <= longestShortText ? `'${value.replaceAll("'", "\\'")}'` : undefined
    case 'number':
    case 'boolean':
      return primitiveRepr(value)
    case 'object':
      return value === null ? 'None' : undefined
    default:
      return undefined
  }
}

class SafeRepr {
  readonly #maxlevels: number
  readonly #asTuple: boolean
  readonly #open = new Set<object>()
  #left: number
  #level = 0

  constructor(maxlen: number, maxlevels: number, asTuple: boolean) {
    this.#left = maxlen
    this.#maxlevels = maxlevels
    this.#asTuple = asTuple
  }

  write(root: unknown): string {
    let text = ''
    // What Celery chains to the left of the rest of its iterator is here a stack, innermost last.
    const rest: Frame[] = [{ tokens: [{ value: root } satisfies Token].values(), owed: '' }]
    for (let frame = rest.at(-1); frame !== undefined; frame = rest.at(-1)) {
      const next = frame.tokens.next()
      if (next.done) {
        rest.pop()
        continue
      }
      const token = next.value
      if ('leave' in token) {
        this.#open.delete(token.leave)
        continue
      }
      if ('literal' in token) {
        this.#level += token.literal.direction
        if (token.literal.direction < 0) frame.owed = ''
      }
      const inner = 'value' in token ? this.#enter(token.value) : undefined
      if (inner !== undefined) {
        rest.push(inner)
        continue
      }
      if (this.#left <= 0) return `${text}, ...${pendingOf(rest)}`
      const piece = this.#piece(token)
      text += piece
      this.#left -= lengthOf(piece)
    }
    return text
  }

  /** The tokens of a container to be shown in full; `undefined` for anything shown as one piece. */
  #enter(raw: unknown): Frame | undefined {
    const value = unwrapped(raw)
    if (typeof value !== 'object' || value === null) return undefined
    const container = containerOf(value, this.#asTuple && this.#level === 0)
    if (container === undefined || (value instanceof Set && value.size === 0)) return undefined
    if ((this.#maxlevels > 0 && this.#level >= this.#maxlevels) || this.#open.has(value)) return undefined
    this.#open.add(value)
    return { tokens: framed(container, value), owed: container.end }
  }

  #piece(token: Token): string {
    if ('literal' in token) return token.literal.text
    if ('key' in token) return new SafeRepr(this.#left, this.#maxlevels, false).write(token.key)
    const value = unwrapped('value' in token ? token.value : undefined)
    if (typeof value === 'string') return `'${truncated(value, this.#left).replaceAll("'", "\\'")}'`
    if (value instanceof Uint8Array) return bytesPiece(value, this.#left)
    return truncated(this.#plain(value), this.#left)
  }

  #plain(value: unknown): string {
    if (typeof value === 'object' && value !== null) {
      const container = containerOf(value, false)
      if (value instanceof Set && value.size === 0) return `${container?.typeName}()`
      if (container !== undefined && this.#maxlevels > 0 && this.#level >= this.#maxlevels) {
        return `${container.start}...${container.end}`
      }
      if (container !== undefined) return `<Recursion on ${container.typeName} with id=0>`
    }
    return pyRepr(value)
  }
}

function* framed(container: Container, value: object): Generator<Token> {
  yield { literal: { text: container.start, pending: true, direction: 1 } }
  yield* container.tokens
  yield { leave: value }
  yield { literal: { text: container.end, pending: true, direction: -1 } }
}

/** The brackets still owed when the budget is gone. */
function pendingOf(rest: readonly Frame[]): string {
  let text = ''
  for (let at = rest.length - 1; at >= 0; at--) text += rest[at]?.owed
  return text
}

const SURROGATE = /[\ud800-\udfff]/

/** Python counts code points. */
function lengthOf(text: string): number {
  return SURROGATE.test(text) ? [...text].length : text.length
}

/** `celery.utils.text.truncate`: back to the last space, then `...`. */
function truncated(text: string, maxlen: number): string {
  // Twice the units hold at least the code points asked for; the rest of a long text is not looked at.
  const units = text.slice(0, 2 * maxlen)
  const points = SURROGATE.test(units) ? [...units] : undefined
  if ((points ?? text).length < maxlen) return text
  const head = points === undefined ? text.slice(0, maxlen) : points.slice(0, maxlen).join('')
  const space = head.lastIndexOf(' ')
  return `${space === -1 ? head : head.slice(0, space)}...`
}

function bytesPiece(bytes: Uint8Array, maxlen: number): string {
  const shown = Number.isFinite(maxlen) && bytes.length > maxlen ? bytes.subarray(0, maxlen) : bytes
  const buffer = Buffer.from(shown.buffer, shown.byteOffset, shown.byteLength)
  return `b'${buffer.toString(isUtf8(buffer) ? 'utf8' : 'hex')}${shown === bytes ? '' : '...'}'`
}

/** Python's `repr`. Cycles show as `[...]`, what has no Python form as `<name>`. */
export function pyRepr(value: unknown, options: PyReprOptions = {}): string {
  try {
    return reprOf(value, options.asTuple ?? false, [])
  } catch (cause) {
    return `<Unrepresentable: ${cause instanceof Error ? cause.name : typeof cause}>`
  }
}

function reprOf(raw: unknown, asTuple: boolean, open: readonly object[]): string {
  const value = unwrapped(raw)
  if (typeof value !== 'object' || value === null) return primitiveRepr(value)
  const scalar = scalarRepr(value)
  if (scalar !== undefined) return scalar
  const container = containerOf(value, asTuple)
  if (container === undefined) return '<object>'
  if (value instanceof Set && value.size === 0) return `${container.typeName}()`
  if (open.includes(value))
    return container.typeName === 'set' ? 'set(...)' : `${container.start}...${container.end}`
  if (open.length >= DEEPEST_REPR) return '...'
  const inside = [...open, value]
  const parts: string[] = [container.start]
  for (const token of container.tokens) {
    if ('literal' in token) parts.push(token.literal.text)
    else if ('key' in token) parts.push(reprOf(token.key, false, inside))
    else if ('value' in token) parts.push(reprOf(token.value, false, inside))
  }
  return `${parts.join('')}${container.end}`
}

function primitiveRepr(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return stringRepr(value)
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : floatRepr(value)
    case 'bigint':
      return value.toString()
    case 'boolean':
      return value ? 'True' : 'False'
    case 'function':
      return `<function ${value.name || 'anonymous'}>`
    case 'symbol':
      return `<${value.toString()}>`
    default:
      return 'None'
  }
}

/** The repr of objects that are one value for Python; `undefined` for all others. */
function scalarRepr(value: object): string | undefined {
  if (value instanceof Float) return floatRepr(value.value)
  if (value instanceof Uint8Array) return bytesRepr(value)
  if (value instanceof Decimal) return `Decimal('${value.text}')`
  if (value instanceof Uuid) return `UUID('${value.toString()}')`
  if (value instanceof PlainDate) return `datetime.date(${value.year}, ${value.month}, ${value.day})`
  if (value instanceof PlainTime) return `datetime.time(${clockRepr(value)})`
  if (value instanceof TimeDelta) return timeDeltaRepr(value)
  if (value instanceof Date) return dateTimeRepr(value)
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return primitiveRepr(value.valueOf())
  }
  if (value instanceof Error) return `${value.name}(${value.message === '' ? '' : stringRepr(value.message)})`
  if (value instanceof Promise || value instanceof RegExp || ArrayBuffer.isView(value)) {
    return `<${value.constructor.name} object>`
  }
  return undefined
}

/** Characters that Python does not print: control, format, unassigned, private and every space but the plain one. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}\p{Zs}\\]/gu
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function stringRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = text.replace(UNPRINTABLE, (character) => {
    if (character === ' ') return ' '
    const known = ESCAPES[character]
    if (known !== undefined) return known
    const hex = (character.codePointAt(0) ?? 0).toString(16)
    if (hex.length <= 2) return `\\x${hex.padStart(2, '0')}`
    return hex.length <= 4 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
  })
  return `${quote}${quote === "'" ? escaped.replaceAll("'", "\\'") : escaped}${quote}`
}

function bytesRepr(bytes: Uint8Array): string {
  const latin = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const quote = latin.includes("'") && !latin.includes('"') ? '"' : "'"
  const escaped = latin.replace(/[^\x20-\x5b\x5d-\x7e]/g, (character) => {
    return ESCAPES[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
  return `b${quote}${quote === "'" ? escaped.replaceAll("'", "\\'") : escaped}${quote}`
}

function timeDeltaRepr({ days, seconds, microseconds }: TimeDelta): string {
  const parts = Object.entries({ days, seconds, microseconds }).filter(([, amount]) => amount !== 0)
  return `datetime.timedelta(${parts.map(([name, amount]) => `${name}=${amount}`).join(', ') || '0'})`
}

function zoneRepr(offsetSeconds: number | undefined): string {
  if (offsetSeconds === undefined) return ''
  if (offsetSeconds === 0) return ', tzinfo=datetime.timezone.utc'
  const whole = Math.floor(offsetSeconds)
  const delta = new TimeDelta({ seconds: whole, microseconds: Math.round((offsetSeconds - whole) * 1e6) })
  return `, tzinfo=datetime.timezone(${timeDeltaRepr(delta)})`
}

/** Hour and minute always; seconds and microseconds as far as they are not zero. */
function clockRepr({ hour, minute, second, microsecond, offsetSeconds }: IsoTime): string {
  const fine = microsecond !== 0 ? `, ${second}, ${microsecond}` : second !== 0 ? `, ${second}` : ''
  return `${hour}, ${minute}${fine}${zoneRepr(offsetSeconds)}`
}

function dateTimeRepr(value: Date): string {
  if (Number.isNaN(value.getTime())) return '<Invalid Date>'
  const parts = (value instanceof DateTime ? value : DateTime.fromDate(value)).parts
  return `datetime.datetime(${parts.year}, ${parts.month}, ${parts.day}, ${clockRepr(parts)})`
}
