/**
 * `memory://`: a broker inside this process (kombu's `transport/memory.py`), for tests and for one-process programs.
 *
 * Rule 1: connections of one broker object share its queues; what a closed connection held is in its queue again.
 * Rule 2: every message has a number; queues are kept in its order, so that a returned one stands where it stood.
 */
import type { Envelope } from '../../protocol/envelope.js'
import type { Claimed, QueueStore, Settling, Stored, StoredBinding } from './queue-store.js'

interface Kept extends Stored {
  readonly number: number
  readonly redelivered: boolean
}

/** One queue, by number. `Array.shift` moves all that is behind it, which a long queue feels with every message. */
class Waiting {
  #messages: Kept[] = []
  #head = 0

  get length(): number {
    return this.#messages.length - this.#head
  }

  get first(): Kept | undefined {
    return this.#messages[this.#head]
  }

  insert(message: Kept): void {
    const messages = this.#messages
    let at = messages.length
    while (at > this.#head && messages[at - 1]!.number > message.number) at -= 1
    if (at === messages.length) messages.push(message)
    else messages.splice(at, 0, message)
  }

  shift(): Kept | undefined {
    const message = this.first
    if (message === undefined) return undefined
    this.#head += 1
    if (
      this.#head === this.#messages.length ||
      (this.#head >= 1024 && this.#head * 2 > this.#messages.length)
    ) {
      this.#messages = this.#messages.slice(this.#head)
      this.#head = 0
    }
    return message
  }
}

/** The queues and bindings that the connections of one `memory://` URL share. */
export class MemoryBroker {
  readonly #queues = new Map<string, Waiting>()
  readonly #bindings = new Map<string, StoredBinding[]>()
  readonly #waiting = new Set<() => void>()
  #lastNumber = 0

  /** Puts messages behind what waits. */
  push(messages: readonly Stored[], redelivered = false): void {
    for (const message of messages) this.#insert({ ...message, number: ++this.#lastNumber, redelivered })
    this.#tell()
  }

  /** Puts messages back where they stood. */
  restore(messages: readonly Kept[]): void {
    for (const message of messages) this.#insert({ ...message, redelivered: true })
    this.#tell()
  }

  /** Takes up to `max`, oldest first over all `queues`. */
  take(queues: readonly string[], max: number): readonly Kept[] {
    const taken: Kept[] = []
    while (taken.length < max) {
      let oldest: Waiting | undefined
      for (const queue of queues) {
        const waiting = this.#queues.get(queue)
        if (waiting?.first !== undefined && !(oldest?.first && oldest.first.number < waiting.first.number))
          oldest = waiting
      }
      const message = oldest?.shift()
      if (message === undefined) break
      taken.push(message)
    }
    return taken
  }

  /** Calls `wake` whenever messages came; the returned function ends that. */
  watch(wake: () => void): () => void {
    this.#waiting.add(wake)
    return () => this.#waiting.delete(wake)
  }

  length(queue: string): number {
    return this.#queues.get(queue)?.length ?? 0
  }

  purge(queue: string): number {
    const count = this.length(queue)
    this.#queues.delete(queue)
    return count
  }

  remove(queue: string): void {
    this.#queues.delete(queue)
    for (const [exchange, rows] of this.#bindings) {
      this.#bindings.set(
        exchange,
        rows.filter((row) => row.queue !== queue),
      )
    }
  }

  bind(exchange: string, binding: StoredBinding): void {
    const rows = this.#bindings.get(exchange) ?? []
    const isThere = rows.some((r) => r.queue === binding.queue && r.routingKey === binding.routingKey)
    if (!isThere) this.#bindings.set(exchange, [binding, ...rows])
  }

  bindings(exchange: string): readonly StoredBinding[] {
    return this.#bindings.get(exchange) ?? []
  }

  #insert(message: Kept): void {
    let waiting = this.#queues.get(message.queue)
    if (waiting === undefined) {
      waiting = new Waiting()
      this.#queues.set(message.queue, waiting)
    }
    waiting.insert(message)
  }

  #tell(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}

/** One connection's view of a `MemoryBroker`. */
export class MemoryStore implements QueueStore {
  onUnreadable: QueueStore['onUnreadable']
  onLost: QueueStore['onLost']
  readonly #broker: MemoryBroker
  readonly #held = new Map<string, Kept>()

  constructor(broker: MemoryBroker) {
    this.#broker = broker
  }

  async push(messages: readonly Stored[]): Promise<void> {
    this.#broker.push(messages.map((message) => ({ ...message, envelope: copied(message.envelope) })))
  }

  async claim(queues: readonly string[], max: number, signal: AbortSignal): Promise<readonly Claimed[]> {
    while (!signal.aborted) {
      const taken = this.#broker.take(queues, max)
      if (taken.length > 0) return taken.map((message) => this.#hold(message))
      await new Promise<void>((resolve) => {
        const end = (): void => {
          unwatch()
          signal.removeEventListener('abort', end)
          resolve()
        }
        const unwatch = this.#broker.watch(end)
        signal.addEventListener('abort', end, { once: true })
      })
    }
    return []
  }

  async claimNow(queue: string): Promise<Claimed | undefined> {
    const [message] = this.#broker.take([queue], 1)
    return message && this.#hold(message)
  }

  async settle(claimed: readonly Claimed[], how: Settling): Promise<readonly Claimed[]> {
    const kept: Kept[] = []
    const lost: Claimed[] = []
    for (const message of claimed) {
      const ours = this.#held.get(message.tag)
      if (ours === undefined) lost.push(message)
      else if (this.#held.delete(message.tag)) kept.push(ours)
    }
    if (how === 'requeue') this.#broker.push(kept, true)
    if (how === 'return') this.#broker.restore(kept)
    return lost
  }

  async bind(exchange: string, binding: StoredBinding): Promise<void> {
    this.#broker.bind(exchange, binding)
  }

  async bindings(exchange: string): Promise<readonly StoredBinding[]> {
    return this.#broker.bindings(exchange)
  }

  async length(queue: string): Promise<number> {
    return this.#broker.length(queue)
  }

  async purge(queue: string): Promise<number> {
    return this.#broker.purge(queue)
  }

  async remove(queue: string): Promise<void> {
    this.#broker.remove(queue)
  }

  async close(): Promise<void> {
    this.#broker.restore([...this.#held.values()])
    this.#held.clear()
  }

  #hold(message: Kept): Claimed {
    const tag = String(message.number)
    this.#held.set(tag, message)
    const { queue, exchange, routingKey, envelope, redelivered } = message
    return { queue, exchange, routingKey, envelope, redelivered, tag }
  }
}

/** A publisher that uses its buffer again must not change what waits. */
function copied(envelope: Envelope): Envelope {
  const { contentType, contentEncoding, headers, properties } = envelope
  const body = Uint8Array.from(envelope.body)
  return { body, contentType, contentEncoding, headers: { ...headers }, properties }
}
