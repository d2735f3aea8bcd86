/**
 * One connection to a Redis server. Used by the transport and by the result store.
 *
 * Rule 1: it never reconnects. Once `closed` settles, every command fails; the owner opens another.
 * Rule 2: every command ends: a server that does not answer within the bound is lost, and so is one that does not
 *         answer PING on a quiet connection (half-open links, `health_check_interval`).
 * Rule 3: errors are typed: what the server refuses, and what the programmer must change.
 * Rule 4: keys go out as given: whoever has a `global_keyprefix` puts it in front.
 */
import { createHash } from 'node:crypto'
import { type Clock, systemClock } from '../clock.js'
import type { CeleriacError } from '../errors.js'
import { brokerUnavailable, endsConnection, typedRedisError, type UnavailableError } from './redis-errors.js'
import { askSentinels } from './redis-sentinel.js'
import { type RedisArgument, RedisSocket } from './redis-socket.js'
import { type RedisTarget, redisTarget } from './redis-url.js'

export type { RedisArgument } from './redis-socket.js'

/** A command and its arguments: `['LPUSH', key, value]`. */
export type RedisCommand = readonly [name: string, ...args: RedisArgument[]]

/** A Lua script, called by its hash and sent whole when the server does not know it. */
export interface RedisScript {
  readonly lua: string
  readonly sha: string
}

