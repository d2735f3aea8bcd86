import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { loadConfig } from './config.js'
import { delaysInBroker, delayTopologyOf, withoutDelay } from './native-delay.js'
import { type Destination, delayedDestination } from './outgoing-task.js'
import { Queues } from './queues.js'

const { settings } = loadConfig({
  settings: {
    taskDefaultQueue: 'q',
    taskDefaultExchange: 'x',
    taskDefaultExchangeType: 'topic',
    taskDefaultRoutingKey: 'k.1',
    taskDefaultQueueType: 'quorum',
  },
})
const queues = new Queues(settings)
const now = Date.parse('2026-01-01T00:00:00Z')
const plain: Destination = {
  exchange: 'x',
  routingKey: 'k.1',
  queue: 'q',
  declare: queues.get('q'),
  deliveryMode: 2,
}
const zeros = (count: number): string => '0.'.repeat(count)

describe('delays that RabbitMQ keeps', () => {
  const delayed = (
    options: Parameters<typeof delayedDestination>[1],
    { to = plain, isOn = true } = {},
  ): Destination => delayedDestination(to, options, now, { delaysInBroker: isOn, queues })

  it('PUB-083 are used over AMQP alone, and with a quorum queue', () => {
    expect(delaysInBroker(['pyamqp://h', 'redis://h'], queues)).toBe(true)
    expect(delaysInBroker(['redis://h'], queues)).toBe(false)
    const classic = new Queues(loadConfig({}).settings)
    expect(delaysInBroker(['amqps://h'], classic)).toBe(false)
  })

  it('PUB-084 take a countdown, or what is left until an ETA, in whole seconds', () => {
    const three = { exchange: 'celery_delayed_27', routingKey: `${zeros(26)}1.1.k.1`, delayedBy: 'broker' }
    expect(delayed({ countdown: 3.9 })).toMatchObject(three)
    expect(delayed({ eta: '2026-01-01T00:00:03Z' })).toMatchObject(three)
    expect(delayed({ eta: new Date(now + 3000) })).toMatchObject(three)
    expect(delayed({ countdown: 3 }, { isOn: false })).toBe(plain)
  })

  it('PUB-085 leave tasks of direct exchanges to the worker', () => {
    const direct = { ...plain, exchange: '', routingKey: 'other', queue: undefined, declare: undefined }
    expect(delayed({ countdown: 3 }, { to: direct })).toEqual({ ...direct, delayedBy: 'worker' })
  })

  it('PUB-086 send at once what is due within a second or was before, and cut what is years away', () => {
    for (const countdown of [0, -5, 0.9]) expect(delayed({ countdown })).toBe(plain)
    expect(delayed({ eta: '2025-12-31T23:00:00Z' })).toBe(plain)
    expect(delayed({ countdown: 2 ** 40 }).routingKey).toBe(`${'1.'.repeat(28)}k.1`)
  })

  it('PUB-088 PUB-089 lead back to queues whose exchange is not direct, by a type that RabbitMQ has', () => {
    const { bindings } = delayTopologyOf(settings, queues.all.values())
    expect(bindings.slice(-2)).toEqual([
      { from: 'celery_delayed_delivery', to: { exchange: 'x' }, routingKey: '#.k.1' },
      { from: 'x', to: { queue: 'q' }, routingKey: '#.k.1' },
    ])
    const made = queues.get('made')
    expect(withoutDelay([queues.get('q'), made])).toEqual([made])
    const wrong = { brokerNativeDelayedDeliveryQueueType: 'stream' }
    expect(() => delayTopologyOf(wrong, [])).toThrow(ConfigError)
  })
})
