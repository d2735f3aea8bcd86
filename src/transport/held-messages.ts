/**
 * What one connection holds, and the way it gives it back.
 *
 * Rule 1: a message is settled once. The second settling, and any after the connection ended, is a `DeliveryLostError`.
 * Rule 2: settlings of one tick share a call to the store for each kind; calls never overlap, so their order stays.
 * Rule 3: what is not certainly ours any more is not to be started, and its connection is of no use (Rule 1 of
 *         transport.ts): all that it holds may have been taken at the same time.
 * Rule 4: a store that cannot settle is lost: the message's fate is unknown, and the connection dies whole.
 * Rule 5: what is being handed over stays held until that is answered, so that it may be settled in another way after a
 *         refusal; the connection is not closed meanwhile. Handovers of one tick are asked for before its settlings, and
 *         before what the store is asked at the end of the tick: a claim finds what they have put into its queue.
 */
import { ConnectivityError, DeliveryLostError, LeaseLostError } from '../errors.js'
import { type Seated, Seats } from '../seats.js'
import type { Claimed, Handing, Parcel, QueueStore, Settling, Stored } from './queue-store.js'
import type { AckWatcher, Delivery, Handover, ResultPlace } from './transport.js'

interface Pending {
  readonly delivery: HeldDelivery
  readonly how: Settling | 'park'
  /** When it is due, if it is parked. */
  readonly untilMs: number
  readonly watcher: AckWatcher
  /** It goes out with those of the same number. */
  readonly round: number
  isWithdrawn: boolean
}

const settlings = ['ack', 'drop', 'requeue', 'return', 'park'] as const

