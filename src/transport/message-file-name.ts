/**
 * Names of message files: `<ms>_<uuid4>.<queue>.msg` (kombu `transport/filesystem.py`, `Channel._put`).
 *
 * Rule 1: `ms` is CLOCK_MONOTONIC in whole milliseconds, rounded as Python rounds; Node's `hrtime` is the same clock.
 * Rule 2: readers take the smallest name first, so the first five digits of our ids are the nanoseconds within the
 *         millisecond: our messages of one millisecond stay in order, and the id is still shaped as a uuid4.
 * Rule 3: the queue is all that stands between the first dot and `.msg`: no queue eats the messages of `x.queue`.
 */
import { InvalidArgumentError } from '../errors.js'

/** Makes names in rising order; `monotonicNs` is CLOCK_MONOTONIC and `newId` gives random UUIDs. */
export class MessageFileNames {
  readonly #monotonicNs: () => bigint
  readonly #newId: () => string
  #last = 0n

  constructor(monotonicNs: () => bigint, newId: () => string) {
    this.#monotonicNs = monotonicNs
    this.#newId = newId
  }

  /** A new name behind all that this object made before. Throws `InvalidArgumentError` for an impossible queue name. */
  next(queue: string): string {
    assertNameable(queue)
    const now = this.#monotonicNs()
    this.#last = now > this.#last ? now : this.#last + 1n
    const shifted = this.#last + 500_000n
    const within = (shifted % 1_000_000n).toString(16).padStart(5, '0')
    return `${shifted / 1_000_000n}_${within}${this.#newId().slice(5)}.${queue}.msg`
  }
}

/** The queue of a message file, or `undefined` when the name is not one. */
export function queueOfFile(name: string): string | undefined {
  if (!name.endsWith('.msg')) return undefined
  const dot = name.indexOf('.')
  const end = name.length - '.msg'.length
  return dot > 0 && dot < end - 1 ? name.slice(dot + 1, end) : undefined
}

/** Oldest first: by the number, where kombu compares text and is wrong when its digits get more; then by the rest. */
export function compareFileNames(a: string, b: string): number {
  const digits = a.indexOf('_')
  const otherDigits = b.indexOf('_')
  if (digits !== otherDigits && digits > 0 && otherDigits > 0) return digits - otherDigits
  return a < b ? -1 : a > b ? 1 : 0
}

/** Throws `InvalidArgumentError` for a name that cannot be part of a file name. */
export function assertNameable(name: string): void {
  if (name === '' || /[/\\\0]/.test(name) || Buffer.byteLength(name) > 180) {
    throw new InvalidArgumentError(
      `'${name}' cannot be a queue or exchange on a filesystem broker: its name becomes part of a file name ` +
        '(no slashes, at most 180 bytes)',
    )
  }
}
