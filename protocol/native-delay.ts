/**
 * RabbitMQ's delayed delivery (`kombu/transport/native_delayed_delivery.py`; wire-format 7.7): 28 topic exchanges, one
 * for each bit of a delay in seconds. A set bit leads through a queue where the message lives for that power of two.
 */

/** Where a delayed message is published. */
export const delayExchange = 'celery_delayed_27'
/** Where it comes out, with its first routing key behind 28 digits. */
export const delayedDelivery = 'celery_delayed_delivery'
/** 2^28 - 1 seconds: eight and a half years. */
export const longestDelaySeconds = 2 ** 28 - 1

const levels = 28

/** The routing key of a delay of whole seconds from 1 to `longestDelaySeconds` (kombu's `calculate_routing_key`). */
export function delayRoutingKey(seconds: number, routingKey: string): string {
  return `${[...seconds.toString(2).padStart(levels, '0')].join('.')}.${routingKey}`
}

/** The routing key that a message had before it was delayed. */
export function undelayedRoutingKey(routingKey: string): string {
  return routingKey.replace(/^(?:[01]\.){28}/, '')
}

/** The key that leads a delayed message on to an exchange, and from it to its queue. */
export function delayedBindingKey(routingKey: string): string {
  return routingKey.startsWith('#') ? routingKey : `#.${routingKey}`
}

/** What `declare_native_delayed_delivery_exchanges_and_queues` declares. */
export function delayTopology(queueType: 'quorum' | 'classic'): {
  readonly exchanges: readonly { readonly name: string; readonly type: 'topic'; readonly durable: true }[]
  readonly queues: readonly {
    readonly name: string
    readonly durable: true
    readonly exclusive: false
    readonly autoDelete: false
    readonly arguments: Readonly<Record<string, unknown>>
  }[]
  readonly bindings: readonly {
    readonly from: string
    readonly to: { readonly queue: string } | { readonly exchange: string }
    readonly routingKey: string
  }[]
} {
  const all = Array.from({ length: levels }, (_, index) => levels - 1 - index)
  return {
    exchanges: [...all.map(levelName), delayedDelivery].map((name) => ({
      name,
      type: 'topic',
      durable: true,
    })),
    queues: all.map((level) => ({
      name: levelName(level),
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {
        'x-queue-type': queueType,
        'x-overflow': 'reject-publish',
        'x-message-ttl': 2 ** level * 1000,
        'x-dead-letter-exchange': below(level),
        ...(queueType === 'quorum' ? { 'x-dead-letter-strategy': 'at-least-once' } : {}),
      },
    })),
    bindings: all.flatMap((level) => {
      const before = '*.'.repeat(levels - 1 - level)
      return [
        { from: levelName(level), to: { queue: levelName(level) }, routingKey: `${before}1.#` },
        { from: levelName(level), to: { exchange: below(level) }, routingKey: `${before}0.#` },
      ]
    }),
  }
}

function levelName(level: number): string {
  return `celery_delayed_${level}`
}

function below(level: number): string {
  return level === 0 ? delayedDelivery : levelName(level - 1)
}
