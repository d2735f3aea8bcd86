/**
 * One AMQP connection, over amqplib.
 *
 * Rule 1: it never reconnects. Once `closed` settles every channel is dead; the owner opens another.
 * Rule 2: every request ends: a server that does not answer one within the bound is lost, and so is one whose heartbeats
 *         stop (amqplib counts two missed ones).
 * Rule 3: a process that slept (a stopped process, a laptop that was shut) for so long that the server, which waits for two
 *         heartbeats, may have given what we hold to others, gives the link up before it reads or starts anything.
 * Rule 4: what is written in one turn of the event loop leaves in one system call, and Nagle's algorithm is off: with it
 *         each small write waits 40 ms for the server's delayed ACK.
 *
 * The socket, the frame reader and the channels of amqplib are reached into here and nowhere else; its version is pinned.
 */
import type { Duplex } from 'node:stream'
import { type Channel, type ChannelModel, type ConfirmChannel, connect, credentials } from 'amqplib'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError, type ConnectivityError } from '../errors.js'
import type { Logger } from '../logger.js'
import { connectError, lostError, notImplemented, replyCode, typedAmqpError } from './amqp-errors.js'
import { IncomingFrames, type Taker } from './amqp-frames.js'
import type { AmqpTarget } from './amqp-url.js'
import { AmqpWriter } from './amqp-writer.js'

/** How to open a link. */
export interface OpenLinkOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds within which the server must answer a request; default 30 s. */
  readonly answerMs?: number
}

/** A quorum queue that looks for its leader after a restart takes seconds. */
const defaultAnswerMs = 30_000

/** Of a heartbeat interval: less than the two that a server waits, less the half that our last one may be old. */
const longestSilence = 1.5

/** Bytes of a frame around its payload. */
const frameOverhead = 8

interface Internals {
  readonly stream: Duplex
  /** Came, and is no whole frame yet. */
  rest: Buffer
  /** Bytes. */
  readonly frameMax: number
  /** Bytes of the longest payload of a frame that is read; 0 means no limit. */
  readonly maxFrameSize: number
  /** Whether the server counts as alive when heartbeats are looked at next. */
  recvSinceLastCheck: boolean
  /** Seconds as both sides agreed; 0 means none. */
  readonly heartbeat: number
}

interface ChannelInternals {
  /** Its number. */
  readonly ch: number
  /** Confirms are counted from the first publish on. */
  pushConfirmCallback(answered: (error: unknown) => void): void
}

/** An open connection to one server. */
export class AmqpLink {
  readonly shownUrl: string
  /** Settles once and never rejects: `undefined` after `close()`, the cause after a loss. */
  readonly closed: Promise<ConnectivityError | undefined>
  readonly #model: ChannelModel
  readonly #stream: Duplex
  readonly #frameMax: number
  readonly #frames: IncomingFrames
  readonly #options: OpenLinkOptions
  #settleClosed: (cause: ConnectivityError | undefined) => void = () => {}
  #cause: unknown
  #isOpen = true
  #isClosing = false
  #blockedBy: string | undefined
  #unblocked = new Set<() => void>()
  #isCorked = false
  /** When the last bytes came, by both clocks: a machine that sleeps stops the one. */
  #heard: { monotonic: number; wall: number }
  readonly #silenceMs: number

