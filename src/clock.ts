/** The one place that reads the time; tests pass a fake one. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number
  /** Milliseconds that never run backwards. */
  monotonic(): number
  /** Calls `callback` once after `ms` (any length: longer than 2^31 is cut into steps); the returned function cancels it. */
  after(ms: number, callback: () => void): () => void
}

const longestTimeoutMs = 2 ** 31 - 1

/** Milliseconds that never run backwards, the same in all threads: `performance.now()` begins anew in each of them. */
export function monotonicOfProcess(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The machine's clock. Timers do not keep the process alive by themselves when `unref` is true. */
export function systemClock(options: { readonly unref?: boolean } = {}): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(ms, callback) {
      const end = performance.now() + ms
      let handle: NodeJS.Timeout
      const arm = (): void => {
        const left = end - performance.now()
        const step = Math.max(0, Math.min(left, longestTimeoutMs))
        handle = setTimeout(() => (end - performance.now() > 0.5 ? arm() : callback()), step)
        if (options.unref) handle.unref()
      }
      arm()
      return () => clearTimeout(handle)
    },
  }
}

/** Resolves after `ms`, or rejects with the signal's reason as soon as `signal` aborts. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
