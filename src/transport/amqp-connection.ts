/**
 * A session with RabbitMQ (wire-format section 7).
 *
 * Rule 1: it dies whole: with any of its links, or with the channel of a consumer. Nothing in it reconnects.
 * Rule 2: what is published and what must be acknowledged go over different links: a broker that takes no messages (its
 *         memory or disk alarm) reads nothing more from a connection that publishes, acknowledgements neither. The second
 *         link is opened when the first is taken.
 * Rule 3: a task that no queue took rejects with `UnroutableError`, after the queues that this connection has declared
 *         for it were declared once more.
 * Rule 4: `close()` settles what is pending, gives back what is held, and is bounded.
 */
import type { Channel } from 'amqplib'
import type { Clock } from '../clock.js'
import { ConnectionLostError, UnroutableError } from '../errors.js'
import type { Logger } from '../logger.js'
import { orAborted } from '../or-aborted.js'
import { AmqpAcks } from './amqp-acks.js'
import { AmqpDelivery } from './amqp-delivery.js'
import { envelopeOf } from './amqp-envelope.js'
import type { AmqpLink } from './amqp-link.js'
import { AmqpParking } from './amqp-parking.js'
import { AmqpPublisher } from './amqp-publisher.js'
import { AmqpSubscription } from './amqp-subscription.js'
import { AmqpTopology } from './amqp-topology.js'
import { knowsCommonPrefetch } from './amqp-versions.js'
import { AmqpWatch } from './amqp-watch.js'
import type {
  Capabilities,
  Connection,
  ConsumeOptions,
  DeleteQueueOptions,
  Delivery,
  Outgoing,
  Subscription,
  Topology,
} from './transport.js'

/** How a connection is made. */
export interface AmqpConnectionOptions {
  /** The first link; owned from now on. */
  readonly link: AmqpLink
  /** Opens another to the same server. */
  openLink(signal: AbortSignal): Promise<AmqpLink>
  readonly clock: Clock
  readonly logger: Logger
  /** Most milliseconds that `close` takes; default 4000. */
  readonly closeTimeoutMs?: number
  /** Milliseconds between two looks at the queues of a consumer that hears nothing; default 15 s. */
  readonly lookEveryMs?: number
}

const defaultCloseMs = 4000

/** One session with a RabbitMQ server. */
export class AmqpConnection implements Connection {
  readonly capabilities: Capabilities
  readonly closed: Promise<Error | undefined>
  readonly #options: AmqpConnectionOptions
  readonly #main: AmqpLink
  readonly #links = new Set<AmqpLink>()
  readonly #topology: AmqpTopology
  readonly #parking: AmqpParking
  readonly #watch: AmqpWatch
  readonly #subscriptions = new Set<AmqpSubscription>()
  readonly #publishers = new Set<AmqpPublisher>()
  #publisher: Promise<AmqpPublisher> | undefined
  /** The same, once it is there. */
  #ready: AmqpPublisher | undefined
  #getting: Promise<{ readonly channel: Channel; readonly acks: AmqpAcks }> | undefined
  #getAcks: AmqpAcks | undefined
  #mustSettle = false
  #settleClosed: (cause: Error | undefined) => void = () => {}
  #ending: Promise<void> | undefined
  /** Aborted, with the reason, once nothing can be done any more. */
  readonly #over = new AbortController()
  readonly #publishes = new Set<Promise<void>>()

