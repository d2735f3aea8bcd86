/**
 * A running consumer: one channel, one consumer for each queue.
 *
 * Rule 1: one prefetch limit for the channel (`basic.qos global`), as Celery has it; each consumer has its own where a
 *         queue is a quorum queue, which knows no common one, and then it does not follow later changes (surface
 *         WRK-022).
 * Rule 2: a queue that is deleted under us (basic.cancel) is declared and consumed again; when that fails the connection
 *         is lost, for a worker that is connected consumes.
 * Rule 3: where the broker might consume in our name what somebody declared in the place of a deleted queue, and hand out
 *         nothing (amqp-versions.ts), a common prefetch limit that nothing reaches stands beside those of the consumers:
 *         with it quorum queues cannot be consumed, by the broker neither, so it tells us of the end instead.
 * Rule 4: a channel that the server closes takes its deliveries with it, so the connection is lost. So it is when the
 *         server suspends a consumer that holds a message for too long (RabbitMQ 4.3): it has given that to others, and
 *         does not say which.
 * Rule 5: a broker may lose a consumer without a word. Where messages wait, there is room for them and none has come
 *         between two looks (amqp-watch.ts), the queues are consumed anew on another channel; the old one ends when what it
 *         brought is settled. When that does not help and nothing is held, the connection is lost.
 */
import type { Channel, ConsumeMessage } from 'amqplib'
import { BrokerUnavailableError } from '../errors.js'
import type { Logger } from '../logger.js'
import { AmqpAcks } from './amqp-acks.js'
import { AmqpDelivery } from './amqp-delivery.js'
import { amqpTable, envelopeOf } from './amqp-envelope.js'
import { isNotFound } from './amqp-errors.js'
import type { AmqpLink } from './amqp-link.js'
import type { AmqpParking } from './amqp-parking.js'
import type { Incoming } from './amqp-reader.js'
import { suspendsSlowConsumers } from './amqp-versions.js'
import type { ConsumeOptions, Delivery, Subscription } from './transport.js'

/** The most that AMQP can say. */
const unreached = 65_535

/** What a look at a queue tells; undefined when there is no such queue. */
export type QueueState =
  | {
      readonly messages: number
      readonly consumers: number
      /** False where messages may wait though all is well: a stream, a queue with a single active consumer. */
      readonly isPushed: boolean
    }
  | undefined

/** A channel, and what it was handed. */
interface Seat {
  readonly channel: Channel
  readonly acks: AmqpAcks
  readonly stopReading: () => void
  /** See rule 3. */
  isGuarded: boolean
  /** Its consumers have moved to another one. */
  isLeft: boolean
}

/** What a subscription needs of its connection. */
export interface SubscriptionDeps {
  readonly link: AmqpLink
  readonly logger: Logger
  readonly parking: AmqpParking
  /** Declares again what this connection knows of a queue. */
  redeclare(queue: string): Promise<void>
  stateOf(queue: string): Promise<QueueState>
  /** True for a queue whose end the broker may keep from us. */
  hidesDeletion(queue: string): boolean
  onEnded(subscription: AmqpSubscription): void
}

/** A running consumer over AMQP. */
export class AmqpSubscription implements Subscription {
  readonly #deps: SubscriptionDeps
  readonly #options: ConsumeOptions
  #seat: Seat
  /** Those before it, until what they hold is settled. */
  readonly #left = new Set<Seat>()
  readonly #tags = new Map<string, string>()
  /** The queues of all consumers that there were, by their tags. */
  readonly #queues = new Map<string, string>()
  /** Queues that something came from since the last look. */
  readonly #heard = new Set<string>()
  /** Queues that looked forgotten: the consumer it was, and how often it was replaced in vain. */
  readonly #doubts = new Map<string, { readonly tag: string; readonly replaced: number }>()
  #prefetch = 0
  #batch: Delivery[] = []
  #count = 0
  /** From the first queue on: then the end of the channel ends deliveries. */
  #isConsuming = false
  #isCancelled = false
  /** Cancelled, and the broker knows it. */
  #isIdle = false
  #isQuiet = false
  #isEnded = false

