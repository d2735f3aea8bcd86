import { describe, expect, it } from 'vitest'
import { textOf, toQueue } from './collector.conformance.js'
import { createMemoryTransport } from './memory-transport.js'
import { describeTransport } from './transport.conformance.js'
import type { Connection } from './transport.js'

describeTransport(
  'memory',
  async () => {
    const transport = createMemoryTransport()
    const connections: Connection[] = []
    return {
      async connect() {
        const connection = await transport.connect('memory://', { transportOptions: {} })
        connections.push(connection)
        return connection
      },
      async end() {
        await Promise.all(connections.map((connection) => connection.close()))
      },
    }
  },
  {
    killHolder: 'the broker dies with the only process that can use it',
    putGarbage: 'nothing but envelopes can be put into this broker',
    park: 'what waits in this broker is in this process anyway',
  },
)

describe('createMemoryTransport', () => {
  it('keeps virtual hosts and transports apart', async () => {
    const [one, other] = [createMemoryTransport(), createMemoryTransport()]
    const connections = await Promise.all([
      one.connect('memory://', { transportOptions: {} }),
      one.connect('memory:///another', { transportOptions: {} }),
      other.connect('memory://', { transportOptions: {} }),
    ])
    await connections[0]?.publish(toQueue('q', ['a']))
    expect(await Promise.all(connections.map((c) => c.queueLength('q')))).toEqual([1, 0, 0])
    await Promise.all(connections.map((c) => c.close()))
  })

  it('sends what no binding matches to the queue of the option deadletter_queue', async () => {
    const options = { transportOptions: { deadletter_queue: 'dead' } }
    const connection = await createMemoryTransport().connect('memory://', options)
    const [outgoing] = toQueue('nowhere', ['a'])
    await connection.publish([{ envelope: outgoing!.envelope, to: { exchange: 'x', routingKey: 'nowhere' } }])
    const got = await connection.get('dead')
    expect(got && textOf(got)).toBe('a')
    await connection.close()
  })
})
