/**
 * YAML as kombu uses it: PyYAML's `safe_dump` and `safe_load` (wire-format 3.3).
 *
 * Rule 1: the `yaml` package reads the structure; what a scalar means is decided here, by PyYAML's rules.
 * Rule 2: only the standard tags; any other (`!!python/...`, `!mine`) is refused, as safe_load does.
 * Rule 3: aliases are counted as if written out, so that few bytes cannot become many values.
 */
import type { Document, Pair, YAMLMap } from 'yaml'
import { DecodeError, EncodeError, ProtocolError, SizeLimitError } from './errors.js'
import { onDemand } from './on-demand.js'
import { decodeText } from './text-encoding.js'
import { Tuple } from './values.js'
import { implicitKind, scalarValue } from './yaml-scalars.js'
import { YAML_DEPTH, YamlWriter } from './yaml-writer.js'

const yaml = onDemand<typeof import('yaml')>('yaml')

/** How `decodeYaml` reads. */
export interface YamlDecodeOptions {
  /** Whole floats become `Float`. Default false. */
  readonly exact?: boolean
}

/** Fewest values, with aliases written out, that are too many; a longer body may have as many as it has bytes. */
const MAX_VALUES = 10_000_000
/** PyYAML's `Reader.NON_PRINTABLE`: what may stand in a document only as an escape. */
const unprintable = /[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u
const STANDARD_TAG = 'tag:yaml.org,2002:'

/** Writes one document. Throws `EncodeError` for decimals, UUIDs, times and whatever else safe_dump refuses. */
export function encodeYaml(value: unknown): string {
  try {
    return `${new YamlWriter().write(value)}\n`
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EncodeError(`Cannot write YAML: ${reason}`, { cause })
  }
}

/**
 * Reads one document. Timestamps are `DateTime` or `PlainDate`; a mapping with keys other than text is a `Map`.
 * Throws `DecodeError`, and `SizeLimitError` for aliases that multiply.
 */
export function decodeYaml(body: Uint8Array | string, options: YamlDecodeOptions = {}): unknown {
  try {
    const text = typeof body === 'string' ? body : yamlText(body)
    if (unprintable.test(text)) throw new DecodeError('Invalid YAML: special characters are not allowed')
    const document = composed(text)
    if (document === undefined) return null
    const fault = document.errors[0]
    if (fault !== undefined) throw new DecodeError(`Invalid YAML: ${fault.message}`)
    return new YamlBuilder(document, options.exact ?? false, Math.max(MAX_VALUES, text.length)).root()
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DecodeError(`Cannot read YAML: ${reason}`, { cause })
  }
}

/** PyYAML's `determine_encoding`: UTF-16 where a mark says so, else UTF-8, whatever the message names. */
function yamlText(body: Uint8Array): string {
  const mark = body.length < 2 ? 0 : ((body[0] as number) << 8) | (body[1] as number)
  return decodeText(body, mark === 0xfffe || mark === 0xfeff ? 'utf-16' : 'utf-8')
}

/**
 * The document that fills the text. The parser works with a stack of its own, but the composer recurses for each
 * level, and near the end of the stack V8 may end the process: so depth is checked between the two.
 */
function composed(text: string): Document | undefined {
  const tokens = [...new (yaml().Parser)().parse(text)]
  refuseDeep(tokens)
  const composer = new (yaml().Composer)({
    version: '1.1',
    schema: 'failsafe',
    uniqueKeys: false,
    logLevel: 'error',
    prettyErrors: false,
    merge: false,
  })
  const [document, second] = composer.compose(tokens, true, text.length)
  if (second !== undefined) throw new DecodeError('The YAML has more than one document')
  return document
}

function refuseDeep(tokens: readonly object[]): void {
  let level: readonly object[] = tokens
  // Each level of YAML is up to three of the token tree: collection, item, key or value.
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > 3 * YAML_DEPTH) throw new DecodeError(`The YAML is nested deeper than ${YAML_DEPTH} levels`)
    level = level.flatMap((token) => children(token))
  }
}

function children(token: object): object[] {
  const found: object[] = []
  for (const name of ['value', 'key', 'items'] as const) {
    const part: unknown = (token as Record<string, unknown>)[name]
    if (Array.isArray(part)) for (const item of part) found.push(item as object)
    else if (typeof part === 'object' && part !== null) found.push(part)
  }
  return found
}

interface Built {
  readonly value: unknown
  readonly size: number
  /** Levels below: aliases to aliases could nest without end. */
  readonly height: number
}

class YamlBuilder {
  readonly #document: Document
  readonly #isExact: boolean
  readonly #maxValues: number
  /** `undefined` while an anchored value is being built: an alias to it then is a cycle. */
  readonly #anchors = new Map<string, Built | undefined>()

  constructor(document: Document, isExact: boolean, maxValues: number) {
    this.#document = document
    this.#isExact = isExact
    this.#maxValues = maxValues
  }

  root(): unknown {
    return this.#build(this.#document.contents, 0).value
  }

