import type { RedisClient } from './redis-client.js'
import { type RedisOptions, waitingKeys, wakeChannel } from './redis-options.js'
import { leaveScript } from './redis-waiting-scripts.js'

/**
 * The queues that one connection has said it waits for (redis-scripts.ts, rule 5). What a dead process said runs out by
 * itself, within seconds.
 */
export class RedisWaiting {
  /** Names this connection among those that wait. */
  readonly id: string
  readonly #client: RedisClient
  readonly #options: RedisOptions
  readonly #awaited = new Set<string>()
  /** Said to the server and not answered yet. */
  readonly #leaving = new Set<Promise<unknown>>()

  constructor(id: string, client: RedisClient, options: RedisOptions) {
    this.id = id
    this.#client = client
    this.#options = options
  }

  /** Whether the server may know this connection as one that waits for any of these queues. */
  includes(queues: readonly string[]): boolean {
    return queues.some((queue) => this.#awaited.has(queue))
  }

  /** A claim that is about to be sent makes it wait for these. */
  begins(queues: readonly string[]): void {
    for (const queue of queues) this.#awaited.add(queue)
  }

  /** A claim has ended the waiting on the server. */
  ended(queues: readonly string[]): void {
    for (const queue of queues) this.#awaited.delete(queue)
  }

  /** Ends the waiting for these; never rejects: what the server does not hear runs out. */
  async leave(queues: readonly string[]): Promise<void> {
    const awaited = queues.filter((queue) => this.#awaited.delete(queue))
    if (awaited.length === 0 || !this.#client.isOpen) return
    const keys = awaited.flatMap((queue) => waitingKeys(this.#options, queue))
    const args = [this.id, wakeChannel(this.#options), ...keys]
    const leaving = this.#client.script(leaveScript, [], args).catch(() => {})
    this.#leaving.add(leaving)
    await leaving
    this.#leaving.delete(leaving)
  }

  /**
   * Ends all waiting; resolves when the server has answered, also to what was said before: a connection that ends
   * sooner takes an unanswered word with it, such as a script that the server did not know yet.
   */
  async leaveAll(): Promise<void> {
    await this.leave([...this.#awaited])
    await Promise.all(this.#leaving)
  }
}
