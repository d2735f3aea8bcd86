/**
 * Publishing with confirms on one link (wire-format 7.5; kombu's `confirm_publish`, always on here).
 *
 * Rule 1: a message is published when the broker has confirmed it: on disk where it is persistent and its queue durable.
 * Rule 2: a message of which the fate is unknown (the link or the channel ended before its confirm) rejects with
 *         `ConnectionLostError`: it may or may not have arrived.
 * Rule 3: what a broker that takes no messages (its alarm) has not been sent yet is never sent once its publisher has
 *         given up.
 * Rule 4: a refusal (no such exchange, too large) ends the channel and all that is unconfirmed on it; the culprit is told
 *         what was refused, the others that their fate is unknown, and the next publish opens another channel.
 */
import type { ConfirmChannel, Message } from 'amqplib'
import {
  type CeleriacError,
  ConnectionLostError,
  InvalidArgumentError,
  MessageNackedError,
} from '../errors.js'
import { bodyBuffer } from './amqp-envelope.js'
import { replyCode, typedAmqpError } from './amqp-errors.js'
import type { AmqpLink } from './amqp-link.js'
import type { AmqpWriter } from './amqp-writer.js'
import type { Outgoing } from './transport.js'

/** Most messages that wait for their confirms at once; others wait in memory, so that an abort finds them unsent. */
const mostUnconfirmed = 4096
const mostUnconfirmedBytes = 32 * 1024 * 1024

/** One call of `publish`. */
interface Batch {
  left: number
  isOver: boolean
  readonly returned: Outgoing[]
  resolve(returned: readonly Outgoing[]): void
  reject(error: unknown): void
}

interface Entry {
  readonly outgoing: Outgoing
  readonly batch: Batch
  readonly size: number
  isReturned: boolean
}

/** Publishes on one link. */
export class AmqpPublisher {
  readonly #link: AmqpLink
  #channel: ConfirmChannel | undefined
  /** Writes on the channel. */
  #writer: AmqpWriter | undefined
  #isWriting = false
  #opening: Promise<void> | undefined
  #waiting: Entry[] = []
  /** Where the waiting ones begin: taking from the front of an array costs its length. */
  #first = 0
  #isPumping = false
  /** Given up since the waiting ones were last looked through. */
  #given = 0
  readonly #unconfirmed = new Set<Entry>()
  #bytes = 0
  #isNacking = false
  #refusal: Error | undefined
  #onIdle: (() => void)[] = []

  constructor(link: AmqpLink) {
    this.#link = link
  }

