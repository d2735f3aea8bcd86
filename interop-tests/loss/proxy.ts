/** A TCP proxy that misbehaves on command: what networks do to the connection between a worker and its broker. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

interface Link {
  readonly client: Socket
  readonly upstream: Socket
}

/** Forwards `127.0.0.1:port` to `target` until told otherwise; every state lasts until `heal()`. */
export class TcpProxy {
  readonly #server: Server
  readonly #target: number
  readonly #links = new Set<Link>()
  #refusing = false
  #stalled = false
  #muted = false
  readonly #halfOpen = new Set<Link>()
  #delayMs = 0

  private constructor(server: Server, target: number) {
    this.#server = server
    this.#target = target
    server.on('connection', (client) => this.#accept(client))
  }

  /** Listens on a free port in front of the port `target`. */
  static async start(target: number): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: true, noDelay: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpProxy(server, target)
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed')
    return address.port
  }

  /** How many connections go through it. */
  get connections(): number {
    return this.#links.size
  }

  #accept(client: Socket): void {
    if (this.#refusing) {
      client.resetAndDestroy()
      return
    }
    const upstream = connect({ port: this.#target, host: '127.0.0.1', noDelay: true })
    const link: Link = { client, upstream }
    this.#links.add(link)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => {})
      from.on('data', (chunk) => this.#forward(from, to, chunk))
      // A half-open link tells neither side that the other has gone.
      from.on('close', () => {
        if (this.#halfOpen.has(link)) return
        this.#links.delete(link)
        to.destroy()
      })
      if (this.#stalled || (this.#muted && from === upstream)) from.pause()
      else from.resume()
    }
  }

  #forward(from: Socket, to: Socket, chunk: Buffer): void {
    if (this.#delayMs === 0) {
      if (!to.write(chunk)) {
        from.pause()
        to.once('drain', () => this.#stalled || from.resume())
      }
      return
    }
    setTimeout(() => to.writable && to.write(chunk), this.#delayMs)
  }

  /** Resets every connection, and lets new ones through. */
  reset(): void {
    for (const { client, upstream } of this.#links) {
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
    this.#links.clear()
  }

  /** Resets every connection, and refuses new ones. */
  cut(): void {
    this.#refusing = true
    this.reset()
  }

  /** Takes and accepts bytes no more: nothing arrives and nobody is told, as when packets are dropped. */
  stall(): void {
    this.#stalled = true
    for (const { client, upstream } of this.#links) {
      client.pause()
      upstream.pause()
    }
  }

  /** The broker's side is closed while the client's stays open and silent, as when a firewall forgets a connection. */
  halfOpen(): void {
    for (const link of this.#links) {
      this.#halfOpen.add(link)
      link.client.pause()
      link.upstream.destroy()
    }
  }

  /** What the broker says arrives no more, what it is told still does; `heal` resets these connections. */
  mute(): void {
    this.#muted = true
    for (const { upstream } of this.#links) upstream.pause()
  }

  /** Every chunk arrives so much later. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Ends every disturbance; what was stalled flows on, what was half-open is reset. */
  heal(): void {
    // Others were made since, and are as good as any.
    for (const link of this.#halfOpen) {
      this.#links.delete(link)
      link.client.resetAndDestroy()
    }
    this.#halfOpen.clear()
    if (this.#muted) {
      this.#muted = false
      this.reset()
    }
    this.#refusing = false
    this.#stalled = false
    this.#delayMs = 0
    for (const { client, upstream } of this.#links) {
      client.resume()
      upstream.resume()
    }
  }

  /** Closes the listener and every connection. */
  async close(): Promise<void> {
    this.#halfOpen.clear()
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.reset()
    await closed
  }
}
