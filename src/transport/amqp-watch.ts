/**
 * Proves that a connected consumer consumes: a broker may lose one without a word (a fault of a queue's process, a
 * failover), and the worker would be alive and idle for ever while its messages wait.
 *
 * Rule 1: it asks only about queues that nothing has come from since the last look: a busy worker asks nothing.
 * Rule 2: an answer that does not come ends the connection (amqp-link.ts); a refusal is no reason to.
 */
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { AmqpSubscription, QueueState } from './amqp-subscription.js'

/** Far below what people bear, and nothing for the server: one request for each idle queue. */
const defaultEveryMs = 15_000

/** What is watched, and how. */
export interface WatchDeps {
  readonly clock: Clock
  readonly logger: Logger
  /** Those that are open now. */
  readonly subscriptions: Iterable<AmqpSubscription>
  stateOf(queue: string): Promise<QueueState>
  /** Milliseconds between two looks; default 15 s. */
  readonly everyMs?: number
}

/** Looks at the queues of all subscriptions of a connection, again and again. */
export class AmqpWatch {
  readonly #deps: WatchDeps
  #cancel: (() => void) | undefined
  #isStopped = false

  constructor(deps: WatchDeps) {
    this.#deps = deps
  }

  /** Safe twice. */
  start(): void {
    if (this.#isStopped || this.#cancel !== undefined) return
    const { clock, everyMs = defaultEveryMs } = this.#deps
    this.#cancel = clock.after(everyMs, () => void this.#look())
  }

  /** For good. Safe twice. */
  stop(): void {
    this.#isStopped = true
    this.#cancel?.()
  }

  async #look(): Promise<void> {
    const { subscriptions, stateOf, logger } = this.#deps
    try {
      for (const subscription of [...subscriptions]) await subscription.look(stateOf)
    } catch (error) {
      if (!this.#isStopped) logger.debug({ err: error }, 'The queues that are consumed cannot be looked at.')
    }
    this.#cancel = undefined
    this.start()
  }
}
