/**
 * Claimed files that are not whole yet: kombu writes under the final name (holding `flock`), so a file may be claimed
 * between its `open` and its `write`. The writer goes on writing to the same inode wherever it was renamed to.
 *
 * Rule 1: what may still grow is read again, soon at first; it stays claimed meanwhile.
 * Rule 2: after `giveUpMs` it is broken, unless its writer still holds the lock.
 */
import type { Clock } from '../clock.js'
import { isLocked } from './file-lock.js'

const firstDelayMs = 15
const longestDelayMs = 250
/** Between `open` and `write` kombu takes one lock; two seconds bear a machine that is swapping. */
const giveUpMs = 2000

/** Claimed, unreadable so far, and worth another look. */
export class ArrivingFiles {
  readonly #clock: Clock
  readonly #files = new Map<string, { queue: string; since: number; delayMs: number; dueAt: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes that `file` could not be read; false when it is time to give up. `content` is what was read. */
  async mayStillGrow(file: string, queue: string, path: string, content: Uint8Array): Promise<boolean> {
    if (!couldBeCut(content)) return this.#forget(file)
    const now = this.#clock.monotonic()
    const known = this.#files.get(file)
    const since = known?.since ?? now
    if (now - since > giveUpMs && !(await isLocked(path))) return this.#forget(file)
    const delayMs = known === undefined ? firstDelayMs : Math.min(longestDelayMs, known.delayMs * 2)
    this.#files.set(file, { queue, since, delayMs, dueAt: now + delayMs })
    return true
  }

  /** Files of these queues that should be read again now, with their queues. They are kept until `done`. */
  due(queues: readonly string[], max: number): readonly string[] {
    const now = this.#clock.monotonic()
    const due: string[] = []
    for (const [file, entry] of this.#files) {
      if (due.length === max) break
      if (entry.dueAt > now || !queues.includes(entry.queue)) continue
      entry.dueAt = Number.POSITIVE_INFINITY
      due.push(file)
    }
    return due
  }

  /** The file could be read. */
  done(file: string): void {
    this.#files.delete(file)
  }

  /** Milliseconds until the next file of these queues is due; Infinity when there is none. */
  nextInMs(queues: readonly string[]): number {
    let next = Number.POSITIVE_INFINITY
    for (const { queue, dueAt } of this.#files.values())
      if (queues.includes(queue)) next = Math.min(next, dueAt)
    return Math.max(0, next - this.#clock.monotonic())
  }

  #forget(file: string): false {
    this.#files.delete(file)
    return false
  }
}

/** Empty, or a JSON object without its end; anything else was never going to be an envelope. */
function couldBeCut(content: Uint8Array): boolean {
  if (content.length === 0) return true
  if (content[0] !== 0x7b) return false
  try {
    JSON.parse(Buffer.from(content).toString('utf8'))
    return false
  } catch {
    return true
  }
}
