/** Kinds of AMQP exchange. */
export type ExchangeType = 'direct' | 'topic' | 'fanout' | 'headers'

type Arguments = Readonly<Record<string, unknown>>

/** An exchange as `taskQueues` may give it (kombu's `Exchange`). */
export interface ExchangeDeclaration {
  readonly name: string
  /** Default `direct`. */
  readonly type?: ExchangeType
  /** Default true. */
  readonly durable?: boolean
  readonly autoDelete?: boolean
  readonly deliveryMode?: 1 | 2 | 'transient' | 'persistent'
  readonly arguments?: Arguments
  /** True: assume that it exists. */
  readonly noDeclare?: boolean
}

/** What a queue may say besides its name (kombu's `Queue` and `Queue.from_dict`). */
export interface QueueOptions {
  /** Name or declaration; without one the queue hangs on the default exchange of `task_default_exchange`. */
  readonly exchange?: string | ExchangeDeclaration | null
  /** Type of an exchange that is given by name. */
  readonly exchangeType?: ExchangeType
  readonly exchangeDurable?: boolean
  readonly exchangeAutoDelete?: boolean
  readonly exchangeArguments?: Arguments
  readonly routingKey?: string | null
  /** The same as `routingKey`. */
  readonly bindingKey?: string | null
  /** Bindings of the queue in place of the one to its exchange, as in kombu. */
  readonly bindings?: readonly QueueBinding[]
  /** Default true; of the exchange too, where the queue is given by `taskQueues` in record form. */
  readonly durable?: boolean
  readonly queueDurable?: boolean
  readonly exclusive?: boolean
  readonly autoDelete?: boolean
  readonly queueAutoDelete?: boolean
  readonly noAck?: boolean
  /** Another name for `-Q` and routes. */
  readonly alias?: string
  /** True: assume that it exists. */
  readonly noDeclare?: boolean
  readonly deliveryMode?: 1 | 2 | 'transient' | 'persistent'
  readonly queueArguments?: Arguments
  readonly bindingArguments?: Arguments
  readonly consumerArguments?: Arguments
  /** Seconds without use after which the broker deletes the queue (`x-expires`). */
  readonly expires?: number
  /** Seconds that a message may wait (`x-message-ttl`). */
  readonly messageTtl?: number
  readonly maxLength?: number
  readonly maxLengthBytes?: number
  readonly maxPriority?: number
  /** True: a kombu `Broadcast`: every worker gets each message, through a queue of its own. */
  readonly broadcast?: boolean
}

/** One binding of a queue. */
export interface QueueBinding {
  readonly exchange: string | ExchangeDeclaration
  readonly routingKey?: string
  readonly arguments?: Arguments
}

/** A queue by name: an element of `taskQueues` in list form. */
export interface QueueDeclaration extends QueueOptions {
  readonly name: string
}

/**
 * The `task_queues` setting: a list of declarations, or a record by name. The two differ, as in Celery: a queue of a
 * list without a routing key has the default one, a queue of a record has its own name (surface PUB-051, PUB-052).
 * Keys may be camelCase or kombu's snake_case.
 */
export type QueuesSetting = readonly QueueDeclaration[] | Readonly<Record<string, QueueOptions>>