/** The unsettled deliveries of one connection, oldest first. */
export class HeldMessages {
  readonly #store: QueueStore
  readonly #onFailure: (cause: Error) => void
  readonly #held = new Seats<HeldDelivery>()
  #pending: Pending[] = []
  #round = 0
  /** Asked of the store and not yet answered; one group at a time. */
  #asked: readonly Pending[] = []
  #flushing: Promise<void> | undefined
  #turn: Promise<void> | undefined
  /** Handed over at the end of this turn, and how many were and have no answer yet. */
  #toHand: HandingOver[] = []
  #handing = 0
  #allHanded: (() => void)[] = []
  /** This, for the deliveries that it hands out. */
  readonly #holder: Holder = {
    settle: (delivery, how, untilMs) =>
      new Promise((resolve, reject) => {
        this.#settle(delivery, how, { onAcknowledged: resolve, onUnacknowledged: reject }, untilMs)
      }),
    acknowledge: (delivery, watcher) => this.#settle(delivery, 'ack', watcher),
    withdrawAck: (delivery) => this.#withdrawAck(delivery),
    handOver: (delivery, what, acks) => this.#handOver(delivery, what, acks),
    handsOver: (place) => this.#store.handsOver?.(place) === true,
    isHeld: (delivery) => this.#isHeld(delivery),
  }
  /** This, for what is being handed over. */
  readonly #home: Home = {
    onHanded: () => {
      this.#handing -= 1
      if (this.#handing > 0) return
      for (const wake of this.#allHanded.splice(0)) wake()
    },
    // After the end of the connection, whose end has freed it, it is not held any more.
    settled: (delivery) => {
      if (this.#held.delete(delivery)) delivery.free()
    },
    lost: (claimed, cause) => {
      if (cause !== undefined) this.#onFailure(cause)
      return this.#lost(claimed, cause)
    },
  }
  #ended: { readonly cause: Error | undefined } | undefined

  /** `onFailure` is told when the store could not settle, and when a lease was lost. */
  constructor(store: QueueStore, onFailure: (cause: Error) => void) {
    this.#store = store
    this.#onFailure = onFailure
  }

  /** Takes charge of a claimed message; `free` is called once it is settled or lost. */
  hold(claimed: Claimed, free: () => void = () => {}): Delivery {
    const isKept = this.#store.parking?.accepts(claimed) === true
    const delivery = new (isKept ? KeptDelivery : HeldDelivery)(claimed, this.#holder, free)
    this.#held.add(delivery)
    return delivery
  }

  /** Tells that these went to others or may have; false when none of them is held here any more. */
  lose(claimed: readonly Claimed[]): boolean {
    const lost = new Set(claimed)
    const count = this.list().filter((message) => lost.has(message)).length
    if (count === 0) return false
    const { size } = this.#held
    this.#onFailure(
      new LeaseLostError(
        `the leases of ${count} of ${size} messages ran out or went to others: this process was frozen, cut off from ` +
          'the broker or out of CPU for longer than the visibility_timeout, or that of another process is shorter. ' +
          'What has not started is not started here; what runs goes on, and another worker may run it too. Give ' +
          'every process on this broker the same visibility_timeout, longer than such pauses.',
      ),
    )
    return true
  }

  /** What is held now, in the order it was handed over. */
  list(): readonly Claimed[] {
    return this.#held.all().map((delivery) => delivery.claimed)
  }

  /** Resolves when every settling and handover asked for so far has been answered. */
  async flushed(): Promise<void> {
    while (this.#flushing !== undefined || this.#handing > 0) {
      await this.#flushing
      if (this.#handing > 0) await new Promise<void>((resolve) => this.#allHanded.push(resolve))
    }
  }

  /** Ends all: what consumers still hold goes back to the broker in its order. Later settlings are refused. */
  async returnAll(): Promise<void> {
    await this.flushed()
    const held = this.list()
    this.end(undefined)
    if (held.length > 0) await this.#store.settle(held, 'return')
  }

  /** Ends all without the broker's help: every delivery is lost. */
  end(cause: Error | undefined): void {
    this.#ended ??= { cause }
    const held = this.#held.all()
    const unanswered = [...this.#asked, ...this.#pending]
    this.#held.clear()
    this.#asked = []
    this.#pending = []
    for (const { free } of held) free()
    const asked = unanswered.filter(({ isWithdrawn }) => !isWithdrawn)
    for (const { delivery } of asked) delivery.free()
    this.#refuse(asked)
  }

  /**
   * The end of this turn of the event loop, when settlings go out: what is asked of the store right then shares their
   * write. Results of tasks that have ended in this turn go out before, since somebody waits for them.
   */
  endOfTurn(): Promise<void> {
    this.#turn ??= new Promise((resolve) => {
      process.nextTick(() => {
        setImmediate(() => {
          this.#turn = undefined
          this.#handAllOver()
          resolve()
        })
      })
    })
    return this.#turn
  }

  #isHeld(delivery: HeldDelivery): boolean {
    const { claimed } = delivery
    if (!this.#held.has(delivery)) return false
    if (this.#store.leases?.isHeld?.(claimed) ?? true) return true
    this.lose([claimed])
    return false
  }

  #settle(delivery: HeldDelivery, how: Pending['how'], watcher: AckWatcher, untilMs = 0): void {
    if (!this.#held.delete(delivery)) {
      this.#refuse([{ delivery, watcher }])
      return
    }
    const pending = { delivery, how, untilMs, watcher, round: this.#round, isWithdrawn: false }
    this.#pending.push(pending)
    delivery.settling = pending
    this.#flushing ??= this.#flush()
  }

  #withdrawAck(delivery: HeldDelivery): boolean {
    const { settling } = delivery
    if (settling?.how !== 'ack' || settling.round !== this.#round || this.#ended !== undefined) return false
    settling.isWithdrawn = true
    delivery.settling = undefined
    this.#held.add(delivery)
    return true
  }

  #handOver(delivery: HeldDelivery, what: Handover, acks: boolean): Promise<boolean> {
    const parcel = this.#store.handOver === undefined ? undefined : parcelOf(what)
    if (parcel === undefined) return Promise.resolve(false)
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined || (acks && !this.#held.has(delivery))) {
        reject(this.#lost(delivery.claimed))
        return
      }
      this.#handing += 1
      this.#toHand.push(new HandingOver(delivery, acks, parcel, this.#home, resolve, reject))
      void this.endOfTurn()
    })
  }

  #handAllOver(): void {
    if (this.#toHand.length === 0) return
    const all = this.#toHand
    this.#toHand = []
    if (this.#ended === undefined) this.#store.handOver?.(all)
    else for (const one of all) one.refuse(this.#lost(one.delivery.claimed))
  }

  /** Whoever asked or ended is not interrupted. */
  #refuse(refused: readonly Pick<Pending, 'delivery' | 'watcher'>[]): void {
    if (refused.length === 0) return
    queueMicrotask(() => {
      for (const { delivery, watcher } of refused) watcher.onUnacknowledged(this.#lost(delivery.claimed))
    })
  }

  async #flush(): Promise<void> {
    // Gathers what many finished tasks settle at the same time.
    await this.endOfTurn()
    while (this.#pending.length > 0) {
      const batch = this.#pending
      this.#pending = []
      this.#round += 1
      for (const how of settlings) {
        const group = batch.filter((pending) => pending.how === how && !pending.isWithdrawn)
        if (group.length > 0) await this.#settleGroup(group, how)
        if (group.length === batch.length) break
      }
    }
    // In the turn of the last look: a settling that comes a moment later must start another.
    this.#flushing = undefined
  }

  async #settleGroup(group: readonly Pending[], how: Pending['how']): Promise<void> {
    this.#asked = group
    try {
      const lost = new Set(await this.#tell(group, how))
      // When the connection ended meanwhile their answer was given.
      if (this.#asked !== group) return
      this.#asked = []
      for (const { delivery, watcher } of group) {
        const { claimed } = delivery
        delivery.free()
        if (lost.size > 0 && lost.has(claimed)) watcher.onUnacknowledged(this.#lost(claimed))
        else watcher.onAcknowledged()
      }
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error))
      const unanswered = this.#asked === group ? group : []
      this.#asked = []
      for (const { delivery, watcher } of unanswered) {
        delivery.free()
        watcher.onUnacknowledged(this.#lost(delivery.claimed, cause))
      }
      this.#onFailure(cause)
    }
  }

  async #tell(group: readonly Pending[], how: Pending['how']): Promise<readonly Claimed[]> {
    if (how !== 'park') {
      return this.#store.settle(
        group.map(({ delivery }) => delivery.claimed),
        how,
      )
    }
    const parked = group.map(({ delivery, untilMs }) => ({ claimed: delivery.claimed, untilMs }))
    return (await this.#store.parking?.park(parked)) ?? []
  }

  #lost(claimed: Claimed, cause: Error | undefined = this.#ended?.cause): DeliveryLostError {
    const what = `a delivery from queue '${claimed.queue}'`
    const why =
      cause !== undefined
        ? 'its connection was lost'
        : this.#ended !== undefined
          ? 'its connection was closed'
          : 'it was settled before, or its claim went to another consumer'
    return new DeliveryLostError(
      `${what} can no longer be settled: ${why}. The broker may deliver it again.`,
      cause === undefined ? {} : { cause },
    )
  }
}

