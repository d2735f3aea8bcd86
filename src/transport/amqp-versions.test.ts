import { describe, expect, it } from 'vitest'
import { knowsCommonPrefetch, needsExclusive } from './amqp-versions.js'

const versions = ['3.10.8', '3.13.7', '4.0.5', '4.2.1', '4.3.0', '4.10.0', '5.0.0', '']

describe('versions of RabbitMQ', () => {
  const queue = { name: 'q', durable: false, exclusive: false, autoDelete: true, arguments: {} }

  it('from 4.3 on queues that are neither durable nor exclusive are declared as exclusive', () => {
    const needing = versions.filter((version) => needsExclusive(queue, version))
    expect(needing).toEqual(['4.3.0', '4.10.0', '5.0.0'])
    expect(needsExclusive({ ...queue, durable: true }, '4.3.0')).toBe(false)
    expect(needsExclusive({ ...queue, exclusive: true }, '4.3.0')).toBe(false)
  })

  it('WRK-022 before 4.3 a prefetch count may hold for all queues of a channel', () => {
    expect(versions.filter(knowsCommonPrefetch)).toEqual(['3.10.8', '3.13.7', '4.0.5', '4.2.1', ''])
  })
})
