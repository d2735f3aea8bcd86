import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noRedis, RedisSentinels } from '../../interop-tests/redis-server.js'
import { failoverUrls } from '../broker-url.js'
import { BrokerUnavailableError, ConfigError, ConnectionLostError } from '../errors.js'
import { ackAndForget, Collector, toQueue } from './collector.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import type { Connection } from './transport.js'

describe.skipIf(noRedis)(`sentinel:// (${noRedis ?? 'redis-server is installed'})`, () => {
  let set: RedisSentinels
  beforeAll(async () => {
    set = await RedisSentinels.start({ server: { requirepass: 'secret', appendonly: true } })
  })
  afterAll(() => set.close())

  const url = (): string => set.url.replace('sentinel://', 'sentinel://:secret@').replace('/0', '/1')
  const connect = (transportOptions: Record<string, unknown> = {}, at = url()): Promise<Connection> =>
    createRedisTransport().connect(at, {
      transportOptions: { master_name: set.masterName, ...transportOptions },
    })

  it('PUB-081 finds the master, loses it in a failover, and goes on with the next', async () => {
    const before = await set.master()
    const connection = await connect({ min_other_sentinels: 2 })
    await connection.publish(toQueue('q', ['a', 'b']))
    const first = new Collector()
    await connection.consume(['q'], first.options(1))
    await first.count(1)
    await set.failover()
    expect(await connection.closed).toBeInstanceOf(ConnectionLostError)
    expect(await set.master()).not.toBe(before)
    const again = await connect({ visibility_timeout: 1 })
    const second = new Collector(ackAndForget)
    await again.consume(['q'], second.options(0))
    await second.count(2)
    expect(second.texts.toSorted()).toEqual(['a', 'b'])
    await again.close()
  })

  it('PUB-081 asks the next sentinel when one does not answer, and needs the name of a master that they know', async () => {
    const dead = url().replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1')
    const connection = await connect({}, dead)
    await connection.close()
    await expect(connect({ master_name: 'another' })).rejects.toThrow(BrokerUnavailableError)
    await expect(connect({ master_name: undefined })).rejects.toThrow(ConfigError)
    await expect(connect({ min_other_sentinels: 9 })).rejects.toThrow(/no sentinel/)
  })

  it('PUB-081 speaks TLS with the sentinels and the master, and checks the certificates of both', async () => {
    await using secure = await RedisSentinels.start({ server: { tls: true } })
    const [server] = secure.servers
    const ssl = { ssl_cert_reqs: 'required', ssl_ca_certs: server?.certificates?.ca }
    const options = { master_name: secure.masterName }
    const connection = await connect({ ...options, ssl }, secure.url)
    await connection.publish(toQueue('q', ['a']))
    const collector = new Collector(ackAndForget)
    await connection.consume(['q'], collector.options(0))
    await collector.count(1)
    await connection.close()
    await expect(connect({ ...options, ssl: true }, secure.url)).rejects.toThrow(/certificate/)
    await expect(connect(options, secure.url)).rejects.toThrow(BrokerUnavailableError)
  })

  it('PUB-081 keeps a list of sentinels together: the first names password and database for all', () => {
    expect(failoverUrls(url())).toEqual([url()])
    expect(failoverUrls('redis://a;redis://b')).toEqual(['redis://a', 'redis://b'])
  })
})
