import type { LinearBackoff } from '../backoff.js'

/** Kombu's retry policy, in milliseconds. */
export interface RetryPolicy extends LinearBackoff {
  /** `Infinity` for ever. */
  readonly maxRetries: number
}

/**
 * `result_backend_transport_options['retry_policy']` over Celery's default of 20 retries, the first at once, the
 * others a second apart (`Backend.retry_policy` in `celery/backends/base.py`, surface RES-021).
 */
export function retryPolicyOf(transportOptions: Readonly<Record<string, unknown>>): RetryPolicy {
  const given = transportOptions['retry_policy']
  const named =
    typeof given === 'object' && given !== null ? (given as Readonly<Record<string, unknown>>) : {}
  const number = (name: string, otherwise: number): number => {
    const value = named[name]
    return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : otherwise
  }
  return {
    maxRetries: named['max_retries'] === null ? Number.POSITIVE_INFINITY : number('max_retries', 20),
    startMs: number('interval_start', 0) * 1000,
    stepMs: number('interval_step', 1) * 1000,
    maxMs: number('interval_max', 1) * 1000,
  }
}
