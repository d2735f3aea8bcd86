/**
 * What the names in a pickle stand for (wire-format 3.5). Nothing is imported and nothing called: each name that is
 * plain data to Python has a function here that reads its arguments, and every other name is refused.
 */
import { DecodeError } from './errors.js'
import { PickledError } from './pickled-error.js'
import { DateTime, Decimal, FrozenSet, PlainDate, PlainTime, TimeDelta, Tuple, Uuid } from './values.js'

/** A class or function named by a pickle, not yet called. */
export class PickleName {
  readonly module: string
  readonly name: string

  constructor(module: string, name: string) {
    this.module = module
    this.name = name
  }

  toString(): string {
    return `${this.module}.${this.name}`
  }
}

/** A dict while it is built; any value may be a key. */
export class PickleDict {
  readonly map = new Map<unknown, unknown>()
}

/** A `uuid.UUID` made without its constructor, waiting for its state. */
export class PickleUuid {
  value: Uuid | undefined
}

/** A time zone: gives the offset of a wall clock reading, or `undefined` where it depends on a day not given. */
class Zone {
  readonly offsetAt: (wallMs: number | undefined, fold: boolean) => number | undefined

  constructor(offsetAt: (wallMs: number | undefined, fold: boolean) => number | undefined) {
    this.offsetAt = offsetAt
  }
}

type Caller = (args: readonly unknown[]) => unknown

/** Python 2's names, as `pickle.load(fix_imports=True)` maps them. */
const OLD_MODULES: Readonly<Record<string, string>> = {
  __builtin__: 'builtins',
  copy_reg: 'copyreg',
  exceptions: 'builtins',
}

const OTHER_BUILT_IN_EXCEPTIONS = new Set([
  'BaseExceptionGroup',
  'ExceptionGroup',
  'GeneratorExit',
  'KeyboardInterrupt',
  'StopAsyncIteration',
  'StopIteration',
  'SystemExit',
])
const EXCEPTION_NAME =
  /(?:Error|Exception|Warning|Exit|Interrupt|Timeout|DoesNotExist|MultipleObjectsReturned)$/
const EXCEPTION_MODULE = /(?:^|\.)(?:exceptions|errors)$/

function isException({ module, name }: PickleName): boolean {
  if (EXCEPTION_NAME.test(name)) return true
  return module === 'builtins' ? OTHER_BUILT_IN_EXCEPTIONS.has(name) : EXCEPTION_MODULE.test(module)
}

/** The name if it is data to us. Throws `DecodeError` naming it if not. */
export function pickleName(module: string, name: string): PickleName {
  const known = new PickleName(
    Object.hasOwn(OLD_MODULES, module) ? (OLD_MODULES[module] as string) : module,
    name,
  )
  if (CALLERS.has(known.toString()) || FACTORIES.has(known.toString()) || isException(known)) return known
  throw new DecodeError(
    `Refusing ${known.toString().slice(0, 200)} in a pickle: only plain data is read, nothing is imported`,
  )
}

/** What calling a name with these arguments stands for. Throws `DecodeError`. */
export function calledName(name: unknown, args: unknown): unknown {
  if (!(name instanceof PickleName)) throw new DecodeError('A pickle calls something that is not a name')
  if (!(args instanceof Tuple)) throw new DecodeError(`A pickle calls ${name} without a tuple of arguments`)
  const caller = CALLERS.get(name.toString())
  try {
    if (caller !== undefined) return caller(args)
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DecodeError(`Invalid ${name} in a pickle: ${reason}`, { cause })
  }
  if (isException(name)) return new PickledError(name.module, name.name, args)
  throw new DecodeError(`A pickle calls ${name}, which is not data`)
}

/** An object made by `cls.__new__(cls, *args)`. Throws `DecodeError`. */
export function newObject(name: unknown, args: unknown): unknown {
  if (name instanceof PickleName && name.toString() === 'uuid.UUID') return new PickleUuid()
  return calledName(name, args)
}

