/**
 * One consumer over a `QueueStore`: claims as much as its window allows, hands it over, waits for room.
 *
 * Rule 1: never more than `prefetch` unsettled deliveries over all its queues (surface WRK-021); 0 means no limit.
 * Rule 2: it waits for an event (room, another window, another set of queues, a message), never in a polling loop.
 * Rule 3: what arrives after its queue or the whole subscription was cancelled goes back to the front of its queue.
 */
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import { type HeldMessages, settledDelivery } from './held-messages.js'
import type { Claimed, QueueStore } from './queue-store.js'
import type { ConsumeOptions, Subscription } from './transport.js'

/** Most messages claimed in one call: bounds the work lost to a crash and the time one call blocks. */
const largestClaim = 128

/** Most milliseconds that a full worker waits for room for a larger claim. */
const longestGatherMs = 1

/** What a subscription needs from its connection. */
export interface SubscriptionHost {
  readonly store: QueueStore
  readonly clock: Clock
  readonly held: HeldMessages
  readonly logger: Logger
  /** Told when the store failed a claim. */
  onFailure(cause: Error): void
  /** Told once when the subscription has ended. */
  onEnded(subscription: VirtualSubscription): void
}

/** A `Subscription` made of claims. */
export class VirtualSubscription implements Subscription {
  readonly #host: SubscriptionHost
  readonly #options: ConsumeOptions
  readonly #queues: Set<string>
  readonly #running: Promise<void>
  #prefetch: number
  #outstanding = 0
  /** The last claim got all it asked for, so there is probably more. */
  #isBusy = false
  #cancelled = false
  /** Parked messages that are due later are not taken. */
  #dueBeforeMs = Number.POSITIVE_INFINITY
  #claim: { readonly abort: AbortController; readonly max: number } | undefined
  #wake: () => void = () => {}

  /** Starts at once. */
  constructor(queues: readonly string[], options: ConsumeOptions, host: SubscriptionHost) {
    this.#host = host
    this.#options = options
    this.#queues = new Set(queues)
    this.#prefetch = options.prefetch
    this.#running = this.#run()
  }

