import type { Envelope } from '../../protocol/envelope.js'
import { DeliveryLostError } from '../errors.js'
import type { ConsumeOptions, Delivery, Outgoing, Unreadable } from './transport.js'

/** Acks without waiting; the last one of a test may be under way when its connection closes, and is refused then. */
export function ackAndForget(delivery: Delivery): void {
  delivery.ack().catch((error: unknown) => {
    if (!(error instanceof DeliveryLostError)) throw error
  })
}

/** A message with a text body. */
export function message(text: string, headers: Record<string, unknown> = {}): Envelope {
  return {
    body: new TextEncoder().encode(text),
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    headers,
    properties: { correlationId: text, deliveryMode: 2, priority: 0 },
  }
}

/** The text of a message made by `message`. */
export function textOf({ envelope }: Pick<Delivery, 'envelope'>): string {
  return new TextDecoder().decode(envelope.body)
}

/** Messages for the default exchange. */
export function toQueue(queue: string, texts: readonly string[]): Outgoing[] {
  return texts.map((text) => ({ envelope: message(text), to: { exchange: '', routingKey: queue } }))
}

/** A consumer that keeps what it got, and can be waited for. */
export class Collector {
  readonly deliveries: Delivery[] = []
  readonly unreadable: Unreadable[] = []
  readonly #waiting = new Set<() => void>()
  #onEach: (delivery: Delivery) => void

  constructor(onEach: (delivery: Delivery) => void = () => {}) {
    this.#onEach = onEach
  }

  get texts(): string[] {
    return this.deliveries.map(textOf)
  }

  options(prefetch: number, noAck = false): ConsumeOptions {
    return {
      prefetch,
      noAck,
      onDeliveries: (deliveries) => {
        for (const delivery of deliveries) {
          this.deliveries.push(delivery)
          this.#onEach(delivery)
        }
        this.#tell()
      },
      onUnreadable: (report) => {
        this.unreadable.push(report)
        this.#tell()
      },
    }
  }

  /** Resolves once `isDone` holds; rejects after `ms`. */
  until(isDone: () => boolean, ms = 15_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!isDone()) return
        clearTimeout(bound)
        this.#waiting.delete(check)
        resolve()
      }
      const bound = setTimeout(() => {
        this.#waiting.delete(check)
        reject(
          new Error(`waited ${ms} ms in vain; got ${this.deliveries.length}: ${this.texts.slice(0, 20)}`),
        )
      }, ms)
      this.#waiting.add(check)
      check()
    })
  }

  count(count: number): Promise<void> {
    return this.until(() => this.deliveries.length >= count)
  }

  #tell(): void {
    for (const check of [...this.#waiting]) check()
  }
}
