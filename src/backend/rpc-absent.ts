/**
 * Results whose reply queue is not there just now, tried again for three seconds.
 *
 * Celery 5.6's client takes each second without a message for a lost connection: it cancels its consumer, which deletes
 * the queue, and declares it again some 50 ms later. A result that is sent in between, as Celery's own workers do, is
 * lost, and its caller waits in vain. (What the dying queue has taken already is lost here too.) What becomes of a task
 * does not wait for this.
 *
 * Rule 1: while a queue is awaited all results for it stand behind the first, so that states arrive in their order.
 * Rule 2: a queue that does not come is not awaited again for a minute: its client is gone, and results for it are
 *         dropped, as Celery does.
 * Rule 3: what is kept is bounded, and so is what is remembered.
 */
import { type Clock, pause } from '../clock.js'
import { UnroutableError } from '../errors.js'
import type { Outgoing } from '../transport/transport.js'

/** Milliseconds before each try; the first ones suffice for Celery's client, the others for a client that reconnects. */
const tryAfterMs = [50, 100, 200, 400, 800, 1450]
/** Results of all queues. */
const mostKept = 10_000
/** Names of queues that did not come, and for how long each is remembered. */
const mostRemembered = 10_000
const rememberMs = 60_000

/** What it needs. */
export interface AbsentQueuesOptions {
  readonly clock: Clock
  /** Rejects with `UnroutableError`, which names those that no queue took. */
  publish(messages: readonly Outgoing[]): Promise<void>
}

/** See above. */
export class AbsentQueues {
  readonly #options: AbsentQueuesOptions
  readonly #awaited = new Map<string, Outgoing[]>()
  /** Since when, on the monotonic clock; the oldest first. */
  readonly #gone = new Map<string, number>()
  readonly #tries = new Set<Promise<void>>()
  readonly #ending = new AbortController()
  #kept = 0

  constructor(options: AbsentQueuesOptions) {
    this.#options = options
  }

  /** True when the queue of the result is awaited: it is sent after those that are already waiting, or dropped. */
  takes(message: Outgoing): boolean {
    const waiting = this.#awaited.get(queueOf(message))
    if (waiting === undefined) return false
    if (this.#kept < mostKept) {
      waiting.push(message)
      this.#kept += 1
    }
    return true
  }

  /** Whether the broker is to tell that no queue took the result: not where nothing would be done about it. */
  awaits(message: Outgoing): boolean {
    const queue = queueOf(message)
    const since = this.#gone.get(queue)
    if (since === undefined) return true
    if (this.#options.clock.monotonic() - since < rememberMs) return false
    this.#gone.delete(queue)
    return true
  }

  /** Takes over what no queue took. */
  add(messages: readonly Outgoing[]): void {
    for (const message of messages) {
      const queue = queueOf(message)
      if (this.takes(message) || this.#ending.signal.aborted) continue
      this.#awaited.set(queue, [])
      this.takes(message)
      const trying = this.#try(queue).finally(() => this.#tries.delete(trying))
      this.#tries.add(trying)
    }
  }

  /** Tries all once more, and resolves when that has ended. */
  async end(reason: Error): Promise<void> {
    this.#ending.abort(reason)
    await Promise.all(this.#tries)
  }

  /** Never rejects. */
  async #try(queue: string): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#ending
    for (const ms of tryAfterMs) {
      const isLast = await pause(clock, ms, signal).then(
        () => false,
        () => true,
      )
      if (await this.#send(queue)) return
      if (isLast) break
    }
    this.#drop(queue)
    this.#gone.set(queue, clock.monotonic())
    for (const oldest of this.#gone.keys()) {
      if (this.#gone.size <= mostRemembered) break
      this.#gone.delete(oldest)
    }
  }

  /** True when nothing is left to be sent. What comes meanwhile stands behind. */
  async #send(queue: string): Promise<boolean> {
    const waiting = this.#awaited.get(queue) ?? []
    while (waiting.length > 0) {
      const some = waiting.splice(0)
      this.#kept -= some.length
      const left = await this.#options.publish(some).then(
        () => [],
        // The broker is away, or refuses one of them: the first is tried again, the second no more.
        (error: unknown) => (error instanceof UnroutableError ? (error.returned as readonly Outgoing[]) : []),
      )
      waiting.unshift(...left)
      this.#kept += left.length
      if (left.length > 0) return false
    }
    this.#awaited.delete(queue)
    return true
  }

  #drop(queue: string): void {
    this.#kept -= this.#awaited.get(queue)?.length ?? 0
    this.#awaited.delete(queue)
  }
}

function queueOf({ to }: Outgoing): string {
  return to.routingKey
}