  async setPrefetch(count: number): Promise<void> {
    this.#prefetch = count
    // A wider window is used by the next claim; a narrower one must stop a claim that was allowed more.
    if (this.#claim !== undefined && this.#claim.max > this.#room()) this.#claim.abort.abort()
    this.#wake()
  }

  async addQueue(queue: string): Promise<void> {
    if (this.#queues.has(queue)) return
    await this.#host.store.startHearing?.(queue)
    this.#queues.add(queue)
    this.#changed()
  }

  async cancelQueue(queue: string): Promise<void> {
    if (!this.#queues.delete(queue)) return
    this.#changed()
    await this.#host.store.stopHearing?.(queue)
  }

  takeParked(dueBeforeMs: number): void {
    const isWider = dueBeforeMs > this.#dueBeforeMs
    this.#dueBeforeMs = dueBeforeMs
    // A claim that waits must look again with the new bound.
    if (isWider) this.#claim?.abort.abort()
  }

  async cancel(): Promise<void> {
    const isFirst = !this.#cancelled
    this.#cancelled = true
    this.#changed()
    await this.#running
    if (!isFirst) return
    const { store, logger } = this.#host
    const stopping = [...this.#queues].map((queue) => store.stopHearing?.(queue))
    await Promise.all(stopping).catch((err) =>
      logger.debug({ err }, 'a fanout queue could not be unsubscribed'),
    )
  }

  /** Passes on a report about a message of one of this consumer's queues. */
  reportsUnreadable(queue: string): NonNullable<ConsumeOptions['onUnreadable']> | undefined {
    const { onUnreadable } = this.#options
    return this.#queues.has(queue) && onUnreadable !== undefined
      ? (report) => onUnreadable.call(this.#options, report)
      : undefined
  }

  #changed(): void {
    this.#claim?.abort.abort()
    this.#wake()
  }

  #room(): number {
    if (this.#queues.size === 0) return 0
    if (this.#options.noAck || this.#prefetch <= 0) return largestClaim
    return Math.max(0, Math.min(largestClaim, this.#prefetch - this.#outstanding))
  }

  async #run(): Promise<void> {
    /** Asked for ahead, and not taken up yet. */
    let ahead: Promise<readonly Claimed[]> | undefined
    try {
      while (!this.#cancelled) {
        if (ahead === undefined) {
          if (this.#room() === 0) {
            await new Promise<void>((resolve) => (this.#wake = resolve))
            continue
          }
          if (this.#isBusy && this.#room() < this.#share) await this.#gatherRoom()
          if (this.#cancelled || this.#room() === 0) continue
        }
        const claimed = await (ahead ?? this.#ask())
        ahead = undefined
        if (!this.#options.noAck) this.#outstanding += claimed.length
        // The broker looks for more while these are taken up.
        if (this.#isBusy && !this.#cancelled && this.#room() >= this.#share) {
          ahead = this.#ask()
          ahead.catch(() => {})
        }
        if (claimed.length > 0) await this.#take(claimed)
      }
      const late = await ahead
      if (late !== undefined && late.length > 0) await this.#host.store.settle(late, 'return')
    } catch (error) {
      this.#host.onFailure(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#host.onEnded(this)
    }
  }

  /** A claim for less than this is put off a little while the queues are full. */
  get #share(): number {
    if (this.#options.noAck || this.#prefetch <= 0) return 1
    return Math.max(1, Math.min(largestClaim, this.#prefetch >> 2))
  }

  /** Many small claims cost more than a few large ones. */
  async #gatherRoom(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#host.clock.after(longestGatherMs, resolve)
      this.#wake = () => {
        if (!this.#cancelled && this.#room() > 0 && this.#room() < this.#share) return
        cancel()
        resolve()
      }
    })
  }

  async #ask(): Promise<readonly Claimed[]> {
    const max = this.#room()
    const abort = new AbortController()
    const claim = { abort, max }
    this.#claim = claim
    try {
      const claimed = await this.#host.store.claim([...this.#queues], max, abort.signal, this.#dueBeforeMs)
      this.#isBusy = claimed.length === max
      return claimed
    } finally {
      if (this.#claim === claim) this.#claim = undefined
    }
  }

  /** `claimed` counts as outstanding already, unless nothing is acknowledged. */
  async #take(claimed: readonly Claimed[]): Promise<void> {
    let wanted = claimed
    if (!claimed.every((message) => this.#wants(message))) {
      const unwanted = claimed.filter((message) => !this.#wants(message))
      wanted = claimed.filter((message) => !unwanted.includes(message))
      if (!this.#options.noAck) this.#outstanding -= unwanted.length
      await this.#host.store.settle(unwanted, 'return')
    }
    if (wanted.length > 0) await this.#deliver(wanted)
    // A store that always has messages must not starve timers and sockets.
    await this.#host.held.endOfTurn()
  }

  async #deliver(messages: readonly Claimed[]): Promise<void> {
    if (!this.#options.noAck) {
      const free = (): void => this.#freed()
      this.#handOver(messages.map((message) => this.#host.held.hold(message, free)))
      return
    }
    const lost = new Set(await this.#host.store.settle(messages, 'ack'))
    this.#handOver(messages.filter((message) => !lost.has(message)).map(settledDelivery))
  }

  #handOver(deliveries: Parameters<ConsumeOptions['onDeliveries']>[0]): void {
    if (deliveries.length === 0) return
    try {
      this.#options.onDeliveries(deliveries)
    } catch (error) {
      this.#host.logger.error(
        { err: error },
        'a consumer threw while it took deliveries; they stay unsettled',
      )
    }
  }

  #freed(): void {
    this.#outstanding -= 1
    this.#wake()
  }

  #wants(message: Claimed): boolean {
    return !this.#cancelled && this.#queues.has(message.queue)
  }
}
