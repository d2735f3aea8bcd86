/**
 * One heap for everything that waits: ETAs and rate limits.
 *
 * Rule 1: at most one timer of the machine runs, for the earliest entry, and none when nothing waits.
 * Rule 2: times are epoch milliseconds; the wall clock is looked at again at least once a minute, so that a clock
 * that was set, or a laptop that slept, moves an ETA with it.
 * Rule 3: entries that are due together are called together, in the order of their times, then of their arrival.
 */
import type { Clock } from '../clock.js'

/** Chosen for laptops that wake up: cheap, and no ETA is later than this after a jump. */
const longestSleepMs = 60_000

interface Entry {
  readonly at: number
  readonly order: number
  callback: (() => void) | undefined
}

/** Calls back at given moments. */
export class Timer {
  private readonly clock: Clock
  private readonly heap: Entry[] = []
  private count = 0
  private cancelled = 0
  private disarm: (() => void) | undefined
  private armedFor = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** How many entries wait. */
  get size(): number {
    return this.heap.length - this.cancelled
  }

  /** Calls `callback` once at `at` (epoch milliseconds; the past means as soon as possible); returns its cancel. */
  at(at: number, callback: () => void): () => void {
    const entry: Entry = { at, order: this.count++, callback }
    this.push(entry)
    if (at < this.armedFor) this.arm()
    return () => {
      if (entry.callback === undefined) return
      entry.callback = undefined
      this.cancelled += 1
      if (this.cancelled > 64 && this.cancelled > this.heap.length / 2) this.compact()
      if (this.size === 0) this.clear()
    }
  }

  /** Forgets every entry. */
  clear(): void {
    this.heap.length = 0
    this.cancelled = 0
    this.arm()
  }

  private arm(): void {
    this.disarm?.()
    this.disarm = undefined
    const first = this.heap[0]
    this.armedFor = first?.at ?? Number.POSITIVE_INFINITY
    if (first === undefined) return
    const ms = Math.min(Math.max(0, first.at - this.clock.now()), longestSleepMs)
    this.disarm = this.clock.after(ms, () => this.fire())
  }

  private fire(): void {
    // Nothing is called while the heap is read: a callback may add entries.
    const due: Entry[] = []
    const now = this.clock.now()
    for (let first = this.heap[0]; first !== undefined && first.at <= now; first = this.heap[0])
      due.push(this.pop())
    for (const entry of due) {
      const { callback } = entry
      entry.callback = undefined
      if (callback === undefined) this.cancelled = Math.max(0, this.cancelled - 1)
      else callback()
    }
    this.arm()
  }

  private compact(): void {
    const kept = this.heap.filter((entry) => entry.callback !== undefined)
    this.heap.length = 0
    this.cancelled = 0
    for (const entry of kept) this.push(entry)
    this.arm()
  }

  private push(entry: Entry): void {
    const { heap } = this
    let index = heap.length
    while (index > 0) {
      const up = (index - 1) >> 1
      const parent = heap[up]
      if (parent === undefined || isBefore(parent, entry)) break
      heap[index] = parent
      index = up
    }
    heap[index] = entry
  }

  private pop(): Entry {
    const { heap } = this
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let index = 0
    for (;;) {
      let down = 2 * index + 1
      const left = heap[down]
      if (left === undefined) break
      const right = heap[down + 1]
      let child = left
      if (right !== undefined && isBefore(right, left)) {
        child = right
        down += 1
      }
      if (isBefore(last, child)) break
      heap[index] = child
      index = down
    }
    heap[index] = last
    return first
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
