import type { Clock } from '../clock.js'

/**
 * Ids of tasks that succeeded here lately, to recognise a redelivery without asking the backend (surface TSK-072;
 * `successful_requests` in `celery/worker/state.py`, whose bounds these are: 1000 ids, 3 hours).
 */
export class SuccessSet {
  private readonly clock: Clock
  private readonly maxSize: number
  private readonly lifetimeMs: number
  private readonly addedAt = new Map<string, number>()

  constructor(clock: Clock, options: { readonly maxSize?: number; readonly lifetimeSeconds?: number } = {}) {
    this.clock = clock
    this.maxSize = options.maxSize ?? 1000
    this.lifetimeMs = (options.lifetimeSeconds ?? 10_800) * 1000
  }

  /** Remembers `id`, forgetting the oldest when full. */
  add(id: string): void {
    this.addedAt.delete(id)
    this.addedAt.set(id, this.clock.monotonic())
    if (this.addedAt.size <= this.maxSize) return
    for (const oldest of this.addedAt.keys()) {
      if (this.addedAt.size <= this.maxSize) break
      this.addedAt.delete(oldest)
    }
  }

  has(id: string): boolean {
    const at = this.addedAt.get(id)
    if (at === undefined) return false
    if (this.clock.monotonic() - at <= this.lifetimeMs) return true
    this.addedAt.delete(id)
    return false
  }

  get size(): number {
    return this.addedAt.size
  }
}