  private constructor(model: ChannelModel, target: AmqpTarget, options: OpenLinkOptions) {
    this.#model = model
    this.#options = options
    this.shownUrl = target.shownUrl
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve))
    const internals = model.connection as unknown as Internals
    this.#stream = internals.stream
    this.#frameMax = internals.frameMax
    this.#silenceMs = internals.heartbeat * 1000 * longestSilence || Number.POSITIVE_INFINITY
    this.#heard = { monotonic: options.clock.monotonic(), wall: options.clock.now() }
    this.#frames = readFrames(internals, () => this.#hear())
    model.on('error', (error: Error) => (this.#cause ??= error))
    model.on('close', (error?: Error) => this.#end(error))
    model.on('blocked', (reason: string) => {
      this.#blockedBy = reason
      options.logger.warn(
        { broker: this.shownUrl, reason },
        `The broker ${this.shownUrl} takes no messages for now: ${reason}`,
      )
    })
    model.on('unblocked', () => {
      options.logger.info({ broker: this.shownUrl }, `The broker ${this.shownUrl} takes messages again.`)
      this.#unblock()
    })
  }

  /** Resolves when the server has let us in. Throws `BrokerUnavailableError`, or the signal's reason. */
  static async open(target: AmqpTarget, options: OpenLinkOptions): Promise<AmqpLink> {
    const { signal, clock, timeoutMs } = options
    signal?.throwIfAborted()
    // Destroys the socket, whatever the handshake waits for.
    const ending = new AbortController()
    const late = clock.after(timeoutMs, () =>
      ending.abort(
        new BrokerUnavailableError(`the broker ${target.shownUrl} did not answer within ${timeoutMs} ms`),
      ),
    )
    const stop = (): void => ending.abort(signal?.reason)
    signal?.addEventListener('abort', stop, { once: true })
    const opening = connect(
      {
        protocol: target.tls === undefined ? 'amqp' : 'amqps',
        hostname: target.host,
        port: target.port,
        vhost: encodeURIComponent(target.vhost),
        heartbeat: target.heartbeatSeconds,
        frameMax: target.frameMax,
        channelMax: target.channelMax,
      },
      {
        ...target.tls,
        noDelay: true,
        keepAlive: true,
        keepAliveDelay: 30_000,
        credentials: credentialsOf(target),
        clientProperties: { product: 'celeriac', ...target.clientProperties },
        signal: ending.signal,
      } as Parameters<typeof connect>[1],
    )
    try {
      const aborted = new Promise<never>((_resolve, reject) => {
        ending.signal.addEventListener('abort', () => reject(ending.signal.reason), { once: true })
      })
      const model = await Promise.race([opening, aborted])
      return new AmqpLink(model as ChannelModel, target, options)
    } catch (error) {
      // One that comes after all must not stay open: the signal destroys its socket.
      opening.catch(() => {})
      if (signal?.aborted) throw signal.reason
      throw connectError(error, target.shownUrl, target.frameMax)
    } finally {
      late()
      signal?.removeEventListener('abort', stop)
    }
  }

  /** False once it was closed or lost. */
  get isOpen(): boolean {
    return this.#isOpen && !this.#isClosing
  }

  /** True while what it handed over is still ours; gives the link up when it was silent for too long. */
  holds(): boolean {
    if (!this.isOpen) return false
    const { clock } = this.#options
    const { monotonic, wall } = this.#heard
    const silentMs = Math.max(clock.monotonic() - monotonic, clock.now() - wall)
    if (silentMs <= this.#silenceMs) return true
    const seconds = Math.round(silentMs / 1000)
    this.lose(
      new Error(`this process slept for ${seconds} s, longer than the broker waits for its heartbeats`),
    )
    return false
  }

  /** Why the server takes no messages now (its memory or disk alarm); undefined when it does. */
  get blockedBy(): string | undefined {
    return this.#blockedBy
  }

  /** The version that the server names, such as `3.10.8`. */
  get serverVersion(): string {
    return String(this.#model.connection.serverProperties?.version ?? '')
  }

  /** Calls `back` once when the server takes messages again or the link has ended. */
  onUnblocked(back: () => void): void {
    this.#unblocked.add(back)
  }

  /** A new channel; `onError` is told why the server closed it. Throws `ConnectivityError`. */
  async channel(onError: (error: Error) => void): Promise<Channel> {
    const channel = await this.answered('open a channel', () => this.#model.createChannel())
    channel.on('error', onError)
    return channel
  }

  /** A new channel with publisher confirms. */
  async confirmChannel(onError: (error: Error) => void): Promise<ConfirmChannel> {
    const channel = await this.answered('open a channel', () => this.#model.createConfirmChannel())
    channel.on('error', onError)
    return channel
  }

  /**
   * Hands the deliveries of a channel to `taker`, until what is returned is called, but for those that only amqplib can
   * read (amqp-frames.ts). They come as amqplib would give them: in one turn all that was read.
   */
  deliverTo(channel: Channel, taker: Taker): () => void {
    return this.#frames.setTaker((channel as unknown as ChannelInternals).ch, taker)
  }

  /** Writes publishes on a channel; what it has taken goes to `write`, and each is told to `expectConfirm` at once. */
  writer(channel: ConfirmChannel): AmqpWriter {
    return new AmqpWriter((channel as unknown as ChannelInternals).ch, this.#frameMax)
  }

  /** `answered` is called with null for the confirm of the next publish on the channel, else with an error. */
  expectConfirm(channel: ConfirmChannel, answered: (error: unknown) => void): void {
    ;(channel as unknown as ChannelInternals).pushConfirmCallback(answered)
  }

  /** Writes whole frames now, before those of amqplib that this turn has made. */
  write(frames: readonly Buffer[]): void {
    if (!this.#isOpen || frames.length === 0) return
    if (frames.length > 1) this.#stream.cork()
    for (const bytes of frames) this.#stream.write(bytes)
    if (frames.length > 1) this.#stream.uncork()
  }

  /**
   * The answer to a request; `what` names it in errors. Rejects with a typed error for a refusal, and gives the link up
   * when the server does not answer in time (but for one that is blocked, and says so).
   */
  async answered<T>(what: string, ask: () => Promise<T>): Promise<T> {
    if (!this.isOpen) throw this.lost(what)
    const { clock, answerMs = defaultAnswerMs } = this.#options
    let cancel = (): void => {}
    const late = new Promise<never>((_resolve, reject) => {
      cancel = clock.after(answerMs, () => {
        const blocked = this.#blockedBy
        const why = `no answer within ${answerMs} ms${blocked === undefined ? '' : ` (blocked: ${blocked})`}`
        reject(new BrokerUnavailableError(`cannot ${what} at ${this.shownUrl}: ${why}`))
        if (blocked === undefined) this.lose(new Error(why))
      })
    })
    this.cork()
    const asking = this.#guarded(ask)
    try {
      return await Promise.race([asking, late])
    } catch (error) {
      asking.catch(() => {})
      if (this.#isOpen) throw typedAmqpError(error, what, this.shownUrl)
      // what the server does not do at all ends its whole connection
      const isRefusal = replyCode(this.#cause) === notImplemented
      throw isRefusal ? typedAmqpError(this.#cause, what, this.shownUrl) : this.lost(what)
    } finally {
      cancel()
    }
  }

  /** amqplib throws at once for what cannot be encoded or a channel that is gone. */
  async #guarded<T>(ask: () => Promise<T>): Promise<T> {
    return ask()
  }

  /** Collects what is written in this turn; amqplib hands it to the socket in the check phase. */
  cork(): void {
    if (this.#isCorked || !this.#isOpen) return
    this.#isCorked = true
    this.#stream.cork()
    process.nextTick(() =>
      setImmediate(() => {
        this.#isCorked = false
        this.#stream.uncork()
      }),
    )
  }

  /** The error of work that the end of this link cut short. */
  lost(what: string): ConnectivityError {
    const cause = this.#cause
    return lostError(
      cause ?? new Error(`cannot ${what}: the connection has ended; open another`),
      this.shownUrl,
    )
  }

  /** Gives the link up. Safe twice. */
  lose(cause: Error): void {
    this.#cause ??= cause
    this.#end(cause)
  }

  /** The closing handshake, then the socket; after `boundMs` the socket alone. Safe twice; never rejects. */
  async close(boundMs: number): Promise<void> {
    if (!this.#isOpen) return
    if (!this.#isClosing) {
      this.#isClosing = true
      this.#model.close().catch(() => {})
    }
    const { clock } = this.#options
    const ended = new AbortController()
    const late = pause(clock, boundMs, ended.signal).then(
      () => this.#end(undefined),
      () => {},
    )
    await Promise.race([this.closed, late])
    ended.abort()
  }

  /** Bytes came; false when they came after a sleep, and mean nothing any more. */
  #hear(): boolean {
    if (!this.#isClosing && !this.holds()) return false
    const { clock } = this.#options
    this.#heard = { monotonic: clock.monotonic(), wall: clock.now() }
    return true
  }

  #end(error: Error | undefined): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#cause ??= error
    const cause = this.#isClosing && error === undefined ? undefined : this.lost('go on')
    // amqplib ends the socket politely, and waits for ever where nobody answers. Its own end follows from the error.
    this.#stream.on('error', () => {})
    this.#stream.destroy(error ?? new Error('the connection was closed'))
    this.#unblock()
    this.#settleClosed(cause)
  }

  #unblock(): void {
    this.#blockedBy = undefined
    const waiting = [...this.#unblocked]
    this.#unblocked = new Set()
    for (const back of waiting) back()
  }
}

function credentialsOf({
  loginMethod,
  username,
  password,
}: AmqpTarget): ReturnType<typeof credentials.external> {
  if (loginMethod === 'EXTERNAL') return credentials.external()
  return loginMethod === 'AMQPLAIN'
    ? credentials.amqplain(username, password)
    : credentials.plain(username, password)
}

/** Stands between the socket and amqplib. */
function readFrames(internals: Internals, hear: () => boolean): IncomingFrames {
  const { stream, rest, maxFrameSize } = internals
  const frames = new IncomingFrames((maxFrameSize || Number.POSITIVE_INFINITY) + frameOverhead)
  if (rest.length > 0) {
    frames.push(rest)
    internals.rest = Buffer.alloc(0)
  }
  const read = stream.read.bind(stream)
  stream.read = (size?: number): Buffer | null => {
    if (size === 0) return read(0) as Buffer | null
    const before = frames.next()
    if (before !== null) return before
    const chunk = read(size) as Buffer | null
    if (chunk === null || !hear()) return null
    internals.recvSinceLastCheck = true
    frames.push(chunk)
    return frames.next()
  }
  return frames
}
