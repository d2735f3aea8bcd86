import type { SignatureData } from '../../protocol/signature-data.js'
import type { Steps } from '../../protocol/task.js'

/** Anything that can be sent as a callback: a signature, or its data. */
export type Linkable = SignatureData | { toSignatureData(): SignatureData }

/** `task_publish_retry_policy`: seconds, as in Celery. */
export interface RetryPolicy {
  /** Attempts after the first; null tries until the bound of the publish. */
  readonly maxRetries?: number | null
  readonly intervalStart?: number
  readonly intervalStep?: number
  readonly intervalMax?: number
}

/**
 * Options of `applyAsync` and `sendTask` (surface 3.1). Times without a unit in their name are seconds, as in Celery.
 */
export interface SendOptions {
  readonly taskId?: string
  /** Seconds from now; wins over `eta`; 0 means none. */
  readonly countdown?: number
  /** A moment, or ISO text that is sent as it is. */
  readonly eta?: Date | string
  /** Seconds from now, a moment, or ISO text. */
  readonly expires?: number | Date | string | null
  /** Seconds; the hard limit. */
  readonly timeLimit?: number | null
  readonly softTimeLimit?: number | null
  readonly retries?: number
  readonly link?: Linkable | readonly Linkable[]
  readonly linkError?: Linkable | readonly Linkable[]
  /** Remaining steps, the next one last, as on the wire. */
  readonly chain?: readonly Linkable[] | Steps
  readonly chord?: Linkable
  readonly groupId?: string
  readonly groupIndex?: number
  readonly rootId?: string
  readonly parentId?: string
  readonly shadow?: string
  readonly ignoreResult?: boolean
  /** Default true: the result becomes a child of the task that is running here. */
  readonly addToParent?: boolean
  readonly replyTo?: string
  readonly correlationId?: string
  /** Merged into the message's headers, over the protocol's own. */
  readonly headers?: Readonly<Record<string, unknown>>
  readonly argsRepr?: string
  readonly kwargsRepr?: string
  readonly origin?: string
  readonly replacedTaskNesting?: number
  readonly stampedHeaders?: readonly string[]
  readonly stamps?: Readonly<Record<string, unknown>>
  readonly queue?: string
  readonly exchange?: string
  readonly exchangeType?: 'direct' | 'topic' | 'fanout' | 'headers'
  readonly routingKey?: string
  readonly serializer?: string
  readonly compression?: string
  readonly deliveryMode?: 1 | 2 | 'transient' | 'persistent'
  readonly priority?: number | null
  readonly mandatory?: boolean
  readonly immediate?: boolean
  /** Publish retry; default `task_publish_retry`. */
  readonly retry?: boolean
  readonly retryPolicy?: RetryPolicy
  /** Further message properties by their wire names. */
  readonly properties?: Readonly<Record<string, unknown>>
  /** The name used for routing, where it is not the task's own. */
  readonly routeName?: string
  /** Milliseconds until the publish fails with `BrokerUnavailableError`; default 5000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}
