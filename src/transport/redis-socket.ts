/**
 * The socket of one Redis connection: commands out, replies in, in the order of the commands (RESP 2).
 *
 * Rule 1: what is asked for in one turn of the event loop goes out in one write: a system call costs more than a
 *         command. Nothing waits beyond that turn.
 * Rule 2: once ended it stays so, and every command that has no answer fails.
 */
import { createConnection, type Socket } from 'node:net'
import type { Clock } from '../clock.js'
import { RedisReplies, RedisReplyError } from './redis-replies.js'
import type { RedisTarget } from './redis-url.js'

/** An argument of a command; text goes out as UTF-8. */
export type RedisArgument = string | number | Buffer

/** What a socket tells its owner. */
export interface RedisSocketOwner {
  /** Called after bytes came and their replies were given. */
  onHeard(): void
  /** A message of a subscription: `['message', channel, payload]` or `['pmessage', pattern, channel, payload]`. */
  onMessage(message: readonly unknown[]): void
  /** Called once, before the commands without an answer fail. */
  onEnded(cause: Error): void
}

interface Asked {
  readonly wantsText: boolean
  /** Replies that are to come: SUBSCRIBE has one for each channel. */
  missing: number
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: Error) => void
}

/** Milliseconds that a server is given to end its side; ours is cut off then. */
const endMs = 500
const keepAliveMs = 30_000

/** See above. */
export class RedisSocket {
  readonly #owner: RedisSocketOwner
  readonly #clock: Clock
  readonly #replies: RedisReplies
  readonly #asked: Asked[] = []
  /** Answered entries at the front of `#asked`, which is cut now and then. */
  #answered = 0
  #socket: Socket | undefined
  /** Commands of this turn: pieces of text, and bytes between them. */
  #outgoing: (string | Buffer)[] = []
  #text = ''
  #isAscii = true
  #isFlushing = false
  #isSubscriber = false
  #isEnded = false
  #endCause: Error | undefined

  constructor(owner: RedisSocketOwner, clock: Clock) {
    this.#owner = owner
    this.#clock = clock
    this.#replies = new RedisReplies(
      (reply) => this.#reply(reply),
      () => !this.#isSubscriber && this.#asked[this.#answered]?.wantsText === true,
    )
  }

  /** Commands that have no answer yet. */
  get pending(): number {
    return this.#asked.length - this.#answered
  }

  /** Resolves when commands can be sent; rejects with the error of the socket. */
  async connect(target: RedisTarget, keepAlive: boolean): Promise<void> {
    const where =
      target.socketPath === undefined ? { host: target.host, port: target.port } : { path: target.socketPath }
    // TLS takes a while to load, and most servers are asked without it.
    const tls = target.tls === undefined ? undefined : await import('node:tls')
    if (this.#isEnded) throw this.#cause()
    const socket = tls === undefined ? createConnection(where) : tls.connect({ ...where, ...target.tls })
    this.#socket = socket
    socket.setNoDelay(true)
    if (keepAlive) socket.setKeepAlive(true, keepAliveMs)
    socket.on('data', (chunk: Buffer) => this.#heard(chunk))
    socket.on('error', (error) => this.end(error))
    socket.on('close', () => this.end(new Error('the connection was closed by the server')))
    await new Promise<void>((resolve, reject) => {
      socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve)
      socket.once('error', reject)
      socket.once('close', () => reject(this.#cause()))
    })
  }

  /** Sends a command; `wantsText` says that texts in its reply are to be strings, not bytes. */
  ask(command: readonly RedisArgument[], wantsText: boolean, asked: Pick<Asked, 'resolve' | 'reject'>): void {
    this.#expect(command, wantsText, 1, asked)
  }

  /** Sends SUBSCRIBE and its kin, with at least one channel. Resolves when the server has done it for each. */
  subscribe(command: readonly string[], asked: Pick<Asked, 'resolve' | 'reject'>): void {
    this.#isSubscriber = true
    this.#expect(command, true, command.length - 1, asked)
  }

  /** Ends the connection at once: what was sent goes out, and no answer is waited for. Safe twice. */
  end(cause: Error): void {
    if (this.#isEnded) return
    this.#flush()
    this.#isEnded = true
    this.#endCause = cause
    const socket = this.#socket
    if (socket !== undefined && !socket.destroyed) {
      // A server that does not answer must not hold up a close.
      const cancel = this.#clock.after(endMs, () => socket.destroy())
      socket.once('close', cancel)
      socket.end()
    }
    this.#owner.onEnded(cause)
    for (const { reject } of this.#asked.splice(0).slice(this.#answered)) reject(cause)
    this.#answered = 0
  }

  #cause(): Error {
    return this.#endCause ?? new Error('the connection was closed by the server')
  }

  #expect(
    command: readonly RedisArgument[],
    wantsText: boolean,
    missing: number,
    { resolve, reject }: Pick<Asked, 'resolve' | 'reject'>,
  ): void {
    if (this.#isEnded) {
      reject(this.#cause())
      return
    }
    this.#asked.push({ wantsText, missing, resolve, reject })
    this.#write(command)
    if (this.#isFlushing) return
    this.#isFlushing = true
    process.nextTick(() => this.#flush())
  }

  #write(command: readonly RedisArgument[]): void {
    let text = `${this.#text}*${command.length}\r\n`
    for (const argument of command) {
      if (Buffer.isBuffer(argument)) {
        this.#outgoing.push(`${text}$${argument.length}\r\n`, argument)
        text = '\r\n'
        continue
      }
      const shown = typeof argument === 'string' ? argument : String(argument)
      const length = Buffer.byteLength(shown)
      if (length !== shown.length) this.#isAscii = false
      text += `$${length}\r\n${shown}\r\n`
    }
    this.#text = text
  }

  #flush(): void {
    this.#isFlushing = false
    const socket = this.#socket
    if (this.#isEnded || socket === undefined || this.#text === '') return
    const encoding = this.#isAscii ? 'latin1' : 'utf8'
    const pieces = this.#outgoing
    const last = this.#text
    this.#outgoing = []
    this.#text = ''
    this.#isAscii = true
    if (pieces.length === 0) {
      socket.write(last, encoding)
      return
    }
    socket.cork()
    for (const piece of pieces) {
      if (typeof piece === 'string') socket.write(piece, encoding)
      else socket.write(piece)
    }
    socket.write(last, encoding)
    socket.uncork()
  }

  #heard(chunk: Buffer): void {
    if (this.#isEnded) return
    try {
      this.#replies.write(chunk)
    } catch (error) {
      this.end(error as Error)
      return
    }
    if (this.#answered > 0) this.#asked.splice(0, this.#answered)
    this.#answered = 0
    this.#owner.onHeard()
  }

  #reply(reply: unknown): void {
    if (this.#isSubscriber && Array.isArray(reply) && isMessage(reply[0])) {
      this.#owner.onMessage(reply)
      return
    }
    const asked = this.#asked[this.#answered]
    if (asked === undefined) throw new Error('the Redis server sent an answer that nobody asked for')
    asked.missing -= 1
    if (reply instanceof RedisReplyError) {
      this.#answered += 1
      asked.reject(reply)
    } else if (asked.missing <= 0) {
      this.#answered += 1
      asked.resolve(reply)
    }
  }
}

function isMessage(kind: unknown): boolean {
  const name = String(kind)
  return name === 'message' || name === 'pmessage'
}