  constructor(options: AmqpConnectionOptions) {
    const { link, logger, clock } = options
    this.#options = options
    this.#main = link
    this.capabilities = {
      priorities: true,
      nativeDelay: true,
      livePrefetch: knowsCommonPrefetch(link.serverVersion),
      fanout: true,
    }
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve))
    this.#topology = new AmqpTopology({
      link,
      openLink: () => options.openLink(this.#over.signal),
      logger,
      clock,
    })
    this.#parking = new AmqpParking({
      clock,
      logger,
      declare: (topology) => this.declare(topology),
      publish: (messages) => this.publish(messages),
    })
    this.#watch = new AmqpWatch({
      clock,
      logger,
      subscriptions: this.#subscriptions,
      stateOf: (queue) => this.#topology.stateOf(queue),
      ...(options.lookEveryMs === undefined ? {} : { everyMs: options.lookEveryMs }),
    })
    this.#own(link)
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen('declare queues')
    await this.#topology.declare(topology)
  }

  publish(messages: readonly Outgoing[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options
    if (this.#ending !== undefined) return Promise.reject(this.#ended('publish'))
    if (signal?.aborted) return Promise.reject(signal.reason)
    const publisher = this.#ready
    const isReady = publisher !== undefined && messages.every(({ to }) => this.#topology.hasSeen(to.exchange))
    if (isReady) return this.#send(publisher, messages, signal)
    const publishing = this.#prepared(messages, signal).then((ready) => this.#send(ready, messages, signal))
    this.#publishes.add(publishing)
    const forget = (): boolean => this.#publishes.delete(publishing)
    publishing.then(forget, forget)
    return publishing
  }

  /** The publisher, once the exchanges are known to be there: a channel does not survive a message for one that is not. */
  async #prepared(messages: readonly Outgoing[], signal: AbortSignal | undefined): Promise<AmqpPublisher> {
    const unseen = messages.flatMap(({ to }) => (this.#topology.hasSeen(to.exchange) ? [] : to.exchange))
    for (const exchange of new Set(unseen)) await orAborted(this.#topology.assertExchange(exchange), signal)
    return orAborted(this.#publishing(), signal)
  }

  #send(
    publisher: AmqpPublisher,
    messages: readonly Outgoing[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    return publisher
      .publish(messages, signal)
      .then((returned) => (returned.length > 0 ? this.#sendAgain(publisher, returned, signal) : undefined))
  }

  /** What no queue took, once more when its queues could be declared again. */
  async #sendAgain(
    publisher: AmqpPublisher,
    messages: readonly Outgoing[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const queues = new Set(messages.flatMap(({ to }) => this.#topology.queuesOf(to.exchange, to.routingKey)))
    const isDeclared = await orAborted(this.#topology.redeclare([...queues]), signal)
    const returned = isDeclared ? await publisher.publish(messages, signal) : messages
    const first = returned[0]
    if (first === undefined) return
    const { exchange, routingKey } = first.to
    const count = returned.length === 1 ? 'a message' : `${returned.length} messages`
    throw new UnroutableError(
      `the broker ${this.#main.shownUrl} gave ${count} back: no queue is bound to the exchange '${exchange}' for the ` +
        `routing key '${routingKey}'. Declare one, or correct the route.`,
      returned,
    )
  }

  async consume(queues: readonly string[], options: ConsumeOptions): Promise<Subscription> {
    this.#assertOpen('consume')
    if (!options.noAck) this.#parted()
    const subscription = await AmqpSubscription.open(queues, options, {
      link: this.#main,
      logger: this.#options.logger,
      parking: this.#parking,
      stateOf: (queue) => this.#topology.stateOf(queue),
      redeclare: async (queue) => void (await this.#topology.redeclare([queue])),
      hidesDeletion: (queue) => this.#topology.hidesDeletion(queue),
      onEnded: (ended) => this.#subscriptions.delete(ended),
    })
    if (this.#ending !== undefined) {
      await subscription.close()
      throw this.#ended('consume')
    }
    this.#subscriptions.add(subscription)
    this.#watch.start()
    return subscription
  }

  async get(queue: string): Promise<Delivery | undefined> {
    this.#assertOpen('get a message')
    // A queue that is not there would end the channel, and with it what was got before.
    if ((await this.#topology.length(queue)) === undefined) return undefined
    this.#parted()
    this.#getting ??= this.#openGetting()
    const { channel, acks } = await this.#getting
    const message = await this.#main.answered(`get a message from '${queue}'`, () => channel.get(queue))
    if (message === false) return undefined
    acks.add(message.fields.deliveryTag)
    return new AmqpDelivery({ ...message.fields, envelope: envelopeOf(message) }, queue, acks, this.#parking)
  }

  async queueLength(queue: string): Promise<number> {
    this.#assertOpen('count messages')
    return (await this.#topology.length(queue)) ?? 0
  }

  async purge(queue: string): Promise<number> {
    this.#assertOpen('purge a queue')
    return this.#topology.purge(queue)
  }

  async deleteQueue(queue: string, { ifUnused = false }: DeleteQueueOptions = {}): Promise<void> {
    this.#assertOpen('delete a queue')
    await this.#topology.deleteQueue(queue, ifUnused)
  }

  close(): Promise<void> {
    this.#ending ??= this.#end(undefined)
    return this.#ending
  }

  /** From now on something is to be acknowledged over the first link: what publishes moves to another. */
  #parted(): void {
    if (this.#mustSettle) return
    this.#mustSettle = true
    const before = this.#publisher
    this.#publisher = undefined
    this.#ready = undefined
    before?.then(
      async (publisher) => {
        await publisher.retire()
        this.#publishers.delete(publisher)
      },
      () => {},
    )
  }

  #publishing(): Promise<AmqpPublisher> {
    if (this.#publisher === undefined) {
      const opening = this.#openPublisher()
      this.#publisher = opening
      opening.then(
        (publisher) => {
          if (this.#publisher === opening) this.#ready = publisher
        },
        () => {
          if (this.#publisher === opening) this.#publisher = undefined
        },
      )
    }
    return this.#publisher
  }

  async #openPublisher(): Promise<AmqpPublisher> {
    const { signal } = this.#over
    const link = this.#mustSettle ? await this.#options.openLink(signal) : this.#main
    if (signal.aborted) link.lose(signal.reason)
    signal.throwIfAborted()
    this.#own(link)
    const publisher = new AmqpPublisher(link)
    this.#publishers.add(publisher)
    return publisher
  }

  async #openGetting(): Promise<{ readonly channel: Channel; readonly acks: AmqpAcks }> {
    const channel = await this.#main.channel((error) => this.#main.lose(error))
    this.#getAcks = new AmqpAcks(this.#main, channel)
    return { channel, acks: this.#getAcks }
  }

  #own(link: AmqpLink): void {
    if (this.#links.has(link)) return
    this.#links.add(link)
    link.closed.then((cause) => {
      this.#ending ??= this.#end(cause ?? link.lost('go on'))
    })
  }

  async #end(cause: Error | undefined): Promise<void> {
    this.#watch.stop()
    const { closeTimeoutMs = defaultCloseMs, clock } = this.#options
    if (cause === undefined) {
      const end = clock.monotonic() + closeTimeoutMs
      let cancel = (): void => {}
      const late = new Promise<void>((resolve) => {
        cancel = clock.after(closeTimeoutMs * 0.75, resolve)
      })
      await Promise.race([this.#endInOrder(), late])
      cancel()
      await Promise.all([...this.#links].map((link) => link.close(Math.max(100, end - clock.monotonic()))))
    }
    for (const subscription of this.#subscriptions) subscription.end()
    this.#getAcks?.end()
    this.#parking.end()
    const error = cause ?? this.#ended('go on')
    this.#over.abort(error)
    for (const link of this.#links) link.lose(error)
    for (const publisher of this.#publishers) publisher.end()
    this.#settleClosed(cause)
  }

  /** Channels before connections: what they have sent comes first, and what they hold goes back. */
  async #endInOrder(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.quiet()
    this.#getAcks?.flush()
    await this.#parking.idle()
    await Promise.all([
      ...[...this.#subscriptions].map((subscription) => subscription.close()),
      this.#getting?.then(({ channel, acks }) => closeGetting(channel, acks)).catch(() => {}),
      Promise.allSettled(this.#publishes),
    ])
    await Promise.all([...this.#publishers].map((publisher) => publisher.retire()))
  }

  #assertOpen(what: string): void {
    if (this.#ending !== undefined) throw this.#ended(what)
  }

  #ended(what: string): ConnectionLostError {
    return new ConnectionLostError(
      `cannot ${what}: the connection to ${this.#main.shownUrl} has ended; open another`,
    )
  }
}

async function closeGetting(channel: Channel, acks: AmqpAcks): Promise<void> {
  acks.flush()
  acks.end()
  await channel.close()
}
