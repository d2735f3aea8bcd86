/** What a retry keeps of its message, and what its options change (`celery/app/task.py` signature_from_request). */
import { withoutDeathHeaders } from '../../protocol/custom-headers.js'
import { delayedDelivery, undelayedRoutingKey } from '../../protocol/native-delay.js'
import type { SendOptions } from '../canvas/send-options.js'
import type { Resend } from '../execution/host.js'
import type { Address } from '../transport/transport.js'

/** The time of a retry, where it has one. */
export function definedTimes({ countdown, eta }: Resend): Pick<SendOptions, 'countdown' | 'eta'> {
  return { ...(countdown === undefined ? {} : { countdown }), ...(eta === undefined ? {} : { eta }) }
}

/** Back to where a message came from: through the default exchange its routing key is the queue (wire-format 1.4). */
export function placeOf({ exchange, routingKey }: Address): SendOptions {
  if (exchange === delayedDelivery)
    return { exchange, routingKey: undelayedRoutingKey(routingKey), exchangeType: 'topic' }
  return exchange === '' ? { queue: routingKey } : { exchange, routingKey }
}

/** The place that options name. */
export function places({
  queue,
  exchange,
  exchangeType,
  routingKey,
  deliveryMode,
}: SendOptions): SendOptions {
  const given = Object.entries({ queue, exchange, exchangeType, routingKey, deliveryMode })
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as SendOptions
}

/** What `retry()` was given besides times and arguments, as fields of the message. */
export function retryFields(
  options: SendOptions,
  expires: string | undefined,
  headers: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { priority, timeLimit, softTimeLimit, shadow, replyTo, groupId, groupIndex, ignoreResult } = options
  const fields = {
    expires,
    priority: priority ?? undefined,
    timeLimit,
    softTimeLimit,
    shadow,
    replyTo,
    groupId,
    groupIndex,
    ignoreResult,
    customHeaders: options.headers && { ...withoutDeathHeaders(headers), ...options.headers },
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
