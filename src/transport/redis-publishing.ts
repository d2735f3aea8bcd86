import type { Envelope } from '../../protocol/envelope.js'
import { priorityOf } from '../../protocol/message-template.js'
import { encodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import type { Stored } from './queue-store.js'
import type { RedisClient } from './redis-client.js'
import { fanoutChannel, type RedisOptions, stepKey, stepOf } from './redis-options.js'
import { RedisOutbox } from './redis-outbox.js'
import { allUnanswered, type Placed, republish } from './redis-republish.js'

/** What goes into an envelope besides the message. */
export interface Posting {
  readonly exchange: string
  readonly routingKey: string
  readonly deliveryTag: string
  readonly redelivered?: boolean
}

/** Puts messages into the lists and channels of one connection, in kombu's form. */
export class RedisPublishing {
  readonly #client: RedisClient
  readonly #options: RedisOptions
  readonly #newId: () => string
  readonly #outbox: RedisOutbox

  constructor(client: RedisClient, options: RedisOptions, newId: () => string) {
    this.#client = client
    this.#options = options
    this.#newId = newId
    this.#outbox = new RedisOutbox(client)
  }

  /** Into the queue of each; resolves when the server has them all. */
  push(messages: readonly Stored[], signal?: AbortSignal, after?: readonly Error[]): Promise<void> {
    const [first] = messages
    if (after !== undefined && after.length > 0) return this.#pushAgain(messages, signal, after)
    if (messages.length !== 1 || first === undefined || signal !== undefined)
      return this.#pushAll(messages, signal)
    try {
      // The promise of all that share the command: many may wait for it.
      return this.#outbox.push(this.#listOf(first), this.#textOf(first))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #pushAll(messages: readonly Stored[], signal: AbortSignal | undefined): Promise<void> {
    const texts = messages.map((message) => this.#textOf(message))
    signal?.throwIfAborted()
    // What many callers push in one turn of the event loop shares a command.
    const sent = new Map<Promise<void>, string>()
    for (const [at, message] of messages.entries()) {
      const list = this.#listOf(message)
      sent.set(this.#outbox.push(list, texts[at] as string), list)
    }
    try {
      await Promise.all(sent.keys())
    } catch (error) {
      throw await allUnanswered(error, sent)
    }
  }

  async #pushAgain(
    messages: readonly Stored[],
    signal: AbortSignal | undefined,
    after: readonly Error[],
  ): Promise<void> {
    signal?.throwIfAborted()
    const placed = messages.map((message): Placed => ({ message, ...this.place(message) }))
    const fresh = await republish(this.#client, this.#options, placed, after)
    if (fresh.length > 0) await this.push(fresh, signal)
  }

  /** Where a message goes, and what is put there; each time with a new tag. Throws `EncodeError`. */
  place(message: Stored): { readonly list: string; readonly text: string } {
    return { list: this.#listOf(message), text: this.#textOf(message) }
  }

  #listOf({ queue, envelope }: Stored): string {
    return stepKey(this.#options, queue, stepOf(this.#options, priorityOf(envelope)))
  }

  /** Each copy has a tag of its own: two holders of one tag would share an entry of `unacked`. */
  #textOf({ exchange, routingKey, envelope }: Stored): string {
    return this.encoded(envelope, { exchange, routingKey, deliveryTag: this.#newId() })
  }

  /** To whoever hears the exchange at this moment. */
  async broadcast(
    exchange: string,
    routingKey: string,
    envelope: Envelope,
    signal?: AbortSignal,
  ): Promise<void> {
    const text = this.encoded(envelope, { exchange, routingKey, deliveryTag: this.#newId() })
    signal?.throwIfAborted()
    await this.#client.run('PUBLISH', fanoutChannel(this.#options, exchange, routingKey), text)
  }

  /** The text of a message in a list. */
  encoded(envelope: Envelope, posting: Posting): string {
    const { bodyEncoding } = this.#options
    return encodeVirtualEnvelope(envelope, { redelivered: false, ...posting, bodyEncoding })
  }
}
