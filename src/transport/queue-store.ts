import type { Envelope } from '../../protocol/envelope.js'
import type { Exchange, Handover, ResultPlace, Unreadable } from './transport.js'

/**
 * What a broker without AMQP must offer; `VirtualConnection` makes a `Connection` of it.
 *
 * Rule 1: `claim` takes and records as held in one atomic step: no instant at which a message exists only in memory.
 * Rule 2: `settle` refuses what is no longer ours, and says which.
 */
export interface QueueStore {
  /** `after`: see `PublishOptions`; the envelopes are the same objects. */
  push(messages: readonly Stored[], signal?: AbortSignal, after?: readonly Error[]): Promise<void>
  /**
   * Takes up to `max` messages, oldest first; waits while there is none; resolves empty when `signal` aborts. Of parked
   * messages only those due before `dueBeforeMs` (epoch milliseconds; default all).
   */
  claim(
    queues: readonly string[],
    max: number,
    signal: AbortSignal,
    dueBeforeMs?: number,
  ): Promise<readonly Claimed[]>
  /** Takes at most one without waiting. */
  claimNow(queue: string): Promise<Claimed | undefined>
  /** One round trip for many. Returns those that were no longer ours (empty when all went well). */
  settle(claimed: readonly Claimed[], how: Settling): Promise<readonly Claimed[]>
  /**
   * Present when the store can publish, store a result and settle in one step (`Delivery.handOver`). Asked in this call,
   * before what is asked of the store after it; each succeeds, or fails, on its own.
   */
  handOver?(given: readonly Handing[]): void
  /** With it: whether a parcel with something for `place` may be taken (`Delivery.handsOver`). */
  handsOver?(place: ResultPlace | undefined): boolean
  /** Present when a claim outlives its connection: `settle` for what lost connections to this broker claimed. */
  settleLost?(
    lost: readonly Claimed[],
    how: Settling | Parcel,
    wasAsked: boolean,
  ): Promise<readonly Claimed[]>
  /** With it: makes a claim of this connection of each; undefined in place of those that were not theirs any more. */
  adopt?(lost: readonly Claimed[]): Promise<readonly (Claimed | undefined)[]>
  /** With it: gives back, in front, what a lost store of this process claimed and was not told of; how many. */
  takeUnseen?(dead: QueueStore): Promise<number>
  /** Present when the store can keep a held message until shortly before a time (`Delivery.park`). */
  readonly parking?: {
    /** False for a message that exists only in this process. */
    accepts(claimed: Claimed): boolean
    /** One round trip for many. Returns those that were no longer ours. */
    park(parked: readonly Parked[]): Promise<readonly Claimed[]>
  }
  /** Present when a claim runs out: keeps what we hold ours, and returns what others abandoned. */
  readonly leases?: {
    /** Returns those that are not ours any more, or may not be; what was settled meanwhile can be among them. */
    renew(claimed: readonly Claimed[]): Promise<readonly Claimed[]>
    /** Whether nobody else can have been given it by now; costs nothing. Absent where others look at the holder itself. */
    isHeld?(claimed: Claimed): boolean
    /** How many messages went back to their queues. */
    restoreExpired(): Promise<number>
    /** Milliseconds between renewals. */
    readonly intervalMs: number
  }
  /** Idempotent. `type` is for stores whose fanout is a subscription (Redis). */
  bind(exchange: string, binding: StoredBinding, type: Exchange['type']): Promise<void>
  bindings(exchange: string): Promise<readonly StoredBinding[]>
  length(queue: string): Promise<number>
  purge(queue: string): Promise<number>
  /** Removes what waits in the queue, and its bindings. */
  remove(queue: string): Promise<void>
  /** Present when the broker can broadcast itself (Redis pub/sub); otherwise fanout copies to each bound queue. */
  broadcast?(exchange: string, routingKey: string, envelope: Envelope, signal?: AbortSignal): Promise<void>
  /** With `broadcast`: a consumer of the queue begins. Resolves when it misses nothing that is broadcast from now on. */
  startHearing?(queue: string): Promise<void>
  /** A consumer of the queue has ended. */
  stopHearing?(queue: string): Promise<void>
  /** Called with each message that is not an envelope, after its bytes are safe. Set by the connection. */
  onUnreadable: ((report: Unreadable) => void) | undefined
  /** Called once when the store is lost. Set by the connection. */
  onLost: ((cause: Error) => void) | undefined
  /** Gives back what is still held, where it can. Safe twice. */
  close(): Promise<void>
}

/**
 * ack: done. drop: refused for good. requeue: back behind what waits. return: back in front, in the given order, as
 * at shutdown. undo: the same for what was claimed in vain, with its redelivered mark as it was; asked only of a store
 * that settles what was lost.
 */
export type Settling = 'ack' | 'drop' | 'requeue' | 'return' | 'undo'

/** A `Handover` with its messages routed. */
export interface Parcel extends Pick<Handover, 'result' | 'deletes'> {
  readonly messages: readonly Stored[]
}

/** What is handed over, and who is told what came of it: once, not before `handOver` has returned. */
export interface Handing {
  /** Undefined for what was acknowledged before. */
  readonly claimed: Claimed | undefined
  readonly parcel: Parcel
  /** `false`: refused, nothing was done. `gone`: no longer ours, nothing was done. */
  onHanded(handed: boolean | 'gone'): void
  /** With a `ConnectivityError` when the answer was lost: it may have been done. */
  onUnhanded(error: unknown): void
}

/** A message on its way into a queue. `exchange` and `routingKey` are as published (`delivery_info`). */
export interface Stored {
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  readonly envelope: Envelope
}

/** A message that this process holds. */
export interface Claimed {
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  readonly tag: string
  readonly envelope: Envelope
  readonly redelivered: boolean
}

/** A held message and the time it waits for, in epoch milliseconds. */
export interface Parked {
  readonly claimed: Claimed
  readonly untilMs: number
}

/** One row of kombu's binding table: `[routing_key, pattern, queue]`. */
export interface StoredBinding {
  readonly routingKey: string
  readonly pattern: string
  readonly queue: string
}
