/**
 * What one program told RabbitMQ to do, from the frames that it sent: freed of what may differ between two programs that
 * do the same (see `Normal`), and of how each divides its work among connections, channels and deliveries.
 *
 * Rule 1: every method of a client is known here, as an effect or as the business of its own connection; an unknown one
 *         is an error.
 * Rule 2: what exists (exchanges, queues, bindings) is compared as a whole, with every argument and its type: saying it
 *         again changes nothing. What is done (publish, ack, reject, purge, delete) is compared each time.
 */
import type { AmqpContent, AmqpRecord } from './amqp-frames.js'
import type { Normal } from './redis-wire-identity-monitor.js'

/** One thing that was done. */
export interface AmqpEffect {
  readonly key: string
  readonly what: string
  readonly value?: unknown
}

/** Of a connection and its channels, or only asked. */
const business = new Set(
  [
    'Protocol.Header Heartbeat Connection.StartOk Connection.TuneOk Connection.Open Connection.Close',
    'Connection.CloseOk Channel.Open Channel.Close Channel.CloseOk Channel.FlowOk Confirm.Select Basic.CancelOk',
  ].flatMap((line) => line.split(' ')),
)

/** Keeps, for one program, what it declared and what it was handed. */
export class AmqpEffects {
  /** By name: what was said of it, freed of what may differ. */
  readonly #declared = new Map<string, unknown>()
  /** Messages that were handed out and not settled, by connection, channel and tag. */
  readonly #held = new Map<string, string>()
  readonly #consumed = new Map<string, string>()
  readonly #manual = new Set<string>()

  /** What was declared so far. */
  declared(normal: Normal, skips: (name: string) => boolean): Readonly<Record<string, unknown>> {
    const names = [...this.#declared.keys()].filter((name) => !skips(name)).sort()
    return Object.fromEntries(names.map((name) => [normal.text(name), this.#declared.get(name)]))
  }

  /** The queue that a delivery came from. */
  queueOf({ connection, channel, args }: AmqpRecord): string | undefined {
    return this.#consumed.get(`${connection}/${channel}/${String(args.consumer_tag)}`)
  }

  /** The effects of records, in their order. Throws for a method that nobody thought of. */
  take(
    records: readonly AmqpRecord[],
    normal: Normal,
    skips: (what: string, key: string) => boolean,
  ): readonly AmqpEffect[] {
    const effects: AmqpEffect[] = []
    for (const record of records) {
      if (record.from === 'server') this.#served(record)
      else
        for (const effect of this.#asked(record, normal))
          if (!skips(effect.what, effect.key)) effects.push(effect)
    }
    return effects
  }

  #served({ connection, channel, method, args, content }: AmqpRecord): void {
    const place = `${connection}/${channel}`
    if (method === 'Basic.Deliver' && this.#manual.has(`${place}/${String(args.consumer_tag)}`)) {
      this.#held.set(`${place}/${String(args.delivery_tag)}`, nameOf(content))
    }
    if (method === 'Basic.GetOk') this.#held.set(`${place}/${String(args.delivery_tag)}`, nameOf(content))
  }

  #asked(record: AmqpRecord, normal: Normal): readonly AmqpEffect[] {
    const { connection, channel, method, args, content, atMs } = record
    const { ticket: _ticket, nowait: _nowait, ...said } = args
    const place = `${connection}/${channel}`
    const declare = (name: string, value: unknown): readonly AmqpEffect[] => {
      this.#declared.set(name, normal.value(value, atMs))
      return []
    }
    switch (method) {
      case 'Exchange.Declare':
        return declare(`exchange ${String(args.exchange)}`, { ...said, exchange: 0 })
      case 'Queue.Declare':
        return args.passive === true ? [] : declare(`queue ${String(args.queue)}`, { ...said, queue: 0 })
      case 'Queue.Bind':
        return declare(`bind ${[args.exchange, args.routing_key, args.queue].join(' > ')}`, args.arguments)
      case 'Exchange.Bind':
        return declare(
          `bind ${[args.source, args.routing_key, args.destination].join(' => ')}`,
          args.arguments,
        )
      case 'Basic.Publish':
        return [this.#published(record, content as AmqpContent, normal)]
      case 'Basic.Consume': {
        const { consumer_tag, queue, ...how } = said
        this.#consumed.set(`${place}/${String(consumer_tag)}`, String(queue))
        if (args.no_ack !== true) this.#manual.add(`${place}/${String(consumer_tag)}`)
        return [{ key: normal.text(`queue ${String(queue)}`), what: 'consume', value: how }]
      }
      case 'Basic.Cancel':
        return [
          {
            key: normal.text(`queue ${this.#consumed.get(`${place}/${String(args.consumer_tag)}`)}`),
            what: 'cancel',
          },
        ]
      case 'Basic.Get':
        return []
      case 'Basic.Qos':
        return [{ key: 'qos', what: 'qos', value: said }]
      case 'Basic.Ack':
        return this.#settled(place, args, 'ack')
      case 'Basic.Reject':
      case 'Basic.Nack':
        return this.#settled(place, args, args.requeue === true ? 'requeue' : 'reject')
      case 'Queue.Purge':
        return [{ key: normal.text(`queue ${String(args.queue)}`), what: 'purge' }]
      case 'Queue.Delete':
        return [
          { key: normal.text(`queue ${String(args.queue)}`), what: 'delete', value: { ...said, queue: 0 } },
        ]
      default:
        if (!business.has(method)) throw new Error(`a client used ${method}, which nobody thought of`)
        return []
    }
  }

  #published({ args, atMs }: AmqpRecord, content: AmqpContent, normal: Normal): AmqpEffect {
    const { content_type, content_encoding, ...properties } = content.properties
    const message = {
      body: content.body.toString('base64'),
      'content-type': content_type,
      'content-encoding': content_encoding,
      headers: withMoment(content.headers),
      properties,
    }
    return {
      key: normal.text(`exchange '${String(args.exchange)}' key '${String(args.routing_key)}'`),
      what: 'publish',
      value: normal.value(message, atMs),
    }
  }

  #settled(place: string, args: Readonly<Record<string, unknown>>, what: string): readonly AmqpEffect[] {
    const last = Number(args.delivery_tag)
    const effects: AmqpEffect[] = []
    for (const [tag, name] of [...this.#held]) {
      const at = tag.lastIndexOf('/')
      const number = Number(tag.slice(at + 1))
      const isMeant = args.multiple === true ? number <= last : number === last
      if (tag.slice(0, at) !== place || !isMeant) continue
      this.#held.delete(tag)
      effects.push({ key: `message ${name}`, what })
    }
    return effects
  }
}

/** The moment at which a command expires is compared as a moment: a float of both, and now and then a whole one. */
function withMoment(headers: AmqpContent['headers']): AmqpContent['headers'] {
  const { double } = (headers?.expires ?? {}) as { readonly double?: number }
  return double === undefined ? headers : { ...headers, expires: double }
}

function nameOf(content: AmqpContent | undefined): string {
  return String(content?.headers?.id ?? content?.properties.correlation_id)
}
