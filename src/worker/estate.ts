/**
 * What lost connections left with the broker, for the connection that comes after them: a worker that lives does not
 * wait for its own leases to run out (on Redis an hour, by default).
 *
 * Rule 1: every act is fenced by the broker: what somebody else took or restored meanwhile is left alone.
 * Rule 2: what had not started goes back to the front of its queue, in its order, before anything new is taken, as if
 *         it had never been taken.
 * Rule 3: what ended after its connection did, or whose answer was lost with it, is settled by the heir, so that it is
 *         not run again. It waits for an heir until the worker stops.
 * Rule 4: where the end of a connection gives back what it held (AMQP), nothing is left, and all this does nothing.
 */
import { ConnectivityError, DeliveryLostError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Connection, Delivery, LateSettling } from '../transport/transport.js'

/** The unsettled deliveries of a worker's lost connections. */
export class Estate {
  readonly #logger: Logger
  /** The newest connection; it may be lost by now. */
  #heir: Connection | undefined
  /** Lost connections whose unseen messages were not given back yet. */
  #dead: Connection[] = []
  #unstarted: Delivery[] = []
  readonly #waiters = new Set<() => void>()
  #isClosed = false

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Leaves what was not started to the next connection; oldest first. */
  leave(delivery: Delivery): void {
    if (this.#heir?.settleLost !== undefined && !this.#isClosed) this.#unstarted.push(delivery)
  }

  /**
   * Settles what a lost connection brought, now or when there is a new one; undefined where the broker has taken it
   * back already. Rejects with `DeliveryLostError` when somebody else has it, with `ConnectivityError` when the worker
   * stops without a connection.
   */
  settle(delivery: Delivery, how: LateSettling): Promise<void> | undefined {
    return this.#heir?.settleLost === undefined ? undefined : this.#settle(delivery, how)
  }

  /** A new connection: takes back what was not started. Rejects with `ConnectivityError` when it is lost meanwhile. */
  async passTo(heir: Connection): Promise<void> {
    if (this.#heir !== undefined) this.#dead.push(this.#heir)
    this.#heir = heir
    this.#wake()
    const unstarted = this.#unstarted
    try {
      // Younger than all that it knew of: these go behind it.
      for (const dead of this.#dead) await this.#takeUnseen(heir, dead)
      this.#dead = []
      if (unstarted.length === 0) return
      const gone = (await heir.settleLost?.(unstarted, 'undo')) ?? unstarted
      const count = unstarted.length - gone.length
      this.#logger.info(
        { count, gone: gone.length },
        `Gave back ${count} message${count === 1 ? '' : 's'} that the lost connection held and no task had started for.`,
      )
    } catch (error) {
      if (error instanceof ConnectivityError) throw error
      const says = 'are left with the broker until their visibility timeout has passed'
      this.#logger.error({ err: error }, `${unstarted.length} messages of a lost connection ${says}.`)
    }
    this.#dead = []
    this.#unstarted = []
  }

  async #takeUnseen(heir: Connection, dead: Connection): Promise<void> {
    const count = (await heir.takeUnseen?.(dead)) ?? 0
    if (count === 0) return
    this.#logger.info(
      { count },
      `Gave back ${count} message${count === 1 ? '' : 's'} whose arrival was cut off.`,
    )
  }

  /** No connection comes any more: ends what waits for one. */
  close(): void {
    this.#isClosed = true
    this.#unstarted = []
    this.#wake()
  }

  async #settle(delivery: Delivery, how: LateSettling): Promise<void> {
    for (;;) {
      const heir = this.#heir
      try {
        const gone = await heir?.settleLost?.([delivery], how)
        if (gone?.length === 0) return
      } catch (error) {
        if (!(error instanceof ConnectivityError) || this.#isClosed) throw error
        if (heir === this.#heir) await new Promise<void>((resolve) => this.#waiters.add(resolve))
        if (heir === this.#heir) throw error
        continue
      }
      throw new DeliveryLostError(
        `a delivery from queue '${delivery.queue}' of a lost connection went to another consumer meanwhile: its task ` +
          'may run twice. Give every process on this broker the same visibility_timeout, longer than such losses.',
      )
    }
  }

  #wake(): void {
    for (const wake of this.#waiters) wake()
    this.#waiters.clear()
  }
}
