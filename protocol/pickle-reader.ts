/**
 * The pickle machine for protocols 0 to 5, for plain data only (wire-format 3.5).
 *
 * Rule 1: no name is ever imported or called; see pickle-names.ts for the names that stand for data.
 * Rule 2: a claimed length is believed only as far as there are bytes, and every instruction consumes bytes, so that
 * time and memory are bounded by the input.
 */
import { DecodeError } from './errors.js'
import { calledName, newObject, PickleDict, pickleName, setState } from './pickle-names.js'
import { decodeSurrogateUtf8 } from './surrogate-utf8.js'
import { Float, FrozenSet, Tuple } from './values.js'

/** Longest integer read, in bytes or digits: Python's limit for text, and plenty for the binary form. */
const MAX_INTEGER = 4300
/** Marks the start of a group on the stack. */
const MARK = Symbol('mark')

/** Runs one pickle; an instance is used once. */
export class PickleReader {
  readonly #data: Buffer
  readonly #stack: unknown[] = []
  readonly #memo = new Map<number, unknown>()
  #at = 0

  readonly #isExact: boolean

  /** `isExact` makes whole floats `Float`. */
  constructor(body: Uint8Array, isExact: boolean) {
    this.#isExact = isExact
    this.#data = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  }

  /** The raw value: dicts are `PickleDict`, and nothing is checked for cycles yet. Throws `DecodeError`. */
  read(): unknown {
    for (;;) {
      const opcode = this.#unsigned(1)
      if (opcode === 0x2e) return this.#pop()
      this.#run(opcode)
    }
  }

  #skip(count: number): number {
    const at = this.#at
    if (at + count > this.#data.length) throw new DecodeError('The pickle ends in the middle of a value')
    this.#at += count
    return at
  }

  #unsigned(bytes: number): number {
    return this.#data.readUIntLE(this.#skip(bytes), bytes)
  }

  /** An 8-byte length; one that is no safe integer is longer than the data, and so refused by `#bytes`. */
  #long8(): number {
    return Number(this.#data.readBigUInt64LE(this.#skip(8)))
  }