/** A delivery that was gone from the broker when it was handed over: settling it does nothing. */
export function settledDelivery(claimed: Claimed): Delivery {
  return new HeldDelivery(claimed, nobody, () => {})
}

/** What a delivery of this file stands for, to settle it by another connection; undefined for any other delivery. */
export function claimedOf(delivery: Delivery): Claimed | undefined {
  return delivery instanceof HeldDelivery ? delivery.claimed : undefined
}

/** Undefined where somebody must find out which queues they go to. */
export function parcelOf({ messages, result, deletes }: Handover): Parcel | undefined {
  const stored: Stored[] = []
  for (const { envelope, to } of messages) {
    const { exchange, routingKey } = to
    if (exchange !== '' || routingKey === '') return undefined
    stored.push({ queue: routingKey, exchange, routingKey, envelope })
  }
  return { messages: stored, result, deletes }
}

interface Holder {
  settle(delivery: HeldDelivery, how: Pending['how'], untilMs?: number): Promise<void>
  acknowledge(delivery: HeldDelivery, watcher: AckWatcher): void
  withdrawAck(delivery: HeldDelivery): boolean
  handOver(delivery: HeldDelivery, what: Handover, acks: boolean): Promise<boolean>
  handsOver(place: ResultPlace | undefined): boolean
  isHeld(delivery: HeldDelivery): boolean
}

