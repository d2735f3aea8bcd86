/** One message as a broker carries it: opaque bytes, and what is needed to read them. */
export interface Envelope {
  /** The serialized, possibly compressed payload. */
  readonly body: Uint8Array
  readonly contentType: string
  readonly contentEncoding: string
  /** Wire names, untouched: headers we do not know travel on (retries and canvases republish them). */
  readonly headers: Readonly<Record<string, unknown>>
  readonly properties: MessageProperties
}

/** AMQP basic properties in our spelling (wire-format 1.1.2). */
export interface MessageProperties {
  readonly correlationId?: string
  readonly replyTo?: string
  readonly priority?: number
  /** 1 transient, 2 persistent. */
  readonly deliveryMode?: 1 | 2
  /** Integer milliseconds as text. */
  readonly expiration?: string
  readonly messageId?: string
  readonly timestamp?: number
  readonly type?: string
  readonly userId?: string
  readonly appId?: string
  readonly clusterId?: string
  /** Any further property by its wire name: virtual transports carry them, AMQP drops them. */
  readonly extra?: Readonly<Record<string, unknown>>
}
