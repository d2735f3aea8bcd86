/**
 * Declaring exchanges, queues and bindings, and asking about queues: the requests of one connection, one after the other
 * on a channel of their own, so that a refusal (which ends its channel) hits none but itself.
 *
 * Rule 1: declarations are kombu's, argument for argument (wire-format 7.2).
 * Rule 2: what differs from what there is, is refused by the broker and reported with the difference; but the meeting
 *         places of remote control and events, which a peer of another version may have declared otherwise, and the
 *         queues of delays, which another app may have as another type, are used as they are.
 * Rule 3: what was declared is remembered by queue, to be declared again when it has been deleted.
 * Rule 4: where the server permits no queues that are neither durable nor exclusive (RabbitMQ 4.3, unless its
 *         configuration says otherwise), they are declared durable, as Celery's control_queue_durable has it. Exclusive
 *         ones would shut out a second worker of the same name, and ourselves after a connection that the server has not
 *         missed yet. Being asked for such a queue it ends the whole connection, so one of its own asks first.
 * Rule 5: a quorum queue that was deleted is declared again after a pause. Its consumers are told while the broker is still
 *         at it: who declares at once is told that all is well, and finds no queue. And RabbitMQ 3 keeps the end of a queue
 *         that is there again too soon from who consumes it (amqp-versions.ts); peers have no guard against that.
 */
import type { Channel, Options } from 'amqplib'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError } from '../errors.js'
import type { Logger } from '../logger.js'
import { amqpTable } from './amqp-envelope.js'
import { type Inequivalent, inequivalentOf, isDenied, isInUse, isNotFound } from './amqp-errors.js'
import type { AmqpLink } from './amqp-link.js'
import type { QueueState } from './amqp-subscription.js'
import { hidesDeletions, mayDenyTransient } from './amqp-versions.js'
import type { Binding, Exchange, Queue, Topology } from './transport.js'

/** The closing handshake of a connection that asked one thing. */
const probeCloseMs = 1000

/** Rule 5: seen were 25 ms, and up to 30 ms until peers were told; the rest is for a busy broker. */
const untilGoneMs = 200

/** What topology needs of its connection. */
export interface TopologyDeps {
  readonly link: AmqpLink
  readonly logger: Logger
  readonly clock: Clock
  /** Opens another to the same server. */
  openLink(): Promise<AmqpLink>
}

/** The declaring channel of one link. */
export class AmqpTopology {
  readonly #link: AmqpLink
  readonly #openLink: () => Promise<AmqpLink>
  readonly #logger: Logger
  readonly #clock: Clock
  /** Rule 4, once it is known. */
  #isTransientDenied: Promise<boolean> | undefined
  #channel: Channel | undefined
  #turn: Promise<unknown> = Promise.resolve()
  readonly #exchanges = new Map<string, Exchange>()
  readonly #queues = new Map<string, Queue>()
  readonly #bindings = new Map<string, Binding[]>()
  /** Exchanges that are known to be there. */
  readonly #seen = new Set<string>()

  constructor({ link, openLink, logger, clock }: TopologyDeps) {
    this.#link = link
    this.#openLink = openLink
    this.#logger = logger
    this.#clock = clock
  }

  /** Declares all. Throws a typed error. */
  async declare({ exchanges, queues, bindings }: Topology): Promise<void> {
    for (const exchange of exchanges) await this.#declareExchange(exchange)
    for (const queue of queues) await this.#declareQueue(queue)
    for (const binding of bindings) await this.#bind(binding)
  }

  /** Declares again what is known of these queues, as far as anything is. True when something was. */
  async redeclare(queues: readonly string[]): Promise<boolean> {
    const known = queues.filter((name) => this.#queues.has(name))
    if (known.some((name) => this.#isQuorum(name))) await pause(this.#clock, untilGoneMs)
    for (const name of known) {
      const bindings = this.#bindings.get(name) ?? []
      await this.declare({
        exchanges: bindings.flatMap(({ from }) => this.#exchanges.get(from) ?? []),
        queues: [this.#queues.get(name) as Queue],
        bindings,
      })
    }
    return known.length > 0
  }

  /** True for a queue whose end the broker may keep from its consumers. */
  hidesDeletion(queue: string): boolean {
    return this.#isQuorum(queue) && hidesDeletions(this.#link.serverVersion)
  }

  #isQuorum(queue: string): boolean {
    return this.#queues.get(queue)?.arguments?.['x-queue-type'] === 'quorum'
  }

  /** The queues that a message would reach by what is known here. */
  queuesOf(exchange: string, routingKey: string): readonly string[] {
    if (exchange === '') return [routingKey]
    const bound = [...this.#bindings].filter(([, bindings]) => bindings.some(({ from }) => from === exchange))
    return bound.map(([queue]) => queue)
  }

  /** True for an exchange that is known to be there. */
  hasSeen(name: string): boolean {
    return name === '' || this.#seen.has(name) || name.startsWith('amq.')
  }

  /** Throws `BrokerRefusedError` for an exchange that does not exist; asks once for each. */
  async assertExchange(name: string): Promise<void> {
    await this.#run(`publish to the exchange '${name}'`, (channel) => channel.checkExchange(name))
    this.#seen.add(name)
  }

  /** What waits in a queue, and for how many; asks without declaring. */
  async stateOf(queue: string): Promise<QueueState> {
    const answer = await this.#unlessMissing(`look at the queue '${queue}'`, (channel) =>
      channel.checkQueue(queue),
    )
    if (answer === undefined) return undefined
    const known = this.#queues.get(queue)?.arguments
    const isSpecial = known?.['x-queue-type'] === 'stream' || known?.['x-single-active-consumer'] === true
    const { messageCount: messages, consumerCount: consumers } = answer
    return { messages, consumers, isPushed: known !== undefined && !isSpecial }
  }

  /** How many messages wait in a queue; undefined when there is no such queue. */
  async length(queue: string): Promise<number | undefined> {
    return (await this.stateOf(queue))?.messages
  }

  /** Removes what waits; 0 for a queue that does not exist. */
  async purge(queue: string): Promise<number> {
    const answer = await this.#unlessMissing(`purge the queue '${queue}'`, (channel) =>
      channel.purgeQueue(queue),
    )
    return answer?.messageCount ?? 0
  }

  /** Deletes a queue with what is in it; nothing happens when there is none, or with `ifUnused` when it has consumers. */
  async deleteQueue(queue: string, ifUnused: boolean): Promise<void> {
    this.#queues.delete(queue)
    this.#bindings.delete(queue)
    try {
      await this.#unlessMissing(`delete the queue '${queue}'`, (channel) =>
        channel.deleteQueue(queue, { ifUnused }),
      )
    } catch (error) {
      const isUsed = error instanceof Error && isInUse(error.cause)
      if (!ifUnused || !isUsed) throw error
    }
  }

  async #declareExchange(exchange: Exchange): Promise<void> {
    const { name, type, durable, autoDelete = false, arguments: args = {} } = exchange
    if (name === '' || name.startsWith('amq.')) return
    const how = { durable, autoDelete, arguments: amqpTable(args) }
    await this.#unlessDifferent(
      `declare the exchange '${name}'`,
      (channel) => channel.assertExchange(name, type, how),
      ({ argument }) => !durable && argument !== 'type',
    )
    this.#exchanges.set(name, exchange)
    this.#seen.add(name)
  }

