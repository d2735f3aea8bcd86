import type { Envelope } from '../../protocol/envelope.js'
import { priorityOf } from '../../protocol/message-template.js'
import { encodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import type { Stored } from './queue-store.js'
import type { RedisClient } from './redis-client.js'
import { fanoutChannel, type RedisOptions, stepKey, stepOf } from './redis-options.js'
import { RedisOutbox } from './redis-outbox.js'

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
  async push(messages: readonly Stored[], signal?: AbortSignal): Promise<void> {
    const texts = messages.map(({ queue, exchange, routingKey, envelope }) => {
      const list = stepKey(this.#options, queue, stepOf(this.#options, priorityOf(envelope)))
      // Each copy has a tag of its own: two holders of one tag would share an entry of `unacked`.
      return [list, this.encoded(envelope, { exchange, routingKey, deliveryTag: this.#newId() })] as const
    })
    signal?.throwIfAborted()
    // What many callers push in one turn of the event loop shares a command.
    const sent = texts.map(([list, text]) => this.#outbox.push(list, text))
    await (sent.length === 1 ? sent[0] : Promise.all(new Set(sent)))
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
