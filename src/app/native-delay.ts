/**
 * Delays that RabbitMQ keeps instead of a worker (`celery/app/base.py` send_task,
 * `celery/worker/consumer/delayed_delivery.py`; surface PUB-083 to PUB-089).
 *
 * Rule 1: they are used where a queue of the app is a quorum queue, and the exchange of the message is not direct.
 * Rule 2: a delay under a second is left to the worker (Celery raises `ValueError`); one of more than eight years is cut,
 *         for the header `eta` decides when it runs.
 * Rule 3: who publishes declares what leads the message back to its queue, where Celery relies on some worker to have
 *         done so: a message that finds no way back is lost.
 */
import {
  delayExchange,
  delayedBindingKey,
  delayedDelivery,
  delayRoutingKey,
  delayTopology,
  longestDelaySeconds,
} from '../../protocol/native-delay.js'
import { schemeOf } from '../broker-url.js'
import { ConfigError } from '../errors.js'
import type { Binding, Topology } from '../transport/transport.js'
import type { Queues, TaskQueue } from './queues.js'

/** The settings that delays are made from. */
export interface DelaySettings {
  readonly brokerNativeDelayedDeliveryQueueType: string
}

/** True for URLs that RabbitMQ answers (Celery's `driver_type == 'amqp'`). */
export function isAmqp(urls: readonly string[]): boolean {
  return /^(py)?amqps?$/.test(schemeOf(urls[0] ?? '') ?? '')
}

/** Whether delays are the broker's. */
export function delaysInBroker(urls: readonly string[], queues: Queues): boolean {
  return isAmqp(urls) && queues.hasQuorum
}

/** The address of a message that is to arrive after `seconds`; undefined for less than one. */
export function delayedAddress(
  seconds: number,
  routingKey: string,
): { readonly exchange: string; readonly routingKey: string } | undefined {
  const whole = Math.min(longestDelaySeconds, Math.trunc(seconds))
  return whole < 1 ? undefined : { exchange: delayExchange, routingKey: delayRoutingKey(whole, routingKey) }
}

/**
 * The exchanges and queues of delays, and the ways back to `queues`. Direct exchanges have none, as in Celery. Throws
 * `ConfigError` for a queue type that RabbitMQ does not have.
 */
export function delayTopologyOf(settings: DelaySettings, queues: Iterable<TaskQueue>): Topology {
  const type = settings.brokerNativeDelayedDeliveryQueueType
  if (type !== 'quorum' && type !== 'classic') {
    throw new ConfigError(
      `Invalid queue type '${type}' in broker_native_delayed_delivery_queue_type. Must be one of: classic, quorum`,
    )
  }
  const { exchanges, queues: levels, bindings } = delayTopology(type)
  return { exchanges, queues: levels, bindings: [...bindings, ...[...queues].flatMap(waysBack)] }
}

/** Those whose tasks a worker has to keep until their time, since their exchange is direct. */
export function withoutDelay(queues: Iterable<TaskQueue>): readonly TaskQueue[] {
  return [...queues].filter((queue) => waysBack(queue).length === 0)
}

function waysBack(queue: TaskQueue): readonly Binding[] {
  const own = { exchange: queue.exchange, routingKey: queue.routingKey }
  const all = queue.bindings.length > 0 ? queue.bindings : [own]
  return all.flatMap(({ exchange, routingKey: key }) => {
    if (exchange.type === 'direct' || exchange.name === '') return []
    const routingKey = delayedBindingKey(key)
    return [
      { from: delayedDelivery, to: { exchange: exchange.name }, routingKey },
      { from: exchange.name, to: { queue: queue.name }, routingKey },
    ]
  })
}
