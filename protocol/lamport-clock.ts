/** The logical clock of events and remote control (`kombu/clocks.py`; wire-format 0, surface EVT-008). */

/** Counts up by one for every event sent, and past the sender's count for every message received. */
export class LamportClock {
  #value: number

  /** Starts at `initial`; default 0. A worker restores it from its state file. */
  constructor(initial = 0) {
    this.#value = isCount(initial) ? initial : 0
  }

  get value(): number {
    return this.#value
  }

  /** Before sending: the next count, to go with the message. */
  forward(): number {
    this.#value = next(this.#value)
    return this.#value
  }

  /** On receipt: past both counts. What is no count (null, text, a fraction) counts as 0, as an absent header does. */
  adjust(other: unknown): number {
    this.#value = next(isCount(other) ? Math.max(this.#value, other) : this.#value)
    return this.#value
  }
}

/** One event in the order of a cluster: kombu's `timetuple`. */
export interface ClockEntry {
  readonly clock: number | null | undefined
  /** Epoch seconds. */
  readonly timestamp: number
  /** Of the sender, `hostname.pid`: breaks ties. */
  readonly id: string
}

/** Negative when `a` comes first: by clock where both have one (ties by id), else by timestamp. */
export function compareClockEntries(a: ClockEntry, b: ClockEntry): number {
  if (a.clock && b.clock) {
    if (a.clock !== b.clock) return a.clock - b.clock
    return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
  }
  return a.timestamp - b.timestamp
}

/** Beyond 2^53 a count could not go up by one, and one bad message would stop every clock of the cluster. */
function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function next(value: number): number {
  return value < Number.MAX_SAFE_INTEGER ? value + 1 : value
}