  async #declareQueue(queue: Queue): Promise<void> {
    const { name, durable, exclusive, autoDelete, arguments: args } = queue
    const asked = { durable, exclusive, autoDelete, arguments: amqpTable(args) }
    const isDenied = !durable && !exclusive && (await this.#deniesTransient(name, asked))
    const how = { ...asked, durable: durable || isDenied }
    try {
      await this.#unlessDifferent(
        `declare the queue '${name}'`,
        (channel) => channel.assertQueue(name, how),
        ({ argument }) => (!durable && argument !== 'exclusive') || name.startsWith('celery_delayed_'),
      )
    } catch (error) {
      // Nothing that a declaration names can be missing: the queue is there, and its node or its process is not.
      const isAway = error instanceof Error && isNotFound(error.cause)
      throw isAway ? new BrokerUnavailableError(error.message, { cause: error }) : error
    }
    this.#queues.set(name, queue)
  }

  /** Asks once, by the first such queue. */
  #deniesTransient(name: string, how: Options.AssertQueue): Promise<boolean> {
    if (!mayDenyTransient(this.#link.serverVersion)) return Promise.resolve(false)
    this.#isTransientDenied ??= this.#tryTransient(name, how)
    this.#isTransientDenied.catch(() => (this.#isTransientDenied = undefined))
    return this.#isTransientDenied
  }

  async #tryTransient(name: string, how: Options.AssertQueue): Promise<boolean> {
    const link = await this.#openLink()
    try {
      const channel = await link.channel(() => {})
      await link.answered(`declare the queue '${name}'`, () => channel.assertQueue(name, how))
      return false
    } catch (error) {
      // Whatever else it has against the queue, it says again to the declaration that counts.
      return error instanceof Error && isDenied(error.cause)
    } finally {
      await link.close(probeCloseMs)
    }
  }

  async #bind(binding: Binding): Promise<void> {
    const { from, to, routingKey, arguments: args = {} } = binding
    if (from === '') return
    if ('exchange' in to) {
      await this.#run(`bind the exchange '${to.exchange}' to '${from}'`, (channel) =>
        channel.bindExchange(to.exchange, from, routingKey, amqpTable(args)),
      )
      return
    }
    await this.#run(`bind the queue '${to.queue}' to '${from}'`, (channel) =>
      channel.bindQueue(to.queue, from, routingKey, amqpTable(args)),
    )
    const known = this.#bindings.get(to.queue) ?? []
    const isKnown = known.some((one) => one.from === from && one.routingKey === routingKey)
    if (!isKnown) this.#bindings.set(to.queue, [...known, binding])
  }

  async #unlessMissing<T>(what: string, ask: (channel: Channel) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#run(what, ask)
    } catch (error) {
      if (error instanceof Error && isNotFound(error.cause)) return undefined
      throw error
    }
  }

  async #unlessDifferent(
    what: string,
    ask: (channel: Channel) => Promise<unknown>,
    isBearable: (difference: Inequivalent) => boolean,
  ): Promise<void> {
    try {
      await this.#run(what, ask)
    } catch (error) {
      const difference = error instanceof Error ? inequivalentOf(error.cause) : undefined
      if (difference === undefined || !isBearable(difference)) throw error
      const { kind, name, argument, current } = difference
      this.#logger.warn(
        { [kind]: name, argument, current },
        `The ${kind} ${name} was declared otherwise by somebody else (${argument} is ${current}); it is used as it is.`,
      )
    }
  }

  /** One request at a time; a channel that a refusal has ended is replaced. */
  #run<T>(what: string, ask: (channel: Channel) => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      const channel = this.#channel ?? (await this.#open())
      return this.#link.answered(what, () => ask(channel))
    }
    const turn = this.#turn.then(run, run)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #open(): Promise<Channel> {
    const channel = await this.#link.channel(() => {})
    channel.on('close', () => {
      if (this.#channel === channel) this.#channel = undefined
    })
    this.#channel = channel
    return channel
  }
}
