/** The shapes of a task on the wire: a message, its body, and what a sender decides (wire-format section 1). */
import type { Envelope, MessageProperties } from './envelope.js'
import type { SignatureData } from './signature-data.js'

/** A request to run one task: protocol 2 headers in our spelling, the body still encoded. */
export interface TaskMessage {
  /** 2 (also hybrids), or 1 when the body carries everything (wire-format 1.6). */
  readonly protocol: 1 | 2
  readonly lang: string | undefined
  readonly id: string
  readonly task: string
  readonly shadow: string | undefined
  /** Falls back to `id`. */
  readonly rootId: string
  readonly parentId: string | undefined
  readonly groupId: string | undefined
  readonly groupIndex: number | undefined
  readonly retries: number
  /** ISO text as it came: Python keeps microseconds, Date does not. */
  readonly eta: string | undefined
  readonly expires: string | undefined
  /** Protocol 1 only: `false` means naive times are local. Default true. */
  readonly utc: boolean
  /** Seconds. On the wire `timelimit` is `[hard, soft]`. */
  readonly softTimeLimit: number | undefined
  readonly timeLimit: number | undefined
  readonly replyTo: string | undefined
  readonly correlationId: string
  readonly priority: number | undefined
  readonly ignoreResult: boolean | undefined
  readonly replacedTaskNesting: number
  readonly stampedHeaders: readonly string[] | undefined
  readonly stamps: Readonly<Record<string, unknown>>
  readonly origin: string | undefined
  readonly argsRepr: string
  readonly kwargsRepr: string
  /** Headers that are not the protocol's, by their wire names: `request.headers` of Celery 5.3+ (wire-format 1.5). */
  readonly headers: Readonly<Record<string, unknown>>
  readonly properties: MessageProperties
  /** `compression` is the mime type of the header of that name. */
  readonly body: Pick<Envelope, 'body' | 'contentType' | 'contentEncoding'> & {
    readonly compression: string | undefined
  }
}

/** Steps of a chain, the next one LAST, as on the wire: a list, or `CarriedSteps`. Spread it for a list. */
export interface Steps extends Iterable<SignatureData> {
  readonly length: number
  at(index: number): SignatureData | undefined
  slice(start?: number, end?: number): Steps
}

/** What the body decodes to: `[args, kwargs, embed]`. */
export interface TaskBody {
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly callbacks: readonly SignatureData[]
  readonly errbacks: readonly SignatureData[]
  /** The remaining steps of the chain. */
  readonly chain: Steps
  /** True for the last step of a chain: Celery writes its empty list as `[]`, and null for a task outside any chain. */
  readonly endsChain?: boolean
  readonly chord: SignatureData | undefined
  /** Set when the sender's args cannot be spread (null, a number): the run must fail with a TypeError of these words. */
  readonly argsError?: string
}

/** What a sender decides about a task message; what is left out gets Celery's default. */
export interface TaskFields {
  readonly id: string
  readonly task: string
  /** Default `js`; Python ignores it. */
  readonly lang?: string | undefined
  readonly shadow?: string | undefined
  /** ISO text, sent as it is. */
  readonly eta?: string | undefined
  readonly expires?: string | undefined
  readonly groupId?: string | undefined
  readonly groupIndex?: number | undefined
  /** Default 0. */
  readonly retries?: number | undefined
  /** Seconds; the hard limit. */
  readonly timeLimit?: number | null | undefined
  readonly softTimeLimit?: number | null | undefined
  /** Default: the id. */
  readonly rootId?: string | undefined
  readonly parentId?: string | undefined
  /** Default: `saferepr` of the arguments. Give text to keep secrets out of logs and events. */
  readonly argsRepr?: string | undefined
  readonly kwargsRepr?: string | undefined
  /** `gen<pid>@<host>`. */
  readonly origin?: string | undefined
  /** Default null: the worker asks the task. */
  readonly ignoreResult?: boolean | undefined
  /** Default 0. */
  readonly replacedTaskNesting?: number | undefined
  readonly stampedHeaders?: readonly string[] | undefined
  readonly stamps?: Readonly<Record<string, unknown>> | undefined
  /** Protocol 1 only; default true. */
  readonly utc?: boolean | undefined
  readonly replyTo?: string | undefined
  /** Default: the id. */
  readonly correlationId?: string | undefined
  /** Default 0. */
  readonly priority?: number | undefined
  /** 1 transient, 2 persistent (default). */
  readonly deliveryMode?: 1 | 2 | undefined
  /** Integer milliseconds as text. */
  readonly expiration?: string | undefined
  /** Further message properties by their wire names. */
  readonly properties?: Readonly<Record<string, unknown>> | undefined
  /** Merged into the headers last, over the protocol's own, as in Python. Protocol 2 only. */
  readonly customHeaders?: Readonly<Record<string, unknown>> | undefined
}
