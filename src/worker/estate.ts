/**
 * What lost connections left with the broker, for the connection that comes after them: a worker that lives does not
 * wait for its own leases to run out (on Redis an hour, by default).
 *
 * Rule 1: every act is fenced by the broker: what somebody else took or restored meanwhile is left alone.
 * Rule 2: what had not started goes back to the front of its queue, in its order, before anything new is taken, as if
 *         it had never been taken.
 * Rule 3: what still runs is taken over, and renewed by the heir: a task that outlives its connection by more than a
 *         visibility timeout is not run twice.
 * Rule 4: what ended after its connection did, or whose answer was lost with it, is settled by the heir, so that it is
 *         not run again. It waits for an heir until the worker stops.
 * Rule 5: with several brokers, one broker's messages wait for the next connection to that broker. Others are asked too,
 *         for two addresses may lead to one broker, but their not knowing a message means nothing.
 * Rule 6: where the end of a connection gives back what it held (AMQP), nothing is left, and all this does nothing.
 */
import { BrokerRefusedError, ConnectivityError, DeliveryLostError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Connection, Delivery, Handover, LateSettling } from '../transport/transport.js'

/** Something under way whose connection was lost. */
export interface Orphan {
  readonly delivery: Delivery
  /** Its broker was told, or is being told. */
  readonly isAcknowledged: boolean
  /** The next connection holds it, as this delivery. */
  adopt(delivery: Delivery): void
  /** It went to others. */
  abandon(): void
}

/** How something ends: also by a handover, which acknowledges it. */
export type Will = LateSettling | Handover

/** An address of a broker, by identity. */
export interface Place {
  /** Without its password. */
  readonly displayUrl: string
}

/** What connections to one address have left. */
interface Legacy {
  /** Lost connections whose unseen messages were not given back yet. */
  dead: Connection[]
  /** Oldest first. */
  unstarted: Delivery[]
  running: Orphan[]
  /** What ended while the worker was connected elsewhere. */
  wills: { readonly delivery: Delivery; readonly how: LateSettling }[]
}

interface Heir {
  readonly connection: Connection
  readonly place: Place
}

/** The unsettled deliveries of a worker's lost connections. */
export class Estate {
  readonly #logger: Logger
  /** The newest connection; it may be lost by now. */
  #heir: Heir | undefined
  readonly #legacies = new Map<Place, Legacy>()
  /** Where the connection of an orphan led. */
  readonly #origins = new WeakMap<Orphan, Place>()
  /** What the heir has taken over. */
  #adopted = new WeakSet<Delivery>()
  /** Settles, without rejecting, when it is known what the heir could take over. */
  #adopting: Promise<void> | undefined
  readonly #waiters = new Set<() => void>()
  #isClosed = false

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Leaves what was not started to the next connection; oldest first. */
  leave(delivery: Delivery): void {
    this.#own?.unstarted.push(delivery)
  }

