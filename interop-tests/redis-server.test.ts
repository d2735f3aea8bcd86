import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventually } from './node-app.js'
import { noRedis, RedisSentinels, RedisServer } from './redis-server.js'

describe.skipIf(noRedis)(`the servers that the Redis tests stand on (${noRedis ?? 'installed'})`, () => {
  it('keeps what it answered over a kill and a restart on the same port', async () => {
    await using server = await RedisServer.start({ appendonly: true })
    const { port } = server
    await server.client().set('k', 'v')
    await server.kill()
    expect(server.pid).toBe(undefined)
    await server.restart()
    expect(server.port).toBe(port)
    expect(await server.client().get('k')).toBe('v')
  })

  it('answers nothing while it is paused', async () => {
    await using server = await RedisServer.start()
    const client = server.client()
    await client.ping()
    server.pause()
    const silent = await Promise.race([client.ping(), new Promise((done) => setTimeout(done, 300, 'silent'))])
    expect(silent).toBe('silent')
    server.resume()
    expect(await client.ping()).toBe('PONG')
  })

  it('asks for the password of its user, over TLS and a Unix socket too', async () => {
    await using server = await RedisServer.start({
      user: { name: 'worker', password: 'secret' },
      tls: true,
      unixSocket: true,
    })
    expect(server.url).toBe(`rediss://worker:secret@127.0.0.1:${server.port}/0`)
    expect(await server.client().call('ACL', 'WHOAMI')).toBe('worker')
    const raw = connect(server.socketPath ?? '')
    raw.write('PING\r\n')
    const [answer] = (await once(raw, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^-NOAUTH/)
    raw.destroy()
  })

  it('promotes the replica when the sentinels are told to', async () => {
    await using set = await RedisSentinels.start()
    const first = await set.master()
    const second = await set.failover()
    expect(second.port).not.toBe(first.port)
  }, 60_000)

  it('promotes the replica when the master is killed', async () => {
    await using set = await RedisSentinels.start()
    const first = await set.master()
    await first.kill()
    expect(await set.switched(first)).toBe(set.servers.find((server) => server !== first))
  }, 60_000)

  it('leaves no server and no folder when the test process is killed', async () => {
    const script = `
      import { RedisServer } from '${resolve(import.meta.dirname, 'redis-server.ts')}'
      const server = await RedisServer.start()
      console.log(JSON.stringify({ pid: server.pid, folder: server.folder }))
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const { pid, folder } = JSON.parse(line.toString()) as { pid: number; folder: string }
    child.kill('SIGKILL')
    const alive = (): boolean => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    }
    await eventually('the server is gone', () => !alive() && !existsSync(folder))
  })
})
