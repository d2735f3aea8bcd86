/**
 * Requests that are over their task's rate limit, first come first served
 * (`Consumer._limit_task`, `_schedule_bucket_request`; surface WRK-045 to WRK-048).
 *
 * They are unacknowledged and not counted as reserved. Limits count starts, in this worker alone.
 */
import type { Clock } from '../clock.js'
import { ConfigError, InvalidArgumentError } from '../errors.js'
import { type Bucket, fullBucket, parseRate, takeToken, tokenDelayMs } from './rate-limit.js'
import type { Request } from './request.js'
import type { Timer } from './timer.js'
import type { WorkerApp } from './worker-app.js'

interface Limited {
  bucket: Bucket
  readonly queue: Request[]
  cancelTimer: (() => void) | undefined
}

/** The buckets of one worker. */
export class Throttle {
  private readonly clock: Clock
  private readonly timer: Timer
  private readonly release: (request: Request) => void
  private readonly limits = new Map<string, Limited>()

  /** `release` is called with each request whose turn has come. */
  constructor(clock: Clock, timer: Timer, release: (request: Request) => void) {
    this.clock = clock
    this.timer = timer
    this.release = release
  }

  /** Sets the limit of a task; what waits keeps its place. Throws `InvalidArgumentError` for a rate it cannot read. */
  setRate(task: string, rate: string | number | null): void {
    const perSecond = parseRate(rate)
    const known = this.limits.get(task)
    if (perSecond === 0) {
      this.limits.delete(task)
      known?.cancelTimer?.()
      for (const request of known?.queue ?? []) this.release(request)
      return
    }
    const bucket = fullBucket(perSecond, this.clock.monotonic())
    if (known === undefined) this.limits.set(task, { bucket, queue: [], cancelTimer: undefined })
    else {
      known.bucket = bucket
      this.pump(known)
    }
  }

  /** Sets the limits that the registered tasks have of their own. Throws `ConfigError` for a rate that cannot be read. */
  setOwnRates(app: Pick<WorkerApp, 'tasks' | 'task'>): void {
    for (const name of app.tasks.names()) {
      const rate = app.task(name)?.options.rateLimit
      try {
        if (rate) this.setRate(name, rate)
      } catch (error) {
        if (!(error instanceof InvalidArgumentError)) throw error
        throw new ConfigError(`Task ${name}: ${error.message}`, { cause: error })
      }
    }
  }

  /** Fills every bucket again, as Celery does whenever a limit is set by remote control (surface CTL-045). */
  refill(): void {
    for (const limited of this.limits.values()) {
      limited.bucket = fullBucket(limited.bucket.perSecond, this.clock.monotonic())
      this.pump(limited)
    }
  }

  /** True when a start of the task would have to wait now. */
  isThrottled(task: string): boolean {
    const limited = this.limits.get(task)
    if (limited === undefined) return false
    return limited.queue.length > 0 || tokenDelayMs(limited.bucket, this.clock.monotonic()) > 0
  }

  /** Counts a start of a task that was not throttled. */
  countStart(task: string): void {
    const limited = this.limits.get(task)
    if (limited === undefined) return
    limited.bucket = takeToken(limited.bucket, this.clock.monotonic()) ?? limited.bucket
  }

  /** Queues a request until its turn. */
  add(request: Request): void {
    const limited = this.limits.get(request.task)
    if (limited === undefined) {
      this.release(request)
      return
    }
    limited.queue.push(request)
    this.pump(limited)
  }

  /** Forgets what waits; whoever calls this has settled or dropped it. */
  clear(): void {
    for (const limited of this.limits.values()) {
      limited.cancelTimer?.()
      limited.cancelTimer = undefined
      limited.queue.length = 0
    }
  }

  private pump(limited: Limited): void {
    limited.cancelTimer?.()
    limited.cancelTimer = undefined
    for (let first = limited.queue[0]; first !== undefined; first = limited.queue[0]) {
      const left = takeToken(limited.bucket, this.clock.monotonic())
      if (left === undefined) {
        const delay = tokenDelayMs(limited.bucket, this.clock.monotonic())
        limited.cancelTimer = this.timer.at(this.clock.now() + delay, () => this.pump(limited))
        return
      }
      limited.bucket = left
      limited.queue.shift()
      this.release(first)
    }
  }
}
