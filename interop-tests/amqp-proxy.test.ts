import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AmqpDecoder, type AmqpRecord } from './amqp-frames.js'
import { AmqpProxy } from './amqp-proxy.js'
import { pythonPath } from './harness.js'
import { noRabbit, RabbitServer } from './rabbitmq-server.js'

/** What kombu says for each of these is known from wire-format 7. */
const kombu = `
import sys
from kombu import Connection, Exchange, Producer, Queue
with Connection(sys.argv[1]) as connection:
    channel = connection.channel()
    exchange = Exchange('things', type='topic', durable=True)
    queue = Queue('box', exchange, routing_key='a.#', max_priority=7, expires=60, message_ttl=5.5)
    bound = queue(channel)
    bound.declare()
    producer = Producer(channel, exchange)
    headers = {'text': 'ä', 'small': 5, 'big': 2**40, 'float': 1.5, 'yes': True, 'none': None, 'list': [1, ['x']],
               'table': {'inner': {'deep': 0}}}
    producer.publish({'x': 1}, routing_key='a.b', headers=headers, priority=3, correlation_id='c', reply_to='r',
                     expiration=90, delivery_mode=1)
    producer.publish(b'y' * 300000, routing_key='a.c', content_type='application/data', content_encoding='binary')
    producer.publish(b'', routing_key='a.d', content_type='application/data', content_encoding='binary')
    message = bound.get()
    message.reject(requeue=False)
    message = bound.get()
    message.ack()
    channel.basic_qos(0, 9, True)
    channel.basic_consume('box', consumer_tag='me', callback=lambda m: channel.basic_ack(m.delivery_tag))
    connection.drain_events(timeout=5)
    channel.basic_cancel('me')
    bound.purge()
    bound.delete()
`

describe('AmqpDecoder', () => {
  const frame = (type: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(7)
    head.writeUInt8(type)
    head.writeUInt16BE(1, 1)
    head.writeUInt32BE(payload.length, 3)
    return Buffer.concat([head, payload, Buffer.from([0xce])])
  }
  const ack = frame(1, Buffer.from('003c005000000000000000070' + '1', 'hex'))

  it('reads frames however they are cut', () => {
    const seen: AmqpRecord[] = []
    const decoder = new AmqpDecoder(1, 'server', (record) => seen.push(record))
    const bytes = Buffer.concat([ack, frame(8, Buffer.alloc(0)), ack])
    for (const byte of bytes) decoder.push(Buffer.from([byte]))
    expect(seen.map(({ method, args }) => [method, args])).toEqual([
      ['Basic.Ack', { delivery_tag: 7, multiple: true }],
      ['Heartbeat', {}],
      ['Basic.Ack', { delivery_tag: 7, multiple: true }],
    ])
  })

  it.each([
    ['a frame without its end', Buffer.concat([ack.subarray(0, -1), Buffer.from([0])]), /does not end/],
    ['an unknown method', frame(1, Buffer.from('00630001', 'hex')), /unknown method 99.1/],
    ['an unknown frame', frame(5, Buffer.alloc(0)), /unknown type 5/],
    ['a body out of place', frame(3, Buffer.from('x')), /body without a method/],
    ['a short frame', frame(1, Buffer.from('003c00500000', 'hex')), /shorter than/],
  ])('does not pass over %s', (_title, bytes, message) => {
    expect(() => new AmqpDecoder(1, 'server', () => {}).push(bytes)).toThrow(message)
  })
})

describe.skipIf(noRabbit)(`AmqpProxy${noRabbit ? ` (${noRabbit})` : ''}`, () => {
  let server: RabbitServer
  let proxy: AmqpProxy
  beforeAll(async () => {
    server = await RabbitServer.start()
    proxy = await AmqpProxy.start(server.port)
  })
  afterAll(async () => {
    await proxy?.close()
    await server?.close()
  })

  it('PUB-057 writes down what kombu and RabbitMQ say to each other', async () => {
    await promisify(execFile)(pythonPath(), ['-c', kombu, proxy.through(server.url)], { timeout: 30_000 })
    const all = proxy.take()
    const said = (from: string): string[] =>
      all.filter((record) => record.from === from).map(({ method }) => method)
    const one = (method: string, index = 0): AmqpRecord =>
      all.filter((record) => record.method === method)[index] as AmqpRecord

    expect(said('client').slice(0, 5)).toEqual([
      'Protocol.Header',
      'Connection.StartOk',
      'Connection.TuneOk',
      'Connection.Open',
      'Channel.Open',
    ])
    expect(one('Protocol.Header').args).toEqual({ bytes: 'AMQP\0\0\x09\x01' })
    expect(one('Connection.StartOk').args).toMatchObject({
      mechanism: 'PLAIN',
      response: '\0guest\0guest',
      client_properties: { product: 'py-amqp', capabilities: { consumer_cancel_notify: true } },
    })
    expect(one('Connection.Open').args.vhost).toBe('/')
    expect(one('Exchange.Declare').args).toEqual({
      ticket: 0,
      exchange: 'things',
      type: 'topic',
      passive: false,
      durable: true,
      auto_delete: false,
      internal: false,
      nowait: false,
      arguments: {},
    })
    expect(one('Queue.Declare').args).toMatchObject({
      queue: 'box',
      durable: true,
      exclusive: false,
      auto_delete: false,
      arguments: { 'x-max-priority': 7, 'x-expires': 60_000, 'x-message-ttl': 5500 },
    })
    expect(one('Queue.Bind').args).toMatchObject({ queue: 'box', exchange: 'things', routing_key: 'a.#' })
    expect(one('Basic.Publish').content).toMatchObject({
      properties: {
        content_type: 'application/json',
        content_encoding: 'utf-8',
        delivery_mode: 1,
        priority: 3,
        correlation_id: 'c',
        reply_to: 'r',
        expiration: '90000',
      },
      headers: {
        text: 'ä',
        small: 5,
        big: { int64: 2 ** 40 },
        float: { double: 1.5 },
        yes: true,
        none: null,
        list: [1, ['x']],
        table: { inner: { deep: 0 } },
      },
      frames: 1,
    })
    expect(one('Basic.Publish').content?.body.toString()).toBe('{"x": 1}')
    expect(one('Basic.Publish', 1).content).toMatchObject({ frames: 3 })
    expect(one('Basic.Publish', 1).content?.body).toHaveLength(300_000)
    expect(one('Basic.Publish', 2).content?.body).toHaveLength(0)
    expect(one('Basic.GetOk')).toMatchObject({
      from: 'server',
      args: { exchange: 'things', routing_key: 'a.b' },
    })
    expect(one('Basic.GetOk').content?.headers?.text).toBe('ä')
    expect(one('Basic.Reject').args).toEqual({ delivery_tag: 1, requeue: false })
    expect(one('Basic.Ack').args).toEqual({ delivery_tag: 2, multiple: false })
    expect(one('Basic.Qos').args).toEqual({ prefetch_size: 0, prefetch_count: 9, global: true })
    expect(one('Basic.Consume').args).toMatchObject({ queue: 'box', consumer_tag: 'me', no_ack: false })
    expect(one('Basic.Deliver').args).toMatchObject({
      consumer_tag: 'me',
      delivery_tag: 3,
      redelivered: false,
    })
    expect(said('client').slice(-2)).toEqual(['Connection.Close', 'Queue.Delete'].reverse())
    expect(said('server').slice(-1)).toEqual(['Connection.CloseOk'])
  })
})
