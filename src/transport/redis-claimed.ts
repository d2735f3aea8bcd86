import type { Envelope } from '../../protocol/envelope.js'
import type { LeaseMoment } from './lease-term.js'
import type { Claimed } from './queue-store.js'

/** A message that this connection holds in `unacked`. */
export class RedisClaimed implements Claimed {
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  readonly tag: string
  readonly envelope: Envelope
  readonly redelivered: boolean
  /** Proves that the entry in `unacked` is of this claim (redis-scripts.ts, rule 3). */
  readonly mark: string
  /** The list that it came from: its queue and priority step. */
  readonly list: string
  /** Bytes of its envelope as it stands in `unacked`. */
  readonly size: number
  /** Until when it is ours without another renewal. */
  heldUntil: LeaseMoment

  constructor(message: Claimed, mark: string, list: string, size: number, heldUntil: LeaseMoment) {
    this.queue = message.queue
    this.exchange = message.exchange
    this.routingKey = message.routingKey
    this.tag = message.tag
    this.envelope = message.envelope
    this.redelivered = message.redelivered
    this.mark = mark
    this.list = list
    this.size = size
    this.heldUntil = heldUntil
  }
}

/** A fanout message: it exists in this process only. */
export interface RedisLocalMessage extends Claimed {
  readonly isLocal: true
}

/** Whether a message exists in this process only. */
export function isLocal(message: Claimed): message is RedisLocalMessage {
  return 'isLocal' in message
}

/** Stands for a message that could not be read. */
export const noMessage: Omit<Claimed, 'queue' | 'tag'> = {
  exchange: '',
  routingKey: '',
  redelivered: false,
  envelope: { body: new Uint8Array(0), contentType: '', contentEncoding: '', headers: {}, properties: {} },
}
