import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../node-app.js'
import { TcpProxy } from './proxy.js'

describe('the proxy that misbehaves', () => {
  let echo: Server
  let served: Socket[]
  let proxy: TcpProxy
  const clients: Client[] = []

  /** A connection, what it received and whether it has ended. */
  class Client {
    received = ''
    isClosed = false
    readonly socket: Socket
    constructor(port: number) {
      this.socket = connect(port, '127.0.0.1')
      this.socket.on('data', (chunk) => {
        this.received += chunk.toString()
      })
      this.socket.on('close', () => {
        this.isClosed = true
      })
      this.socket.on('error', () => {})
      clients.push(this)
    }
  }
  const open = async (): Promise<Client> => {
    const client = new Client(proxy.port)
    client.socket.write('hello')
    await eventually('the echo came', () => client.received === 'hello')
    return client
  }

  beforeEach(async () => {
    served = []
    echo = createServer((socket) => {
      served.push(socket)
      socket.on('error', () => {})
      socket.pipe(socket)
    }).listen(0, '127.0.0.1')
    await once(echo, 'listening')
    proxy = await TcpProxy.start((echo.address() as { port: number }).port)
  })
  afterEach(async () => {
    for (const { socket } of clients.splice(0)) socket.destroy()
    await proxy.close()
    echo.close()
  })

  it('resets connections and takes new ones', async () => {
    const client = await open()
    proxy.reset()
    await eventually('the connection ended', () => client.isClosed)
    await open()
  })

  it('refuses new connections while it is cut, until it is healed', async () => {
    const client = await open()
    proxy.cut()
    await eventually('the connection ended', () => client.isClosed)
    const refused = new Client(proxy.port)
    await eventually('the new one ended', () => refused.isClosed)
    expect(served).toHaveLength(1)
    proxy.heal()
    await open()
  })

  it('swallows bytes while it is stalled and hands them over when it is healed', async () => {
    const client = await open()
    proxy.stall()
    client.socket.write(' again')
    const late = new Client(proxy.port)
    late.socket.write('late')
    await new Promise((done) => setTimeout(done, 150))
    expect([client.received, late.received, client.isClosed]).toEqual(['hello', '', false])
    proxy.heal()
    await eventually('all came', () => client.received === 'hello again' && late.received === 'late')
  })

  it('leaves the client open and silent when the far side is gone, and resets it when healed', async () => {
    const client = await open()
    proxy.halfOpen()
    await eventually('the server saw the end', () => served[0]?.destroyed === true)
    client.socket.write('anybody?')
    await new Promise((done) => setTimeout(done, 100))
    expect([client.received, client.isClosed]).toEqual(['hello', false])
    proxy.heal()
    await eventually('the client heard', () => client.isClosed)
  })

  it('hands over late, in order', async () => {
    const client = await open()
    proxy.delay(60)
    const before = performance.now()
    client.socket.write('1')
    client.socket.write('2')
    await eventually('it came', () => client.received === 'hello12')
    expect(performance.now() - before).toBeGreaterThanOrEqual(115)
  })
})