/** What a handover needs of those who hold its message. */
interface Home {
  onHanded(): void
  settled(delivery: HeldDelivery): void
  lost(claimed: Claimed, cause?: Error): DeliveryLostError
}

/** One handover, until it is answered. */
class HandingOver implements Handing {
  readonly claimed: Claimed | undefined
  readonly parcel: Parcel
  readonly delivery: HeldDelivery
  readonly #home: Home
  readonly #resolve: (isDone: boolean) => void
  readonly #reject: (error: unknown) => void

  constructor(
    delivery: HeldDelivery,
    acks: boolean,
    parcel: Parcel,
    home: Home,
    resolve: (isDone: boolean) => void,
    reject: (error: unknown) => void,
  ) {
    this.claimed = acks ? delivery.claimed : undefined
    this.parcel = parcel
    this.delivery = delivery
    this.#home = home
    this.#resolve = resolve
    this.#reject = reject
  }

  onHanded(handed: boolean | 'gone'): void {
    if (handed === 'gone') {
      this.refuse(this.#home.lost(this.delivery.claimed))
      return
    }
    if (handed && this.claimed !== undefined) this.#home.settled(this.delivery)
    this.#resolve(handed)
    this.#home.onHanded()
  }

  onUnhanded(error: unknown): void {
    const isUnanswered = error instanceof ConnectivityError
    this.refuse(isUnanswered ? this.#home.lost(this.delivery.claimed, error) : error)
  }

  refuse(error: unknown): void {
    this.#reject(error)
    this.#home.onHanded()
  }
}

const nobody: Holder = {
  settle: () => Promise.resolve(),
  acknowledge: (_delivery, watcher) => queueMicrotask(() => watcher.onAcknowledged()),
  withdrawAck: () => false,
  handOver: () => Promise.resolve(false),
  handsOver: () => false,
  isHeld: () => true,
}

class HeldDelivery implements Delivery, Seated {
  /** Among those that are held. */
  seat = -1
  /** What was last asked of the holder. */
  settling: Pending | undefined
  /** Called once it is settled or lost. */
  readonly free: () => void
  readonly claimed: Claimed
  protected readonly holder: Holder
  readonly address: Delivery['address']

  constructor(claimed: Claimed, holder: Holder, free: () => void) {
    this.free = free
    this.claimed = claimed
    this.holder = holder
    this.address = { exchange: claimed.exchange, routingKey: claimed.routingKey }
  }

  get envelope(): Claimed['envelope'] {
    return this.claimed.envelope
  }

  get queue(): string {
    return this.claimed.queue
  }

  get redelivered(): boolean {
    return this.claimed.redelivered
  }

  ack(): Promise<void> {
    return this.holder.settle(this, 'ack')
  }

  ackFor(watcher: AckWatcher): void {
    this.holder.acknowledge(this, watcher)
  }

  reject({ requeue }: { readonly requeue: boolean }): Promise<void> {
    return this.holder.settle(this, requeue ? 'requeue' : 'drop')
  }

  release(): Promise<void> {
    return this.holder.settle(this, 'return')
  }

  isHeld(): boolean {
    return this.holder.isHeld(this)
  }
}

/** Of a broker that can keep it for later, and end it together with what follows. */
class KeptDelivery extends HeldDelivery {
  park(untilMs: number): Promise<void> {
    return this.holder.settle(this, 'park', untilMs)
  }

  withdrawAck(): boolean {
    return this.holder.withdrawAck(this)
  }

  handOver(what: Handover, acks: boolean): Promise<boolean> {
    return this.holder.handOver(this, what, acks)
  }

  handsOver(place: ResultPlace | undefined): boolean {
    return this.holder.handsOver(place)
  }
}