/** `__setstate__`: only UUIDs have one that matters; an exception's extra attributes are not data we keep. */
export function setState(target: unknown, state: unknown): void {
  if (target instanceof PickledError) return
  if (!(target instanceof PickleUuid)) throw new DecodeError('A pickle sets the state of plain data')
  const members = state instanceof Tuple ? (state[0] ?? state[1]) : state
  const int = members instanceof PickleDict ? members.map.get('int') : undefined
  if (typeof int !== 'bigint' && typeof int !== 'number')
    throw new DecodeError('A pickled UUID without its int')
  const integer = BigInt(int)
  if (integer < 0n || integer >> 128n !== 0n) throw new DecodeError('A pickled UUID of more than 128 bits')
  target.value = new Uuid(integer.toString(16).padStart(32, '0'))
}

/** Names that others take as an argument (`defaultdict`, `_reconstructor`, `getattr`); never called themselves. */
const FACTORIES = new Set(
  ['list', 'dict', 'set', 'int', 'float', 'str', 'tuple', 'bool', 'object']
    .map((name) => `builtins.${name}`)
    .concat('zoneinfo.ZoneInfo'),
)

function items(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  if (value instanceof Set) return [...value]
  if (value === undefined) return []
  throw new DecodeError('Expected a sequence')
}

function dict(pairs: unknown): PickleDict {
  if (pairs instanceof PickleDict) return pairs
  const made = new PickleDict()
  for (const pair of items(pairs)) {
    const [key, value] = items(pair)
    made.map.set(key, value)
  }
  return made
}

function bytes(value: unknown, encoding?: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (value === undefined) return Buffer.alloc(0)
  if (typeof value === 'string' && (encoding === 'latin1' || encoding === 'latin-1')) {
    return Buffer.from(value, 'latin1')
  }
  if (Array.isArray(value)) return Buffer.from(value.map(Number))
  throw new DecodeError('Expected bytes')
}

function packed(value: unknown, length: number): Uint8Array {
  const raw = typeof value === 'string' ? Buffer.from(value, 'latin1') : value
  if (!(raw instanceof Uint8Array) || raw.length !== length)
    throw new DecodeError(`Expected ${length} packed bytes`)
  return raw
}

function clock(raw: Uint8Array, at: number) {
  const [hour = 0, minute = 0, second = 0, high = 0, middle = 0, low = 0] = raw.subarray(at)
  return { hour: hour & 0x7f, minute, second, microsecond: (high << 16) | (middle << 8) | low }
}

function readDateTime([raw, zone]: readonly unknown[]): DateTime {
  const data = packed(raw, 10)
  const [high = 0, low = 0, month = 0, day = 0] = data
  const naive = {
    year: (high << 8) | low,
    month: month & 0x7f,
    day,
    ...clock(data, 4),
    offsetSeconds: undefined,
  }
  const reading = new DateTime(naive)
  if (zone === undefined || zone === null) return reading
  return new DateTime({ ...naive, offsetSeconds: zoneOf(zone).offsetAt(reading.getTime(), month > 0x7f) })
}

function readTime([raw, zone]: readonly unknown[]): PlainTime {
  const data = packed(raw, 6)
  const fold = (data[0] as number) > 0x7f
  const offsetSeconds =
    zone === undefined || zone === null ? undefined : zoneOf(zone).offsetAt(undefined, fold)
  return new PlainTime({ ...clock(data, 0), offsetSeconds })
}

function zoneOf(value: unknown): Zone {
  if (!(value instanceof Zone)) throw new DecodeError('Expected a time zone')
  return value
}

function fixedZone(offsetSeconds: number): Zone {
  if (!(Math.abs(offsetSeconds) < 86_400)) throw new DecodeError('A time zone offset of a day or more')
  return new Zone(() => offsetSeconds)
}

/** A zone by its IANA name; offsets come from the time zone data that JavaScript has. */
function namedZone(name: unknown): Zone {
  if (typeof name !== 'string') throw new DecodeError('Expected the name of a time zone')
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: name,
    hourCycle: 'h23',
    era: 'short',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  const offsetOf = (epochMs: number): number => {
    const parts = Object.fromEntries(
      format.formatToParts(epochMs).map(({ type, value }) => [type, Number(value)]),
    )
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
    return (Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(epochMs / 1000) * 1000) / 1000
  }
  return new Zone((wallMs, fold) => {
    if (wallMs === undefined) return undefined
    // The offsets a day before and after bracket any change; of two readings fold picks the later one.
    const [before, after] = [offsetOf(wallMs - 86_400_000), offsetOf(wallMs + 86_400_000)]
    const fitting = [before, after].filter((offset) => offsetOf(wallMs - offset * 1000) === offset)
    if (fitting.length === 0) return fold ? after : before
    return fold ? fitting[fitting.length - 1] : fitting[0]
  })
}

