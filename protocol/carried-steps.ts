/**
 * The remaining steps of a chain as they came: bytes of JSON, of which a worker reads the next one and passes the rest on
 * (`celery/app/trace.py` decodes and encodes them all, at every step).
 *
 * Rule 1: what is passed on is what came, byte for byte: nothing that one language writes otherwise (`2.0`, digits past
 * 2^53) is changed by a worker that has no business with it.
 * Rule 2: it looks like a list, as far as one looks at it.
 */
import { findChain } from './chain-scan.js'
import type { Payload } from './serializers.js'
import type { SignatureData } from './signature-data.js'
import type { Steps } from './task.js'

/** Reads the JSON of steps. */
type Read = (json: Uint8Array) => unknown

/** See above. */
export class CarriedSteps implements Steps {
  readonly length: number
  readonly #bytes: Uint8Array
  readonly #open: number
  /** Behind each step. */
  readonly #ends: readonly number[]
  readonly #read: Read

  /** `ends` are of all steps, or more; use `openCarrying`. */
  constructor(bytes: Uint8Array, open: number, ends: readonly number[], length: number, read: Read) {
    this.#bytes = bytes
    this.#open = open
    this.#ends = ends
    this.length = length
    this.#read = read
  }

  /** The steps as JSON, with commas between them, without brackets. */
  get json(): Uint8Array {
    return this.#bytes.subarray(
      this.#open + 1,
      this.length === 0 ? this.#open + 1 : this.#ends[this.length - 1],
    )
  }

  at(index: number): SignatureData | undefined {
    const place = index < 0 ? this.length + index : index
    if (place < 0 || place >= this.length) return undefined
    const from = place === 0 ? this.#open : (this.#ends[place - 1] as number)
    return this.#read(this.#bytes.subarray(from + 1, this.#ends[place])) as SignatureData
  }

  slice(start = 0, end: number = this.length): Steps {
    const stop = end < 0 ? this.length + end : Math.min(end, this.length)
    if (start !== 0 || stop < 0) return [...this].slice(start, end)
    return new CarriedSteps(this.#bytes, this.#open, this.#ends, stop, this.#read)
  }

  *[Symbol.iterator](): IterableIterator<SignatureData> {
    for (let index = 0; index < this.length; index++) yield this.at(index) as SignatureData
  }

  /** For whoever writes them with everything around them. */
  toJSON(): readonly SignatureData[] {
    return [...this]
  }
}

/**
 * The value of a task's body in JSON, with `CarriedSteps` in the place of its chain; undefined where there is none, or
 * none that may be passed on unread. `decode` opens a payload.
 */
export function openCarrying(payload: Payload, decode: (payload: Payload) => unknown): unknown {
  const { body } = payload
  const place = findChain(body)
  if (place === undefined) return undefined
  const { open, close, commas } = place
  const read: Read = (json) => decode({ ...payload, body: json })
  const value = read(Buffer.concat([body.subarray(0, open + 1), body.subarray(close)]))
  const [, , embed] = value as [unknown, unknown, Record<string, unknown>]
  embed['chain'] = new CarriedSteps(body, open, [...commas, close], commas.length + 1, read)
  return value
}

/** Steps as a list. */
export function listedSteps(steps: Steps): readonly SignatureData[] {
  return steps instanceof CarriedSteps ? [...steps] : (steps as readonly SignatureData[])
}
