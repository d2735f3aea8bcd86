/**
 * BROKERS. What a broker is to us.
 *
 * Rule 1: a `Connection` dies whole. Nothing in a transport reconnects; once `closed` settles, every delivery and
 *         subscription made from it is dead, and settling a delivery rejects with `DeliveryLostError`.
 * Rule 2: what was handed over belongs to the consumer until it is settled or the connection dies; then it belongs to
 *         the broker again. No message is ever without an owner.
 * Rule 3: everything on the hot path takes and returns batches.
 * Rule 4: every promise here settles within the bound its options give, or when its signal aborts.
 */
import type { Envelope } from '../../protocol/envelope.js'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'

/** Opens sessions with one kind of broker. One object per URL scheme. */
export interface Transport {
  /** Throws `BrokerUnavailableError` or `ConfigError`; leaves nothing open when it throws. */
  connect(url: string, options: ConnectOptions): Promise<Connection>
}

/** What a session is opened with; nothing in a transport reads an app's settings. */
export interface ConnectOptions {
  /**
   * Celery's `broker_transport_options`, by kombu's own names, with what other settings say of the connection: `ssl`,
   * `heartbeat`, `login_method`.
   */
  readonly transportOptions: Readonly<Record<string, unknown>>
  /** Milliseconds to be connected in; default 4000 (`broker_connection_timeout`). */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  readonly clock?: Clock
  readonly logger?: Logger
  /** A random UUID each call; default `crypto.randomUUID`. */
  readonly newId?: () => string
}

/** One session with a broker. Once `closed` settles, everything made from it is dead. */
export interface Connection {
  readonly capabilities: Capabilities
  /** Settles once and never rejects: `undefined` after `close()`, the cause after a loss. */
  readonly closed: Promise<Error | undefined>
  /** Idempotent. */
  declare(topology: Topology): Promise<void>
  /** Resolves when the broker has accepted all of them; when it rejects, each may or may not have been accepted. */
  publish(messages: readonly Outgoing[], options?: PublishOptions): Promise<void>
  consume(queues: readonly string[], options: ConsumeOptions): Promise<Subscription>
  /** Takes one message without waiting (AMQP's basic.get). */
  get(queue: string): Promise<Delivery | undefined>
  queueLength(queue: string): Promise<number>
  /** Removes what is waiting (not what is held) and returns how many. */
  purge(queue: string): Promise<number>
  /** Deletes a queue with what is in it; nothing happens when there is none. */
  deleteQueue(queue: string, options?: DeleteQueueOptions): Promise<void>
  /**
   * Settles through this connection what a lost one of this process still held with the same broker, oldest first, and
   * only where the broker knows it as held by that one yet: returns those that are gone or went to others. Absent where
   * the end of a connection gives back what it held (AMQP). Rejects when the broker cannot be asked; safe to repeat.
   * `wasAsked`: the lost connection had been asked for the same and was not answered. Then what is gone has gone by that,
   * as long as nobody else can have been given it. A handover ends each with an acknowledgement; it rejects when it is
   * refused.
   */
  settleLost?(
    lost: readonly Delivery[],
    how: LateSettling | Handover,
    wasAsked?: boolean,
  ): Promise<readonly Delivery[]>
  /**
   * Gives back, to the front of their queues, messages that the broker handed to a lost connection of this process which
   * never heard of them; resolves with their number. Rejects and repeats as `settleLost`, and is absent where that is.
   */
  takeUnseen?(dead: Connection): Promise<number>
  /**
   * Takes over what a lost connection of this process held with the same broker and somebody still works on: held,
   * renewed and settled as this connection's own from then on. Resolves with a delivery for each, in the given order;
   * undefined for what is gone or went to others. Rejects and repeats as `settleLost`, and is absent where that is.
   */
  adopt?(lost: readonly Delivery[]): Promise<readonly (Delivery | undefined)[]>
  /**
   * Ends this one as if it were lost: what it holds stays with the broker, for the connection that comes next. Never rejects;
   * absent where `adopt` is.
   */
  abandon?(cause: Error): Promise<void>
  /** Returns unsettled deliveries to the broker, in their order. Safe twice. */
  close(): Promise<void>
}

