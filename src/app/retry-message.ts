/**
 * A task's message again, as a retry (`celery/app/task.py` signature_from_request; wire-format 1.4).
 *
 * Rule 1: it keeps what its message said, and goes back to the queue that it came from, but for what the options of the
 *         retry name.
 * Rule 2: a retry never keeps the time of the run before: without one of its own it is due at once.
 */
import { withoutDeathHeaders } from '../../protocol/custom-headers.js'
import { delayedDelivery, undelayedRoutingKey } from '../../protocol/native-delay.js'
import type { Codec } from '../../protocol/serializers.js'
import { encodeRetry } from '../../protocol/task-retry.js'
import type { SendOptions } from '../canvas/send-options.js'
import type { Resend } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'
import type { Address } from '../transport/transport.js'
import { delayedDestination, destinationOf, etaOf, expiry, type Preparing } from './outgoing-task.js'
import type { ReadyMessage } from './ready-message.js'

/** The message of `request` with what a retry changes. Throws as preparing a call does (outgoing-task.ts). */
export function retryMessage(
  request: TaskRequest,
  change: Resend,
  nowMs: number,
  codec: Codec,
  app: Preparing,
): ReadyMessage {
  const { message, deliveryInfo, body } = request
  const { args, kwargs, retries, options = {} } = change
  const times = definedTimes(change)
  const expires = expiry(options.expires === undefined ? message.expires : options.expires, nowMs, app.zone)
  const envelope = encodeRetry(message, body, {
    codec,
    retries,
    eta: etaOf({ ...options, ...times }, nowMs, app.zone),
    expiration: expires?.expiration,
    args,
    kwargs,
    serializer: options.serializer,
    compression: options.compression,
    fields: retryFields(options, expires?.iso, message.headers),
  })
  const place = { ...placeOf(deliveryInfo), ...places(options), ...times }
  const destination = delayedDestination(destinationOf(place, app), place, nowMs, app)
  return {
    id: message.id,
    task: message.task,
    outgoing: { envelope, to: destination },
    body: { ...body, args: args ?? body.args, kwargs: kwargs ?? body.kwargs },
    way: {
      destination,
      retry: options.retry ?? app.settings.taskPublishRetry,
      retryPolicy: { ...app.retryPolicy, ...options.retryPolicy },
    },
  }
}

/** The time of a retry, where it has one. */
function definedTimes({ countdown, eta }: Resend): Pick<SendOptions, 'countdown' | 'eta'> {
  return { ...(countdown === undefined ? {} : { countdown }), ...(eta === undefined ? {} : { eta }) }
}

/** Back to where a message came from: through the default exchange its routing key is the queue (wire-format 1.4). */
function placeOf({ exchange, routingKey }: Address): SendOptions {
  if (exchange === delayedDelivery)
    return { exchange, routingKey: undelayedRoutingKey(routingKey), exchangeType: 'topic' }
  return exchange === '' ? { queue: routingKey } : { exchange, routingKey }
}

/** The place that options name. */
function places({ queue, exchange, exchangeType, routingKey, deliveryMode }: SendOptions): SendOptions {
  const given = Object.entries({ queue, exchange, exchangeType, routingKey, deliveryMode })
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as SendOptions
}

/** What `retry()` was given besides times and arguments, as fields of the message. */
function retryFields(
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