  #build(node: unknown, depth: number): Built {
    if (depth > YAML_DEPTH) throw new DecodeError(`The YAML is nested deeper than ${YAML_DEPTH} levels`)
    if (node === null || node === undefined) return { value: null, size: 1, height: 0 }
    if (yaml().isAlias(node)) {
      const known = this.#anchors.get(node.source)
      if (known !== undefined) {
        if (depth + known.height <= YAML_DEPTH) return known
        throw new DecodeError(`The YAML is nested deeper than ${YAML_DEPTH} levels, through aliases`)
      }
      throw new DecodeError(`The YAML alias ${node.source.slice(0, 60)} is unknown, or inside its own value`)
    }
    const anchor = yaml().isScalar(node) || yaml().isMap(node) || yaml().isSeq(node) ? node.anchor : undefined
    if (anchor !== undefined) this.#anchors.set(anchor, undefined)
    const built = this.#fresh(node, depth)
    if (built.size > this.#maxValues) {
      throw new SizeLimitError(`A YAML body of more than ${this.#maxValues} values, with aliases written out`)
    }
    if (anchor !== undefined) this.#anchors.set(anchor, built)
    return built
  }

  #fresh(node: unknown, depth: number): Built {
    if (yaml().isScalar(node)) {
      const text = typeof node.value === 'string' ? node.value : (node.source ?? '')
      const tag = kindOf(node.tag)
      const kind =
        tag ?? (node.type === yaml().Scalar.PLAIN || node.type === undefined ? implicitKind(text) : 'str')
      return { value: scalarValue(kind, text, this.#isExact), size: 1, height: 0 }
    }
    if (yaml().isSeq(node)) {
      const kind = kindOf(node.tag) ?? 'seq'
      if (kind === 'omap' || kind === 'pairs') return this.#pairs(node.items, kind, depth)
      if (kind !== 'seq') throw unknownTag(kind)
      const items = node.items.map((item) => this.#build(item, depth + 1))
      return { value: items.map((item) => item.value), ...extent(items) }
    }
    if (yaml().isMap(node)) return this.#map(node, kindOf(node.tag) ?? 'map', depth)
    throw new DecodeError('The YAML has a node that is neither scalar, sequence nor mapping')
  }

  #pairs(nodes: readonly unknown[], kind: string, depth: number): Built {
    const all: Built[] = []
    for (const node of nodes) {
      const only = yaml().isMap(node) && node.items.length === 1 ? node.items[0] : undefined
      if (only === undefined) throw new DecodeError(`A YAML !!${kind} needs mappings of one item`)
      const [key, value] = [this.#build(only.key, depth + 1), this.#build(only.value, depth + 1)]
      all.push({ value: Tuple.from([key.value, value.value]), ...extent([key, value]) })
    }
    return { value: all.map((pair) => pair.value), ...extent(all) }
  }

  #map(node: YAMLMap, kind: string, depth: number): Built {
    if (kind !== 'map' && kind !== 'set') throw unknownTag(kind)
    const entries = new Map<unknown, unknown>()
    const sizes: Built[] = []
    const merged: [unknown, unknown][] = []
    for (const pair of node.items as Pair[]) {
      const value = this.#build(pair.value, depth + 1)
      sizes.push(value)
      if (isMergeKey(pair.key)) {
        for (const entry of mergeEntries(value.value)) merged.push(entry)
        if (merged.length > this.#maxValues)
          throw new SizeLimitError('A YAML mapping merges too many members')
        continue
      }
      const key = this.#build(pair.key, depth + 1)
      sizes.push(key)
      if (isContainer(key.value)) throw new DecodeError('The YAML has a container as a key')
      entries.set(key.value, value.value)
    }
    if (kind === 'set') return { value: new Set(entries.keys()), ...extent(sizes) }
    // Merged members come first, and what is written in the mapping itself wins.
    const all = new Map([...merged.toReversed(), ...entries])
    const isText = [...all.keys()].every((key) => typeof key === 'string')
    // fromEntries defines members, so that __proto__ is data.
    return { value: isText ? Object.fromEntries(all as Map<string, unknown>) : all, ...extent(sizes) }
  }
}

function extent(items: readonly Built[]): { readonly size: number; readonly height: number } {
  let size = 1
  let height = 0
  for (const item of items) {
    size += item.size
    if (item.height >= height) height = item.height + 1
  }
  return { size, height }
}

/** The last part of a standard tag; `undefined` for none and for `!`. Throws `DecodeError` for any other. */
function kindOf(tag: string | undefined): string | undefined {
  if (tag === undefined) return undefined
  if (tag === '!') return 'str'
  const kind = tag.startsWith(STANDARD_TAG) ? tag.slice(STANDARD_TAG.length) : undefined
  if (kind === undefined || !/^[a-z]+$/.test(kind)) throw unknownTag(tag)
  return kind
}

function unknownTag(tag: string): DecodeError {
  return new DecodeError(`Refusing the YAML tag ${tag.slice(0, 100)}: only plain data is read`)
}

function isMergeKey(key: unknown): boolean {
  return (
    yaml().isScalar(key) && key.type === yaml().Scalar.PLAIN && key.value === '<<' && key.tag === undefined
  )
}

function isContainer(value: unknown): boolean {
  return (
    Array.isArray(value) ||
    value instanceof Set ||
    value instanceof Map ||
    (Object.prototype.toString.call(value) === '[object Object]' &&
      Object.getPrototypeOf(value) === Object.prototype)
  )
}

function mergeEntries(value: unknown): [unknown, unknown][] {
  if (Array.isArray(value)) return value.flatMap((item) => mergeEntries(item))
  if (value instanceof Map) return [...value]
  if (isContainer(value)) return Object.entries(value as object)
  throw new DecodeError('A YAML merge key needs a mapping or a list of mappings')
}
