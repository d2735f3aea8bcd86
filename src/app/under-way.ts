import { setImmediate as turn } from 'node:timers/promises'
import { type Clock, pause } from '../clock.js'

/** How long a close waits for what was begun before it. */
export interface CloseOptions {
  /** Milliseconds; default 5000, as long as a send may take when nobody says otherwise. 0 gives up at once. */
  readonly timeoutMs?: number | undefined
  /** Ends the waiting, as if its time were over. */
  readonly signal?: AbortSignal | undefined
}

const defaultCloseMs = 5000

/** Counts what has been begun and has not ended, so that whoever closes can let it end. */
export class UnderWay {
  private count = 0
  private readonly waiting = new Set<() => void>()
  private readonly ended = (): void => {
    this.count -= 1
    if (this.count > 0) return
    for (const tell of this.waiting) tell()
    this.waiting.clear()
  }

  /** Counts `work` until it settles; gives it back. */
  track<T>(work: Promise<T>): Promise<T> {
    this.begin()
    work.then(this.ended, this.ended)
    return work
  }

  /** Counts what its owner ends with `end`, however it goes: `track` without a promise of its own. */
  begin(): void {
    this.count += 1
  }

  /** Once for each `begin`. */
  end(): void {
    this.ended()
  }

  /** Resolves when nothing is under way, or when the bound is over. Never rejects. */
  async idle(clock: Clock, { timeoutMs = defaultCloseMs, signal }: CloseOptions = {}): Promise<void> {
    if (timeoutMs <= 0 || signal?.aborted) return
    // A call that looks at its arguments first has not come so far.
    await turn()
    if (this.count === 0) return
    const over = new AbortController()
    const either = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal])
    let isLate = false
    const late = pause(clock, timeoutMs, either).then(
      () => (isLate = true),
      () => (isLate = true),
    )
    while (this.count > 0 && !isLate) {
      await Promise.race([new Promise<void>((resolve) => this.waiting.add(resolve)), late])
      // What is sent in steps (a canvas) begins the next step when one has ended.
      await turn()
    }
    over.abort()
  }
}
