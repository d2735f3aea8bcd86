import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe } from 'vitest'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { openRedis } from './redis-client.js'
import { createRedisTransport } from './redis-transport.js'
import { describeTransport } from './transport.conformance.js'
import type { Connection } from './transport.js'

describe.skipIf(noRedis)(`Redis (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server.close())

  describeTransport('redis', async () => {
    const connections: Connection[] = []
    // With patterns, kombu's default, a fanout binding takes only messages of its own key.
    const transportOptions = {
      fanout_patterns: false,
      global_keyprefix: `${randomUUID()}:`,
      visibility_timeout: 1,
    }
    const connect = async (): Promise<Connection> => {
      const connection = await createRedisTransport().connect(server.url, { transportOptions })
      connections.push(connection)
      return connection
    }
    return {
      connect,
      async killHolder(queue, count) {
        const connection = await connect()
        const admin = await openRedis(server.url)
        for (let taken = 0; taken < count; taken += 1) await connection.get(queue)
        const clients = String(await admin.run('CLIENT', 'LIST')).split('\n')
        const own = /id=(\d+)/.exec(String(await admin.run('CLIENT', 'INFO')))?.[1]
        const mine = clients.filter(
          (line) => line.includes('name=celeriac') && !line.startsWith(`id=${own} `),
        )
        const newest = mine.map((line) => Number(/^id=(\d+)/.exec(line)?.[1])).sort((a, b) => a - b)
        await admin.run('CLIENT', 'KILL', 'ID', newest.at(-1) as number)
        await connection.closed
        admin.close()
      },
      async putGarbage(queue, bytes) {
        const admin = await openRedis(server.url)
        await admin.run('LPUSH', transportOptions.global_keyprefix + queue, Buffer.from(bytes))
        admin.close()
      },
      async end() {
        await Promise.all(connections.map((connection) => connection.close()))
        const admin = await openRedis(server.url)
        const clients = String(await admin.run('CLIENT', 'LIST'))
        admin.close()
        if (clients.trim().split('\n').length > 1) throw new Error(`connections are left:\n${clients}`)
      },
    }
  })
})
