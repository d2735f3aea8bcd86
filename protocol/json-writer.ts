/**
 * Writes the values that `JSON.stringify` would change, drop or refuse, as kombu's JSON does (wire-format 3.2).
 *
 * Rule 1: nothing is dropped in silence but what JavaScript itself counts as absent: an `undefined` member.
 * Rule 2: a number past 2^53 is a float (Python would read its digits as an int); an int of that size is a bigint.
 */
import type { EncodeError } from './errors.js'
import { floatRepr } from './float-repr.js'
import { MAX_DEPTH } from './json-reader.js'
import { type CustomType, customForm, typedForm } from './json-types.js'
import { plainForm, refused } from './plain-form.js'
import { Float, TimeDelta } from './values.js'

/** How JSON is to look. */
export interface JsonWriting {
  readonly types: readonly CustomType[]
  /** `python` gives the bytes of `json.dumps`: `", "` and `": "`, and only ASCII. */
  readonly style: 'compact' | 'python'
}

/** Writes one value; an instance is used once. Throws `EncodeError`, naming the place. */
export class JsonWriter {
  readonly #writing: JsonWriting
  readonly #comma: string
  readonly #colon: string
  readonly #open: object[] = []
  readonly #openSet = new Set<object>()
  readonly #path: (string | number)[] = []

  constructor(writing: JsonWriting) {
    this.#writing = writing
    this.#comma = writing.style === 'python' ? ', ' : ','
    this.#colon = writing.style === 'python' ? ': ' : ':'
  }

  /** The text of `value`; `undefined` is null, as Python's `None`. */
  write(value: unknown): string {
    switch (typeof value) {
      case 'string':
        return this.#string(value)
      case 'number':
        return this.#number(value)
      case 'boolean':
        return value ? 'true' : 'false'
      case 'bigint':
        return value.toString()
      case 'undefined':
        return 'null'
      case 'object':
        return value === null ? 'null' : this.#object(value)
      default:
        throw this.#refused(`a ${typeof value}`, 'send plain data')
    }
  }

  #place(): string {
    return this.#path.length === 0 ? '' : ` at ${this.#path.slice(0, 12).join('.')}`
  }

  #refused(what: string, advice: string): EncodeError {
    return refused(what, 'JSON', this.#place(), advice)
  }

  #string(text: string): string {
    const quoted = JSON.stringify(text)
    if (this.#writing.style === 'compact') return quoted
    return quoted.replace(
      /[\u007f-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
  }

  #number(value: number): string {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value)
    if (Number.isFinite(value)) return floatRepr(value)
    return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'
  }

  #float(value: number): string {
    return Number.isFinite(value) ? floatRepr(value) : this.#number(value)
  }

  #object(value: object): string {
    if (this.#open.length > MAX_DEPTH)
      throw this.#refused(`more than ${MAX_DEPTH} levels`, 'flatten the value')
    if (this.#openSet.has(value)) throw this.#refused('a circular reference', 'send a tree')
    this.#open.push(value)
    this.#openSet.add(value)
    const text = this.#inside(value)
    this.#open.pop()
    this.#openSet.delete(value)
    return text
  }

  #inside(value: object): string {
    const custom = this.#writing.types.length === 0 ? undefined : customForm(value, this.#writing.types)
    if (custom !== undefined) {
      return custom.marker === undefined ? this.write(custom.data) : this.#typed(custom.marker, custom.data)
    }
    if (value instanceof Float) return this.#float(value.value)
    const typed = typedForm(value)
    if (typed !== undefined) return this.#typed(typed.marker, typed.data)
    if (Array.isArray(value)) return this.#array(value)
    if (value instanceof Map) return this.#map(value)
    if (value instanceof Set) throw this.#refused('a Set', 'make it an array, as JSON has no sets')
    if (value instanceof TimeDelta)
      throw this.#refused('a TimeDelta', 'send its seconds, as JSON has no timedelta')
    const plain = plainForm(value, 'JSON', this.#place(), String(this.#path.at(-1) ?? ''))
    return plain === value ? this.#members(Object.entries(value)) : this.write(plain)
  }

  #typed(marker: string, data: unknown): string {
    return this.#members([
      ['__type__', marker],
      ['__value__', data],
    ])
  }

  #array(items: readonly unknown[]): string {
    const parts: string[] = []
    for (let index = 0; index < items.length; index++) {
      this.#path.push(index)
      parts.push(this.write(items[index]))
      this.#path.pop()
    }
    return `[${parts.join(this.#comma)}]`
  }

  #members(entries: Iterable<readonly [string, unknown]>): string {
    const parts: string[] = []
    for (const [key, item] of entries) {
      if (item === undefined) continue
      this.#path.push(key)
      parts.push(this.#string(key) + this.#colon + this.write(item))
      this.#path.pop()
    }
    return `{${parts.join(this.#comma)}}`
  }

  /** Keys become text as in Python: `1`, `1.5`, `null`, `true`; of equal ones the last wins. */
  #map(map: ReadonlyMap<unknown, unknown>): string {
    const members = new Map<string, unknown>()
    for (const [key, item] of map) members.set(this.#key(key), item)
    return this.#members(members)
  }

  #key(key: unknown): string {
    if (typeof key === 'string') return key
    if (typeof key === 'number') return this.#number(key)
    if (typeof key === 'bigint' || typeof key === 'boolean' || key === null) return String(key)
    if (key instanceof Float) return this.#float(key.value)
    throw this.#refused(`a Map key of type ${typeof key}`, 'use text for keys')
  }
}
