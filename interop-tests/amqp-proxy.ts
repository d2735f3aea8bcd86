/** A TCP proxy in front of a RabbitMQ server that writes down what clients and server say to each other. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { AmqpDecoder, type AmqpRecord } from './amqp-frames.js'

/** Forwards everything unchanged; what cannot be decoded is kept in `failures`. */
export class AmqpProxy {
  /** What was said since the last `take`, oldest first. */
  readonly #records: AmqpRecord[] = []
  readonly failures: Error[] = []
  readonly #server: Server
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  readonly #watchers = new Set<() => void>()
  #count = 0

  private constructor(server: Server, target: number) {
    this.#server = server
    this.#target = target
    server.on('connection', (client) => this.#accept(client))
  }

  /** Listens on a free port of 127.0.0.1 in front of the port `target`. */
  static async start(target: number): Promise<AmqpProxy> {
    const server = createServer({ pauseOnConnect: true, noDelay: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new AmqpProxy(server, target)
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed')
    return address.port
  }

  /** The URL of the server through this proxy. */
  through(url: string): string {
    return url.replace(/@127\.0\.0\.1:\d+/, `@127.0.0.1:${this.port}`)
  }

  /** All since the last call. Throws what could not be decoded. */
  take(): readonly AmqpRecord[] {
    const [failure] = this.failures
    if (failure !== undefined) throw failure
    return this.#records.splice(0)
  }

  /** What came since the last `take`, without taking it. */
  peek(): readonly AmqpRecord[] {
    return this.#records
  }

  /** Resolves when a record since the last `take` fits; rejects after `timeoutMs`. */
  saw(what: string, fits: (record: AmqpRecord) => boolean, timeoutMs = 20_000): Promise<AmqpRecord> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.#records.find(fits)
        if (found === undefined) return
        end()
        resolve(found)
      }
      const timer = setTimeout(() => {
        end()
        const said = this.#records.map(({ from, method }) => `${from} ${method}`).join(', ')
        reject(new Error(`${what}: not seen in ${timeoutMs} ms; there was ${said || 'nothing'}`))
      }, timeoutMs)
      const end = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(look)
      }
      this.#watchers.add(look)
      look()
    })
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #accept(client: Socket): void {
    const number = ++this.#count
    const upstream = connect({ port: this.#target, host: '127.0.0.1', noDelay: true })
    this.#pipe(client, upstream, new AmqpDecoder(number, 'client', (record) => this.#add(record)))
    this.#pipe(upstream, client, new AmqpDecoder(number, 'server', (record) => this.#add(record)))
    client.resume()
  }

  #pipe(from: Socket, to: Socket, decoder: AmqpDecoder): void {
    this.#sockets.add(from)
    from.on('error', () => {})
    from.on('data', (chunk) => {
      // Written down before it goes on: whoever acts on it finds it here.
      try {
        decoder.push(chunk)
      } catch (error) {
        this.failures.push(error as Error)
      }
      to.write(chunk)
    })
    from.on('close', () => {
      this.#sockets.delete(from)
      to.end()
    })
  }

  #add(record: AmqpRecord): void {
    this.#records.push(record)
    for (const watcher of [...this.#watchers]) watcher()
  }
}
