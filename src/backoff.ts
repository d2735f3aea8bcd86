/**
 * How long to wait before trying again. Pure: randomness comes in as an argument.
 *
 * Rule 1: attempt 0 is the first retry, after the first failure.
 * Rule 2: every result is a finite number of milliseconds, zero or more, whatever comes in.
 */

/** Kombu's `retry_over_time` arithmetic, in milliseconds (its settings are in seconds). */
export interface LinearBackoff {
  /** Wait before the first retry. */
  readonly startMs: number
  /** Added with each further retry. */
  readonly stepMs: number
  /** Most that is ever added to `startMs` (kombu counts `interval_max` from `interval_start`). */
  readonly maxMs: number
}

/** Doubling (or otherwise growing) waits, cut at `maxMs`. */
export interface ExponentialBackoff {
  readonly firstMs: number
  readonly maxMs: number
  /** Default 2. */
  readonly factor?: number
}

/** Kombu's `fxrange(start, start + max, step, repeatlast=True)`: grows by steps, then repeats the last whole step. */
export function linearDelayMs(attempt: number, { startMs, stepMs, maxMs }: LinearBackoff): number {
  const stepsAllowed = stepMs > 0 ? Math.floor(Math.max(0, maxMs) / stepMs + 1e-9) : 0
  return finite(startMs + Math.max(0, stepMs) * Math.min(wholeAttempts(attempt), stepsAllowed))
}

/** `first * factor ** attempt`, at most `maxMs` (Celery's `get_exponential_backoff_interval` without its jitter). */
export function exponentialDelayMs(
  attempt: number,
  { firstMs, maxMs, factor = 2 }: ExponentialBackoff,
): number {
  return finite(Math.min(maxMs, firstMs * factor ** wholeAttempts(attempt)), maxMs)
}

/**
 * Takes away up to `share` of a delay, so that many clients do not come back at once; `share` 1 is full jitter
 * (anything from 0 to `delayMs`), 0 none. `random` gives numbers in [0, 1).
 */
export function jittered(delayMs: number, random: () => number, share = 1): number {
  return finite(delayMs * (1 - Math.min(1, Math.max(0, share)) * random()))
}

function wholeAttempts(attempt: number): number {
  return Number.isFinite(attempt) ? Math.max(0, Math.floor(attempt)) : 0
}

function finite(ms: number, otherwise = 0): number {
  const bounded = Number.isFinite(ms) ? ms : otherwise
  return Number.isFinite(bounded) ? Math.max(0, bounded) : 0
}
