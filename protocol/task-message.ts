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

/** What the body decodes to: `[args, kwargs, embed]`. */
export interface TaskBody {
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly callbacks: readonly SignatureData[]
  readonly errbacks: readonly SignatureData[]
  /** Remaining steps of the chain, the next one LAST, as on the wire. */
  readonly chain: readonly SignatureData[]
  readonly chord: SignatureData | undefined
}
