/**
 * Everything that this worker holds: the state that shutdown waits for and that remote control shows
 * (`celery/worker/state.py` requests, reserved_requests, active_requests, total_count; surface WRK-106, WRK-107).
 */
import type { Clock } from '../clock.js'
import { Seats } from '../seats.js'
import type { Deadline } from '../service.js'
import type { Request } from './request.js'
import type { RequestState } from './request-state.js'

/** Requests from receipt until nothing is left to do for them, in the order of their receipt. */
export class Ledger {
  private readonly clock: Clock
  private readonly held = new Seats<Request>()
  private readonly counts = new Map<string, number>()
  private readonly waiters = new Set<() => void>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** How many requests are held. */
  get size(): number {
    return this.held.size
  }

  /** Accepted tasks since the start, by the name they are shown under. */
  get totals(): ReadonlyMap<string, number> {
    return this.counts
  }

  add(request: Request): void {
    this.held.add(request)
  }

  /** Counts a start. */
  countStart(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }

  delete(request: Request): void {
    if (!this.held.delete(request) || this.held.size > 0) return
    this.wake()
  }

  /** All that is held, oldest first. */
  all(): readonly Request[] {
    return this.held.all()
  }

  /** Held requests in any of `states`, oldest first. */
  in(...states: readonly RequestState[]): readonly Request[] {
    return this.all().filter((request) => states.includes(request.state))
  }

  /** Requests that run, those of a lost connection included. */
  active(): readonly Request[] {
    return this.in('running', 'orphaned')
  }

  /** The held request with this id; the newest where a message came twice. */
  find(id: string): Request | undefined {
    let found: Request | undefined
    for (const request of this.held.all()) if (request.id === id) found = request
    return found
  }

  /** Resolves true when nothing is held, false when `deadline` (epoch milliseconds) has come or `signal` aborts. */
  whenEmpty(deadline: Deadline, signal?: AbortSignal): Promise<boolean> {
    if (this.held.size === 0) return Promise.resolve(true)
    if (signal?.aborted || deadline <= this.clock.now()) return Promise.resolve(false)
    return new Promise((resolve) => {
      const end = (): void => {
        this.waiters.delete(end)
        cancel?.()
        signal?.removeEventListener('abort', end)
        resolve(this.held.size === 0)
      }
      this.waiters.add(end)
      signal?.addEventListener('abort', end, { once: true })
      const cancel = Number.isFinite(deadline)
        ? this.clock.after(deadline - this.clock.now(), end)
        : undefined
    })
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) waiter()
  }
}