/** Makes a script of Lua text. */
export function redisScript(lua: string): RedisScript {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/** How a connection is opened; the options are kombu's (`socket_timeout`, `client_name` and so on), in seconds. */
export interface OpenRedisOptions {
  /** `broker_transport_options` or `result_backend_transport_options`. Default none. */
  readonly transportOptions?: Readonly<Record<string, unknown>>
  /** Milliseconds to be connected in; default `socket_connect_timeout`, else 4000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  readonly clock?: Clock
  /** Added to the name in CLIENT LIST: `celeriac-pubsub`. Default none. */
  readonly role?: string
  /** The error of a server that is away or refuses; default `BrokerUnavailableError`. */
  readonly unavailable?: UnavailableError
}

/** Milliseconds for an answer when `socket_timeout` is not given. */
const defaultAnswerMs = 10_000
/** Between looks at the link. */
const lookMs = 1000

/**
 * Opens one connection: `redis://`, `rediss://`, `redis+socket://`, `unix://`, `sentinel://`. Resolves when the server
 * has let us in and answers. Throws `ConfigError`, the `unavailable` error, or the signal's reason.
 */
export async function openRedis(url: string, options: OpenRedisOptions = {}): Promise<RedisClient> {
  const { transportOptions = {}, signal, unavailable = brokerUnavailable } = options
  signal?.throwIfAborted()
  const target = redisTarget(url, transportOptions)
  const timeoutMs = options.timeoutMs ?? seconds(transportOptions['socket_connect_timeout']) ?? 4000
  const clock = options.clock ?? systemClock({ unref: true })
  const opening = new AbortController()
  const cancel = clock.after(timeoutMs, () =>
    opening.abort(
      new unavailable(`the Redis server ${target.shownUrl} did not answer within ${timeoutMs} ms`),
    ),
  )
  const bound = signal === undefined ? opening.signal : AbortSignal.any([signal, opening.signal])
  try {
    if (target.sentinels.length === 0) return await connect(url, target, options, clock, bound)
    // One that swallows everything must leave time for the others and for the master.
    const share = timeoutMs / (target.sentinels.length + 1)
    const found = await askSentinels(target, transportOptions, unavailable, bound, async (sentinel) => {
      const late = new AbortController()
      const stop = clock.after(share, () =>
        late.abort(new unavailable(`no answer within ${Math.round(share)} ms`)),
      )
      const either = AbortSignal.any([bound, late.signal])
      return connect(url, sentinel, { ...options, role: 'sentinel' }, clock, either).finally(stop)
    })
    const client = await connect(url, { ...target, ...found }, options, clock, bound)
    try {
      const role = await client.run('ROLE')
      if (Array.isArray(role) && role[0] === 'master') return client
      throw new unavailable(`${found.host}:${found.port} is not the master any more; ask the sentinels again`)
    } catch (error) {
      client.close()
      throw error
    }
  } finally {
    cancel()
  }
}

async function connect(
  url: string,
  target: RedisTarget,
  options: OpenRedisOptions,
  clock: Clock,
  bound: AbortSignal,
): Promise<RedisClient> {
  const { transportOptions = {}, unavailable = brokerUnavailable } = options
  const client = new RedisClient(url, target, options, clock)
  const stop = (): void => client.close()
  bound.addEventListener('abort', stop, { once: true })
  try {
    bound.throwIfAborted()
    await client.open(target, transportOptions['socket_keepalive'] !== false)
    bound.throwIfAborted()
    return client
  } catch (error) {
    const cause = client.lastError ?? error
    client.close()
    bound.throwIfAborted()
    throw typedRedisError(cause, target.shownUrl, unavailable)
  } finally {
    bound.removeEventListener('abort', stop)
  }
}

/** Called with a message's channel, its payload (a list for `__redis__:invalidate`), and the pattern that matched. */
export type MessageListener = (
  channel: string,
  payload: Buffer | readonly Buffer[] | null,
  pattern?: string,
) => void

/** An open connection. */
export class RedisClient {
  /** The URL without its password. */
  readonly shownUrl: string
  readonly db: number
  /** Settles once and never rejects: `undefined` after `close()`, the cause after a loss. */
  readonly closed: Promise<Error | undefined>
  /** The last error of the socket, for who could not connect. */
  lastError: Error | undefined
  readonly #socket: RedisSocket
  readonly #url: string
  readonly #options: OpenRedisOptions
  readonly #clock: Clock
  readonly #unavailable: UnavailableError
  readonly #answerMs: number
  readonly #quietMs: number
  #settleClosed: (cause: Error | undefined) => void = () => {}
  #ended = false
  #listener: MessageListener | undefined
  /** When the answers that are missing are overdue; and when the link was last known to be good. */
  #overdueAt = Number.POSITIVE_INFINITY
  #goodAt: number
  #lookedAt: number
  #stopLooking: () => void = () => {}

  /** Use `openRedis`. */
  constructor(url: string, target: RedisTarget, options: OpenRedisOptions, clock: Clock) {
    const { transportOptions = {}, unavailable = brokerUnavailable } = options
    this.#url = url
    this.#options = options
    this.#clock = clock
    this.#unavailable = unavailable
    this.shownUrl = target.shownUrl
    this.db = target.db
    this.#answerMs = seconds(transportOptions['socket_timeout']) ?? defaultAnswerMs
    this.#quietMs = seconds(transportOptions['health_check_interval']) ?? 25_000
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve))
    this.#goodAt = clock.monotonic()
    this.#lookedAt = this.#goodAt
    const owner = {
      onHeard: () => this.#heard(),
      onMessage: (message: readonly unknown[]) => this.#told(message),
      onEnded: (cause: Error) => this.#end(cause),
    }
    this.#socket = new RedisSocket(owner, clock)
    this.#look()
  }

  /** True until the connection was closed or lost. */
  get isOpen(): boolean {
    return !this.#ended
  }

  /** Connects, and is let in: all that must be said for it goes out in one write. Use `openRedis`. */
  async open(target: RedisTarget, keepAlive: boolean): Promise<void> {
    await this.#socket.connect(target, keepAlive)
    const { username, password, db } = target
    const { transportOptions = {}, role } = this.#options
    const name = [text(transportOptions['client_name']) ?? 'celeriac', ...(role ? [role] : [])].join('-')
    const said: Promise<unknown>[] = []
    if (password !== undefined) {
      const login = username ? [username, password] : [password]
      said.push(this.run('AUTH', ...login).catch(unlessNoneIsWanted))
    }
    // Not every server that speaks this protocol keeps names.
    this.run('CLIENT', 'SETNAME', name).catch(() => {})
    if (db !== 0) said.push(this.run('SELECT', db))
    said.push(this.run('PING'))
    await Promise.all(said)
  }

  /** Runs one command; bulk replies are text. */
  run(name: string, ...args: RedisArgument[]): Promise<unknown> {
    return this.#ask([name, ...args], true)
  }

  /** Runs one command; bulk replies are `Buffer`s. */
  runBytes(name: string, ...args: RedisArgument[]): Promise<unknown> {
    return this.#ask([name, ...args], false)
  }

  /**
   * Runs many commands in one round trip and gives their replies, as text, in order. When one failed, rejects with
   * the first failure; the others have been run.
   */
  async batch(commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
    return Promise.all(commands.map((command) => this.#ask(command, true)))
  }

  /** Runs a script; bulk replies are `Buffer`s. */
  async script(
    script: RedisScript,
    keys: readonly RedisArgument[],
    args: readonly RedisArgument[],
  ): Promise<unknown> {
    try {
      return await this.runBytes('EVALSHA', script.sha, keys.length, ...keys, ...args)
    } catch (error) {
      const { cause } = error as { cause?: unknown }
      if (!(cause instanceof Error && cause.message.startsWith('NOSCRIPT'))) throw error
      return this.runBytes('EVAL', script.lua, keys.length, ...keys, ...args)
    }
  }

  /**
   * Calls `listener` with each pub/sub message; a later listener takes the place of an earlier one.
   */
  onMessage(listener: MessageListener): void {
    this.#listener = listener
  }

  /** Subscribes this connection to channels; it can then do nothing else. Resolves when the server has done it. */
  async subscribe(...channels: string[]): Promise<void> {
    await this.#subscribe(['SUBSCRIBE', ...channels])
  }

  /** Subscribes this connection to patterns. */
  async psubscribe(...patterns: string[]): Promise<void> {
    await this.#subscribe(['PSUBSCRIBE', ...patterns])
  }

  /** Ends subscriptions to channels. */
  async unsubscribe(...channels: string[]): Promise<void> {
    await this.#subscribe(['UNSUBSCRIBE', ...channels])
  }

  /** Ends subscriptions to patterns. */
  async punsubscribe(...patterns: string[]): Promise<void> {
    await this.#subscribe(['PUNSUBSCRIBE', ...patterns])
  }

  /** Opens another connection to the same server (a sentinel's present master), `role` being its name. */
  another(role: string, options: Pick<OpenRedisOptions, 'signal' | 'timeoutMs'> = {}): Promise<RedisClient> {
    const { signal: _signal, timeoutMs: _timeoutMs, ...kept } = this.#options
    return openRedis(this.#url, { ...kept, ...options, role })
  }

  /** Ends the connection at once; commands without answer fail. Safe twice. */
  close(): void {
    this.#end(undefined)
  }

  /** Gives the connection up as lost. Safe twice. */
  lose(cause: Error): void {
    this.#end(typedRedisError(cause, this.shownUrl, this.#unavailable))
  }

  #end(cause: Error | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.lastError ??= cause
    this.#stopLooking()
    this.#socket.end(cause ?? new Error('the connection was closed'))
    this.#settleClosed(cause && typedRedisError(cause, this.shownUrl, this.#unavailable))
  }

  #ask(command: readonly RedisArgument[], wantsText: boolean): Promise<unknown> {
    return this.#answered((asked) => this.#socket.ask(command, wantsText, asked))
  }

  async #subscribe(command: readonly string[]): Promise<void> {
    if (command.length > 1) await this.#answered((asked) => this.#socket.subscribe(command, asked))
  }

  #answered(
    send: (asked: { resolve: (reply: unknown) => void; reject: (error: Error) => void }) => void,
  ): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#gone())
    if (this.#socket.pending === 0) this.#overdueAt = this.#clock.monotonic() + this.#answerMs
    return new Promise((resolve, reject) => {
      send({ resolve, reject: (error) => reject(this.#failure(error)) })
    })
  }

  #failure(error: Error): CeleriacError {
    const failure = this.#ended ? (this.lastError ?? error) : error
    if (endsConnection(error)) this.lose(error)
    return typedRedisError(failure, this.shownUrl, this.#unavailable)
  }

  /** Whatever comes shows that the link is good. */
  #heard(): void {
    this.#goodAt = this.#clock.monotonic()
    this.#overdueAt = this.#socket.pending === 0 ? Number.POSITIVE_INFINITY : this.#goodAt + this.#answerMs
  }

  #told([kind, ...rest]: readonly unknown[]): void {
    const [pattern, channel, payload] = String(kind) === 'pmessage' ? rest : [undefined, ...rest]
    this.#listener?.(
      String(channel),
      payload as Buffer | readonly Buffer[] | null,
      pattern === undefined ? undefined : String(pattern),
    )
  }

  #gone(): CeleriacError {
    return new this.#unavailable(
      `the connection to the Redis server ${this.shownUrl} has ended; open another`,
      {
        cause: this.lastError,
      },
    )
  }

  #look(): void {
    this.#stopLooking = this.#clock.after(lookMs, () => {
      const now = this.#clock.monotonic()
      // After a blocked event loop the answers are in the socket, unread: they must not count as missing.
      const wasAsleep = now - this.#lookedAt > 3 * lookMs
      this.#lookedAt = now
      if (wasAsleep) this.#overdueAt = this.#socket.pending === 0 ? this.#overdueAt : now + this.#answerMs
      else if (now > this.#overdueAt) {
        this.lose(new Error(`no answer within ${this.#answerMs} ms (socket_timeout)`))
        return
      }
      if (this.#socket.pending === 0 && this.#quietMs > 0 && now - this.#goodAt > this.#quietMs) {
        this.run('PING').catch(() => {})
      }
      if (!this.#ended) this.#look()
    })
  }
}

/** A server without passwords says so when it is given one, and lets everybody in. */
function unlessNoneIsWanted(error: unknown): void {
  if (!/without any password configured|no password is set/i.test(String(error))) throw error
}

function seconds(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value) ? value * 1000 : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
