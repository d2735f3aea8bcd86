/**
 * Reads everything that Python's `json` writes and `JSON.parse` does not: `NaN`, `Infinity`, `-Infinity`,
 * integers of any size, and kombu's typed values. Strict otherwise.
 *
 * Rule 1: depth is bounded, so that no input can exhaust the stack, here or in whoever walks the value later.
 * Rule 2: `__proto__` is a key like any other.
 */
import { DecodeError } from './errors.js'
import { type CustomType, typedValue } from './json-types.js'
import { Float } from './values.js'

/** Deepest nesting read or written; Python's own reader gives up at about the same depth. */
export const MAX_DEPTH = 1000
/** Python refuses longer integers (`sys.int_max_str_digits`), as reading them takes quadratic time. */
const MAX_DIGITS = 4300

/** What a reader of JSON may be told. */
export interface JsonReading {
  readonly types: readonly CustomType[]
  /** Whole floats (`2.0`) become `Float`, so that they are written as floats again. */
  readonly exact: boolean
}

const QUOTE = 34
const BACKSLASH = 92

/** Parses a whole text. Throws `DecodeError` with the position. */
export class JsonReader {
  readonly #text: string
  readonly #reading: JsonReading
  #at = 0

  constructor(text: string, reading: JsonReading) {
    this.#text = text
    this.#reading = reading
  }

  /** The value of the text, which must hold nothing else. */
  read(): unknown {
    const value = this.#value(0)
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#unexpected()
    return value
  }

  #unexpected(): DecodeError {
    const what = this.#at < this.#text.length ? `character ${JSON.stringify(this.#text[this.#at])}` : 'end'
    return new DecodeError(`Unexpected ${what} in JSON at position ${this.#at}`)
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.#at++
    }
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw new DecodeError(`JSON is nested deeper than ${MAX_DEPTH} levels`)
    this.#skipSpace()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      case 'N':
        return this.#word('NaN', Number.NaN)
      case 'I':
        return this.#word('Infinity', Infinity)
      default:
        return this.#number()
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected()
    this.#at += word.length
    return value
  }

  #take(character: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #array(depth: number): unknown[] {
    this.#at++
    const items: unknown[] = []
    if (this.#take(']')) return items
    do items.push(this.#value(depth + 1))
    while (this.#take(','))
    if (!this.#take(']')) throw this.#unexpected()
    return items
  }

  #object(depth: number): unknown {
    this.#at++
    const object: Record<string, unknown> = {}
    if (this.#take('}')) return object
    do {
      this.#skipSpace()
      if (this.#text.charCodeAt(this.#at) !== QUOTE) throw this.#unexpected()
      const key = this.#string()
      if (!this.#take(':')) throw this.#unexpected()
      const value = this.#value(depth + 1)
      if (key === '__proto__') {
        Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true })
      } else object[key] = value
    } while (this.#take(','))
    if (!this.#take('}')) throw this.#unexpected()
    if (
      Object.hasOwn(object, '__type__') &&
      Object.hasOwn(object, '__value__') &&
      Object.keys(object).length === 2
    ) {
      return typedValue(object['__type__'], object['__value__'], this.#reading.types)
    }
    return object
  }

  #string(): string {
    const start = this.#at
    let end = start
    for (;;) {
      end = this.#text.indexOf('"', end + 1)
      if (end === -1) throw new DecodeError(`Unterminated string in JSON at position ${start}`)
      let before = end - 1
      while (this.#text.charCodeAt(before) === BACKSLASH) before--
      if ((end - before) % 2 === 1) break
    }
    this.#at = end + 1
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string
    } catch (cause) {
      throw new DecodeError(`Invalid string in JSON at position ${start}`, { cause })
    }
  }

  /** Skips digits; returns how many. */
  #digits(): number {
    const start = this.#at
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (!(code >= 48 && code <= 57)) return this.#at - start
      this.#at++
    }
  }

  #number(): unknown {
    const start = this.#at
    if (this.#text[this.#at] === '-') this.#at++
    if (this.#text[this.#at] === 'I') return this.#word('Infinity', -Infinity)
    const leadingZero = this.#text[this.#at] === '0'
    const digits = leadingZero ? 1 : this.#digits()
    if (digits === 0) throw this.#unexpected()
    if (leadingZero) this.#at++
    let isFloat = false
    if (this.#text[this.#at] === '.') {
      this.#at++
      isFloat = true
      if (this.#digits() === 0) throw this.#unexpected()
    }
    if (this.#text[this.#at] === 'e' || this.#text[this.#at] === 'E') {
      this.#at++
      isFloat = true
      if (this.#text[this.#at] === '+' || this.#text[this.#at] === '-') this.#at++
      if (this.#digits() === 0) throw this.#unexpected()
    }
    const text = this.#text.slice(start, this.#at)
    const value = Number(text)
    if (isFloat) return this.#reading.exact && Number.isInteger(value) ? new Float(value) : value
    if (Number.isSafeInteger(value)) return value === 0 ? 0 : value
    if (digits > MAX_DIGITS)
      throw new DecodeError(`An integer of ${digits} digits; the limit is ${MAX_DIGITS}`)
    return BigInt(text)
  }
}
