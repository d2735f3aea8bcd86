import { type Clock, pause } from '../clock.js'
import type { Logger } from '../logger.js'
import type { HeldMessages } from './held-messages.js'
import type { QueueStore } from './queue-store.js'

/** Renews what a connection holds and returns what others abandoned, for stores whose claims run out. */
export class LeaseKeeper {
  readonly #leases: NonNullable<QueueStore['leases']>
  readonly #held: HeldMessages
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #stopped = new AbortController()
  #running: Promise<void> | undefined

  /** `held` is what must stay ours. */
  constructor(leases: NonNullable<QueueStore['leases']>, held: HeldMessages, clock: Clock, logger: Logger) {
    this.#leases = leases
    this.#held = held
    this.#clock = clock
    this.#logger = logger
  }

  /** Looks for abandoned messages at once, then at every interval. Safe twice. */
  start(): void {
    if (!this.#stopped.signal.aborted) this.#running ??= this.#run()
  }

  /** Resolves when the last round has ended. Safe twice, and without `start`. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      await this.#round()
      await pause(this.#clock, this.#leases.intervalMs, signal).catch(() => {})
    }
  }

  /** A failed round is told and tried again at the next interval; a lost store says so through `onLost`. */
  async #round(): Promise<void> {
    try {
      const held = this.#held.list()
      if (held.length > 0 && this.#held.lose(await this.#leases.renew(held))) return
      const restored = await this.#leases.restoreExpired()
      if (restored > 0) this.#logger.warn({ restored }, 'returned messages that another consumer abandoned')
    } catch (error) {
      this.#logger.warn({ err: error }, 'leases could not be renewed; trying again')
    }
  }
}
