/**
 * AMQP 0-9-1 as records: what one side of a connection said, method by method, with its content.
 *
 * Rule 1: every method of the protocol is known here; an unknown one, or a frame that does not end as it must, is an
 *         error, so that nothing is passed over.
 * Rule 2: table fields keep their type where it is not the one that py-amqp writes: 32-bit integers (`I`), texts,
 *         booleans, nulls, lists and tables stand as themselves, everything else as `{ type: value }`.
 */

/** One method of one side, with its content where it has one. */
export interface AmqpRecord {
  /** Counts the connections of a proxy from 1. */
  readonly connection: number
  readonly channel: number
  readonly from: 'client' | 'server'
  /** `Basic.Publish`; `Protocol.Header` and `Heartbeat` are no methods but stand here too. */
  readonly method: string
  readonly args: Readonly<Record<string, unknown>>
  readonly content?: AmqpContent
  /** Epoch milliseconds at which the proxy had all of it. */
  readonly atMs: number
}

/** The content of a publish, a delivery, a get or a return. */
export interface AmqpContent {
  readonly properties: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>> | undefined
  readonly body: Buffer
  /** In how many frames the body came. */
  readonly frames: number
}

/** Fields by name and type: bits (`?`), octet, short, long, longlong, shortstr (`s`), longstr (`S`), table (`F`). */
const methods: Readonly<Record<number, string>> = {
  [id(10, 10)]: 'Connection.Start major:octet minor:octet server_properties:F mechanisms:S locales:S',
  [id(10, 11)]: 'Connection.StartOk client_properties:F mechanism:s response:S locale:s',
  [id(10, 20)]: 'Connection.Secure challenge:S',
  [id(10, 21)]: 'Connection.SecureOk response:S',
  [id(10, 30)]: 'Connection.Tune channel_max:short frame_max:long heartbeat:short',
  [id(10, 31)]: 'Connection.TuneOk channel_max:short frame_max:long heartbeat:short',
  [id(10, 40)]: 'Connection.Open vhost:s capabilities:s insist:?',
  [id(10, 41)]: 'Connection.OpenOk known_hosts:s',
  [id(10, 50)]: 'Connection.Close code:short text:s class:short method:short',
  [id(10, 51)]: 'Connection.CloseOk',
  [id(10, 60)]: 'Connection.Blocked reason:s',
  [id(10, 61)]: 'Connection.Unblocked',
  [id(10, 70)]: 'Connection.UpdateSecret secret:S reason:s',
  [id(10, 71)]: 'Connection.UpdateSecretOk',
  [id(20, 10)]: 'Channel.Open out_of_band:s',
  [id(20, 11)]: 'Channel.OpenOk channel_id:S',
  [id(20, 20)]: 'Channel.Flow active:?',
  [id(20, 21)]: 'Channel.FlowOk active:?',
  [id(20, 40)]: 'Channel.Close code:short text:s class:short method:short',
  [id(20, 41)]: 'Channel.CloseOk',
  [id(40, 10)]:
    'Exchange.Declare ticket:short exchange:s type:s passive:? durable:? auto_delete:? internal:? nowait:? arguments:F',
  [id(40, 11)]: 'Exchange.DeclareOk',
  [id(40, 20)]: 'Exchange.Delete ticket:short exchange:s if_unused:? nowait:?',
  [id(40, 21)]: 'Exchange.DeleteOk',
  [id(40, 30)]: 'Exchange.Bind ticket:short destination:s source:s routing_key:s nowait:? arguments:F',
  [id(40, 31)]: 'Exchange.BindOk',
  [id(40, 40)]: 'Exchange.Unbind ticket:short destination:s source:s routing_key:s nowait:? arguments:F',
  [id(40, 51)]: 'Exchange.UnbindOk',
  [id(50, 10)]:
    'Queue.Declare ticket:short queue:s passive:? durable:? exclusive:? auto_delete:? nowait:? arguments:F',
  [id(50, 11)]: 'Queue.DeclareOk queue:s messages:long consumers:long',
  [id(50, 20)]: 'Queue.Bind ticket:short queue:s exchange:s routing_key:s nowait:? arguments:F',
  [id(50, 21)]: 'Queue.BindOk',
  [id(50, 30)]: 'Queue.Purge ticket:short queue:s nowait:?',
  [id(50, 31)]: 'Queue.PurgeOk messages:long',
  [id(50, 40)]: 'Queue.Delete ticket:short queue:s if_unused:? if_empty:? nowait:?',
  [id(50, 41)]: 'Queue.DeleteOk messages:long',
  [id(50, 50)]: 'Queue.Unbind ticket:short queue:s exchange:s routing_key:s arguments:F',
  [id(50, 51)]: 'Queue.UnbindOk',
  [id(60, 10)]: 'Basic.Qos prefetch_size:long prefetch_count:short global:?',
  [id(60, 11)]: 'Basic.QosOk',
  [id(60, 20)]:
    'Basic.Consume ticket:short queue:s consumer_tag:s no_local:? no_ack:? exclusive:? nowait:? arguments:F',
  [id(60, 21)]: 'Basic.ConsumeOk consumer_tag:s',
  [id(60, 30)]: 'Basic.Cancel consumer_tag:s nowait:?',
  [id(60, 31)]: 'Basic.CancelOk consumer_tag:s',
  [id(60, 40)]: 'Basic.Publish ticket:short exchange:s routing_key:s mandatory:? immediate:?',
  [id(60, 50)]: 'Basic.Return code:short text:s exchange:s routing_key:s',
  [id(60, 60)]: 'Basic.Deliver consumer_tag:s delivery_tag:longlong redelivered:? exchange:s routing_key:s',
  [id(60, 70)]: 'Basic.Get ticket:short queue:s no_ack:?',
  [id(60, 71)]: 'Basic.GetOk delivery_tag:longlong redelivered:? exchange:s routing_key:s messages:long',
  [id(60, 72)]: 'Basic.GetEmpty cluster_id:s',
  [id(60, 80)]: 'Basic.Ack delivery_tag:longlong multiple:?',
  [id(60, 90)]: 'Basic.Reject delivery_tag:longlong requeue:?',
  [id(60, 100)]: 'Basic.RecoverAsync requeue:?',
  [id(60, 110)]: 'Basic.Recover requeue:?',
  [id(60, 111)]: 'Basic.RecoverOk',
  [id(60, 120)]: 'Basic.Nack delivery_tag:longlong multiple:? requeue:?',
  [id(85, 10)]: 'Confirm.Select nowait:?',
  [id(85, 11)]: 'Confirm.SelectOk',
  [id(90, 10)]: 'Tx.Select',
  [id(90, 11)]: 'Tx.SelectOk',
  [id(90, 20)]: 'Tx.Commit',
  [id(90, 21)]: 'Tx.CommitOk',
  [id(90, 30)]: 'Tx.Rollback',
  [id(90, 31)]: 'Tx.RollbackOk',
}