/** How to publish. */
export interface PublishOptions {
  readonly signal?: AbortSignal
  /**
   * What earlier attempts to publish these very messages (the same objects) failed with. What one of them has left with the
   * broker after all is not published once more, as far as the broker can tell. Brokers that cannot tell do not read it.
   */
  readonly after?: readonly Error[]
}

/**
 * ack: done. drop: refused for good. requeue: back behind what waits. return: back in front of what waits, marked as
 * redelivered. undo: back in front as if it had never been taken, for what was not started.
 */
export type LateSettling = 'ack' | 'drop' | 'requeue' | 'return' | 'undo'

/** Which queues are deleted. */
export interface DeleteQueueOptions {
  /** Only one that nobody consumes; a broker that does not know who consumes (Redis, folders) deletes it. Default false. */
  readonly ifUnused?: boolean
}

/** What a broker can do beyond the common part. */
export interface Capabilities {
  readonly priorities: boolean
  readonly nativeDelay: boolean
  /**
   * Whether one prefetch count holds for all queues of a subscription, and `setPrefetch` reaches consumers that run
   * already. A quorum queue has its own in any case (`ConsumeOptions.globalPrefetch`).
   */
  readonly livePrefetch: boolean
  /** Whether fanout exchanges reach every bound queue (remote control, events). */
  readonly fanout: boolean
}

/** One message and where it goes. */
export interface Outgoing {
  readonly envelope: Envelope
  readonly to: Address
  /**
   * False for what may find no queue and is then dropped without a word, as Celery sends it: commands to workers,
   * replies, events, `rpc://` results. Default true: a broker that can tell that no queue took a message (AMQP) has
   * `publish` reject, since a task that nobody holds is lost.
   */
  readonly mandatory?: boolean
}

/** An exchange (`''` is the default one) and a routing key. */
export interface Address {
  readonly exchange: string
  readonly routingKey: string
}

/** How to consume. */
export interface ConsumeOptions {
  /** Most deliveries held unsettled at once over all queues of the subscription; 0 means no limit. */
  readonly prefetch: number
  /** Deliveries need no settling and are gone when handed over. */
  readonly noAck: boolean
  /**
   * False where a queue is a quorum queue of RabbitMQ, which knows no limit over several queues: each has its own then,
   * and running consumers keep theirs (Celery's `worker_detect_quorum_queues`). Default true; others do not read it.
   */
  readonly globalPrefetch?: boolean
  /** AMQP's arguments of the consumer of a queue, such as `x-priority`; others do not read it. */
  consumerArguments?(queue: string): Readonly<Record<string, unknown>>
  /** Called with one or more deliveries, oldest first; must not throw. */
  onDeliveries(deliveries: readonly Delivery[]): void
  /**
   * Called for a message whose envelope cannot be read; the transport has already set its bytes aside. It is logged by
   * whoever is told; by the transport when nobody is.
   */
  onUnreadable?(report: Unreadable): void
}

/** A message that could not be read as an envelope: set aside, never lost. */
export interface Unreadable {
  readonly queue: string
  readonly bytes: Uint8Array
  /** Where the bytes are now, for a person (a path, a key). */
  readonly keptAt: string
  readonly error: Error
}

/** A running consumer. */
export interface Subscription {
  setPrefetch(count: number): Promise<void>
  addQueue(queue: string): Promise<void>
  cancelQueue(queue: string): Promise<void>
  /**
   * Of parked messages, only those due before `dueBeforeMs` (epoch milliseconds) are handed out from now on; Infinity,
   * as at first, takes all. Told by a worker whose room for waiting messages is full, up to what it holds. Costs
   * nothing. Absent where the broker cannot choose: the worker then parks again what it cannot use yet.
   */
  takeParked?(dueBeforeMs: number): void
  /** Stop receiving. Deliveries already handed over can still be settled. */
  cancel(): Promise<void>
}

