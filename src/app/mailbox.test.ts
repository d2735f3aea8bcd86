import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { App } from './app.js'
import { Mailbox } from './mailbox.js'

const mailbox = (settings: object = {}): Mailbox => new Mailbox(new App('shop', settings).conf)

describe('mailboxes', () => {
  it('CTL-001 declares the mailbox of a node as kombu does', () => {
    const { name, topology } = mailbox().ofNode('celery@host')
    expect(name).toBe('celery@host.celery.pidbox')
    expect(topology).toEqual({
      exchanges: [{ name: 'celery.pidbox', type: 'fanout', durable: false }],
      queues: [
        {
          name,
          durable: false,
          exclusive: false,
          autoDelete: true,
          arguments: { 'x-expires': 10_000, 'x-message-ttl': 300_000 },
        },
      ],
      bindings: [{ from: 'celery.pidbox', to: { queue: name }, routingKey: '' }],
    })
  })

  it('CTL-007 declares a reply queue under the id of who asks', () => {
    const { name, topology } = mailbox().ofReplies('oid')
    expect(name).toBe('oid.reply.celery.pidbox')
    expect(topology.exchanges).toEqual([{ name: 'reply.celery.pidbox', type: 'direct', durable: false }])
    expect(topology.queues).toMatchObject([{ durable: false, autoDelete: true }])
    expect(topology.bindings).toEqual([
      { from: 'reply.celery.pidbox', to: { queue: name }, routingKey: 'oid' },
    ])
  })

  it('CTL-001 follows control_exchange and the settings of control queues', () => {
    const shop = mailbox({
      controlExchange: 'shop',
      controlQueueDurable: true,
      controlQueueTtl: 1.5,
      controlQueueExpires: 2,
    })
    const { name, topology } = shop.ofNode('w@h')
    expect(name).toBe('w@h.shop.pidbox')
    expect(topology.queues).toMatchObject([
      { durable: true, autoDelete: false, arguments: { 'x-expires': 2000, 'x-message-ttl': 1500 } },
    ])
    expect(shop.ofReplies('o').name).toBe('o.reply.shop.pidbox')
    const exclusive = mailbox({ controlQueueExclusive: true }).ofNode('w@h')
    expect(exclusive.topology.queues).toMatchObject([{ exclusive: true }])
  })

  it('refuses queues that would be durable and exclusive', () => {
    expect(() => mailbox({ controlQueueDurable: true, controlQueueExclusive: true })).toThrow(ConfigError)
  })
})
