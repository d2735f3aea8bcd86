/**
 * How many deliveries the broker may hand over ahead, and when to tell it (`kombu/common.py` QoS; surface WRK-018
 * to WRK-020, WRK-025).
 *
 * Rule 1: 0 means no limit and is never changed. Rule 2: a decrement never goes below 1. Rule 3: more than 65535 is
 * not a value AMQP has, so the limit is then lifted, with a warning. Rule 4: changes of one tick become one call, and
 * one call is under way at a time. Rule 5: where the broker does not follow changes, none is made: what waits takes from
 * a count that cannot grow with it, and one that a loss had lowered would stay low.
 */
import type { Logger } from '../logger.js'

/** AMQP's field is 16 bits. */
const largestPrefetch = 65_535

/** What a `Prefetch` needs. */
export interface PrefetchOptions {
  readonly concurrency: number
  readonly multiplier: number
  /** `worker_eta_task_limit`: the most that ETAs may raise the count to; also lowers a higher start. */
  readonly etaTaskLimit: number | undefined
  /** Whether running consumers keep the count that they started with (surface WRK-022). */
  readonly isStatic?: boolean
  readonly logger: Logger
  /** Tells the broker. */
  apply(count: number): Promise<void>
}

/** The prefetch count of one session. */
export class Prefetch {
  private readonly options: PrefetchOptions
  private count: number
  private told: number
  private telling = false
  private reduced = false

  constructor(options: PrefetchOptions, running = 0, reduce = false) {
    this.options = options
    const most = this.maximum
    const isReduced = reduce && most > 0 && !options.isStatic
    // After a loss the tasks that still run hold their share, so that we do not fetch more than we can start.
    this.count = isReduced ? Math.max(options.multiplier, most - running * options.multiplier) : most
    this.reduced = this.count < most
    this.told = wireCount(this.count, options.logger)
  }

  /** Concurrency times multiplier. */
  get maximum(): number {
    return this.options.concurrency * this.options.multiplier
  }

  /**
   * How many that wait for their time may hold a place; any number where the count grows with them, else half of what is
   * fetched ahead, so that none ever stands in the way of what could run.
   */
  get spare(): number {
    const { concurrency, isStatic } = this.options
    if (!isStatic || this.maximum === 0) return Number.POSITIVE_INFINITY
    return Math.floor((this.maximum - concurrency) / 2)
  }

  /** The count as the worker sees it. */
  get value(): number {
    return this.count
  }

  /** What the broker was told last. */
  get wireValue(): number {
    return this.told
  }

  /** True while the count is still below its maximum after a loss. */
  get isReduced(): boolean {
    return this.reduced
  }

  /** A delivery waits for its ETA: fetch one more meanwhile. `flush` tells the broker. */
  increment(): void {
    if (this.count === 0 || this.options.isStatic) return
    const limit = this.options.etaTaskLimit
    const raised = this.count + 1
    this.count = limit === undefined ? raised : Math.min(raised, limit)
  }

  /** A delivery no longer waits. */
  decrement(): void {
    if (this.count > 0 && !this.options.isStatic) this.count = Math.max(1, this.count - 1)
  }

  /** Called for each acknowledgement: gives back one share after a loss, until the maximum is reached. */
  restore(): void {
    if (!this.reduced) return
    this.count = Math.min(this.maximum, this.count + this.options.multiplier)
    this.reduced = this.count < this.maximum
    if (this.reduced) return
    this.options.logger.info(
      { prefetch: this.maximum },
      'Resuming normal operations following a restart.\n' +
        `Prefetch count has been restored to the maximum of ${this.maximum}`,
    )
  }

  /** Tells the broker if the count has changed; resolves when it knows. Never rejects: a loss ends the session. */
  async flush(): Promise<void> {
    if (this.telling) return
    this.telling = true
    try {
      for (let count = this.count; ; count = this.count) {
        const wire = wireCount(count, this.options.logger, this.told)
        if (wire === this.told) return
        this.told = wire
        await this.options.apply(wire)
      }
    } catch (error) {
      this.options.logger.debug({ err: error }, 'The prefetch count could not be changed.')
    } finally {
      this.telling = false
    }
  }

  /** Whether `flush` has something to say. */
  get isStale(): boolean {
    return !this.telling && (this.count > largestPrefetch ? 0 : this.count) !== this.told
  }
}

function wireCount(count: number, logger: Logger, told?: number): number {
  if (count <= largestPrefetch) return count
  if (told !== 0) {
    logger.warn({ prefetch: count }, `QoS: Disabled: prefetch_count exceeds ${largestPrefetch}`)
  }
  return 0
}