  private constructor(channel: Channel, options: ConsumeOptions, deps: SubscriptionDeps) {
    this.#deps = deps
    this.#options = options
    this.#seat = this.#seatOn(channel)
  }

  /** Consumes. Throws a typed error, leaving nothing behind. */
  static async open(
    queues: readonly string[],
    options: ConsumeOptions,
    deps: SubscriptionDeps,
  ): Promise<AmqpSubscription> {
    let made: AmqpSubscription | undefined
    const channel = await deps.link.channel((error) => made?.onChannelError(error))
    const subscription = new AmqpSubscription(channel, options, deps)
    made = subscription
    try {
      if (!options.noAck && options.prefetch > 0) await subscription.setPrefetch(options.prefetch)
      for (const queue of queues) await subscription.addQueue(queue)
    } catch (error) {
      subscription.#isCancelled = true
      await subscription.close()
      throw error
    }
    return subscription
  }

  /** The server closed the channel. */
  onChannelError(error: Error): void {
    if (this.#isEnded) return
    // before it consumes, the request that failed tells
    if (this.#isConsuming) this.#deps.link.lose(error)
  }

  async setPrefetch(count: number): Promise<void> {
    if (this.#options.noAck || this.#isEnded) return
    this.#prefetch = count
    await this.#limit(this.#seat)
  }

  #seatOn(channel: Channel): Seat {
    const { link } = this.#deps
    const acks = new AmqpAcks(link, channel)
    const stopReading = link.deliverTo(channel, (incoming) => this.#takeRead(seat, incoming))
    const seat: Seat = { channel, acks, stopReading, isGuarded: false, isLeft: false }
    acks.onEmpty = () => this.#onEmpty(seat)
    return seat
  }

  async #limit(seat: Seat): Promise<void> {
    const isGlobal = this.#options.globalPrefetch ?? true
    await this.#deps.link.answered('set the prefetch count', () =>
      Promise.all([seat.channel.prefetch(this.#prefetch, isGlobal), this.#guard(seat)]),
    )
  }

  async addQueue(queue: string): Promise<void> {
    if (this.#tags.has(queue)) return
    const { noAck, consumerArguments } = this.#options
    this.#count += 1
    const consumerTag = `celeriac-${this.#count}`
    this.#tags.set(queue, consumerTag)
    this.#queues.set(consumerTag, queue)
    const seat = this.#seat
    const take = (message: ConsumeMessage | null): void => this.#take(seat, queue, consumerTag, message)
    try {
      const given = { noAck, consumerTag, arguments: amqpTable(consumerArguments?.(queue) ?? {}) }
      // In one turn: of these requests amqplib lets none of another queue come between.
      await this.#deps.link.answered(`consume from the queue '${queue}'`, () =>
        Promise.all([this.#unguard(seat), seat.channel.consume(queue, take, given), this.#guard(seat)]),
      )
      this.#isConsuming = true
    } catch (error) {
      this.#tags.delete(queue)
      // A queue may be away for a moment: just deleted, or its node is down. Trying again declares it.
      const isAway = error instanceof Error && isNotFound(error.cause)
      throw isAway ? new BrokerUnavailableError(error.message, { cause: error }) : error
    }
  }

  /** See rule 3. */
  #guard(seat: Seat): Promise<unknown> | undefined {
    const { globalPrefetch = true } = this.#options
    if (globalPrefetch || ![...this.#tags.keys()].some(this.#deps.hidesDeletion)) return undefined
    seat.isGuarded = true
    return seat.channel.prefetch(unreached, true)
  }

  /** The limit of the consumers again, and alone. */
  #unguard(seat: Seat): Promise<unknown> | undefined {
    if (!seat.isGuarded) return undefined
    seat.isGuarded = false
    return seat.channel.prefetch(this.#prefetch, false)
  }

  async cancelQueue(queue: string): Promise<void> {
    const tag = this.#tags.get(queue)
    if (tag === undefined || this.#isEnded) return
    this.#tags.delete(queue)
    const { channel } = this.#seat
    await this.#deps.link.answered(`cancel the consumer of '${queue}'`, () => channel.cancel(tag))
    this.#hand()
  }

  async cancel(): Promise<void> {
    if (this.#isCancelled) return
    this.#isCancelled = true
    if (!this.#deps.link.isOpen) return
    await Promise.all([...this.#tags.keys()].map((queue) => this.cancelQueue(queue)))
    // The channels live as long as their deliveries can be settled.
    this.#isIdle = true
    if (this.#isEmpty) await this.close()
  }

  /** Ends a channel that brings nothing more and of which nothing is held. */
  #onEmpty(seat: Seat): void {
    if (this.#isEnded || seat.acks.size > 0) return
    if (this.#isIdle) {
      if (this.#isEmpty) void this.close()
    } else if (seat.isLeft && this.#left.delete(seat)) {
      seat.acks.flush()
      seat.acks.end()
      seat.stopReading()
      seat.channel.close().catch(() => {})
    }
  }

  get #isEmpty(): boolean {
    return this.#seats.every(({ acks }) => acks.size === 0)
  }

  get #seats(): readonly Seat[] {
    return [...this.#left, this.#seat]
  }

  /** Compares what waits in the broker with what has come; consumes anew where the broker has forgotten us. Never rejects. */
  async look(stateOf: (queue: string) => Promise<QueueState>): Promise<void> {
    for (const [queue, tag] of [...this.#tags]) {
      if (this.#isOver) return
      if (this.#heard.delete(queue) || !this.#hasRoom) {
        this.#doubts.delete(queue)
        continue
      }
      const state = await stateOf(queue)
      const isSame = this.#tags.get(queue) === tag && !this.#heard.has(queue) && this.#hasRoom
      const doubt = this.#doubts.get(queue)
      this.#doubts.delete(queue)
      if (this.#isOver || !isSame || !isForgotten(state)) continue
      const replaced = doubt?.replaced ?? 0
      if (doubt?.tag !== tag) this.#doubts.set(queue, { tag, replaced })
      else await this.#replace(queue, replaced)
    }
  }

  get #isOver(): boolean {
    return this.#isEnded || this.#isCancelled
  }

  get #hasRoom(): boolean {
    return this.#prefetch === 0 || this.#seat.acks.size < this.#prefetch
  }

  /** Hands over nothing more, and sends the acknowledgements that are pending. */
  quiet(): void {
    this.#isQuiet = true
    for (const { acks } of this.#seats) acks.flush()
  }

  /** Sends the acknowledgements that are pending, and gives back the rest in its order. Never rejects. */
  async close(): Promise<void> {
    if (this.#isEnded) return
    const seats = this.#seats
    for (const { acks } of seats) {
      acks.onEmpty = () => {}
      acks.flush()
    }
    this.end()
    // The handshake goes the way of the acknowledgements, behind them; that of the connection would overtake them.
    if (!this.#deps.link.isOpen) return
    await Promise.all(seats.map(({ channel }) => channel.close().catch(() => {})))
  }

  /** Nothing is handed over or settled from now on. */
  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#batch = []
    for (const { acks, stopReading } of this.#seats) {
      acks.end()
      stopReading()
    }
    this.#deps.onEnded(this)
  }

  /** From amqplib: what our own reader left to it, and null for a consumer that the server has cancelled. */
  #take(seat: Seat, queue: string, consumerTag: string, message: ConsumeMessage | null): void {
    if (this.#isEnded) return
    if (message !== null) this.#add(seat, queue, { ...message.fields, envelope: envelopeOf(message) })
    else if (this.#tags.get(queue) === consumerTag) void this.#resume(queue)
  }

  /** From our own reader. */
  #takeRead(seat: Seat, incoming: Incoming): boolean {
    const queue = this.#queues.get(incoming.consumerTag)
    if (queue === undefined || this.#isEnded) return false
    this.#add(seat, queue, incoming)
    return true
  }

  #add(seat: Seat, queue: string, incoming: Incoming): void {
    const { noAck } = this.#options
    this.#heard.add(queue)
    if (!noAck) seat.acks.add(incoming.deliveryTag)
    const acks = noAck ? undefined : seat.acks
    this.#batch.push(new AmqpDelivery(incoming, queue, acks, noAck ? undefined : this.#deps.parking))
    // Together, what has been read in this turn is one batch.
    if (this.#batch.length === 1) process.nextTick(() => this.#hand())
  }

  #hand(): void {
    if (this.#batch.length === 0 || this.#isEnded || this.#isQuiet) return
    const batch = this.#batch
    this.#batch = []
    this.#options.onDeliveries(batch)
  }

  async #resume(queue: string): Promise<void> {
    const { logger, link } = this.#deps
    if (await this.#isSuspended(queue)) {
      link.lose(
        new Error(
          `a message of the queue '${queue}' was held longer than the consumer_timeout of the broker: raise it there, ` +
            'or shorten the tasks',
        ),
      )
      return
    }
    logger.warn({ queue }, `The broker cancelled the consumer of ${queue}: its queue was deleted, or moved.`)
    this.#tags.delete(queue)
    await this.#consumeAgain(queue, `the queue '${queue}' was deleted and cannot be consumed again`)
  }

  /** True for a consumer that was cancelled though its queue is there. */
  async #isSuspended(queue: string): Promise<boolean> {
    const { link, stateOf } = this.#deps
    if (this.#isEmpty || !suspendsSlowConsumers(link.serverVersion)) return false
    return stateOf(queue).then(
      (state) => state !== undefined,
      () => false,
    )
  }

  /**
   * All consumers anew on another channel, where the broker hands nothing to one of them. What it believes to have handed
   * out, and never sent, it gives back when the old channel ends: as soon as what did arrive is settled.
   */
  async #replace(queue: string, replaced: number): Promise<void> {
    const { logger, link } = this.#deps
    const what = `messages wait in the queue '${queue}' and the broker hands out none`
    if (replaced > 0 && this.#seat.acks.size === 0) {
      link.lose(new Error(`${what}, though it was consumed anew`))
      return
    }
    logger.warn({ queue }, `The consumer of ${queue} is not served: ${what}. Consuming anew.`)
    try {
      const seat = this.#seatOn(await link.channel((error) => this.onChannelError(error)))
      if (!this.#options.noAck && this.#prefetch > 0) await this.#limit(seat)
      if (this.#isOver) {
        seat.stopReading()
        await seat.channel.close()
        return
      }
      const [before, consumers] = [this.#seat, [...this.#tags]]
      this.#tags.clear()
      this.#seat = seat
      this.#left.add(before)
      for (const [name, tag] of consumers)
        await link.answered(`cancel the consumer of '${name}'`, () => before.channel.cancel(tag))
      before.isLeft = true
      this.#onEmpty(before)
      for (const [name] of consumers) {
        if (this.#isOver) return
        if (name !== queue) await this.addQueue(name)
      }
    } catch (cause) {
      if (!this.#isOver) link.lose(new Error(what, { cause }))
      return
    }
    await this.#consumeAgain(queue, `${what}, and it cannot be consumed anew`)
    const next = this.#tags.get(queue)
    if (next !== undefined) this.#doubts.set(queue, { tag: next, replaced: replaced + 1 })
  }

  /** Declares and consumes; gives the connection up, saying `otherwise`, where that cannot be done. */
  async #consumeAgain(queue: string, otherwise: string): Promise<void> {
    const { logger, link, redeclare } = this.#deps
    try {
      await redeclare(queue)
      if (this.#isOver) return
      await this.addQueue(queue)
      logger.info({ queue }, `Consuming from ${queue} again.`)
    } catch (cause) {
      link.lose(new Error(otherwise, { cause }))
    }
  }
}

/** True where something waits that should have been handed out. */
function isForgotten(state: QueueState): boolean {
  return state === undefined || (state.messages > 0 && (state.isPushed || state.consumers === 0))
}