const withContent = new Set(['Basic.Publish', 'Basic.Return', 'Basic.Deliver', 'Basic.GetOk'])

/** Basic properties in the order of their flags, the highest bit first. */
const properties: readonly (readonly [name: string, type: string])[] = [
  ['content_type', 's'],
  ['content_encoding', 's'],
  ['headers', 'F'],
  ['delivery_mode', 'octet'],
  ['priority', 'octet'],
  ['correlation_id', 's'],
  ['reply_to', 's'],
  ['expiration', 's'],
  ['message_id', 's'],
  ['timestamp', 'longlong'],
  ['type', 's'],
  ['user_id', 's'],
  ['app_id', 's'],
  ['cluster_id', 's'],
]

function id(classId: number, methodId: number): number {
  return classId * 1000 + methodId
}

interface Open {
  readonly method: string
  readonly args: Readonly<Record<string, unknown>>
  properties: Readonly<Record<string, unknown>>
  headers: Readonly<Record<string, unknown>> | undefined
  expected: number
  readonly parts: Buffer[]
}

/** Reads what one side of one connection sends. */
export class AmqpDecoder {
  readonly #connection: number
  readonly #from: AmqpRecord['from']
  readonly #onRecord: (record: AmqpRecord) => void
  readonly #open = new Map<number, Open>()
  #rest: Buffer = Buffer.alloc(0)
  #isFirst: boolean

  constructor(connection: number, from: AmqpRecord['from'], onRecord: (record: AmqpRecord) => void) {
    this.#connection = connection
    this.#from = from
    this.#onRecord = onRecord
    this.#isFirst = from === 'client'
  }

  /** Takes bytes as they come, however they are cut. Throws for what is no AMQP 0-9-1. */
  push(chunk: Buffer): void {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    if (this.#isFirst && rest.length >= 8) {
      this.#isFirst = false
      this.#emit(0, 'Protocol.Header', { bytes: rest.subarray(0, 8).toString('latin1') })
      rest = rest.subarray(8)
    }
    while (!this.#isFirst && rest.length >= 8) {
      const size = rest.readUInt32BE(3)
      if (rest.length < size + 8) break
      if (rest[size + 7] !== 0xce) throw new Error(`a frame of the ${this.#from} does not end in 0xCE`)
      this.#frame(rest[0] as number, rest.readUInt16BE(1), rest.subarray(7, size + 7))
      rest = rest.subarray(size + 8)
    }
    this.#rest = Buffer.from(rest)
  }

