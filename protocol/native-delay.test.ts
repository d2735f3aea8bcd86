import { describe, expect, it } from 'vitest'
import {
  delayedBindingKey,
  delayRoutingKey,
  delayTopology,
  longestDelaySeconds,
  undelayedRoutingKey,
} from './native-delay.js'

describe('delays in RabbitMQ', () => {
  it('PUB-084 PUB-086 write a delay as 28 binary digits before the routing key', () => {
    expect(delayRoutingKey(3, 'qq.key')).toBe(`${'0.'.repeat(26)}1.1.qq.key`)
    expect(delayRoutingKey(longestDelaySeconds, 'k')).toBe(`${'1.'.repeat(28)}k`)
    expect(undelayedRoutingKey(delayRoutingKey(12_345, '0.1.k'))).toBe('0.1.k')
    expect(undelayedRoutingKey('0.1.k')).toBe('0.1.k')
  })

  it('PUB-087 PUB-088 lead a set bit through its queue, a clear one on, and out at the end', () => {
    const { exchanges, queues, bindings } = delayTopology('quorum')
    expect([exchanges.length, queues.length, bindings.length]).toEqual([29, 28, 56])
    expect(queues[0]).toMatchObject({
      name: 'celery_delayed_27',
      arguments: {
        'x-queue-type': 'quorum',
        'x-overflow': 'reject-publish',
        'x-message-ttl': 134_217_728_000,
        'x-dead-letter-exchange': 'celery_delayed_26',
        'x-dead-letter-strategy': 'at-least-once',
      },
    })
    expect(delayTopology('classic').queues[27]?.arguments).toEqual({
      'x-queue-type': 'classic',
      'x-overflow': 'reject-publish',
      'x-message-ttl': 1000,
      'x-dead-letter-exchange': 'celery_delayed_delivery',
    })
    expect(bindings.slice(2, 4)).toEqual([
      { from: 'celery_delayed_26', to: { queue: 'celery_delayed_26' }, routingKey: '*.1.#' },
      { from: 'celery_delayed_26', to: { exchange: 'celery_delayed_25' }, routingKey: '*.0.#' },
    ])
    expect(bindings.at(-1)).toMatchObject({ to: { exchange: 'celery_delayed_delivery' } })
    expect([delayedBindingKey('k'), delayedBindingKey('#')]).toEqual(['#.k', '#'])
  })
})
