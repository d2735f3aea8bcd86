import type { Envelope } from '../../protocol/envelope.js'
import type { AmqpAcks } from './amqp-acks.js'
import type { AmqpParking } from './amqp-parking.js'
import { parkedBefore } from './amqp-parking.js'
import type { Incoming } from './amqp-reader.js'
import type { AckWatcher, Address, Delivery } from './transport.js'

/** One message of a channel; `acks` is undefined where nothing is to be settled. */
export class AmqpDelivery implements Delivery {
  readonly envelope: Envelope
  readonly queue: string
  readonly address: Address
  readonly redelivered: boolean
  readonly #tag: number
  readonly #acks: AmqpAcks | undefined
  readonly #parking: AmqpParking | undefined

  constructor(
    incoming: Omit<Incoming, 'consumerTag'>,
    queue: string,
    acks: AmqpAcks | undefined,
    parking: AmqpParking | undefined,
  ) {
    const { envelope, exchange, routingKey, redelivered, deliveryTag } = incoming
    this.envelope = envelope
    this.queue = queue
    this.address = { exchange, routingKey }
    // A copy that waited in the broker may meet its original, whose acknowledgement was lost.
    this.redelivered = redelivered || parkedBefore(envelope)
    this.#tag = deliveryTag
    this.#acks = acks
    this.#parking = parking
  }

  isHeld(): boolean {
    return this.#acks?.holds(this.#tag) ?? true
  }

  ack(): Promise<void> {
    return this.#acks?.ack(this.#tag) ?? Promise.resolve()
  }

  ackFor(watcher: AckWatcher): void {
    if (this.#acks === undefined) process.nextTick(() => watcher.onAcknowledged())
    else this.#acks.ackFor(this.#tag, watcher)
  }

  async reject({ requeue }: { readonly requeue: boolean }): Promise<void> {
    await this.#acks?.reject(this.#tag, requeue)
  }

  async park(untilMs: number): Promise<void> {
    await this.#parking?.park(this, untilMs, () => this.ack())
  }
}
