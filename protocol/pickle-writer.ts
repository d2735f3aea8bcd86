/**
 * Writes plain data as pickle protocol 4, kombu's choice (wire-format 3.5).
 *
 * Rule 1: the only names written are those of Python's own value types, and of an exception that is a `PickledError`.
 */
import { EncodeError } from './errors.js'
import type { IsoTime } from './iso-time.js'
import { MAX_DEPTH } from './json-reader.js'
import { PickledError } from './pickled-error.js'
import { plainForm, refused } from './plain-form.js'
import { pyRepr } from './python-repr.js'
import { encodeSurrogateUtf8 } from './surrogate-utf8.js'
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

const MARK = 0x28
const REDUCE = 0x52
/** Items of one APPENDS or SETITEMS; as Python's pickler batches. */
const BATCH = 1000

/** Writes one value; an instance is used once. Throws `EncodeError`. */
export class PickleWriter {
  #buffer = Buffer.allocUnsafe(256)
  #length = 0
  readonly #open = new Set<object>()

  /** The whole pickle of `value`. */
  write(value: unknown): Uint8Array {
    this.#bytes(0x80, 4)
    this.#value(value)
    this.#bytes(0x2e)
    return this.#buffer.subarray(0, this.#length)
  }

  #put(bytes: Uint8Array): void {
    const at = this.#length
    if (at + bytes.length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + bytes.length))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#buffer.set(bytes, at)
    this.#length += bytes.length
  }

  #bytes(...bytes: number[]): void {
    this.#put(Uint8Array.from(bytes))
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case 'undefined':
        this.#bytes(0x4e)
        return
      case 'boolean':
        this.#bytes(value ? 0x88 : 0x89)
        return
      case 'string':
        this.#sized(encodeSurrogateUtf8(value), 0x8c, 0x58, 0x8d)
        return
      case 'number':
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#integer(value)
        else this.#float(value)
        return
      case 'bigint':
        this.#integer(value)
        return
      case 'object':
        if (value === null) this.#bytes(0x4e)
        else this.#object(value)
        return
      default:
        throw refused(`a ${typeof value}`, 'pickle', '', 'send plain data')
    }
  }

  /** A byte string with a length of 1, 4 or 8 bytes. */
  #sized(bytes: Uint8Array, short: number, medium: number, long: number): void {
    const head = Buffer.alloc(9)
    if (bytes.length < 0x100) {
      this.#bytes(short, bytes.length)
    } else if (bytes.length < 0x100000000) {
      head[0] = medium
      head.writeUInt32LE(bytes.length, 1)
      this.#put(head.subarray(0, 5))
    } else {
      head[0] = long
      head.writeBigUInt64LE(BigInt(bytes.length), 1)
      this.#put(head)
    }
    this.#put(bytes)
  }

  #float(value: number): void {
    const bytes = Buffer.alloc(9)
    bytes[0] = 0x47
    bytes.writeDoubleBE(value, 1)
    this.#put(bytes)
  }

  #integer(value: number | bigint): void {
    if (value >= 0 && value < 0x100) {
      this.#bytes(0x4b, Number(value))
    } else if (value >= 0 && value < 0x10000) {
      this.#bytes(0x4d, Number(value) & 0xff, Number(value) >> 8)
    } else if (value >= -0x80000000 && value < 0x80000000) {
      const bytes = Buffer.alloc(5)
      bytes[0] = 0x4a
      bytes.writeInt32LE(Number(value), 1)
      this.#put(bytes)
    } else this.#long(BigInt(value))
  }

  /** Two's complement, little end first, with room for the sign. */
  #long(value: bigint): void {
    const count = Math.floor((value < 0n ? ~value : value).toString(2).length / 8) + 1
    const hex = BigInt.asUintN(count * 8, value)
      .toString(16)
      .padStart(count * 2, '0')
    const bytes = Buffer.from(hex, 'hex').reverse()
    if (count < 0x100) {
      this.#bytes(0x8a, count)
    } else {
      const head = Buffer.alloc(5)
      head[0] = 0x8b
      head.writeUInt32LE(count, 1)
      this.#put(head)
    }
    this.#put(bytes)
  }

  #object(value: object): void {
    if (this.#scalar(value)) return
    if (this.#open.size > MAX_DEPTH)
      throw refused(`more than ${MAX_DEPTH} levels`, 'pickle', '', 'flatten it')
    if (this.#open.has(value)) throw refused('a circular reference', 'pickle', '', 'send a tree')
    this.#open.add(value)
    if (value instanceof FrozenSet) this.#marked(value, 0x91)
    else if (value instanceof Set) {
      this.#bytes(0x8f)
      this.#batched(
        [...value].map((item) => [item]),
        0x90,
      )
    } else if (value instanceof Tuple) this.#tuple(value)
    else if (value instanceof PickledError) this.#error(value)
    else {
      const plain = plainForm(value, 'pickle')
      if (Array.isArray(plain)) {
        this.#bytes(0x5d)
        this.#batched(
          Array.from(plain, (item: unknown) => [item]),
          0x65,
        )
      } else if (plain instanceof Map) this.#dict([...plain])
      else if (plain === value) this.#dict(Object.entries(value))
      else this.#value(plain)
    }
    this.#open.delete(value)
  }

  #error(error: PickledError): void {
    const { module = 'builtins', type, args } = error
    if (error.isWrapped) {
      const wrapper = 'UnpickleableExceptionWrapper'
      const parts = [module, type, Tuple.from(args), pyRepr(error)]
      this.#call('celery.utils.serialization', wrapper, parts)
    } else this.#call(module, type, args)
  }

  #dict(entries: readonly (readonly [unknown, unknown])[]): void {
    this.#bytes(0x7d)
    this.#batched(
      entries.filter(([, item]) => item !== undefined),
      0x75,
    )
  }

  #batched(groups: readonly (readonly unknown[])[], opcode: number): void {
    for (let start = 0; start < groups.length; start += BATCH) {
      this.#marked(groups.slice(start, start + BATCH).flat(1), opcode)
    }
  }

  #marked(items: Iterable<unknown>, opcode: number): void {
    this.#bytes(MARK)
    for (const item of items) this.#value(item)
    this.#bytes(opcode)
  }

  #tuple(items: readonly unknown[]): void {
    if (items.length > 3) {
      this.#marked(items, 0x74)
      return
    }
    for (let index = 0; index < items.length; index++) this.#value(items[index])
    this.#bytes([0x29, 0x85, 0x86, 0x87][items.length] as number)
  }

  #global(module: string, name: string): void {
    this.#value(module)
    this.#value(name)
    this.#bytes(0x93)
  }

  #call(module: string, name: string, args: readonly unknown[]): void {
    this.#global(module, name)
    this.#tuple(args)
    this.#bytes(REDUCE)
  }

  /** Writes the values that Python pickles as a call of their class. */
  #scalar(value: object): boolean {
    if (value instanceof Float) this.#float(value.value)
    else if (value instanceof Uint8Array) this.#sized(value, 0x43, 0x42, 0x8e)
    else if (value instanceof Decimal) this.#call('decimal', 'Decimal', [value.text])
    else if (value instanceof Uuid) this.#uuid(value)
    else if (value instanceof PlainDate) this.#call('datetime', 'date', [dayBytes(value)])
    else if (value instanceof PlainTime) {
      this.#call('datetime', 'time', [clockBytes(value), ...zone(value.offsetSeconds)])
    } else if (value instanceof TimeDelta) {
      this.#call('datetime', 'timedelta', [value.days, value.seconds, value.microseconds])
    } else if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) throw new EncodeError('An invalid Date cannot be sent')
      const { parts } = value instanceof DateTime ? value : DateTime.fromDate(value)
      const bytes = Buffer.concat([dayBytes(parts), clockBytes(parts)])
      this.#call('datetime', 'datetime', [bytes, ...zone(parts.offsetSeconds)])
    } else if (value instanceof Zone) this.#call('datetime', 'timezone', [value.delta])
    else return false
    return true
  }

  /** An object made without its constructor, and its state `{'int': ...}`, as `uuid.UUID` pickles itself. */
  #uuid(value: Uuid): void {
    this.#global('uuid', 'UUID')
    this.#bytes(0x29, 0x81)
    this.#dict([['int', BigInt(`0x${value.hex}`)]])
    this.#bytes(0x62)
  }
}

/** A `datetime.timezone` on its way out. */
class Zone {
  readonly delta: TimeDelta

  constructor(offsetSeconds: number) {
    const seconds = Math.floor(offsetSeconds)
    this.delta = new TimeDelta({ seconds, microseconds: Math.round((offsetSeconds - seconds) * 1e6) })
  }
}

function zone(offsetSeconds: number | undefined): Zone[] {
  return offsetSeconds === undefined ? [] : [new Zone(offsetSeconds)]
}

function dayBytes({ year, month, day }: { year: number; month: number; day: number }): Buffer {
  return Buffer.from([year >> 8, year & 0xff, month, day])
}

function clockBytes({ hour, minute, second, microsecond }: IsoTime): Buffer {
  return Buffer.from([hour, minute, second, microsecond >> 16, (microsecond >> 8) & 0xff, microsecond & 0xff])
}
