/**
 * The names and declarations of remote control (`kombu/pidbox.py` Mailbox, `celery/app/control.py` Control;
 * wire-format 7.2, surface CTL-001, CTL-007).
 *
 * A queue is for one node alone: nobody declares or deletes the mailbox of another.
 */
import { ConfigError } from '../errors.js'
import type { Connection, Exchange, Queue, Topology } from '../transport/transport.js'
import type { Settings } from './settings.js'

/** The settings that shape mailboxes. */
export type MailboxSettings = Pick<
  Settings,
  | 'controlExchange'
  | 'controlQueueTtl'
  | 'controlQueueExpires'
  | 'controlQueueDurable'
  | 'controlQueueExclusive'
>

/** One queue of remote control and what it is bound to. */
export interface MailboxQueue {
  readonly name: string
  readonly topology: Topology
}

/** The exchanges and queues that workers and those who command them meet at. */
export class Mailbox {
  /** Fanout: every command reaches every worker. */
  readonly exchange: Exchange
  /** Direct: each reply reaches the one who asked. */
  readonly replyExchange: Exchange
  private readonly settings: MailboxSettings

  /** Throws `ConfigError` for queues that would be durable and exclusive. */
  constructor(settings: MailboxSettings) {
    if (settings.controlQueueDurable && settings.controlQueueExclusive) {
      throw new ConfigError(
        'controlQueueDurable and controlQueueExclusive cannot both be true: exclusive queues are deleted with their connection.',
      )
    }
    this.settings = settings
    const { controlExchange } = settings
    this.exchange = { name: `${controlExchange}.pidbox`, type: 'fanout', durable: false }
    this.replyExchange = { name: `reply.${controlExchange}.pidbox`, type: 'direct', durable: false }
  }

  /** `<node>.celery.pidbox`, where a worker gets its commands. */
  ofNode(node: string): MailboxQueue {
    return this.queue(`${node}.${this.exchange.name}`, this.exchange, '')
  }

  /** `<id>.reply.celery.pidbox`, where the replies to `id` arrive. */
  ofReplies(id: string): MailboxQueue {
    return this.queue(`${id}.${this.replyExchange.name}`, this.replyExchange, id)
  }

  private queue(name: string, exchange: Exchange, routingKey: string): MailboxQueue {
    const { controlQueueTtl, controlQueueExpires, controlQueueDurable, controlQueueExclusive } = this.settings
    const queue: Queue = {
      name,
      durable: controlQueueDurable,
      exclusive: controlQueueExclusive,
      autoDelete: !controlQueueDurable,
      arguments: {
        ...milliseconds('x-expires', controlQueueExpires),
        ...milliseconds('x-message-ttl', controlQueueTtl),
      },
    }
    const bindings = [{ from: exchange.name, to: { queue: name }, routingKey }]
    return { name, topology: { exchanges: [exchange], queues: [queue], bindings } }
  }
}

/** Throws `ConfigError` where nobody can be told at once (surface CTL-018). */
export function assertFanout({ capabilities }: Connection, displayUrl: string): void {
  if (capabilities.fanout) return
  throw new ConfigError(
    `The broker at ${displayUrl} has no fanout exchanges, so workers cannot be reached by remote control over it.`,
  )
}

function milliseconds(argument: string, seconds: number | null): Readonly<Record<string, number>> {
  return seconds === null ? {} : { [argument]: Math.trunc(seconds * 1000) }
}
