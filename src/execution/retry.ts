/**
 * When a task runs again: pure arithmetic (`celery/app/autoretry.py`, `get_exponential_backoff_interval` in
 * `celery/utils/time.py`; surface 2.5).
 *
 * Rule 1: `Ignore` and `Retry` are never retried; then `dontAutoretryFor` wins over `autoretryFor`. `Reject` is an
 * error like any other here, as in Celery (surface TSK-099).
 */
import { Ignore, Retry } from '../errors.js'
import { matchesAny } from './error-matcher.js'
import type { TaskOptions } from './host.js'

/** The options of a task that autoretry looks at. */
export type AutoretryOptions = Pick<
  TaskOptions,
  | 'autoretryFor'
  | 'dontAutoretryFor'
  | 'retryKwargs'
  | 'retryBackoff'
  | 'retryBackoffMax'
  | 'retryJitter'
  | 'defaultRetryDelay'
>

/** True when `error`, thrown by the body, makes the task retry by itself (surface TSK-099). */
export function isAutoretried(error: unknown, options: AutoretryOptions): boolean {
  if (error instanceof Ignore || error instanceof Retry) return false
  if (matchesAny(error, options.dontAutoretryFor)) return false
  return matchesAny(error, options.autoretryFor)
}

/** Seconds until the next automatic attempt after `retries` earlier ones (surface TSK-100 to TSK-102). */
export function autoretryCountdown(options: AutoretryOptions, retries: number, random: () => number): number {
  const factor = backoffFactor(options.retryBackoff)
  if (factor === 0) return options.retryKwargs.countdown ?? options.defaultRetryDelay
  return backoffDelay(factor, retries, options.retryBackoffMax, options.retryJitter ? random : undefined)
}

/** `retry_backoff` as a whole number of seconds: true is 1, fractions are cut, anything below 1 is 1; 0 is off. */
export function backoffFactor(retryBackoff: boolean | number): number {
  const value = Number(retryBackoff)
  return value === 0 || Number.isNaN(value) ? 0 : Math.trunc(Math.max(1, value))
}

/**
 * `min(maximum, factor * 2 ** retries)` seconds; with `random` a whole number from 0 to that, both included. Never
 * below 0.
 */
export function backoffDelay(
  factor: number,
  retries: number,
  maximum: number,
  random: (() => number) | undefined,
): number {
  const delay = Math.min(Math.trunc(maximum), factor * 2 ** retries)
  if (delay <= 0) return 0
  return random === undefined ? delay : Math.floor(random() * (delay + 1))
}

/** True when another attempt after `retries` earlier ones would go past `maxRetries`; null never does (TSK-080). */
export function isExhausted(retries: number, maxRetries: number | null): boolean {
  return maxRetries !== null && retries + 1 > maxRetries
}
