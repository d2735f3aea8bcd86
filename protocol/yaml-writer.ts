/**
 * Writes YAML that PyYAML's `safe_load` reads as meant (wire-format 3.3).
 *
 * Rule 1: flow style with every text quoted and every special type tagged, so that no reading rule of YAML 1.1
 * (`no`, `1:30`, `0777`) can turn a text into something else. PyYAML's block style says the same.
 */
import { EncodeError } from './errors.js'
import { floatRepr } from './float-repr.js'
import { plainForm, refused } from './plain-form.js'
import {
  DateTime,
  Decimal,
  dateToIso,
  Float,
  FrozenSet,
  PlainDate,
  PlainTime,
  TimeDelta,
  Uuid,
} from './values.js'

/** Deepest nesting read or written: PyYAML, which recurses, gives up at about the same depth. */
export const YAML_DEPTH = 200
/** PyYAML reads a key without the `?` sign only up to 1024 characters. */
const LONGEST_SIMPLE_KEY = 1000

/** Writes one value; an instance is used once. Throws `EncodeError`. */
export class YamlWriter {
  readonly #open = new Set<object>()

  /** The text of `value`, without a final newline. */
  write(value: unknown): string {
    switch (typeof value) {
      case 'string':
        return quoted(value)
      case 'number':
        return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : yamlFloat(value)
      case 'bigint':
        return value.toString()
      case 'boolean':
        return value ? 'true' : 'false'
      case 'undefined':
        return 'null'
      case 'object':
        return value === null ? 'null' : this.#object(value)
      default:
        throw refused(`a ${typeof value}`, 'YAML', '', 'send plain data')
    }
  }

  #object(value: object): string {
    const scalar = scalarText(value)
    if (scalar !== undefined) return scalar
    if (this.#open.size > YAML_DEPTH)
      throw refused(`more than ${YAML_DEPTH} levels`, 'YAML', '', 'flatten it')
    if (this.#open.has(value)) throw refused('a circular reference', 'YAML', '', 'send a tree')
    this.#open.add(value)
    const text = this.#container(value)
    this.#open.delete(value)
    return text
  }

  #container(value: object): string {
    if (value instanceof Set)
      return `!!set {${[...value].map((item) => `${this.#key(item)}null`).join(', ')}}`
    const plain = plainForm(value, 'YAML')
    if (Array.isArray(plain)) return `[${Array.from(plain, (item: unknown) => this.write(item)).join(', ')}]`
    if (plain instanceof Map) return this.#mapping([...plain])
    return plain === value ? this.#mapping(Object.entries(value)) : this.write(plain)
  }

  #mapping(entries: readonly (readonly [unknown, unknown])[]): string {
    const present = entries.filter(([, item]) => item !== undefined)
    return `{${present.map(([key, item]) => this.#key(key) + this.write(item)).join(', ')}}`
  }

  #key(key: unknown): string {
    if (typeof key === 'object' && key !== null && scalarText(key) === undefined) {
      throw refused('a container as a key', 'YAML', '', 'use text for keys')
    }
    const text = this.write(key)
    return text.length > LONGEST_SIMPLE_KEY ? `? ${text} : ` : `${text}: `
  }
}

function scalarText(value: object): string | undefined {
  if (value instanceof Float) return yamlFloat(value.value)
  if (value instanceof Uint8Array) {
    return `!!binary "${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')}"`
  }
  if (value instanceof PlainDate) return `!!timestamp "${value.toString()}"`
  if (value instanceof Date) return `!!timestamp "${timestamp(value)}"`
  for (const type of [Decimal, Uuid, PlainTime, TimeDelta, FrozenSet]) {
    if (value instanceof type) throw refused(`a ${type.name}`, 'YAML', '', 'send text, or use json or pickle')
  }
  return undefined
}

/** PyYAML reads offsets of whole minutes only. */
function timestamp(value: Date): string {
  if (value instanceof DateTime && (value.offsetSeconds ?? 0) % 60 !== 0) {
    throw new EncodeError(`YAML has no form for the offset of ${value.iso}; use json`)
  }
  return dateToIso(value)
    .replace('T', ' ')
    .replace(/([+-]\d\d:\d\d):00$/, '$1')
}

function yamlFloat(value: number): string {
  if (Number.isNaN(value)) return '.nan'
  if (!Number.isFinite(value)) return value > 0 ? '.inf' : '-.inf'
  const text = floatRepr(value)
  return text.includes('.') ? text : text.replace('e', '.0e')
}

/** Double quotes with all but ASCII escaped: PyYAML refuses some characters when they stand as themselves. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\u{10ffff}]/gu, (character) => {
    const hex = (character.codePointAt(0) as number).toString(16)
    return hex.length > 4 ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`
  })
}