  #frame(type: number, channel: number, payload: Buffer): void {
    if (type === 1) this.#method(channel, new Reader(payload))
    else if (type === 2) this.#header(channel, new Reader(payload))
    else if (type === 3) this.#body(channel, payload)
    else if (type === 8) this.#emit(channel, 'Heartbeat', {})
    else throw new Error(`the ${this.#from} sent a frame of the unknown type ${type}`)
  }

  #method(channel: number, reader: Reader): void {
    const classId = reader.short()
    const methodId = reader.short()
    const [method = '', ...fields] = (methods[id(classId, methodId)] ?? '').split(' ')
    if (method === '') throw new Error(`the ${this.#from} used the unknown method ${classId}.${methodId}`)
    const args: Record<string, unknown> = {}
    for (const field of fields) {
      const [name = '', type = ''] = field.split(':')
      args[name] = reader.field(type)
    }
    if (withContent.has(method)) {
      this.#open.set(channel, { method, args, properties: {}, headers: undefined, expected: -1, parts: [] })
    } else this.#emit(channel, method, args)
  }

  #header(channel: number, reader: Reader): void {
    const open = this.#open.get(channel)
    if (open === undefined) throw new Error(`the ${this.#from} sent a content header without a method`)
    reader.short()
    reader.short()
    open.expected = Number(reader.longlong())
    const flags = reader.short()
    const found: Record<string, unknown> = {}
    for (const [index, [name, type]] of properties.entries()) {
      if ((flags & (1 << (15 - index))) !== 0) found[name] = reader.field(type)
    }
    const { headers, ...rest } = found
    open.properties = rest
    open.headers = headers as Open['headers']
    this.#complete(channel, open)
  }

  #body(channel: number, payload: Buffer): void {
    const open = this.#open.get(channel)
    if (open === undefined) throw new Error(`the ${this.#from} sent a body without a method`)
    open.parts.push(Buffer.from(payload))
    this.#complete(channel, open)
  }

  #complete(channel: number, open: Open): void {
    const body = Buffer.concat(open.parts)
    if (body.length < open.expected) return
    this.#open.delete(channel)
    const { properties: found, headers } = open
    this.#emit(channel, open.method, open.args, {
      properties: found,
      headers,
      body,
      frames: open.parts.length,
    })
  }

  #emit(
    channel: number,
    method: string,
    args: Readonly<Record<string, unknown>>,
    content?: AmqpContent,
  ): void {
    this.#onRecord({
      connection: this.#connection,
      channel,
      from: this.#from,
      method,
      args,
      ...(content === undefined ? {} : { content }),
      atMs: Date.now(),
    })
  }
}

/** Reads fields one after another; bits that follow each other share octets. */
class Reader {
  readonly #bytes: Buffer
  #at = 0
  #bits = 0
  #bit = 8

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  field(type: string): unknown {
    if (type === '?') return this.#nextBit()
    this.#bit = 8
    switch (type) {
      case 'octet':
        return this.octet()
      case 'short':
        return this.short()
      case 'long':
        return this.long()
      case 'longlong':
        return Number(this.longlong())
      case 's':
        return this.#take(this.octet()).toString()
      case 'S':
        return this.#take(this.long()).toString()
      default:
        return this.table()
    }
  }

  octet(): number {
    return this.#take(1).readUInt8()
  }

  short(): number {
    return this.#take(2).readUInt16BE()
  }

  long(): number {
    return this.#take(4).readUInt32BE()
  }

  longlong(): bigint {
    return this.#take(8).readBigUInt64BE()
  }

  table(): Record<string, unknown> {
    const inner = new Reader(this.#take(this.long()))
    const found: Record<string, unknown> = {}
    while (!inner.#isAtEnd) found[inner.#take(inner.octet()).toString()] = inner.value()
    return found
  }

  /** Types as RabbitMQ and py-amqp read them (wire-format 7.6). */
  value(): unknown {
    const type = this.#take(1).toString('latin1')
    switch (type) {
      case 'S':
        return this.#take(this.long()).toString()
      case 'I':
        return this.#take(4).readInt32BE()
      case 't':
        return this.octet() !== 0
      case 'V':
        return null
      case 'F':
        return this.table()
      case 'A': {
        const inner = new Reader(this.#take(this.long()))
        const items: unknown[] = []
        while (!inner.#isAtEnd) items.push(inner.value())
        return items
      }
      case 'l':
      case 'L':
        return { int64: Number(this.#take(8).readBigInt64BE()) }
      case 'd':
        return { double: this.#take(8).readDoubleBE() }
      case 'f':
        return { float: this.#take(4).readFloatBE() }
      case 'T':
        return { timestamp: Number(this.longlong()) }
      case 'D':
        return { decimal: [this.octet(), this.#take(4).readInt32BE()] }
      case 'b':
        return { int8: this.#take(1).readInt8() }
      case 'B':
        return { uint8: this.octet() }
      case 's':
        return { int16: this.#take(2).readInt16BE() }
      case 'u':
        return { uint16: this.short() }
      case 'i':
        return { uint32: this.long() }
      case 'x':
        return { bytes: this.#take(this.long()).toString('base64') }
      default:
        throw new Error(`a table holds the unknown type ${type}`)
    }
  }

  get #isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  #nextBit(): boolean {
    if (this.#bit === 8) {
      this.#bits = this.octet()
      this.#bit = 0
    }
    return (this.#bits & (1 << this.#bit++)) !== 0
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new Error('a frame is shorter than what it says it holds')
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }
}
