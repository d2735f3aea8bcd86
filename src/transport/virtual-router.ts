/**
 * Exchanges on a broker that has none (kombu `transport/virtual/base.py` and `exchange.py`, wire-format 5).
 *
 * Rule 1: exchange types live in this connection only; one that was not declared here is direct.
 * Rule 2: the default exchange leads to the queue named by the routing key, and needs no binding.
 * Rule 3: what no binding matches goes to `deadletter_queue`, or nowhere.
 */
import { bindingRecord, matchingQueues } from '../../protocol/exchange-routing.js'
import { ConfigError } from '../errors.js'
import type { QueueStore } from './queue-store.js'
import type { Address, Binding, Exchange } from './transport.js'

/** The exchanges that one connection declared, over the bindings that its store keeps. */
export class VirtualRouter {
  readonly #store: QueueStore
  readonly #deadletterQueue: string | undefined
  readonly #types = new Map<string, Exchange['type']>()
  /** Keys of the bindings made by this connection, with their queues: kombu's `has_binding`. */
  readonly #bound = new Map<string, string>()

  constructor(store: QueueStore, deadletterQueue: string | undefined) {
    this.#store = store
    this.#deadletterQueue = deadletterQueue
  }

  /** Throws `ConfigError` for a type that there is not, or another type than before. */
  declareExchange({ name, type }: Exchange): void {
    if (type === 'headers') {
      throw new ConfigError(
        `exchange '${name}': this broker has no headers exchanges; use direct, topic or fanout`,
      )
    }
    const before = this.#types.get(name)
    if (before !== undefined && before !== type) {
      throw new ConfigError(`exchange '${name}' was declared as ${before} and cannot become ${type}`)
    }
    if (name !== '') this.#types.set(name, type)
  }

  typeOf(exchange: string): Exchange['type'] {
    return this.#types.get(exchange) ?? 'direct'
  }

  /** Idempotent. Throws `ConfigError` for a binding between exchanges, as kombu's virtual transports do. */
  async bind({ from, to, routingKey }: Binding): Promise<void> {
    if ('exchange' in to) {
      throw new ConfigError(
        `exchange '${from}' cannot be bound to exchange '${to.exchange}': this broker binds queues only`,
      )
    }
    if (from === '') return
    const key = JSON.stringify([from, routingKey, to.queue])
    if (this.#bound.has(key)) return
    const type = this.typeOf(from)
    await this.#store.bind(from, bindingRecord(type, routingKey, to.queue), type)
    this.#bound.set(key, to.queue)
  }

  /** The queues that a message on the default exchange goes to: no table is asked. */
  routeByDefault(routingKey: string): readonly string[] {
    const queue = routingKey || this.#deadletterQueue
    return queue === undefined ? [] : [queue]
  }

  /** The queues that a message for this address goes to; empty when nothing is bound. */
  async route({ exchange, routingKey }: Address): Promise<readonly string[]> {
    if (exchange === '') return this.routeByDefault(routingKey)
    const bindings = await this.#store.bindings(exchange)
    const queues = matchingQueues(this.typeOf(exchange), bindings, routingKey)
    if (queues.length > 0 || this.#deadletterQueue === undefined) return queues
    return [this.#deadletterQueue]
  }

  /** A deleted queue has no bindings; declaring it again makes them again. */
  forgetQueue(queue: string): void {
    for (const [key, bound] of this.#bound) if (bound === queue) this.#bound.delete(key)
  }
}
