import type { Channel } from 'amqplib'
import { DeliveryLostError } from '../errors.js'
import type { AmqpLink } from './amqp-link.js'
import type { AckWatcher } from './transport.js'

/**
 * What one channel was handed and has not settled.
 *
 * Rule 1: acknowledgements of one turn leave together, and those that close a gap-free run as one `multiple`.
 * Rule 2: `multiple` covers what was settled before, never what is still held.
 * Rule 3: an acknowledgement is sent, not answered (AMQP has no answer): `DeliveryLostError` is for those that could not
 *         be sent.
 */
export class AmqpAcks {
  readonly #link: AmqpLink
  readonly #channel: Channel
  readonly #held = new Set<number>()
  /** Settled, above the lowest held one. */
  #pending: number[] = []
  /** Of acknowledgements of this turn. */
  #watchers: AckWatcher[] = []
  /** One of this turn's was not sent. */
  #isUnsent = false
  #isEnded = false
  /** Told when nothing is held any more. */
  onEmpty: () => void = () => {}

  constructor(link: AmqpLink, channel: Channel) {
    this.#link = link
    this.#channel = channel
  }

  /** How many are held. */
  get size(): number {
    return this.#held.size
  }

  /** False when the broker may have given `tag` to somebody else. */
  holds(tag: number): boolean {
    return this.#held.has(tag) && this.#link.holds()
  }

  /** A delivery came. */
  add(tag: number): void {
    this.#held.add(tag)
  }

  /** Resolves when the acknowledgement was written. */
  ack(tag: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.ackFor(tag, { onAcknowledged: resolve, onUnacknowledged: reject })
    })
  }

  /** `Delivery.ackFor`. */
  ackFor(tag: number, watcher: AckWatcher): void {
    if (!this.#held.delete(tag) || this.#isEnded) {
      const lost = this.#lost()
      process.nextTick(() => watcher.onUnacknowledged(lost))
      return
    }
    this.#pending.push(tag)
    this.#watchers.push(watcher)
    if (this.#watchers.length === 1) process.nextTick(() => this.#tell())
  }

  /** Sends what is pending, and tells those who wait for it. */
  #tell(): void {
    this.flush()
    const watchers = this.#watchers
    const lost = this.#isUnsent ? this.#lost() : undefined
    this.#watchers = []
    this.#isUnsent = false
    for (const watcher of watchers) {
      if (lost === undefined) watcher.onAcknowledged()
      else watcher.onUnacknowledged(lost)
    }
  }

  /** Puts it back into its place, or drops or dead-letters it. */
  async reject(tag: number, requeue: boolean): Promise<void> {
    if (!this.#held.delete(tag) || this.#isEnded || !this.#link.isOpen) throw this.#lost()
    this.#link.cork()
    try {
      this.#channel.reject(messageOf(tag), requeue)
    } catch (cause) {
      throw this.#lost(cause)
    }
    this.#tellEmpty()
  }

  /** Sends what is pending, now. */
  flush(): void {
    if (!this.#flush()) this.#isUnsent = true
  }

  /** Nothing can be settled any more. */
  end(): void {
    this.#isEnded = true
    this.#held.clear()
  }

  /** False when it could not. */
  #flush(): boolean {
    const tags = this.#pending
    this.#pending = []
    if (tags.length === 0) return true
    if (this.#isEnded) return false
    this.#link.cork()
    try {
      let least = Number.POSITIVE_INFINITY
      // Tags were added in order, so the first that is held is the lowest.
      for (const tag of this.#held) {
        least = tag
        break
      }
      let run = 0
      let most = 0
      for (const tag of tags) {
        if (tag >= least) continue
        run += 1
        most = Math.max(most, tag)
      }
      if (run > 0) this.#channel.ack(messageOf(most), run > 1)
      for (const tag of tags) if (tag > least) this.#channel.ack(messageOf(tag))
    } catch {
      return false
    }
    this.#tellEmpty()
    return true
  }

  #tellEmpty(): void {
    if (this.#held.size === 0 && this.#pending.length === 0) this.onEmpty()
  }

  #lost(cause?: unknown): DeliveryLostError {
    return new DeliveryLostError(
      this.#link.isOpen && !this.#isEnded
        ? 'the delivery was settled before'
        : `the delivery is the broker's again: its connection to ${this.#link.shownUrl} has ended`,
      { cause },
    )
  }
}

/** amqplib wants a message and reads its tag alone. */
function messageOf(deliveryTag: number): Parameters<Channel['ack']>[0] {
  return { fields: { deliveryTag } } as Parameters<Channel['ack']>[0]
}
