/**
 * Asks a store of results, and again where that may help (`celery/backends/base.py` always_retry; surface RES-040).
 *
 * Rule 1: a failure of the store is a `BackendUnavailableError`; only with `alwaysRetry`, and only what the store calls
 *         recoverable, is tried again: Celery's `get_exponential_backoff_interval` with full jitter.
 * Rule 2: once the backend is closed nothing is asked, and nobody waits for another attempt.
 */
import { exponentialDelayMs, jittered } from '../backoff.js'
import { type Clock, pause } from '../clock.js'
import { BackendUnavailableError, CeleriacError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { BackendOptions } from './backend-options.js'
import type { KeyValueStore } from './key-value-store.js'

/** What attempts are made with. */
export interface StoreAttemptsParts
  extends Pick<BackendOptions, 'alwaysRetry' | 'maxRetries' | 'baseSleepMs' | 'maxSleepMs' | 'random'> {
  readonly store: Pick<KeyValueStore, 'displayUrl' | 'isRecoverable'>
  readonly clock: Clock
  readonly logger: Logger
  /** Aborts when the backend is closed, with what is thrown then. */
  readonly closing: AbortSignal
}

/** The attempts of one backend. */
export class StoreAttempts {
  readonly #parts: StoreAttemptsParts

  constructor(parts: StoreAttemptsParts) {
    this.#parts = parts
  }

  /** Does it; `what` names it in errors. */
  run<T>(what: () => string, operation: () => Promise<T>): Promise<T> {
    const { closing } = this.#parts
    if (closing.aborted) return Promise.reject(closing.reason)
    return operation().catch((cause: unknown) => this.again(what(), operation, cause))
  }

  /** Does again what has failed for the first time, if that may help; else throws. */
  async again<T>(what: string, operation: () => Promise<T>, first: unknown): Promise<T> {
    const { store, clock, logger, closing, random = Math.random } = this.#parts
    const { alwaysRetry = false, maxRetries = Infinity, baseSleepMs = 10, maxSleepMs = 10_000 } = this.#parts
    let cause = first
    for (let retries = 0; ; retries++) {
      if (closing.aborted) throw closing.reason
      const isRecoverable = store.isRecoverable(cause)
      if (cause instanceof CeleriacError && !isRecoverable) throw cause
      if (!(alwaysRetry && retries < maxRetries && isRecoverable)) {
        const text = cause instanceof Error ? cause.message : String(cause)
        throw new BackendUnavailableError(
          `The result backend ${store.displayUrl} failed while ${what}: ${text}`,
          { cause },
        )
      }
      const longestMs = exponentialDelayMs(retries + 1, { firstMs: baseSleepMs, maxMs: maxSleepMs })
      const delayMs = jittered(longestMs, random)
      logger.warn({ err: cause, retries: retries + 1, delayMs }, `${what} failed; trying again`)
      await pause(clock, delayMs, closing)
      try {
        return await operation()
      } catch (next) {
        cause = next
      }
    }
  }
}
