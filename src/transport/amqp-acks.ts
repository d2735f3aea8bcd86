import type { Channel } from 'amqplib'
import { DeliveryLostError } from '../errors.js'
import type { AmqpLink } from './amqp-link.js'

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
  #flushed: Promise<void> | undefined
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
    if (!this.#held.delete(tag) || this.#isEnded) return Promise.reject(this.#lost())
    this.#pending.push(tag)
    this.#flushed ??= new Promise((resolve, reject) => {
      process.nextTick(() => {
        if (this.#flush()) resolve()
        else reject(this.#lost())
      })
    })
    return this.#flushed
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

  /** Sends what is pending, now. False when it could not. */
  flush(): void {
    this.#flush()
  }

  /** Nothing can be settled any more. */
  end(): void {
    this.#isEnded = true
    this.#held.clear()
  }

  #flush(): boolean {
    const tags = this.#pending
    this.#pending = []
    this.#flushed = undefined
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