/** One message handed to this process. Settle it exactly once, while its connection lives. */
export interface Delivery {
  readonly envelope: Envelope
  readonly queue: string
  readonly address: Address
  readonly redelivered: boolean
  /** Acks of one tick share a round trip. Rejects with `DeliveryLostError` when the message is no longer ours. */
  ack(): Promise<void>
  /**
   * `ack` for one who wants to be called, which costs less than a promise: never before this call has returned, once.
   * Absent where `ack` does.
   */
  ackFor?(watcher: AckWatcher): void
  /**
   * Takes back an acknowledgement that has not gone out: the message is held as before, and who waits is not told. False
   * where it is too late, or none was asked for. Present where `handOver` is, which can then do both in one step.
   */
  withdrawAck?(): boolean
  /** `requeue` puts it back behind what waits; without it the message is dropped (or dead-lettered). */
  reject(options: { readonly requeue: boolean }): Promise<void>
  /**
   * Publishes, stores and, with `acks`, acknowledges, in one step: all of it is done or nothing, whatever dies meanwhile.
   * Without `acks` it was acknowledged before. Resolves false, with nothing done, when it must be done step by step: the
   * broker refuses a part, keeps results elsewhere, or would have to route. Rejects with `DeliveryLostError` when it is
   * no longer ours, and with that error having a cause when the answer was lost: then it may have been done, and with
   * `acks` the next connection finds out (`Connection.settleLost`). Absent where the broker has no such step.
   */
  handOver?(what: Handover, acks: boolean): Promise<boolean>
  /**
   * Whether `handOver` may do it where a result is stored, or keys are deleted, in `place`, or in none: asked before what is
   * handed over is made. Present with `handOver`.
   */
  handsOver?(place: ResultPlace | undefined): boolean
  /**
   * Gives it back in front of what waits, as at shutdown; releases of one tick keep the order of their calls. Absent
   * where `reject` with requeue already puts it back in its place (AMQP).
   */
  release?(): Promise<void>
  /**
   * Leaves it with the broker until shortly before `untilMs` (epoch milliseconds), when it is handed out again to any
   * worker of either language; the broker may mark it as redelivered then. Parked when it is nearly due already, it does
   * not come back to this connection for a good part of the time that is left, so that a worker that cannot use it yet
   * does not see it over and over. Resolves when the broker alone owns it. Nothing of it stays in this process. Absent where the broker has no
   * such place: the worker then keeps what waits in memory.
   */
  park?(untilMs: number): Promise<void>
  /**
   * False when the broker may have given it to somebody else already (its lease was not renewed in time): it must not
   * be started. Costs nothing; absent where only the end of the connection can take a message away.
   */
  isHeld?(): boolean
}

/** What follows from the end of a task, to be done in one step with its acknowledgement. */
export interface Handover {
  readonly messages: readonly Outgoing[]
  /** A result to store and tell of. */
  readonly result?: SealedResult | undefined
  /** Keys that are deleted where results are. */
  readonly deletes?: { readonly place: ResultPlace; readonly keys: readonly string[] } | undefined
}

/** A server that keeps results, and the database in it. */
export interface ResultPlace {
  /** The same text for the same server and login. */
  readonly server: string
  readonly database: number
}

/** A result as it is stored, so that another connection to its server can do that. */
export interface SealedResult {
  readonly place: ResultPlace
  /** Also the channel that is told of it. */
  readonly key: string
  readonly value: Uint8Array | string
  /** 0: for ever. */
  readonly keepSeconds: number
}

/** Who is told what came of an acknowledgement. Neither may throw. */
export interface AckWatcher {
  onAcknowledged(): void
  /** With what `ack` would have rejected with. */
  onUnacknowledged(error: Error): void
}

/** Exchanges, queues and bindings that must exist. */
export interface Topology {
  readonly exchanges: readonly Exchange[]
  readonly queues: readonly Queue[]
  readonly bindings: readonly Binding[]
}
/** An exchange by name and type. */
export interface Exchange {
  readonly name: string
  readonly type: 'direct' | 'topic' | 'fanout' | 'headers'
  readonly durable: boolean
  readonly autoDelete?: boolean
  readonly arguments?: Readonly<Record<string, unknown>>
}
/** A queue and its AMQP arguments (`x-max-priority` and so on). */
export interface Queue {
  readonly name: string
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: Readonly<Record<string, unknown>>
}
/** A route from an exchange to a queue, or to another exchange (native delayed delivery needs those). */
export interface Binding {
  readonly from: string
  readonly to: { readonly queue: string } | { readonly exchange: string }
  readonly routingKey: string
  readonly arguments?: Readonly<Record<string, unknown>>
}
