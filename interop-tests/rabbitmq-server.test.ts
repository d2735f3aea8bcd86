import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './node-app.js'
import { noRabbit, RabbitServer } from './rabbitmq-server.js'
import { skipNote } from './redis-server.js'

describe.skipIf(noRabbit)(`the server that the RabbitMQ tests stand on${skipNote(noRabbit)}`, () => {
  let server: RabbitServer
  beforeAll(async () => {
    server = await RabbitServer.start({ tls: true })
  }, 90_000)
  afterAll(() => server.close())

  it('keeps what it confirmed over a kill and a restart on the same port', async () => {
    const { port } = server
    const before = await connect(server.url)
    before.on('error', () => {})
    const channel = await before.createConfirmChannel()
    await channel.assertQueue('kept', { durable: true })
    channel.sendToQueue('kept', Buffer.from('v'), { persistent: true })
    await channel.waitForConfirms()
    await server.kill()
    expect(server.pid).toBe(undefined)
    await server.restart()
    expect(server.port).toBe(port)
    const after = await connect(server.url)
    const got = await (await after.createChannel()).get('kept')
    expect(got === false ? got : got.content.toString()).toBe('v')
    await after.close()
  }, 60_000)

  it('serves virtual hosts apart from each other, and users by their rights', async () => {
    const [one, two] = [await server.addVhost(), await server.addVhost('with/slash')]
    await server.addUser('reader', 'secret', { vhost: 'with/slash', configure: '^$', write: '^$' })
    const first = await connect(one)
    await (await first.createChannel()).assertQueue('q')
    const second = await connect(two)
    const channel = await second.createChannel()
    channel.on('error', () => {})
    await expect(channel.checkQueue('q')).rejects.toThrow('NOT_FOUND')
    const reader = await connect(server.urlOf('with/slash', 'reader', 'secret'))
    const refused = await reader.createChannel()
    refused.on('error', () => {})
    await expect(refused.assertQueue('q')).rejects.toThrow('ACCESS_REFUSED')
    for (const connection of [first, second, reader]) await connection.close()
  })

  it('blocks those who publish while the memory alarm is raised', async () => {
    const connection = await connect(server.url)
    const channel = await connection.createConfirmChannel()
    await server.memoryAlarm(true)
    const blocked = once(connection, 'blocked')
    const confirmed = new Promise((settle) => channel.publish('', 'nobody', Buffer.from('x'), {}, settle))
    await blocked
    await server.memoryAlarm(false)
    await confirmed
    await connection.close()
  })

  it('serves TLS with a certificate of its own authority', async () => {
    await expect(connect(server.tlsUrl ?? '')).rejects.toThrow(/self.signed|verify/)
    const ca = [readFileSync(server.certificates?.ca ?? '')]
    await (await connect(server.tlsUrl ?? '', { ca })).close()
  })

  it('answers nothing while it is paused, and goes when it is told to', async () => {
    const connection = await connect(server.url)
    const channel = await connection.createChannel()
    server.pause()
    const asked = channel.assertQueue('asked')
    expect(await Promise.race([asked, new Promise((done) => setTimeout(done, 300, 'silent'))])).toBe('silent')
    server.resume()
    await asked
    await connection.close()
    const { pid } = server
    await server.stop()
    expect(server.log).toContain('SIGTERM received')
    expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH')
  })
})

describe.skipIf(noRabbit)(`a RabbitMQ server of a test process that dies${skipNote(noRabbit)}`, () => {
  it('ends, and its folder goes', async () => {
    const script = `
      const { RabbitServer } = await import('./interop-tests/rabbitmq-server.ts')
      const server = await RabbitServer.start()
      console.log(JSON.stringify([server.pid, server.folder]))
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: resolve(import.meta.dirname, '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const [pid, folder] = JSON.parse(line.toString()) as [number, string]
    child.kill('SIGKILL')
    await eventually('the server is gone', () => !isAlive(pid) && !existsSync(folder))
  }, 60_000)
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
