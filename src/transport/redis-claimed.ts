import type { Envelope } from '../../protocol/envelope.js'
import type { ReceivedEnvelope } from '../../protocol/virtual-envelope.js'
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
  /**
   * What other connections may have put in the place of `mark` without living to hear of it: they prove the same.
   * Undefined, as nearly always, when none has tried.
   */
  otherMarks: readonly string[] | undefined
  /** The list that it came from: its queue and priority step. */
  readonly list: string
  /** Bytes of its envelope as it stands in `unacked`. */
  readonly size: number
  /** Until when it is ours without another renewal. */
  heldUntil: LeaseMoment

  constructor(place: ClaimedPlace, message: ReceivedEnvelope, list: string, heldUntil: LeaseMoment) {
    this.queue = place.queue
    this.exchange = message.deliveryInfo.exchange
    this.routingKey = message.deliveryInfo.routingKey
    this.tag = place.tag
    this.envelope = message.envelope
    this.redelivered = message.redelivered
    this.mark = place.mark
    this.otherMarks = undefined
    this.list = list
    this.size = place.bytes.length
    this.heldUntil = heldUntil
  }

  /** The same message as a claim under another mark. */
  under(mark: string, heldUntil = this.heldUntil): RedisClaimed {
    const { queue, exchange, routingKey, tag, envelope, redelivered, list, size } = this
    const place = { queue, tag, mark, bytes: { length: size } }
    const deliveryInfo = { exchange, routingKey }
    return new RedisClaimed(place, { deliveryInfo, deliveryTag: tag, redelivered, envelope }, list, heldUntil)
  }
}

/** What a claim says of a message: where it came from, how it is held, and its bytes. */
export interface ClaimedPlace {
  readonly queue: string
  readonly tag: string
  readonly mark: string
  readonly bytes: { readonly length: number }
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
export const noMessage: ReceivedEnvelope = {
  deliveryInfo: { exchange: '', routingKey: '' },
  deliveryTag: '',
  redelivered: false,
  envelope: { body: new Uint8Array(0), contentType: '', contentEncoding: '', headers: {}, properties: {} },
}