  #bytes(count: number): Buffer {
    const at = this.#skip(count)
    return this.#data.subarray(at, at + count)
  }

  #float(value: number): unknown {
    return this.#isExact && Number.isInteger(value) ? new Float(value) : value
  }

  #line(): string {
    const end = this.#data.indexOf(0x0a, this.#at)
    if (end === -1) throw new DecodeError('The pickle ends in the middle of a line')
    const text = this.#data.toString('latin1', this.#at, end)
    this.#at = end + 1
    return text
  }

  #push(value: unknown): void {
    this.#stack.push(value)
  }

  #pop(): unknown {
    if (this.#stack.length === 0) throw new DecodeError('The pickle takes from an empty stack')
    const value = this.#stack.pop()
    if (value === MARK) throw new DecodeError('The pickle takes a mark for a value')
    return value
  }

  #top(): unknown {
    const value = this.#stack[this.#stack.length - 1]
    if (value === undefined || value === MARK) throw new DecodeError('The pickle has no value to add to')
    return value
  }

  #group(): unknown[] {
    const mark = this.#stack.lastIndexOf(MARK)
    if (mark === -1) throw new DecodeError('The pickle has a group without a start')
    const group = this.#stack.splice(mark)
    group.shift()
    return group
  }

  #text(): string {
    const value = this.#pop()
    if (typeof value !== 'string') throw new DecodeError('The pickle has a name that is not text')
    return value
  }

  #run(opcode: number): void {
    const character = String.fromCharCode(opcode)
    if (opcode >= 0x80) this.#runBinary(opcode)
    else if ('FGIJKLMNSTUVXBC'.includes(character)) this.#push(this.#scalar(character))
    else if (')]}tldaesu'.includes(character)) this.#container(character)
    else if ('cioRb'.includes(character)) this.#object(character)
    else this.#control(character, opcode)
  }

  #scalar(opcode: string): unknown {
    switch (opcode) {
      case 'N':
        return null
      case 'F':
        return this.#float(floatOf(this.#line()))
      case 'G':
        return this.#float(this.#data.readDoubleBE(this.#skip(8)))
      case 'I': {
        const line = this.#line()
        return line === '00' ? false : line === '01' ? true : integerOf(line)
      }
      case 'L':
        return integerOf(this.#line().replace(/L$/, ''))
      case 'J':
        return this.#data.readInt32LE(this.#skip(4))
      case 'K':
        return this.#unsigned(1)
      case 'M':
        return this.#unsigned(2)
      case 'S':
        return quoted(this.#line())
      case 'T':
        return ascii(this.#bytes(this.#unsigned(4)))
      case 'U':
        return ascii(this.#bytes(this.#unsigned(1)))
      case 'V':
        return rawUnicode(this.#line())
      case 'X':
        return decodeSurrogateUtf8(this.#bytes(this.#unsigned(4)))
      case 'B':
        return Buffer.from(this.#bytes(this.#unsigned(4)))
      default:
        return Buffer.from(this.#bytes(this.#unsigned(1)))
    }
  }

  #container(opcode: string): void {
    switch (opcode) {
      case ')':
        this.#push(new Tuple())
        return
      case ']':
        this.#push([])
        return
      case '}':
        this.#push(new PickleDict())
        return
      case 't':
        this.#push(Tuple.from(this.#group()))
        return
      case 'l':
        this.#push(this.#group())
        return
      case 'd': {
        const dict = new PickleDict()
        setItems(dict, this.#group())
        this.#push(dict)
        return
      }
      case 'a': {
        const item = this.#pop()
        append(this.#top(), [item])
        return
      }
      case 'e': {
        const group = this.#group()
        append(this.#top(), group)
        return
      }
      case 's': {
        const value = this.#pop()
        const key = this.#pop()
        setItems(this.#top(), [key, value])
        return
      }
      default: {
        const group = this.#group()
        setItems(this.#top(), group)
        return
      }
    }
  }

  #object(opcode: string): void {
    switch (opcode) {
      case 'c': {
        const module = this.#line()
        this.#push(pickleName(module, this.#line()))
        return
      }
      case 'i': {
        const module = this.#line()
        const name = pickleName(module, this.#line())
        this.#push(calledName(name, Tuple.from(this.#group())))
        return
      }
      case 'o': {
        const [name, ...args] = this.#group()
        this.#push(calledName(name, Tuple.from(args)))
        return
      }
      case 'R': {
        const args = this.#pop()
        this.#push(calledName(this.#pop(), args))
        return
      }
      default: {
        const state = this.#pop()
        setState(this.#top(), state)
        return
      }
    }
  }

  #control(opcode: string, code: number): void {
    switch (opcode) {
      case '(':
        this.#push(MARK)
        return
      case '0':
        if (this.#stack.pop() === undefined) throw new DecodeError('The pickle takes from an empty stack')
        return
      case '1':
        this.#group()
        return
      case '2':
        this.#push(this.#top())
        return
      case 'p':
        this.#put(indexOf(this.#line()))
        return
      case 'q':
        this.#put(this.#unsigned(1))
        return
      case 'r':
        this.#put(this.#unsigned(4))
        return
      case 'g':
        this.#get(indexOf(this.#line()))
        return
      case 'h':
        this.#get(this.#unsigned(1))
        return
      case 'j':
        this.#get(this.#unsigned(4))
        return
      default:
        throw unsupported(code)
    }
  }

  #put(index: number): void {
    this.#memo.set(index, this.#top())
  }

  #get(index: number): void {
    if (!this.#memo.has(index))
      throw new DecodeError(`The pickle recalls value ${index}, which it never kept`)
    this.#push(this.#memo.get(index))
  }

  #runBinary(opcode: number): void {
    switch (opcode) {
      case 0x80: {
        const protocol = this.#unsigned(1)
        if (protocol > 5) throw new DecodeError(`Pickle protocol ${protocol} is not known`)
        return
      }
      case 0x81: {
        const args = this.#pop()
        this.#push(newObject(this.#pop(), args))
        return
      }
      case 0x92: {
        const keywords = this.#pop()
        const args = this.#pop()
        if (!(keywords instanceof PickleDict) || keywords.map.size > 0) throw unsupported(opcode)
        this.#push(newObject(this.#pop(), args))
        return
      }
      case 0x85:
      case 0x86:
      case 0x87: {
        const items: unknown[] = []
        for (let count = opcode - 0x84; count > 0; count--) items.unshift(this.#pop())
        this.#push(Tuple.from(items))
        return
      }
      case 0x88:
        this.#push(true)
        return
      case 0x89:
        this.#push(false)
        return
      case 0x8a:
        this.#push(longOf(this.#bytes(this.#unsigned(1))))
        return
      case 0x8b:
        this.#push(longOf(this.#bytes(this.#unsigned(4))))
        return
      case 0x8c:
        this.#push(decodeSurrogateUtf8(this.#bytes(this.#unsigned(1))))
        return
      case 0x8d:
        this.#push(decodeSurrogateUtf8(this.#bytes(this.#long8())))
        return
      case 0x8e:
      case 0x96:
        this.#push(Buffer.from(this.#bytes(this.#long8())))
        return
      case 0x8f:
        this.#push(new Set())
        return
      case 0x90: {
        const group = this.#group()
        const set = this.#top()
        if (!(set instanceof Set)) throw new DecodeError('The pickle adds items to what is not a set')
        for (const item of group) set.add(item)
        return
      }
      case 0x91:
        this.#push(new FrozenSet(this.#group()))
        return
      case 0x93: {
        const name = this.#text()
        this.#push(pickleName(this.#text(), name))
        return
      }
      case 0x94:
        this.#put(this.#memo.size)
        return
      case 0x95:
        // A frame only says how much to read ahead.
        this.#skip(8)
        return
      default:
        throw unsupported(opcode)
    }
  }
}

function unsupported(opcode: number): DecodeError {
  return new DecodeError(`Unsupported pickle instruction 0x${opcode.toString(16).padStart(2, '0')}`)
}

function append(target: unknown, items: readonly unknown[]): void {
  if (!Array.isArray(target) || target instanceof Tuple) {
    throw new DecodeError('The pickle appends to what is not a list')
  }
  for (const item of items) target.push(item)
}

function setItems(target: unknown, flat: readonly unknown[]): void {
  if (!(target instanceof PickleDict)) throw new DecodeError('The pickle sets items of what is not a dict')
  if (flat.length % 2 !== 0) throw new DecodeError('The pickle has a dict with a key and no value')
  for (let index = 0; index < flat.length; index += 2) target.map.set(flat[index], flat[index + 1])
}

function narrowed(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

function integerOf(text: string): number | bigint {
  if (text.length > MAX_INTEGER || !/^\s*[+-]?\d+\s*$/.test(text)) {
    throw new DecodeError(`Invalid integer in a pickle: ${text.slice(0, 40)}`)
  }
  return narrowed(BigInt(text.trim().replace('+', '')))
}

function longOf(bytes: Buffer): number | bigint {
  if (bytes.length > MAX_INTEGER) throw new DecodeError(`An integer of ${bytes.length} bytes in a pickle`)
  if (bytes.length === 0) return 0
  const hex = Buffer.from(bytes).reverse().toString('hex')
  return narrowed(BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`)))
}

function floatOf(text: string): number {
  const named = /^([+-]?)(nan|inf)(?:inity)?$/i.exec(text)
  if (named !== null)
    return named[2]?.toLowerCase() === 'nan' ? Number.NaN : named[1] === '-' ? -Infinity : Infinity
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) || text.length > MAX_INTEGER) {
    throw new DecodeError(`Invalid float in a pickle: ${text.slice(0, 40)}`)
  }
  return Number(text)
}

function indexOf(line: string): number {
  if (!/^\d{1,15}$/.test(line)) throw new DecodeError('The pickle has a memo index that is no number')
  return Number(line)
}

function ascii(bytes: Buffer): string {
  const text = bytes.toString('latin1')
  if (/[\x80-\xff]/.test(text)) throw new DecodeError('A Python 2 string in a pickle is not ASCII')
  return text
}

const ESCAPED: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  "'": "'",
  '"': '"',
}

/** The repr of a Python 2 string. */
function quoted(line: string): string {
  const match = /^(['"])(.*)\1$/s.exec(line.trim())
  if (match === null) throw new DecodeError('A pickled string without quotes')
  const text = (match[2] as string).replace(
    /\\(?:x([0-9a-f]{2})|(.))/gis,
    (all, hex?: string, other?: string) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
      return ESCAPED[other ?? ''] ?? all
    },
  )
  return ascii(Buffer.from(text, 'latin1'))
}

/** Python's raw-unicode-escape. */
function rawUnicode(line: string): string {
  return line.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/g, (_, short?: string, long?: string) => {
    const point = Number.parseInt(short ?? long ?? '', 16)
    if (point > 0x10ffff) throw new DecodeError('A pickled character outside Unicode')
    return String.fromCodePoint(point)
  })
}
