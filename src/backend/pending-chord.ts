/** A chord whose body has not been sent, as the counters of its parts tell (wire-format 8.4). */
export interface PendingChord {
  /** The id of the header: `group` in the messages of its tasks. */
  readonly groupId: string
  /**
   * How many parts the header was sent with; undefined when nobody said so: the header is still being sent, or its
   * sender died before its end; or the chord has ended, and a part that ran again was counted anew.
   */
  readonly size: number | undefined
  /** Parts that were added by tasks (`addToChord`); they have no index. */
  readonly added: number
  /** Parts that have ended, well or not. */
  readonly counted: number
  /** Those among them that did not succeed. */
  readonly failed: number
  /**
   * How many parts are still to come; 0 when all are there and the body was not sent: this is done in this moment, or
   * the worker that should have done it has died. Undefined without a `size`.
   */
  readonly waitingFor: number | undefined
  /** Places in the header (from 0) whose part has not ended. Empty without a `size`, and where parts are kept unordered. */
  readonly missing: readonly number[]
  /**
   * Seconds since the chord was sent or its last part ended, reckoned from what is left of `resultExpires`; undefined
   * without one. Only right when all who count have the same.
   */
  readonly quietFor: number | undefined
  /** Seconds until Redis forgets the parts, so that the chord can never end; undefined when it keeps them for ever. */
  readonly expiresIn: number | undefined
}

/** How chords are looked for. */
export interface PendingOptions {
  /** Ends the search with its reason. */
  readonly signal?: AbortSignal
  /** The most that are given; default all. */
  readonly limit?: number
}

/** What a store has counted of a chord. */
export interface ChordCounters {
  readonly size: number | undefined
  readonly added: number
  readonly counted: number
  readonly failed: number
  /** Milliseconds until the counters are forgotten; -1: never, -2: they are gone. */
  readonly leftMs: number
  /** Places of the parts that have ended; undefined where parts are kept unordered. */
  readonly places: readonly number[] | undefined
}

/**
 * The chord of these counters. Undefined when it has ended: they are gone, or all parts are there and one has failed, so
 * that nothing comes after them.
 */
export function pendingChordOf(
  groupId: string,
  { size, added, counted, failed, leftMs, places }: ChordCounters,
  keepSeconds: number,
): PendingChord | undefined {
  if (leftMs === -2) return undefined
  const waitingFor = size === undefined ? undefined : Math.max(0, size + added - counted)
  if (waitingFor === 0 && failed > 0) return undefined
  const ended = new Set(places)
  const missing: number[] = []
  if (waitingFor !== 0 && places !== undefined) {
    for (let place = 0; place < (size ?? 0); place++) if (!ended.has(place)) missing.push(place)
  }
  const expiresIn = leftMs < 0 ? undefined : leftMs / 1000
  const quietFor =
    expiresIn !== undefined && keepSeconds > 0 ? Math.max(0, keepSeconds - expiresIn) : undefined
  return { groupId, size, added, counted, failed, waitingFor, missing, quietFor, expiresIn }
}
