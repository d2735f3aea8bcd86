import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { BackendUnavailableError, BrokerUnavailableError, ConfigError } from '../errors.js'
import { openRedis, type RedisClient, redisScript } from './redis-client.js'

describe.skipIf(noRedis)(`openRedis (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  const open: RedisClient[] = []
  const connect = async (...args: Parameters<typeof openRedis>): Promise<RedisClient> => {
    const client = await openRedis(...args)
    open.push(client)
    return client
  }
  beforeAll(async () => {
    server = await RedisServer.start({ unixSocket: true, requirepass: 'p@ss/word' })
  })
  afterAll(async () => {
    for (const client of open) client.close()
    await server.close()
  })
  const url = (db = 0): string => `redis://:p%40ss%2Fword@127.0.0.1:${server.port}/${db}`

  it('PUB-082 logs in, selects the database of the path and shows itself by client_name', async () => {
    const client = await connect(url(3), { transportOptions: { client_name: 'shop' }, role: 'pubsub' })
    await client.run('SET', 'here', 'yes')
    const info = String(await client.run('CLIENT', 'INFO'))
    expect(info).toContain(' db=3 ')
    expect(info).toContain(' name=shop-pubsub ')
    const other = await connect(url(0))
    expect(await other.run('EXISTS', 'here')).toBe(0)
    expect(client.shownUrl).not.toContain('word')
  })

  it('connects through a Unix socket', async () => {
    const client = await connect(`redis+socket://:p%40ss%2Fword@${server.socketPath}?virtual_host=2`)
    expect(String(await client.run('CLIENT', 'INFO'))).toContain(' db=2 ')
  })

  it('refuses a wrong password, a missing one and a database that there is not, and says which', async () => {
    const port = server.port
    await expect(openRedis(`redis://:wrong@127.0.0.1:${port}`)).rejects.toThrow(BrokerUnavailableError)
    await expect(openRedis(`redis://:wrong@127.0.0.1:${port}`)).rejects.toThrow(
      /refused the user name or password/,
    )
    await expect(openRedis(`redis://127.0.0.1:${port}`)).rejects.toThrow(/wants a password/)
    await expect(openRedis(url(99))).rejects.toThrow(ConfigError)
    await expect(openRedis(`redis://127.0.0.1:${port}/mine`)).rejects.toThrow(/must be a number/)
    await expect(openRedis(`${url()}?socket_timeout=3`)).rejects.toThrow(/broker_transport_options/)
  })

  it('WRK-095 fails with the error of its owner when nobody listens, within the bound', async () => {
    const failing = openRedis('redis://127.0.0.1:1/0', { unavailable: BackendUnavailableError })
    await expect(failing).rejects.toThrow(BackendUnavailableError)
    await expect(openRedis(url(), { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    )
  })

  it('writes once in a turn, also what those ask for who go on in it', async () => {
    const client = await connect(url())
    const reads = async (): Promise<number> =>
      Number(/total_reads_processed:(\d+)/.exec(String(await client.run('INFO', 'stats')))?.[1])
    const before = await reads()
    await new Promise<unknown>((resolve) => {
      setImmediate(() => {
        const later = Promise.resolve()
          .then(() => {})
          .then(() => client.run('PING'))
        resolve(Promise.all([client.run('PING'), later]))
      })
    })
    // That of the two, and that of the question.
    expect((await reads()) - before).toBe(2)
  })

  it('runs a script by its hash, and sends it when the server has forgotten it', async () => {
    const client = await connect(url())
    const script = redisScript('return {KEYS[1], ARGV[1]}')
    for (const flush of [false, true]) {
      if (flush) await client.run('SCRIPT', 'FLUSH')
      const reply = (await client.script(script, ['k'], [Buffer.from([255, 0])])) as Buffer[]
      expect(reply.map((each) => [...each])).toEqual([[107], [255, 0]])
    }
  })

  it('gives the replies of a batch in order, and its first failure', async () => {
    const client = await connect(url())
    expect(
      await client.batch([
        ['SET', 'n', 1],
        ['INCR', 'n'],
        ['GET', 'n'],
      ]),
    ).toEqual(['OK', 2, '2'])
    await expect(
      client.batch([
        ['LPUSH', 'n', 'x'],
        ['INCR', 'n'],
      ]),
    ).rejects.toThrow(/WRONGTYPE/)
    expect(await client.run('GET', 'n')).toBe('3')
    expect(client.isOpen).toBe(true)
  })

  it('types what the server refuses: out of memory goes on, read-only ends the connection', async () => {
    await using small = await RedisServer.start({
      extra: { maxmemory: '1kb', 'maxmemory-policy': 'noeviction' },
    })
    const client = await connect(small.url)
    await expect(client.run('SET', 'k', 'x'.repeat(1000))).rejects.toThrow(/out of memory/)
    const script = redisScript("return redis.call('SET', KEYS[1], ARGV[1])")
    await expect(client.script(script, ['k'], ['x'])).rejects.toThrow(BrokerUnavailableError)
    expect(client.isOpen).toBe(true)
    await client.run('CONFIG', 'SET', 'maxmemory', '0')
    await client.run('REPLICAOF', '127.0.0.1', '1')
    await expect(client.run('SET', 'k', 'x')).rejects.toThrow(/takes no writes/)
    expect(await client.closed).toBeInstanceOf(BrokerUnavailableError)
  })

  it('types a server that is still loading its data after a restart, and is let in when it has', async () => {
    await using slow = await RedisServer.start({ appendonly: true, extra: { 'key-load-delay': 60 } })
    const writer = await connect(slow.url)
    const rows = Array.from({ length: 20_000 }, (_, at): readonly [string, string, number] => [
      'LPUSH',
      'l',
      at,
    ])
    await writer.batch(rows)
    await slow.stop()
    const restarted = slow.restart()
    const said: string[] = []
    await expect
      .poll(
        async () => {
          try {
            return await (await connect(slow.url, { timeoutMs: 500 })).run('LLEN', 'l')
          } catch (error) {
            expect(error).toBeInstanceOf(BrokerUnavailableError)
            said.push((error as Error).message)
            return undefined
          }
        },
        { timeout: 30_000, interval: 20 },
      )
      .toBe(20_000)
    await restarted
    expect(said.filter((each) => /is loading its data after a start/.test(each)).length).toBeGreaterThan(0)
  })

  it('tells when the server is gone, fails what waits, and does not come back by itself', async () => {
    await using mortal = await RedisServer.start()
    const client = await connect(mortal.url)
    mortal.pause()
    const waiting = client.run('GET', 'k')
    waiting.catch(() => {})
    await mortal.kill()
    await expect(waiting).rejects.toThrow(BrokerUnavailableError)
    expect(await client.closed).toBeInstanceOf(BrokerUnavailableError)
    await mortal.restart()
    await expect(client.run('GET', 'k')).rejects.toThrow(/has ended/)
  })

  it('gives up a server that does not answer a command, or a PING on a quiet link', async () => {
    await using stuck = await RedisServer.start()
    const asked = await connect(stuck.url, { transportOptions: { socket_timeout: 0.5 } })
    const quiet = await connect(stuck.url, {
      transportOptions: { socket_timeout: 0.5, health_check_interval: 0.1 },
    })
    stuck.pause()
    await expect(asked.run('GET', 'k')).rejects.toThrow(/no answer within 500 ms/)
    expect(await quiet.closed).toBeInstanceOf(BrokerUnavailableError)
    stuck.resume()
  })

  it('keeps a quiet subscription alive with PING', async () => {
    const client = await connect(url(), {
      transportOptions: { health_check_interval: 0.2, socket_timeout: 2 },
    })
    const heard: string[] = []
    client.onMessage((channel, payload) => heard.push(`${channel}:${String(payload)}`))
    await client.subscribe('ch')
    await client.psubscribe('p*')
    const other = await connect(url())
    const age = async (): Promise<string> => String(await other.run('CLIENT', 'LIST', 'TYPE', 'pubsub'))
    await expect.poll(age, { timeout: 5000 }).toContain('cmd=ping')
    await other.batch([
      ['PUBLISH', 'ch', 'a'],
      ['PUBLISH', 'p1', 'b'],
    ])
    await expect.poll(() => heard).toEqual(['ch:a', 'p1:b'])
    expect(client.isOpen).toBe(true)
  })

  it('PUB-081 checks the certificate of rediss:// unless told not to', async () => {
    await using secure = await RedisServer.start({ tls: 'client' })
    const { ca, cert, key } = secure.certificates!
    await expect(openRedis(secure.url)).rejects.toThrow(/certificate/)
    const files = `ssl_ca_certs=${ca}&ssl_certfile=${cert}&ssl_keyfile=${key}`
    expect(await (await connect(`${secure.url}?${files}`)).run('PING')).toBe('PONG')
    const unchecked = `${secure.url}?ssl_cert_reqs=CERT_NONE&ssl_certfile=${cert}&ssl_keyfile=${key}`
    expect(await (await connect(unchecked)).run('PING')).toBe('PONG')
    await expect(openRedis(`${secure.url}?ssl_cert_reqs=perhaps`)).rejects.toThrow(ConfigError)
  })
})
