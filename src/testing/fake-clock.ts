import type { Clock } from '../clock.js'

/** A clock that moves only when told to: for tests of whatever takes a `Clock`. */
export class FakeClock implements Clock {
  private elapsedMs = 0
  private readonly epochMs: number
  private readonly timers = new Set<{ readonly at: number; readonly callback: () => void }>()

  /** `epochMs` is what `now()` says before the clock moves; default 2026-01-01T00:00:00Z. */
  constructor(epochMs = Date.UTC(2026, 0, 1)) {
    this.epochMs = epochMs
  }

  now(): number {
    return this.epochMs + this.elapsedMs
  }

  monotonic(): number {
    return this.elapsedMs
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.elapsedMs + Math.max(0, ms), callback }
    this.timers.add(timer)
    return () => void this.timers.delete(timer)
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.timers.size
  }

  /** Moves on by `ms`, firing what is due in order; promises settle between two timers. */
  async advance(ms: number): Promise<void> {
    const end = this.elapsedMs + ms
    await settlePromises()
    for (;;) {
      const due = [...this.timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.timers.delete(due)
      this.elapsedMs = due.at
      due.callback()
      await settlePromises()
    }
    this.elapsedMs = end
    await settlePromises()
  }
}

/** Long enough for any chain of promises that waits for nothing outside this process. */
function settlePromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}
