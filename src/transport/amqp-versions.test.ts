import { describe, expect, it } from 'vitest'
import {
  hidesDeletions,
  knowsCommonPrefetch,
  mayDenyTransient,
  suspendsSlowConsumers,
} from './amqp-versions.js'

const versions = ['3.10.8', '3.13.7', '4.0.5', '4.2.1', '4.3.0', '4.10.0', '5.0.0', '']

describe('versions of RabbitMQ', () => {
  it('from 4.0 on queues that are neither durable nor exclusive may be refused', () => {
    expect(versions.filter(mayDenyTransient)).toEqual(['4.0.5', '4.2.1', '4.3.0', '4.10.0', '5.0.0'])
  })

  it('from 4.3 on a message that is held too long costs the consumer, not its channel', () => {
    expect(versions.filter(suspendsSlowConsumers)).toEqual(['4.3.0', '4.10.0', '5.0.0'])
  })

  it('WRK-022 before 4.3 a prefetch count may hold for all queues of a channel', () => {
    expect(versions.filter(knowsCommonPrefetch)).toEqual(['3.10.8', '3.13.7', '4.0.5', '4.2.1', ''])
  })

  it('before 4.0 consumers of quorum queues may not hear of a deletion', () => {
    expect(versions.filter(hidesDeletions)).toEqual(['3.10.8', '3.13.7', ''])
  })
})
