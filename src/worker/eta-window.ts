/**
 * Requests that wait for their ETA in this worker: the soonest ones, in bounded memory. The rest is parked: left with
 * the broker, which hands it out again shortly before its time, to any worker (`Delivery.park`).
 *
 * Rule 1: when there is no room for one more, the one that is due last is parked, whether it is the new one or not.
 * Rule 2: what waits holds no place of the prefetch window (surface WRK-019), as in Celery: other tasks go on. But what
 *         finds no room and is due too soon to be parked holds its place, so that these few are bounded too.
 * Rule 3: a window that is nearly full says how far it reaches, so that the broker keeps what is due later than all that is in it.
 * Rule 4: a delivery that cannot be parked is held whatever the size, as in Celery: its number is bounded only by
 *         `worker_eta_task_limit`, at which the worker stops fetching.
 */
import type { Clock } from '../clock.js'
import type { Prefetch } from './prefetch.js'
import type { Timer } from './timer.js'

/** Requests of a few kilobytes each; enough for 20 ms of a worker that starts 50,000 tasks in a second. */
const defaultSize = 1000
/** What is due within this is not parked: it would come back at once. */
const shortestParkMs = 1000

/** What waits: a `Request`. */
export interface Parkable {
  /** Whether the broker can keep it until it is due. */
  readonly canPark: boolean
  /** Leaves it with the broker until shortly before `untilMs`. */
  park(untilMs: number): void
}

/** What an `EtaWindow` needs. */
export interface EtaWindowOptions<Waiting extends Parkable> {
  readonly clock: Clock
  readonly timer: Timer
  readonly prefetch: Prefetch
  /** Most requests that wait here, if they can be parked: see `etaWindowSize`. */
  readonly size: number
  /** Of what was parked, only what is due before this moment is wanted (`Subscription.takeParked`). */
  takeParked(dueBeforeMs: number): void
  /** The time of a request has come. */
  onDue(request: Waiting): void
}

interface Wait<Waiting extends Parkable> {
  readonly request: Waiting
  readonly until: number
  /** Whether the prefetch count was raised for it. */
  readonly isCounted: boolean
  cancel: () => void
}

/**
 * How many requests may wait in a worker: 1000, or with `worker_eta_task_limit` so many that with all else that is
 * fetched no more than this limit is held; and never more than have a place in a prefetch count that does not grow.
 */
export function etaWindowSize(
  etaTaskLimit: number | null,
  { maximum, spare }: Pick<Prefetch, 'maximum' | 'spare'>,
): number {
  if (etaTaskLimit === null) return Math.min(defaultSize, spare)
  // Where only one message may be held at all, none may stand in the way of the others.
  return Math.min(Math.max(etaTaskLimit > 1 ? 1 : 0, etaTaskLimit - maximum), spare)
}

/** The waiting requests of one session. */
export class EtaWindow<Waiting extends Parkable> {
  readonly #options: EtaWindowOptions<Waiting>
  readonly #waits = new Set<Wait<Waiting>>()
  /** Those that can be parked, the soonest first. */
  readonly #order: Wait<Waiting>[] = []
  #dueBeforeMs = Number.POSITIVE_INFINITY

  constructor(options: EtaWindowOptions<Waiting>) {
    this.#options = options
  }

  /** Whether a request due at `until` (epoch milliseconds) would be parked by `hold`, and not another in its place. */
  refuses(request: Waiting, until: number): boolean {
    if (this.#order.length < this.#options.size || !request.canPark) return false
    return until >= (this.#order.at(-1)?.until ?? until) && this.#isFar(until)
  }

  /** Has a request wait here, or parks the one that is due last. */
  hold(request: Waiting, until: number): void {
    if (this.refuses(request, until)) {
      request.park(until)
      return
    }
    const { prefetch, timer } = this.#options
    const isFull = request.canPark && this.#order.length >= this.#options.size
    const last = isFull ? this.#order.at(-1) : undefined
    const leaves = last !== undefined && until < last.until && this.#isFar(last.until)
    const isCounted = leaves ? last.isCounted : !isFull
    if (leaves) {
      last.cancel()
      this.#waits.delete(last)
      this.#order.pop()
      last.request.park(last.until)
    } else if (isCounted) prefetch.increment()
    const wait: Wait<Waiting> = { request, until, isCounted, cancel: () => {} }
    wait.cancel = timer.at(until, () => this.#end(wait))
    this.#waits.add(wait)
    if (request.canPark) this.#order.splice(this.#placeOf(until), 0, wait)
    this.#tellReach()
  }

  /** Forgets all; whoever calls this has settled or dropped the requests. */
  clear(): void {
    for (const wait of this.#waits) wait.cancel()
    this.#waits.clear()
    this.#order.length = 0
  }

  #end(wait: Wait<Waiting>): void {
    this.#waits.delete(wait)
    const at = this.#order.indexOf(wait)
    if (at >= 0) this.#order.splice(at, 1)
    if (wait.isCounted) this.#options.prefetch.decrement()
    this.#options.onDue(wait.request)
    this.#tellReach()
  }

  #isFar(until: number): boolean {
    return until - this.#options.clock.now() >= shortestParkMs
  }

  /** Behind those that are due at the same time. */
  #placeOf(until: number): number {
    let low = 0
    let high = this.#order.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#order[middle] as Wait<Waiting>).until <= until) low = middle + 1
      else high = middle
    }
    return low
  }

  /**
   * Closes when seven eighths are taken and opens when three eighths are free: brokers give many at once, some are on
   * their way when it closes, and what comes too much goes back.
   */
  #tellReach(): void {
    const { size } = this.#options
    const { length } = this.#order
    if (size === 0) return
    let reach = this.#dueBeforeMs
    if (length >= size - (size >> 3)) reach = Math.min(reach, this.#order[length - 1]?.until ?? reach)
    else if (length <= size - Math.max(1, (3 * size) >> 3)) reach = Number.POSITIVE_INFINITY
    if (reach === this.#dueBeforeMs) return
    this.#dueBeforeMs = reach
    this.#options.takeParked(reach)
  }
}
