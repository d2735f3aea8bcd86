/**
 * A `Connection` made from any `QueueStore`: exchanges, prefetch, settling, leases and an orderly end, as kombu's
 * `transport/virtual/base.py` gives them to brokers without AMQP.
 *
 * Rule 1: it ends once, by `close()` or by the loss of its store, and then everything made from it is dead.
 * Rule 2: `close()` stops taking before it gives back, gives back before it leaves, and is bounded in time.
 */
import { type Clock, pause, systemClock } from '../clock.js'
import { BrokerRefusedError, ConnectionLostError } from '../errors.js'
import { type Logger, silentLogger } from '../logger.js'
import { orAborted } from '../or-aborted.js'
import { claimedOf, HeldMessages, parcelOf } from './held-messages.js'
import { LeaseKeeper } from './lease-keeper.js'
import type { QueueStore, Stored } from './queue-store.js'
import type {
  Capabilities,
  Connection,
  ConsumeOptions,
  Delivery,
  Handover,
  LateSettling,
  Outgoing,
  PublishOptions,
  Subscription,
  Topology,
  Unreadable,
} from './transport.js'
import { VirtualRouter } from './virtual-router.js'
import { VirtualSubscription } from './virtual-subscription.js'

/** How a virtual connection is made. */
export interface VirtualConnectionOptions {
  readonly store: QueueStore
  /** The URL for messages to people, without its password. */
  readonly shownUrl: string
  /** Kombu's transport option `deadletter_queue`: takes what no binding matches. Default: dropped. */
  readonly deadletterQueue?: string
  /** What the store adds to the common part; default: fanout and live prefetch. */
  readonly capabilities?: Partial<Capabilities>
  /** Most milliseconds that `close` takes; default 5000. What could not be given back stays with the broker. */
  readonly closeTimeoutMs?: number
  readonly clock?: Clock
  readonly logger?: Logger
}

/** One session with a broker that has no AMQP. */
export class VirtualConnection implements Connection {
  readonly capabilities: Capabilities
  readonly closed: Promise<Error | undefined>
  settleLost?: NonNullable<Connection['settleLost']>
  takeUnseen?: NonNullable<Connection['takeUnseen']>
  adopt?: NonNullable<Connection['adopt']>
  abandon?: NonNullable<Connection['abandon']>
  readonly #store: QueueStore
  readonly #router: VirtualRouter
  readonly #held: HeldMessages
  readonly #leases: LeaseKeeper | undefined
  readonly #subscriptions = new Set<VirtualSubscription>()
  readonly #options: VirtualConnectionOptions
  readonly #clock: Clock
  readonly #logger: Logger
  #settleClosed: (cause: Error | undefined) => void = () => {}
  #ending: Promise<void> | undefined

