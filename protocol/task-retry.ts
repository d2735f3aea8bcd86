/** The message of a retry (wire-format 1.4; `Task.retry`, `signature_from_request` and `Context.as_execution_options`). */
import { withoutDeathHeaders } from './custom-headers.js'
import type { Envelope } from './envelope.js'
import { saferepr } from './python-repr.js'
import type { Codec } from './serializers.js'
import {
  encodeTask,
  type TaskBody,
  type TaskFields,
  type TaskMessage,
  taskHeaders,
  taskProperties,
} from './task-message.js'
import { Tuple } from './values.js'

/** How a retry differs from the message that it repeats. */
export interface RetryChange {
  /** Used when the body has to be written again. */
  readonly codec: Codec
  /** Default: one more than the message has. */
  readonly retries?: number | undefined
  /** ISO text of the next run; at once when left out. */
  readonly eta?: string | undefined
  /** The `expiration` property, computed again from what is left of `expires`: integer milliseconds as text. */
  readonly expiration?: string | undefined
  readonly args?: readonly unknown[] | undefined
  readonly kwargs?: Readonly<Record<string, unknown>> | undefined
  /** Anything else given to `retry()`; wins over what the message carries. */
  readonly fields?: Partial<TaskFields> | undefined
  /** Default: as the message came. Another one writes the body again. */
  readonly serializer?: string | undefined
  readonly compression?: string | undefined
}

/**
 * Writes the message again: same id, root, group, limits, stamps, origin and custom headers (at top level, RabbitMQ's
 * dead-letter trail removed), `parent_id` equal to the id, `retries` one higher. The body bytes are reused as they are,
 * unless args, kwargs, serializer or compression change or the message was of protocol 1. `argsrepr` is kept, so that
 * what the sender hid stays hidden (Python computes it again); but one that only shows a list is written as the tuple
 * that it is in Python's retries. Throws `EncodeError`.
 */
export function encodeRetry(message: TaskMessage, body: TaskBody, change: RetryChange): Envelope {
  const fields = retryFields(message, body, change)
  const next = { ...body, args: change.args ?? body.args, kwargs: change.kwargs ?? body.kwargs }
  if (isRewritten(message, change)) {
    return encodeTask(fields, next, {
      codec: change.codec,
      serializer: change.serializer ?? message.body.contentType,
      compression: change.compression ?? message.body.compression,
      argsAsTuple: true,
    })
  }
  const { compression, ...payload } = message.body
  const headers = taskHeaders(fields, Tuple.from(next.args), next.kwargs)
  return {
    ...payload,
    headers: compression === undefined ? headers : { ...headers, compression },
    properties: taskProperties(fields),
  }
}

function isRewritten(message: TaskMessage, change: RetryChange): boolean {
  return (
    message.protocol === 1 ||
    change.args !== undefined ||
    change.kwargs !== undefined ||
    change.serializer !== undefined ||
    change.compression !== undefined
  )
}

function retryFields(message: TaskMessage, body: TaskBody, change: RetryChange): TaskFields {
  const { argsRepr } = message
  const isComputed =
    change.args !== undefined || (argsRepr.startsWith('[') && argsRepr === saferepr([...body.args]))
  const hasNewKwargs = change.kwargs !== undefined
  return {
    id: message.id,
    task: message.task,
    lang: message.lang,
    shadow: message.shadow,
    eta: change.eta,
    expires: message.expires,
    groupId: message.groupId,
    groupIndex: message.groupIndex,
    retries: change.retries ?? message.retries + 1,
    timeLimit: message.timeLimit,
    softTimeLimit: message.softTimeLimit,
    rootId: message.rootId,
    parentId: message.id,
    argsRepr: isComputed ? undefined : argsRepr || undefined,
    kwargsRepr: hasNewKwargs ? undefined : message.kwargsRepr || undefined,
    origin: message.origin,
    ignoreResult: message.ignoreResult,
    replacedTaskNesting: message.replacedTaskNesting,
    stampedHeaders: message.stampedHeaders,
    stamps: message.stamps,
    replyTo: message.replyTo,
    correlationId: message.correlationId,
    priority: message.priority,
    deliveryMode: message.properties.deliveryMode,
    expiration: change.expiration,
    customHeaders: withoutDeathHeaders(message.headers),
    ...given(change.fields ?? {}),
  }
}

/** Without members that are `undefined`, so that they cannot blot out what the message carries. */
function given(fields: Partial<TaskFields>): Partial<TaskFields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
