import type { Clock } from '../clock.js'

/** One bound in a `Deadlines` queue, linked to its neighbours. */
interface Deadline {
  readonly atMs: number
  readonly onLate: () => void
  before: Deadline
  after: Deadline
}

/** The bounds of one length: first in, first due, so that only the first needs a timer. */
class Lane {
  private readonly clock: Clock
  private readonly ms: number
  /** Stands before the first and after the last. */
  private readonly ends: Deadline
  private cancel: (() => void) | undefined

  constructor(clock: Clock, ms: number) {
    this.clock = clock
    this.ms = ms
    const ends = { atMs: 0, onLate: () => {} } as Deadline
    ends.before = ends
    ends.after = ends
    this.ends = ends
  }

  add(onLate: () => void): Deadline {
    const { ends } = this
    const added = { atMs: this.clock.monotonic() + this.ms, onLate, before: ends.before, after: ends }
    ends.before.after = added
    ends.before = added
    this.cancel ??= this.clock.after(this.ms, () => this.fire())
    return added
  }

  /** A second time changes nothing. */
  remove(one: Deadline): void {
    one.before.after = one.after
    one.after.before = one.before
    one.before = one
    one.after = one
    if (this.isEmpty) this.stop()
  }

  get isEmpty(): boolean {
    return this.ends.after === this.ends
  }

  private stop(): void {
    this.cancel?.()
    this.cancel = undefined
  }

  private fire(): void {
    this.cancel = undefined
    const now = this.clock.monotonic()
    while (!this.isEmpty && this.ends.after.atMs <= now) {
      const late = this.ends.after
      this.remove(late)
      late.onLate()
    }
    if (!this.isEmpty) this.cancel ??= this.clock.after(this.ends.after.atMs - now, () => this.fire())
  }
}

/**
 * Bounds of many short pieces of work, for little: one timer for all bounds of one length, none when nothing is under
 * way (so that the process may end).
 */
export class Deadlines {
  private readonly clock: Clock
  private readonly lanes = new Map<number, Lane>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Calls `onLate` once after `ms` milliseconds, unless the returned function was called before. Safe twice. */
  add(ms: number, onLate: () => void): () => void {
    const lane = this.lanes.get(ms) ?? new Lane(this.clock, ms)
    this.lanes.set(ms, lane)
    const added = lane.add(onLate)
    return () => {
      lane.remove(added)
      if (lane.isEmpty) this.lanes.delete(ms)
    }
  }
}