function integer(value: unknown): number {
  if (value === undefined) return 0
  if (!Number.isSafeInteger(value)) throw new DecodeError('Expected an integer')
  return value as number
}

function timeDelta([days, seconds, microseconds]: readonly unknown[]): TimeDelta {
  return new TimeDelta({
    days: integer(days),
    seconds: integer(seconds),
    microseconds: integer(microseconds),
  })
}

/** Python pickles a `ZoneInfo` as a call of `getattr(ZoneInfo, '_unpickle')`; no other attribute is data. */
function attribute([owner, name]: readonly unknown[]): PickleName {
  if (owner instanceof PickleName && owner.toString() === 'zoneinfo.ZoneInfo' && name === '_unpickle') {
    return new PickleName(owner.module, 'ZoneInfo._unpickle')
  }
  throw new DecodeError(
    `Refusing getattr of ${String(name).slice(0, 100)} in a pickle: only plain data is read`,
  )
}

function wrappedError([module, type, args]: readonly unknown[]): PickledError {
  if (typeof type !== 'string') throw new DecodeError('Expected the name of an exception')
  return new PickledError(typeof module === 'string' ? module : undefined, type, items(args), undefined, true)
}

const CALLERS: ReadonlyMap<string, Caller> = new Map<string, Caller>([
  ['builtins.list', ([value]) => [...items(value)]],
  ['builtins.tuple', ([value]) => Tuple.from(items(value))],
  ['builtins.set', ([value]) => new Set(items(value))],
  ['builtins.frozenset', ([value]) => new FrozenSet(items(value))],
  ['builtins.dict', ([value]) => dict(value)],
  ['builtins.getattr', attribute],
  ['builtins.bytes', ([value, encoding]) => bytes(value, encoding)],
  ['builtins.bytearray', ([value, encoding]) => bytes(value, encoding)],
  ['_codecs.encode', ([value, encoding]) => bytes(value, encoding)],
  ['collections.OrderedDict', ([value]) => dict(value)],
  ['collections.defaultdict', () => new PickleDict()],
  ['copyreg._reconstructor', ([name]) => newObject(name, new Tuple())],
  ['celery.canvas.signature', ([value]) => dict(value)],
  ['celery.utils.serialization.UnpickleableExceptionWrapper', wrappedError],
  ['datetime.datetime', readDateTime],
  [
    'datetime.date',
    ([raw]) => {
      const [high = 0, low = 0, month = 0, day = 0] = packed(raw, 4)
      return new PlainDate({ year: (high << 8) | low, month, day })
    },
  ],
  ['datetime.time', readTime],
  ['datetime.timedelta', timeDelta],
  [
    'datetime.timezone',
    ([offset]) => {
      if (!(offset instanceof TimeDelta)) throw new DecodeError('A time zone without its offset')
      return fixedZone(offset.valueOf())
    },
  ],
  ['zoneinfo.ZoneInfo._unpickle', ([name]) => namedZone(name)],
  ['pytz._UTC', () => fixedZone(0)],
  ['pytz._p', ([name, offset]) => (offset === undefined ? namedZone(name) : fixedZone(integer(offset)))],
  ['dateutil.tz.tz.tzutc', () => fixedZone(0)],
  ['decimal.Decimal', ([value]) => new Decimal(String(value))],
  [
    'uuid.UUID',
    ([value]) => {
      if (typeof value !== 'string') throw new DecodeError('A UUID without its text')
      return new Uuid(value)
    },
  ],
])

/** Whether a value may stay in what was read: names, time zones and half-made UUIDs are no values. */
export function isLeftover(value: object): boolean {
  return value instanceof PickleName || value instanceof Zone
}
