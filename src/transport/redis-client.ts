/**
 * One connection to a Redis server, over ioredis. Used by the transport and by the result store.
 *
 * Rule 1: it never reconnects. Once `closed` settles, every command fails; the owner opens another.
 * Rule 2: every command ends: a server that does not answer within the bound is lost, and so is one that does not
 *         answer PING on a quiet connection (half-open links, `health_check_interval`).
 * Rule 3: errors are typed: what the server refuses, and what the programmer must change.
 * Rule 4: keys go out as given: whoever has a `global_keyprefix` puts it in front.
 */
import { createHash } from 'node:crypto'
import { Redis } from 'ioredis'
import { type Clock, systemClock } from '../clock.js'
import type { CeleriacError } from '../errors.js'
import { brokerUnavailable, endsConnection, typedRedisError, type UnavailableError } from './redis-errors.js'
import { askSentinels } from './redis-sentinel.js'
import { type RedisTarget, redisTarget, serverOf } from './redis-url.js'

/** An argument of a command; text goes out as UTF-8. */
export type RedisArgument = string | number | Buffer
/** A command and its arguments: `['LPUSH', key, value]`. */
export type RedisCommand = readonly [name: string, ...args: RedisArgument[]]

/** A Lua script, sent whole by each connection once, then called by its hash. */
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
  const { transportOptions = {}, unavailable = brokerUnavailable, role } = options
  const keepAlive = transportOptions['socket_keepalive'] === false ? {} : { keepAlive: 30_000 }
  const redis = new Redis({
    // A server that does not answer must not hold up a close: ioredis waits 2 s by default.
    disconnectTimeout: 500,
    ...(target.socketPath === undefined
      ? { host: target.host, port: target.port }
      : { path: target.socketPath }),
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(target.password === undefined ? {} : { password: target.password }),
    ...(target.tls === undefined ? {} : { tls: target.tls }),
    ...keepAlive,
    connectionName: [text(transportOptions['client_name']) ?? 'celeriac', ...(role ? [role] : [])].join('-'),
    lazyConnect: true,
    retryStrategy: null,
    reconnectOnError: null,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: null,
    disableClientInfo: true,
    protocol: 2,
  })
  const client = new RedisClient(redis, url, target, options, clock)
  const stop = (): void => client.close()
  bound.addEventListener('abort', stop, { once: true })
  try {
    bound.throwIfAborted()
    await redis.connect()
    if (target.db !== 0) await client.run('SELECT', target.db)
    await client.run('PING')
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

/** An open connection. */
export class RedisClient {
  /** The URL without its password. */
  readonly shownUrl: string
  readonly db: number
  /** `serverOf` what it is connected to. */
  readonly server: string
  /** Settles once and never rejects: `undefined` after `close()`, the cause after a loss. */
  readonly closed: Promise<Error | undefined>
  /** The last error of the socket, for who could not connect. */
  lastError: Error | undefined
  readonly #redis: Redis
  readonly #url: string
  readonly #options: OpenRedisOptions
  readonly #clock: Clock
  readonly #unavailable: UnavailableError
  readonly #answerMs: number
  readonly #quietMs: number
  #settleClosed: (cause: Error | undefined) => void = () => {}
  #ended = false
  #pending = 0
  /** When the answers that are missing are overdue; and when the link was last known to be good. */
  #overdueAt = Number.POSITIVE_INFINITY
  #goodAt: number
  #lookedAt: number
  #stopLooking: () => void = () => {}
  #isCorked = false
  /** Hashes of scripts that went out over this connection. */
  readonly #sent = new Set<string>()

  /** Use `openRedis`. */
  constructor(redis: Redis, url: string, target: RedisTarget, options: OpenRedisOptions, clock: Clock) {
    const { transportOptions = {}, unavailable = brokerUnavailable } = options
    this.#redis = redis
    this.#url = url
    this.#options = options
    this.#clock = clock
    this.#unavailable = unavailable
    this.shownUrl = target.shownUrl
    this.db = target.db
    this.server = serverOf(target, transportOptions)
    this.#answerMs = seconds(transportOptions['socket_timeout']) ?? defaultAnswerMs
    this.#quietMs = seconds(transportOptions['health_check_interval']) ?? 25_000
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve))
    this.#goodAt = clock.monotonic()
    this.#lookedAt = this.#goodAt
    redis.on('error', (error: Error) => (this.lastError ??= error))
    redis.on('end', () => this.#end(this.lastError ?? new Error('the connection was closed by the server')))
    this.#look()
  }

  /** True until the connection was closed or lost. */
  get isOpen(): boolean {
    return !this.#ended
  }

  /** Runs one command; bulk replies are text. */
  run(name: string, ...args: RedisArgument[]): Promise<unknown> {
    return this.#answered(() => this.#redis.call(name, args))
  }

  /** Runs one command; bulk replies are `Buffer`s. */
  runBytes(name: string, ...args: RedisArgument[]): Promise<unknown> {
    return this.#bytes(name, args)
  }

  /**
   * Runs many commands in one round trip and gives their replies, as text, in order. When one failed, rejects with
   * the first failure; the others have been run.
   */
  async batch(commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
    return Promise.all(commands.map(([name, ...args]) => this.run(name, ...args)))
  }

  /** Runs a script; bulk replies are `Buffer`s. */
  async script(
    script: RedisScript,
    keys: readonly RedisArgument[],
    args: readonly RedisArgument[],
  ): Promise<unknown> {
    // Not spread: a worker of 10,000 queues names 40,000 lists, more than fit on the stack.
    const given = [keys.length, ...keys, ...args]
    // Whole the first time: asking by its hash whether the server knows it would take another visit, for each of many.
    if (!this.#sent.has(script.sha)) {
      this.#sent.add(script.sha)
      return this.#bytes('EVAL', [script.lua, ...given])
    }
    try {
      return await this.#bytes('EVALSHA', [script.sha, ...given])
    } catch (error) {
      const { cause } = error as { cause?: unknown }
      if (!(cause instanceof Error && cause.message.startsWith('NOSCRIPT'))) throw error
      return this.#bytes('EVAL', [script.lua, ...given])
    }
  }

  /** Runs a script that is sent whole, where nothing may come between it and the command before it. */
  wholeScript(script: RedisScript, keys: readonly RedisArgument[]): Promise<unknown> {
    return this.#bytes('EVAL', [script.lua, keys.length, ...keys])
  }

  #bytes(name: string, args: RedisArgument[]): Promise<unknown> {
    return this.#answered(() => this.#redis.callBuffer(name, args))
  }

  /**
   * Calls `listener` with each pub/sub message: its channel, its payload (a list for `__redis__:invalidate`), and the
   * pattern that matched.
   */
  onMessage(
    listener: (channel: string, payload: Buffer | readonly Buffer[] | null, pattern?: string) => void,
  ): void {
    this.#redis.on('messageBuffer', (channel: Buffer, payload: Buffer) =>
      listener(channel.toString(), payload),
    )
    this.#redis.on('pmessageBuffer', (pattern: string | Buffer, channel: Buffer, payload: Buffer) =>
      listener(channel.toString(), payload, pattern.toString()),
    )
  }

  /** Subscribes this connection to channels; it can then do nothing else. Resolves when the server has done it. */
  async subscribe(...channels: string[]): Promise<void> {
    await this.#answered(() => this.#redis.subscribe(...channels))
  }

  /** Subscribes this connection to patterns. */
  async psubscribe(...patterns: string[]): Promise<void> {
    await this.#answered(() => this.#redis.psubscribe(...patterns))
  }

  /** Ends subscriptions to channels. */
  async unsubscribe(...channels: string[]): Promise<void> {
    await this.#answered(() => this.#redis.unsubscribe(...channels))
  }

  /** Ends subscriptions to patterns. */
  async punsubscribe(...patterns: string[]): Promise<void> {
    await this.#answered(() => this.#redis.punsubscribe(...patterns))
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
    this.#redis.disconnect()
    this.#settleClosed(cause && typedRedisError(cause, this.shownUrl, this.#unavailable))
  }

  async #answered<T>(send: () => Promise<T>): Promise<T> {
    if (this.#ended) throw this.#gone()
    if (this.#pending === 0) this.#overdueAt = this.#clock.monotonic() + this.#answerMs
    this.#pending += 1
    this.#cork()
    try {
      return await send()
    } catch (error) {
      const failure = this.#ended ? (this.lastError ?? error) : error
      if (endsConnection(error)) this.lose(error as Error)
      throw typedRedisError(failure, this.shownUrl, this.#unavailable)
    } finally {
      this.#pending -= 1
      this.#goodAt = this.#clock.monotonic()
      this.#overdueAt = this.#pending === 0 ? Number.POSITIVE_INFINITY : this.#goodAt + this.#answerMs
    }
  }

  /** What is asked for in one turn of the event loop goes out in one write: a system call costs more than a command. */
  #cork(): void {
    if (this.#isCorked) return
    const { stream } = this.#redis
    if (stream === undefined) return
    this.#isCorked = true
    stream.cork()
    // Ticks go before promises: whoever goes on when one is resolved in this turn still comes in time.
    queueMicrotask(() => {
      process.nextTick(() => {
        this.#isCorked = false
        stream.uncork()
      })
    })
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
      if (wasAsleep) this.#overdueAt = this.#pending === 0 ? this.#overdueAt : now + this.#answerMs
      else if (now > this.#overdueAt) {
        this.lose(new Error(`no answer within ${this.#answerMs} ms (socket_timeout)`))
        return
      }
      if (this.#pending === 0 && this.#quietMs > 0 && now - this.#goodAt > this.#quietMs) {
        this.run('PING').catch(() => {})
      }
      if (!this.#ended) this.#look()
    })
  }
}

function seconds(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value) ? value * 1000 : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
