/**
 * Until when a claim is certainly ours, by clocks of this machine: the lease on the server began no earlier than the
 * call that took or renewed it was sent, so it ends no earlier than a visibility timeout after that.
 *
 * Rule 1: a lease is judged by both clocks, whichever is further: the monotonic one stands still while a machine sleeps,
 *         the other one may be set.
 * Rule 2: a renewal proves something only about a lease that had not run out when its answer came: what ran out may have
 *         been taken and, being another claim by then, be renewed by somebody else.
 */
import type { Clock } from '../clock.js'

/** A moment by both clocks, in milliseconds. */
export interface LeaseMoment {
  readonly monotonic: number
  readonly wall: number
}

/** The present moment. */
export function momentOf(clock: Clock): LeaseMoment {
  return { monotonic: clock.monotonic(), wall: clock.now() }
}

/** The moment `ms` after another. */
export function momentAfter({ monotonic, wall }: LeaseMoment, ms: number): LeaseMoment {
  return { monotonic: monotonic + ms, wall: wall + ms }
}

/** Whether `moment` comes before `end` by both clocks. */
export function isBefore(moment: LeaseMoment, end: LeaseMoment): boolean {
  return moment.monotonic < end.monotonic && moment.wall < end.wall
}

/** The part of a visibility timeout that counts: the rest is for clocks that run apart, and for starting a task. */
const countedPart = 0.9

/** Milliseconds for which a claim or a renewal counts. */
export function countedMs(visibilityTimeoutMs: number): number {
  return visibilityTimeoutMs * countedPart
}

const places = 4

/**
 * What the lease thread has renewed without a gap, in memory that it shares with the event loop: neither has to wait
 * for the other, and reading is two loads and four comparisons.
 */
export class SharedRenewals {
  readonly buffer: SharedArrayBuffer
  readonly #version: Int32Array
  /** Of the present chain of renewals: when the first was answered, and until when the last holds; both clocks each. */
  readonly #moments: Float64Array

  /** Without a buffer, makes one to be handed to the thread. */
  constructor(buffer = new SharedArrayBuffer(8 + places * 8)) {
    this.buffer = buffer
    this.#version = new Int32Array(buffer, 0, 1)
    this.#moments = new Float64Array(buffer, 8, places)
  }

  /** Whether a claim that was held until `end` without this is held at `moment` because of it. */
  covers(end: LeaseMoment, moment: LeaseMoment): boolean {
    for (;;) {
      const version = Atomics.load(this.#version, 0)
      const since = { monotonic: this.#at(0), wall: this.#at(1) }
      const until = { monotonic: this.#at(2), wall: this.#at(3) }
      // Odd: being written at this instant, by a thread that may have been stopped in the middle.
      if (version % 2 !== 0) return false
      if (Atomics.load(this.#version, 0) !== version) continue
      if (version === 0) return false
      return isBefore(since, end) && isBefore(moment, until)
    }
  }

  /** Of the thread: all that was held has been renewed, asked for at `sent` and answered at `done`; it holds for `ms`. */
  record(sent: LeaseMoment, done: LeaseMoment, ms: number): void {
    const isChained = isBefore(done, { monotonic: this.#at(2), wall: this.#at(3) })
    const until = momentAfter(sent, ms)
    Atomics.add(this.#version, 0, 1)
    if (!isChained) this.#moments.set([done.monotonic, done.wall])
    this.#moments.set([until.monotonic, until.wall], 2)
    Atomics.add(this.#version, 0, 1)
  }

  #at(place: number): number {
    return this.#moments[place] ?? 0
  }
}
