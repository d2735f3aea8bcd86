import { describe, expect, it } from 'vitest'
import { needsExclusive } from './amqp-topology.js'

describe('needsExclusive', () => {
  const queue = { name: 'q', durable: false, exclusive: false, autoDelete: true, arguments: {} }

  it('is so for queues that RabbitMQ 4.3 and later refuse, which are neither durable nor exclusive', () => {
    const versions = ['3.10.8', '3.13.7', '4.2.1', '4.3.0', '4.10.0', '5.0.0', '']
    const needing = versions.filter((version) => needsExclusive(queue, version))
    expect(needing).toEqual(['4.3.0', '4.10.0', '5.0.0'])
    expect(needsExclusive({ ...queue, durable: true }, '4.3.0')).toBe(false)
    expect(needsExclusive({ ...queue, exclusive: true }, '4.3.0')).toBe(false)
  })
})
