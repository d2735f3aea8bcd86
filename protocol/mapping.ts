/** Decoded mappings of any serializer, seen as one kind of record. */

/** A decoded mapping: a plain object (with or without a prototype), not an array, bytes or a typed value. */
export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

/**
 * The mapping as a record, or `undefined` when `value` is none. A `Map` (mappings with keys that are not text) gets its
 * keys as text, as Python's JSON does.
 */
export function asMapping(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (isMapping(value)) return value
  if (!(value instanceof Map)) return undefined
  const entries: [string, unknown][] = []
  for (const [key, item] of value as Map<unknown, unknown>) {
    if (typeof key === 'object' && key !== null) return undefined
    entries.push([String(key), item])
  }
  // fromEntries defines properties: a key named `__proto__` stays data
  return Object.fromEntries(entries)
}

/** The own value under `key`, never an inherited one (`constructor`, `toString`); `undefined` when absent. */
export function own(mapping: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(mapping, key) ? mapping[key] : undefined
}

/** A short name of what a value is, for error messages; never its content, which may be secret. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'string') return 'text'
  if (value instanceof Uint8Array) return 'bytes'
  return asMapping(value) === undefined ? `a ${typeof value}` : 'a mapping'
}
