/**
 * Python's pickle as plain data (wire-format 3.5): None, bool, int, float, str, bytes, tuple, list, dict, set,
 * frozenset, the datetime family, Decimal, UUID, signatures (as dicts) and exceptions (as `PickledError`).
 *
 * Rule 1: nothing is imported, called or made by name; any other name is a `DecodeError` that says which.
 * Rule 2: shared values are fine, but a value that would be huge when written out, or that holds itself, is refused.
 */
import { DecodeError, EncodeError, ProtocolError, SizeLimitError } from './errors.js'
import { MAX_DEPTH } from './json-reader.js'
import { isLeftover, PickleDict, PickleUuid } from './pickle-names.js'
import { PickleReader } from './pickle-reader.js'
import { PickleWriter } from './pickle-writer.js'
import { PickledError } from './pickled-error.js'
import { FrozenSet, Tuple } from './values.js'

/** How `decodePickle` reads. */
export interface PickleDecodeOptions {
  /** Whole floats become `Float`. Default false. */
  readonly exact?: boolean
}

/** Fewest values, counted as if nothing were shared, that are too many; a longer body may have as many as it has bytes. */
const MAX_VALUES = 10_000_000

/** Writes protocol 4. `Tuple` is tuple, `Set` set, `PickledError` an exception. Throws `EncodeError`. */
export function encodePickle(value: unknown): Uint8Array {
  try {
    return new PickleWriter().write(value)
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EncodeError(`Cannot write a pickle: ${reason}`, { cause })
  }
}

/**
 * Reads protocols 0 to 5. A dict is a plain object when all its keys are text, else a `Map`; a bytearray is bytes.
 * Throws `DecodeError`, and `SizeLimitError` for shared values that multiply.
 */
export function decodePickle(body: Uint8Array, options: PickleDecodeOptions = {}): unknown {
  try {
    const finisher = new Finisher(Math.max(MAX_VALUES, body.length))
    return finisher.finished(new PickleReader(body, options.exact ?? false).read(), 0).value
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DecodeError(`Cannot read a pickle: ${reason}`, { cause })
  }
}

interface Finished {
  readonly value: unknown
  /** Values inside, shared ones counted each time. */
  readonly size: number
  /** Levels below. */
  readonly height: number
}

/** Turns what the machine built into values, each shared one once. */
class Finisher {
  readonly #maxValues: number
  /** `undefined` while a value is being finished: meeting it then is a cycle. */
  readonly #done = new Map<object, Finished | undefined>()

  constructor(maxValues: number) {
    this.#maxValues = maxValues
  }

  finished(raw: unknown, depth: number): Finished {
    if (typeof raw !== 'object' || raw === null) return leaf(raw)
    if (this.#done.has(raw)) {
      const done = this.#done.get(raw)
      if (done === undefined) throw new DecodeError('The pickle holds a value that contains itself')
      if (depth + done.height > MAX_DEPTH) throw tooDeep()
      return done
    }
    if (depth > MAX_DEPTH) throw tooDeep()
    this.#done.set(raw, undefined)
    const made = this.#made(raw, depth + 1)
    if (made.size > this.#maxValues) {
      throw new SizeLimitError(
        `A pickle of more than ${this.#maxValues} values, shared ones counted each time`,
      )
    }
    this.#done.set(raw, made)
    return made
  }

  #made(raw: object, depth: number): Finished {
    if (isLeftover(raw)) throw new DecodeError(`The pickle holds ${String(raw)}, which is not data`)
    if (raw instanceof PickleUuid) {
      if (raw.value === undefined) throw new DecodeError('The pickle holds a UUID without its state')
      return leaf(raw.value)
    }
    if (Array.isArray(raw)) {
      const all = this.#all(raw, depth)
      return { ...all, value: raw instanceof Tuple ? Tuple.from(all.value) : all.value }
    }
    if (raw instanceof FrozenSet || raw instanceof Set) {
      const all = this.#all(raw, depth)
      return { ...all, value: raw instanceof FrozenSet ? new FrozenSet(all.value) : new Set(all.value) }
    }
    if (raw instanceof PickledError) {
      const all = this.#all(raw.args, depth)
      return {
        ...all,
        value: new PickledError(raw.module, raw.type, all.value, raw.traceback, raw.isWrapped),
      }
    }
    if (raw instanceof PickleDict) return this.#dict(raw, depth)
    return leaf(raw)
  }

  #all(items: Iterable<unknown>, depth: number): { value: unknown[]; size: number; height: number } {
    const value: unknown[] = []
    let size = 1
    let height = 0
    for (const item of items) {
      const made = this.finished(item, depth)
      value.push(made.value)
      size += made.size
      if (made.height >= height) height = made.height + 1
    }
    return { value, size, height }
  }

  #dict(raw: PickleDict, depth: number): Finished {
    const keys = this.#all(raw.map.keys(), depth)
    const items = this.#all(raw.map.values(), depth)
    const pairs = keys.value.map((key, index) => [key, items.value[index]] as const)
    const isText = keys.value.every((key) => typeof key === 'string')
    return {
      // fromEntries defines members, so that __proto__ is data.
      value: isText ? Object.fromEntries(pairs as [string, unknown][]) : new Map(pairs),
      size: keys.size + items.size,
      height: Math.max(keys.height, items.height),
    }
  }
}

function leaf(value: unknown): Finished {
  return { value, size: 1, height: 0 }
}

function tooDeep(): DecodeError {
  return new DecodeError(`The pickle is nested deeper than ${MAX_DEPTH} levels`)
}
