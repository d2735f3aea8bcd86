/**
 * Starts reserved requests, as many at once as the pool has slots, in the order they were reserved.
 *
 * Rule 1: expiry and revocation are asked again at the start (`Request.execute_using_pool`; surface WRK-035).
 * Rule 2: what the broker may have given to somebody else meanwhile (the worker was frozen, say) is not started.
 * Rule 3: once paused, nothing starts any more.
 */
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { Pool } from '../pool/pool.js'
import { type AdmissionRules, discardReason } from './admission.js'
import type { Request } from './request.js'

/** What a `Dispatcher` needs. */
export interface DispatcherOptions {
  readonly pool: Pool
  readonly clock: Clock
  readonly logger: Logger
  readonly rules: Pick<AdmissionRules, 'isRevoked'>
}

/** The queue in front of the pool. */
export class Dispatcher {
  private readonly options: DispatcherOptions
  private queue: (Request | undefined)[] = []
  private head = 0
  private running = 0
  private paused = false

  private readonly freeSlot = (): void => {
    this.running -= 1
    this.pump()
  }

  constructor(options: DispatcherOptions) {
    this.options = options
  }

  /** Slots in use. */
  get busy(): number {
    return this.running
  }

  /** Reserves a request, and starts it if a slot is free. */
  push(request: Request): void {
    if (!request.move('reserve')) return
    this.queue.push(request)
    this.pump()
  }

  /** Starts nothing more. */
  pause(): void {
    this.paused = true
  }

  /** Forgets what has not started; whoever calls this has settled or dropped it. */
  clear(): void {
    this.queue = []
    this.head = 0
  }

  /** Starts what fits: called when a slot is free, or the pool has grown. */
  pump(): void {
    const { pool, clock, rules, logger } = this.options
    while (!this.paused && this.running < pool.size) {
      const request = this.queue[this.head]
      if (request === undefined) {
        this.clear()
        return
      }
      // Not kept until the queue is cut: with its message it would outlive every collection of young objects.
      this.queue[this.head] = undefined
      this.head += 1
      if (this.head > 1024 && this.head * 2 > this.queue.length) {
        this.queue = this.queue.slice(this.head)
        this.head = 0
      }
      if (request.state !== 'reserved' || request.dropUnheld()) continue
      const reason = discardReason(request, clock.now(), rules)
      if (reason !== undefined) {
        request.discard(reason)
        continue
      }
      this.running += 1
      try {
        request.start(pool, this.freeSlot)
      } catch (error) {
        this.running -= 1
        logger.error(
          { err: error, id: request.id },
          `The pool did not take task ${request.name}[${request.id}].`,
        )
        request.giveBack()
      }
    }
  }
}
