/** Rate limits (`celery/utils/time.py` rate, `kombu/utils/limits.py` TokenBucket; surface TSK-007, WRK-045). Pure. */
import { InvalidArgumentError } from '../errors.js'

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/**
 * Starts per second: `'100/m'`, `'2/h'`, `'0.5/s'`, `'10'` or a number of them per second; 0 means no limit, as do
 * null and the empty text. Throws `InvalidArgumentError` for anything else.
 */
export function parseRate(rate: string | number | null | undefined): number {
  if (rate === null || rate === undefined || rate === '') return 0
  if (typeof rate === 'number') return checkedRate(rate, rate)
  const slash = rate.indexOf('/')
  const amount = (slash === -1 ? rate : rate.slice(0, slash)).trim()
  const seconds = secondsOf[slash === -1 ? 's' : rate.slice(slash + 1) || 's']
  if (amount === '' || seconds === undefined) throw badRate(rate)
  return checkedRate(Number(amount) / seconds, rate)
}

function checkedRate(perSecond: number, asked: string | number): number {
  if (!Number.isFinite(perSecond) || perSecond < 0) throw badRate(asked)
  return perSecond
}

function badRate(asked: string | number): InvalidArgumentError {
  return new InvalidArgumentError(
    `The rate limit ${JSON.stringify(asked)} cannot be read: give a number per second, or "10/s", "100/m", "5/h".`,
  )
}

/** A bucket's level at a moment; a value, so that it can be tested without a clock. */
export interface Bucket {
  readonly perSecond: number
  readonly tokens: number
  /** Milliseconds of a clock that never runs backwards. */
  readonly at: number
}

/** One token fits (Celery's capacity), so a limit spaces starts evenly; it starts full. */
const capacity = 1

/** A full bucket. */
export function fullBucket(perSecond: number, now: number): Bucket {
  return { perSecond, tokens: capacity, at: now }
}

/** The bucket after one start, or undefined when it has no token yet. */
export function takeToken(bucket: Bucket, now: number): Bucket | undefined {
  const tokens = levelAt(bucket, now)
  return tokens >= 1 - rounding ? { ...bucket, tokens: Math.max(0, tokens - 1), at: now } : undefined
}

/** Milliseconds until `takeToken` succeeds; 0 when it would now. */
export function tokenDelayMs(bucket: Bucket, now: number): number {
  const missing = 1 - levelAt(bucket, now)
  return missing <= rounding ? 0 : (missing / bucket.perSecond) * 1000
}

/** A timer that fires exactly when the token is due must find it in spite of floating point. */
const rounding = 1e-9

function levelAt(bucket: Bucket, now: number): number {
  return Math.min(capacity, bucket.tokens + (bucket.perSecond * Math.max(0, now - bucket.at)) / 1000)
}