  /**
   * Resolves with those that no queue took, once the broker has answered for all. Rejects with the first refusal, the
   * signal's reason, `MessageNackedError` or `ConnectionLostError`.
   */
  publish(messages: readonly Outgoing[], signal: AbortSignal | undefined): Promise<readonly Outgoing[]> {
    if (messages.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        fail(signal?.reason)
        this.#dropOver(messages.length)
      }
      const settled = (): void => {
        batch.isOver = true
        signal?.removeEventListener('abort', stop)
      }
      const fail = (error: unknown): void => {
        if (batch.isOver) return
        settled()
        reject(error)
      }
      const batch: Batch = {
        left: messages.length,
        isOver: false,
        returned: [],
        resolve: (returned) => {
          if (batch.isOver) return
          settled()
          resolve(returned)
        },
        reject: fail,
      }
      signal?.addEventListener('abort', stop, { once: true })
      for (const outgoing of messages) {
        const size = outgoing.envelope.body.byteLength
        this.#waiting.push({ outgoing, batch, size, isReturned: false })
      }
      this.#pump()
    })
  }

  /** Resolves when nothing is waiting or unconfirmed. */
  async idle(): Promise<void> {
    if (this.#waitingCount === 0 && this.#unconfirmed.size === 0) return
    await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  /** Closes the channel once everything is confirmed. Never rejects. */
  async retire(): Promise<void> {
    await this.idle()
    await this.#channel?.close().catch(() => {})
  }

  /** Rejects everything that is left: the link has ended. */
  end(): void {
    const lost = this.#link.lost('publish')
    for (const { batch } of this.#takeWaiting()) batch.reject(lost)
    for (const { batch } of this.#unconfirmed) batch.reject(lost)
    this.#unconfirmed.clear()
    this.#bytes = 0
    this.#tellIdle()
  }

  /** Sends what may be sent now. */
  #pump(): void {
    if (!this.#link.isOpen) {
      this.end()
      return
    }
    if (this.#link.blockedBy !== undefined) {
      this.#link.onUnblocked(() => this.#pump())
      return
    }
    const [channel, writer] = [this.#channel, this.#writer]
    if (channel === undefined || writer === undefined) {
      this.#opening ??= this.#open()
      return
    }
    while (this.#unconfirmed.size < mostUnconfirmed && this.#bytes < mostUnconfirmedBytes) {
      const entry = this.#waiting[this.#first]
      if (entry === undefined) {
        this.#waiting = []
        this.#first = 0
        break
      }
      this.#first += 1
      if (!entry.batch.isOver) this.#send(channel, writer, entry)
    }
    this.#tellIdle()
  }

  async #open(): Promise<void> {
    try {
      this.#refusal = undefined
      const channel = await this.#link.confirmChannel((error) => (this.#refusal = error))
      // amqplib tells a nack and a dead channel by the text of an error alone; its own listener is between these two
      channel.prependListener('nack', () => (this.#isNacking = true))
      channel.on('nack', () => (this.#isNacking = false))
      channel.on('return', (message: Message) => this.#onReturn(message))
      channel.prependListener('close', () => this.#onChannelClosed(channel))
      this.#channel = channel
      this.#writer = this.#link.writer(channel)
    } catch (error) {
      for (const { batch } of this.#takeWaiting()) batch.reject(error)
    } finally {
      this.#opening = undefined
    }
    if (this.#waitingCount > 0) this.#pump()
    this.#tellIdle()
  }

  #send(channel: ConfirmChannel, writer: AmqpWriter, entry: Entry): void {
    try {
      writer.add(entry.outgoing)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      const what = `a message for ${placeOf(entry.outgoing)} cannot be written as AMQP: ${why}`
      entry.batch.reject(new InvalidArgumentError(what, { cause }))
      return
    }
    this.#unconfirmed.add(entry)
    this.#bytes += entry.size
    this.#link.expectConfirm(channel, (error) => this.#onAnswer(entry, error))
    if (this.#isWriting) return
    this.#isWriting = true
    // Behind the promises of this turn, so that what they send shares the write.
    process.nextTick(() => {
      this.#isWriting = false
      this.#link.write(writer.take())
    })
  }

  /** `error` is null for a confirm. */
  #onAnswer(entry: Entry, error: unknown): void {
    // false: the end of the channel has answered for it already
    if (!this.#forget(entry)) return
    const { batch, outgoing, isReturned } = entry
    if (error !== null && this.#isNacking) {
      batch.reject(
        new MessageNackedError(
          `the broker ${this.#link.shownUrl} did not keep a message for ${placeOf(outgoing)}: ` +
            'a queue is full (x-overflow: reject-publish), or the broker has a fault; see its log',
        ),
      )
    } else if (error !== null) {
      batch.reject(this.#link.lost('publish'))
    } else {
      if (isReturned) batch.returned.push(outgoing)
      batch.left -= 1
      if (batch.left === 0) batch.resolve(batch.returned)
    }
    if (this.#waitingCount > 0) this.#pumpSoon()
    else this.#tellIdle()
  }

  get #waitingCount(): number {
    return this.#waiting.length - this.#first
  }

  /** `count` more have been given up; those that still wait are let go of, now and then. */
  #dropOver(count: number): void {
    this.#given += count
    if (this.#given < 100 || this.#given * 2 < this.#waitingCount) return
    this.#given = 0
    this.#waiting = this.#takeWaiting().filter(({ batch }) => !batch.isOver)
  }

  #takeWaiting(): Entry[] {
    const taken = this.#waiting.slice(this.#first)
    this.#waiting = []
    this.#first = 0
    return taken
  }

  /** Once for all that one frame has confirmed. */
  #pumpSoon(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    process.nextTick(() => {
      this.#isPumping = false
      this.#pump()
    })
  }

  #forget(entry: Entry): boolean {
    if (!this.#unconfirmed.delete(entry)) return false
    this.#bytes -= entry.size
    return true
  }

  /** Returns come in the order of the publishes, before their confirms. */
  #onReturn({ fields, properties, content }: Message): void {
    const { exchange, routingKey } = fields
    for (const entry of this.#unconfirmed) {
      const { envelope, to, mandatory = true } = entry.outgoing
      if (entry.isReturned || !mandatory || to.exchange !== exchange || to.routingKey !== routingKey) continue
      if (envelope.properties.correlationId !== (properties.correlationId ?? undefined)) continue
      if (entry.size !== content.length || !content.equals(bodyBuffer(envelope))) continue
      entry.isReturned = true
      return
    }
  }

  #onChannelClosed(channel: ConfirmChannel): void {
    if (this.#channel === channel) {
      this.#channel = undefined
      this.#writer = undefined
    }
    const entries = [...this.#unconfirmed]
    this.#unconfirmed.clear()
    this.#bytes = 0
    const refusal = this.#refusal
    if (refusal === undefined) {
      const lost = this.#link.lost('publish')
      for (const { batch } of entries) batch.reject(lost)
    } else {
      const culprits = culpritsOf(refusal, entries)
      const unknown = new ConnectionLostError(
        `the broker ${this.#link.shownUrl} refused another message of the same channel: this one may or may not have arrived`,
        { cause: refusal },
      )
      for (const entry of entries) {
        entry.batch.reject(culprits.has(entry) ? this.#refused(entry, refusal) : unknown)
      }
    }
    if (this.#waitingCount > 0) this.#pump()
    else this.#tellIdle()
  }

  #refused({ outgoing, size }: Entry, refusal: Error): CeleriacError {
    const what = `take a message of ${size} bytes for ${placeOf(outgoing)}`
    return typedAmqpError(refusal, what, this.#link.shownUrl)
  }

  #tellIdle(): void {
    if (this.#onIdle.length === 0 || this.#waitingCount > 0 || this.#unconfirmed.size > 0) return
    for (const tell of this.#onIdle.splice(0)) tell()
  }
}

/** Those that a refusal may be about: the server names an exchange or a size, and no message. */
function culpritsOf(refusal: Error, entries: readonly Entry[]): ReadonlySet<Entry> {
  const exchange = /exchange '(.*?)' in vhost/.exec(refusal.message)?.[1]
  const largest = /message size \d+ is larger than configured max size (\d+)/.exec(refusal.message)?.[1]
  const named = entries.filter(({ outgoing, size }) =>
    exchange !== undefined
      ? outgoing.to.exchange === exchange
      : largest !== undefined && size > Number(largest),
  )
  // The server works through a channel in order: the first that it has not confirmed is the likeliest otherwise.
  return new Set(named.length > 0 || replyCode(refusal) === undefined ? named : entries.slice(0, 1))
}

function placeOf({ to }: Outgoing): string {
  return to.exchange === ''
    ? `the queue '${to.routingKey}'`
    : `the exchange '${to.exchange}', routing key '${to.routingKey}'`
}