  /** Leaves what goes on to the next connection, which takes it over. */
  leaveRunning(orphan: Orphan): void {
    const own = this.#own
    // What an earlier loss left, and nobody took over since, is not of this connection.
    if (own === undefined || this.#heir === undefined || this.#origins.has(orphan)) return
    own.running.push(orphan)
    this.#origins.set(orphan, this.#heir.place)
  }

  /**
   * Settles what a lost connection brought, now or when there is a new one; undefined where the broker has taken it
   * back already. Rejects with `DeliveryLostError` when somebody else has it, or when this worker is connected to another
   * broker by now; with `ConnectivityError` when the worker stops without a connection. `wasAsked`: see
   * `Connection.settleLost`. With `BrokerRefusedError` when a handover is refused: it is to be settled in another way.
   */
  settle(orphan: Orphan, how: Will, wasAsked = false): Promise<void> | undefined {
    if (this.#heir?.connection.settleLost === undefined) return undefined
    const origin = this.#origins.get(orphan) ?? this.#heir.place
    return this.#settle(orphan, how, origin, wasAsked)
  }

  /**
   * Hands over what is held; where the answer is lost with the connection, the next one finds out, and does it if it was not
   * done. False when nothing was done: it is refused, or somebody else has it. Rejects when nobody could find out.
   */
  async handOver(orphan: Orphan, what: Handover): Promise<boolean> {
    try {
      return (await orphan.delivery.handOver?.(what, true)) ?? false
    } catch (error) {
      if (!(error instanceof DeliveryLostError) || error.cause === undefined) return false
      const again = this.settle(orphan, what, true)
      if (again === undefined) throw error
      await again
      return true
    }
  }

  /** A new connection takes back what was not started, and takes over the rest. Rejects with `ConnectivityError` when it is lost meanwhile. */
  async passTo(connection: Connection, place: Place): Promise<void> {
    if (this.#heir !== undefined) this.#own?.dead.push(this.#heir.connection)
    this.#heir = { connection, place }
    this.#adopted = new WeakSet()
    const legacies = [...this.#legacies]
    // What runs is in a hurry: its lease may be about to run out.
    const adopting = this.#takeAllOver(connection, place, legacies)
    this.#adopting = adopting.catch(() => {})
    this.#wake()
    await adopting
    for (const [origin, legacy] of legacies) await this.#takeBack(connection, legacy, origin === place)
    this.#tellWhatStays(place)
  }

  /** No connection comes any more: ends what waits for one. */
  close(): void {
    this.#isClosed = true
    this.#legacies.clear()
    this.#wake()
  }

  /** What the present connection leaves, where anything outlives it. */
  get #own(): Legacy | undefined {
    const heir = this.#heir
    if (heir?.connection.settleLost === undefined || this.#isClosed) return undefined
    return this.#legacy(heir.place)
  }

  #legacy(place: Place): Legacy {
    const known = this.#legacies.get(place) ?? { dead: [], unstarted: [], running: [], wills: [] }
    if (!this.#isClosed) this.#legacies.set(place, known)
    return known
  }

  async #takeAllOver(
    connection: Connection,
    place: Place,
    legacies: readonly (readonly [Place, Legacy])[],
  ): Promise<void> {
    for (const [origin, legacy] of legacies) {
      const running = legacy.running.filter((orphan) => !orphan.isAcknowledged)
      legacy.running = running
      if (running.length === 0 || connection.adopt === undefined) continue
      try {
        await this.#takeOver(connection, legacy, origin === place)
      } catch (error) {
        if (error instanceof ConnectivityError) throw error
        this.#logger.error(
          { err: error },
          `The new connection could not take over ${messages(running.length)}.`,
        )
      }
    }
  }

  async #takeOver(connection: Connection, legacy: Legacy, isHome: boolean): Promise<void> {
    const running = legacy.running
    const adopted = await connection.adopt?.(running.map((orphan) => orphan.delivery))
    const gone = running.filter((orphan, at) => {
      const delivery = adopted?.[at]
      if (delivery === undefined) return true
      this.#adopted.add(delivery)
      this.#origins.delete(orphan)
      orphan.adopt(delivery)
      return false
    })
    const count = running.length - gone.length
    if (count > 0)
      this.#logger.info({ count }, `Took over ${messages(count)} of a lost connection whose tasks run on.`)
    if (isHome) for (const orphan of gone) orphan.abandon()
    legacy.running = isHome ? [] : gone
  }

  async #takeBack(connection: Connection, legacy: Legacy, isHome: boolean): Promise<void> {
    const { unstarted, wills } = legacy
    try {
      // Younger than all that it knew of: these go behind it.
      for (const dead of legacy.dead) await this.#takeUnseen(connection, dead)
      if (isHome) legacy.dead = []
      if (unstarted.length > 0) {
        const gone = (await connection.settleLost?.(unstarted, 'undo')) ?? unstarted
        const count = unstarted.length - gone.length
        if (isHome || count > 0)
          this.#logger.info(
            { count, gone: gone.length },
            `Gave back ${messages(count)} that the lost connection held and no task had started for.`,
          )
        legacy.unstarted = isHome ? [] : [...gone]
      }
      await this.#execute(connection, wills, isHome)
    } catch (error) {
      if (error instanceof ConnectivityError) throw error
      const count = unstarted.length + wills.length
      const says = 'are left with the broker until their visibility timeout has passed'
      this.#logger.error({ err: error }, `${count} messages of a lost connection ${says}.`)
      if (isHome) Object.assign(legacy, { dead: [], unstarted: [], wills: [] })
    }
  }

  async #execute(connection: Connection, wills: Legacy['wills'], isHome: boolean): Promise<void> {
    let count = 0
    for (const will of [...wills]) {
      const gone = (await connection.settleLost?.([will.delivery], will.how)) ?? [will.delivery]
      if (gone.length === 0) count += 1
      if (isHome || gone.length === 0) wills.splice(wills.indexOf(will), 1)
    }
    if (count > 0)
      this.#logger.info(
        { count },
        `Settled ${messages(count)} whose tasks ended while the worker was connected elsewhere.`,
      )
  }

  async #takeUnseen(heir: Connection, dead: Connection): Promise<void> {
    const count = (await heir.takeUnseen?.(dead)) ?? 0
    if (count === 0) return
    this.#logger.info({ count }, `Gave back ${messages(count)} whose arrival was cut off.`)
  }

  #tellWhatStays(place: Place): void {
    for (const [origin, { unstarted, running }] of this.#legacies) {
      const count = unstarted.length + running.length
      if (origin === place || count === 0) continue
      this.#logger.warn(
        { count, broker: origin.displayUrl },
        `${messages(count)} that this worker held stay with ${origin.displayUrl}: they are given back when the worker ` +
          'is connected to it again, or by another worker there when the visibility timeout has passed.',
      )
    }
  }

  async #settle(orphan: Orphan, how: Will, origin: Place, wasAsked: boolean): Promise<void> {
    for (;;) {
      await this.#adopting
      const heir = this.#heir
      const { delivery } = orphan
      try {
        if (await this.#tells(heir, delivery, how, wasAsked && heir?.place === origin)) return
      } catch (error) {
        if (!(error instanceof ConnectivityError) || this.#isClosed) throw error
        if (heir === this.#heir) await new Promise<void>((resolve) => this.#waiters.add(resolve))
        if (heir === this.#heir) throw error
        continue
      }
      if (heir?.place === origin) throw taken(delivery)
      // Whoever hands over goes on step by step, and must not find it done once more.
      if (typeof how === 'string') this.#legacy(origin).wills.push({ delivery, how })
      throw new DeliveryLostError(
        `a delivery from queue '${delivery.queue}' is held by ${origin.displayUrl}, and the worker is connected to another ` +
          'broker by now: it is settled when the worker is connected to that one again, unless it went to another consumer.',
      )
    }
  }

  /** False when the broker does not know it as ours any more. */
  async #tells(heir: Heir | undefined, delivery: Delivery, how: Will, wasAsked: boolean): Promise<boolean> {
    let isAsked = wasAsked
    if (this.#adopted.delete(delivery)) {
      try {
        await settled(delivery, how)
        return true
      } catch (error) {
        if (!(error instanceof DeliveryLostError)) throw error
        // When that connection is lost in its turn, it is settled like all others.
        isAsked ||= error.cause !== undefined
      }
    }
    const gone = await heir?.connection.settleLost?.([delivery], how, isAsked)
    return gone?.length === 0
  }

  #wake(): void {
    for (const wake of this.#waiters) wake()
    this.#waiters.clear()
  }
}

function taken(delivery: Delivery): DeliveryLostError {
  return new DeliveryLostError(
    `a delivery from queue '${delivery.queue}' of a lost connection went to another consumer meanwhile: its task ` +
      'may run twice. Give every process on this broker the same visibility_timeout, longer than such losses.',
  )
}

/** Settles a delivery of a connection that lives. Nothing that runs is to be as if it had never been taken (`undo`). */
async function settled(delivery: Delivery, how: Will): Promise<void> {
  if (typeof how !== 'string') {
    if (await delivery.handOver?.(how, true)) return
    throw new BrokerRefusedError('the server refused what follows from a task')
  }
  if (how === 'ack') return delivery.ack()
  const isBack = how === 'return' || how === 'undo'
  return (isBack ? delivery.release?.() : undefined) ?? delivery.reject({ requeue: how !== 'drop' })
}

function messages(count: number): string {
  return `${count} message${count === 1 ? '' : 's'}`
}
