import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { RedisServer } from '../../interop-tests/redis-server.js'
import { openRedis, type RedisClient } from './redis-client.js'
import type { Connection } from './transport.js'

/** What one test has. */
export interface RedisRig {
  /** One for all tests of the `describe`, emptied before each. */
  readonly server: RedisServer
  readonly admin: RedisClient
  /** A name of its own for each test. */
  readonly queue: string
  /** What is put in here is closed after the test. */
  readonly connections: Connection[]
}

/** Gives each test of this `describe` an empty Redis server. */
export function useRedis(onTest: (rig: RedisRig) => void): void {
  let server: RedisServer
  let admin: RedisClient
  let connections: Connection[]
  beforeAll(async () => {
    server = await RedisServer.start()
    admin = await openRedis(server.url)
  })
  afterAll(async () => {
    admin.close()
    await server.close()
  })
  beforeEach(async () => {
    await admin.run('FLUSHALL')
    connections = []
    onTest({ server, admin, queue: `q-${randomUUID()}`, connections })
  })
  afterEach(async () => {
    await Promise.all(connections.map((connection) => connection.close()))
  })
}

/** What one test has whose connections may be cut and muted. */
export interface ProxiedRedisRig extends RedisRig {
  /** Heals before each test. */
  readonly proxy: TcpProxy
  /** The server's, through the proxy. */
  readonly url: string
}

/** `useRedis`, through a proxy. */
export function useProxiedRedis(onTest: (rig: ProxiedRedisRig) => void): void {
  let rig: RedisRig
  let proxy: TcpProxy | undefined
  useRedis((one) => {
    rig = one
  })
  beforeEach(async () => {
    proxy ??= await TcpProxy.start(rig.server.port)
    proxy.heal()
    onTest({ ...rig, proxy, url: rig.server.urlAt(proxy.port) })
  })
  afterAll(() => proxy?.close())
}
