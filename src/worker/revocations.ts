/**
 * What must not run: revoked ids and stamps (`celery/worker/state.py` revoked, `utils/collections.py` LimitedSet;
 * surface CTL-059).
 *
 * Rule 1: never more than `maxCount` ids; the oldest go first.
 * Rule 2: an id is forgotten after `expiresMs` of the monotonic clock; asking does not refresh it, adding does.
 */
import type { Clock } from '../clock.js'
import type { Candidate } from './admission.js'

/** Bounds of a `LimitedSet`. */
export interface SetLimits {
  /** Default 50000, as Celery's REVOKES_MAX. */
  readonly maxCount?: number
  /** Milliseconds; default 10800 s, as Celery's REVOKE_EXPIRES. */
  readonly expiresMs?: number
}

/** A set of texts, bounded in number and in age. */
export class LimitedSet {
  private readonly clock: Clock
  private readonly maxCount: number
  private readonly expiresMs: number
  /** Oldest first: a Map keeps insertion order, and `add` moves a known id to the end. */
  private readonly added = new Map<string, number>()

  constructor(clock: Clock, limits: SetLimits = {}) {
    this.clock = clock
    this.maxCount = limits.maxCount ?? 50_000
    this.expiresMs = limits.expiresMs ?? 10_800_000
  }

  get size(): number {
    this.purge()
    return this.added.size
  }

  add(id: string): void {
    this.added.delete(id)
    this.added.set(id, this.clock.monotonic())
    this.purge()
  }

  delete(id: string): void {
    this.added.delete(id)
  }

  has(id: string): boolean {
    // Nothing is revoked, mostly, and every task is asked for.
    if (this.added.size === 0) return false
    const since = this.added.get(id)
    return since !== undefined && since + this.expiresMs > this.clock.monotonic()
  }

  /** Oldest first. */
  values(): readonly string[] {
    this.purge()
    return [...this.added.keys()]
  }

  private purge(): void {
    const oldest = this.clock.monotonic() - this.expiresMs
    for (const [id, since] of this.added) {
      if (this.added.size <= this.maxCount && since > oldest) return
      this.added.delete(id)
    }
  }
}

/** The ids and stamps that were revoked. */
export class Revocations {
  readonly ids: LimitedSet
  private readonly stamps = new Map<string, Set<unknown>>()

  constructor(clock: Clock, limits?: SetLimits) {
    this.ids = new LimitedSet(clock, limits)
  }

  /** Revokes every task that carries one of `values` under the stamp `header`. Not bounded, as in Celery. */
  addStamp(header: string, values: readonly unknown[]): void {
    const known = this.stamps.get(header) ?? new Set()
    for (const value of values) known.add(value)
    this.stamps.set(header, known)
  }

  /** True when the id, or any value of any stamp, was revoked. */
  covers(candidate: Pick<Candidate, 'id' | 'stamps'>): boolean {
    if (this.ids.has(candidate.id)) return true
    if (this.stamps.size === 0) return false
    for (const [header, stamp] of Object.entries(candidate.stamps)) {
      const revoked = this.stamps.get(header)
      if (revoked === undefined) continue
      const values = Array.isArray(stamp) ? stamp : [stamp]
      if (values.some((value) => revoked.has(value))) return true
    }
    return false
  }
}