  /** Takes over the store: its callbacks and its end. */
  constructor(options: VirtualConnectionOptions) {
    const { store } = options
    this.#options = options
    this.#store = store
    this.#clock = options.clock ?? systemClock()
    this.#logger = options.logger ?? silentLogger
    this.capabilities = {
      priorities: false,
      nativeDelay: false,
      livePrefetch: true,
      fanout: true,
      ...options.capabilities,
    }
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve))
    this.#router = new VirtualRouter(store, options.deadletterQueue)
    this.#held = new HeldMessages(store, (cause) => this.#lose(cause))
    this.#leases = store.leases && new LeaseKeeper(store.leases, this.#held, this.#clock, this.#logger)
    if (store.settleLost) this.settleLost = (lost, how, wasAsked) => this.#settleLost(lost, how, wasAsked)
    if (store.takeUnseen) this.takeUnseen = (dead) => this.#takeUnseen(dead)
    if (store.adopt) {
      this.adopt = (lost) => this.#adopt(lost)
      this.abandon = async (cause) => {
        this.#lose(cause)
        await this.closed
      }
    }
    store.onLost = (cause) => this.#lose(cause)
    store.onUnreadable = (report) => this.#reportUnreadable(report)
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen('declare queues')
    for (const exchange of topology.exchanges) this.#router.declareExchange(exchange)
    for (const binding of topology.bindings) await this.#router.bind(binding)
  }

  publish(messages: readonly Outgoing[], options: PublishOptions = {}): Promise<void> {
    const [first] = messages
    if (
      this.#ending === undefined &&
      options.signal === undefined &&
      options.after === undefined &&
      messages.length === 1 &&
      first !== undefined
    ) {
      const { exchange, routingKey } = first.to
      // One to one queue: nothing is asked first, and no promise is kept until its answer but the store's own.
      if (exchange === '' && routingKey !== '')
        return this.#store.push([{ queue: routingKey, exchange, routingKey, envelope: first.envelope }])
    }
    return this.#publish(messages, options)
  }

  async #publish(messages: readonly Outgoing[], options: PublishOptions): Promise<void> {
    this.#assertOpen('publish')
    options.signal?.throwIfAborted()
    const copies: Stored[] = []
    for (const { envelope, to } of messages) {
      const { exchange, routingKey } = to
      if (exchange === '') {
        this.#copies(envelope, to, this.#router.routeByDefault(routingKey), copies)
        continue
      }
      if (this.#store.broadcast !== undefined && this.#router.typeOf(exchange) === 'fanout') {
        const sending = this.#store.broadcast(exchange, routingKey, envelope, options.signal)
        await orAborted(sending, options.signal)
        continue
      }
      this.#copies(envelope, to, await this.#router.route(to), copies)
    }
    if (copies.length === 0) return
    // A store that hangs (a dead network disk) does not hang those who gave a bound.
    await orAborted(this.#store.push(copies, options.signal, options.after), options.signal)
  }

  #copies(
    envelope: Stored['envelope'],
    { exchange, routingKey }: Outgoing['to'],
    queues: readonly string[],
    copies: Stored[],
  ): void {
    if (queues.length === 0) {
      this.#logger.warn(
        { exchange, routingKey },
        'no queue is bound for a message; it is dropped, as in kombu',
      )
    }
    for (const queue of queues) copies.push({ queue, exchange, routingKey, envelope })
  }

  async consume(queues: readonly string[], options: ConsumeOptions): Promise<Subscription> {
    this.#assertOpen('consume')
    this.#leases?.start()
    await Promise.all(queues.map((queue) => this.#store.startHearing?.(queue)))
    this.#assertOpen('consume')
    const subscription = new VirtualSubscription(queues, options, {
      store: this.#store,
      clock: this.#clock,
      held: this.#held,
      logger: this.#logger,
      onFailure: (cause) => this.#lose(cause),
      onEnded: (ended) => this.#subscriptions.delete(ended),
    })
    this.#subscriptions.add(subscription)
    return subscription
  }

  async get(queue: string): Promise<Delivery | undefined> {
    this.#assertOpen('get a message')
    this.#leases?.start()
    const claimed = await this.#store.claimNow(queue)
    if (claimed === undefined) return undefined
    if (this.#ending === undefined) return this.#held.hold(claimed)
    await this.#store.settle([claimed], 'return')
    throw this.#ended('get a message')
  }

  async queueLength(queue: string): Promise<number> {
    this.#assertOpen('count messages')
    return this.#store.length(queue)
  }

  async purge(queue: string): Promise<number> {
    this.#assertOpen('purge a queue')
    return this.#store.purge(queue)
  }

  async deleteQueue(queue: string): Promise<void> {
    this.#assertOpen('delete a queue')
    await this.#store.remove(queue)
    this.#router.forgetQueue(queue)
  }

  async #settleLost(
    lost: readonly Delivery[],
    how: LateSettling | Handover,
    wasAsked = false,
  ): Promise<readonly Delivery[]> {
    this.#assertOpen('settle what another connection held')
    const whole = typeof how === 'string' ? how : parcelOf(how)
    if (whole === undefined) throw new BrokerRefusedError('what follows from a task has no queue of its own')
    const claims = new Map(lost.map((delivery) => [claimedOf(delivery), delivery]))
    const known = [...claims.keys()].filter((claimed) => claimed !== undefined)
    const gone = known.length === 0 ? [] : ((await this.#store.settleLost?.(known, whole, wasAsked)) ?? [])
    return gone.map((claimed) => claims.get(claimed) as Delivery)
  }

  async #adopt(lost: readonly Delivery[]): Promise<readonly (Delivery | undefined)[]> {
    const what = 'take over what another connection held'
    this.#assertOpen(what)
    const claims = lost.map(claimedOf)
    const known = claims.filter((claimed) => claimed !== undefined)
    const adopted = known.length === 0 ? [] : ((await this.#store.adopt?.(known)) ?? [])
    // What ended meanwhile holds nothing any more: the next connection finds what this one wrote.
    this.#assertOpen(what)
    const rest = adopted[Symbol.iterator]()
    return claims.map((claimed) => {
      const mine = claimed === undefined ? undefined : rest.next().value
      return mine && this.#held.hold(mine)
    })
  }

  async #takeUnseen(dead: Connection): Promise<number> {
    this.#assertOpen('give back what another connection was not told of')
    return dead instanceof VirtualConnection ? ((await this.#store.takeUnseen?.(dead.#store)) ?? 0) : 0
  }

  close(): Promise<void> {
    this.#ending ??= this.#end(undefined)
    return this.#ending
  }

  #lose(cause: Error): void {
    this.#ending ??= this.#end(cause)
  }

  /** Bounded: a store that hangs leaves what it holds to its leases. */
  async #end(cause: Error | undefined): Promise<void> {
    const lost = cause && new ConnectionLostError(`the broker ${this.#options.shownUrl} was lost`, { cause })
    const expired = new AbortController()
    const orderly = this.#endInOrder(lost)
    const bound = pause(this.#clock, this.#options.closeTimeoutMs ?? 5000, expired.signal).then(
      () => {
        this.#logger.warn({ broker: this.#options.shownUrl }, 'closing took too long; leaving as it is')
        this.#store.close().catch(() => {})
      },
      () => {},
    )
    try {
      await Promise.race([orderly, bound])
    } catch (error) {
      this.#logger.warn({ err: error }, 'messages could not be given back to the broker in order')
    } finally {
      expired.abort()
      // A second, late failure of the orderly end has nobody else to hear it.
      orderly.catch(() => {})
      this.#held.end(lost)
      this.#settleClosed(lost)
    }
  }

  async #endInOrder(lost: Error | undefined): Promise<void> {
    if (lost !== undefined) this.#held.end(lost)
    try {
      await Promise.all([...this.#subscriptions].map((subscription) => subscription.cancel()))
      if (lost === undefined) await this.#held.returnAll()
      await this.#leases?.stop()
    } finally {
      await this.#store.close()
    }
  }

  /** To the consumers of its queue, who say so; here only where there are none. */
  #reportUnreadable(report: Unreadable): void {
    const listeners = [...this.#subscriptions].flatMap((s) => s.reportsUnreadable(report.queue) ?? [])
    if (listeners.length === 0) {
      const { queue, keptAt, error } = report
      this.#logger.error({ err: error, queue, keptAt }, 'a message could not be read; it was set aside')
    }
    for (const listener of listeners) {
      try {
        listener(report)
      } catch (err) {
        this.#logger.error({ err }, 'a consumer threw while it was told of an unreadable message')
      }
    }
  }

  #assertOpen(what: string): void {
    if (this.#ending !== undefined) throw this.#ended(what)
  }

  #ended(what: string): ConnectionLostError {
    return new ConnectionLostError(
      `cannot ${what}: the connection to ${this.#options.shownUrl} has ended; open another`,
    )
  }
}
