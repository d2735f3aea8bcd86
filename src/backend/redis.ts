/**
 * `redis://`, `rediss://`, `redis+socket://`, `sentinel://`: Celery's Redis results (`celery/backends/redis.py`,
 * wire-format 8).
 *
 * Rule 1: keys, values and pub/sub messages are Celery's, byte for byte; what Celery does in several commands one
 * script does for all results of one tick.
 * Rule 2: a lost connection is made again (`RedisLink`); writes are tried again by Celery's `retry_policy`, reads for
 * 4 s. Trying again never does anything twice.
 * Rule 3: two connections: one for commands, one for the channels of waits, opened with the first wait.
 */
import { createHash } from 'node:crypto'
import { jittered, linearDelayMs } from '../backoff.js'
import { type Clock, pause } from '../clock.js'
import { BackendStoreError, BackendUnavailableError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { RedisArgument, RedisClient } from '../transport/redis-client.js'
import { redisTarget, serverOf } from '../transport/redis-url.js'
import type { ResultPlace } from '../transport/transport.js'
import type { KeyValueStore, KeyWriter } from './key-value-store.js'
import { RedisChannels } from './redis-channels.js'
import { RedisLink } from './redis-link.js'
import { RedisParts } from './redis-parts.js'
import { refusal } from './redis-refusal.js'
import { ANYWAY, FIRST, STORE } from './redis-scripts.js'
import type { RedisBackendTarget } from './redis-target.js'
import { type RetryPolicy, retryPolicyOf } from './retry-policy.js'

/** How Redis results are kept. */
export interface RedisResultOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly logger: Logger
  /** Seconds, cut to whole ones as in Celery; `null` and 0 keep for ever. */
  readonly expires: number | null
}

/** The most that Redis takes as one value: 512 MiB (surface RES-024). */
const LONGEST_VALUE = 536_870_912
/** One call of a script holds up the server's other clients, so it stores no more than this. */
const RESULTS_AT_ONCE = 256
const BYTES_AT_ONCE = 1_000_000
const KEYS_AT_ONCE = 1000
/** Reads are not tried again in Celery; a server that restarts is back sooner than this. */
const READ_MS = 4000
/** `close` waits so long for what is under way. */
const CLOSE_MS = 3000

interface PendingWrite {
  readonly key: string
  readonly value: Buffer | string
  known: string
  /** What the server said of the last attempt. */
  refusal: string
  readonly writer: KeyWriter
}

/** Results in Redis. */
export class RedisResultStore implements KeyValueStore {
  readonly kind = 'redis'
  readonly displayUrl: string
  readonly persistent = true
  readonly autoExpires = true
  readonly push = true
  readonly writesInPlace = false
  readonly channels: RedisChannels
  readonly parts: RedisParts
  readonly #link: RedisLink
  readonly #clock: Clock
  readonly #random: () => number
  readonly keepSeconds: number
  readonly #target: RedisBackendTarget
  #place: ResultPlace | undefined
  readonly #retryPolicy: RetryPolicy
  readonly #ending = new AbortController()
  #pending: PendingWrite[] = []
  #cancelEnd: (() => void) | undefined

  /** Connects at the first use. */
  constructor(target: RedisBackendTarget, options: RedisResultOptions) {
    const { clock, random, logger, expires } = options
    const { signal } = this.#ending
    this.displayUrl = target.shownUrl
    this.#target = target
    this.#clock = clock
    this.#random = random
    this.keepSeconds = Math.max(0, Math.trunc(expires ?? 0))
    this.#retryPolicy = retryPolicyOf(target.transportOptions)
    this.#link = new RedisLink({ target, role: 'results', clock, random, logger, signal })
    this.channels = new RedisChannels(
      new RedisLink({ target, role: 'results-pubsub', clock, random, logger, signal }),
    )
    this.parts = new RedisParts({
      isOrdered: target.transportOptions['result_chord_ordered'] !== false,
      keepSeconds: this.keepSeconds,
      displayUrl: this.displayUrl,
      set: (key, value) => this.set(key, value),
      run: (kind, operation) => this.#run(kind, operation),
    })
    if (target.isUnverified) {
      logger.warn(
        {},
        `the result backend ${target.shownUrl} does not check the server's certificate (ssl_cert_reqs is none), ` +
          'so anyone in between can read and change results',
      )
    }
  }

  /** Read when it is first asked for, as the URL is when it is first used. */
  get place(): ResultPlace {
    if (this.#place === undefined) {
      const { url, transportOptions } = this.#target
      const target = redisTarget(url, transportOptions)
      this.#place = { server: serverOf(target, transportOptions), database: target.db }
    }
    return this.#place
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const value = await this.#run('read', (client) => client.runBytes('GET', key))
    return bytes(value)
  }

  async getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    const parts: (readonly string[])[] = []
    for (let from = 0; from < keys.length; from += KEYS_AT_ONCE)
      parts.push(keys.slice(from, from + KEYS_AT_ONCE))
    const values = await Promise.all(
      parts.map((part) => this.#run('read', (client) => client.runBytes('MGET', ...part))),
    )
    return values.flatMap((part) => (Array.isArray(part) ? part.map(bytes) : []))
  }

  set(key: string, value: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const isSuccess = async (): Promise<boolean> => false
      this.#write(key, value, ANYWAY, { isSuccess, onStored: resolve, onFailed: reject })
    })
  }

  put(key: string, value: Uint8Array | string, writer: KeyWriter): void {
    this.#write(key, value, '', writer)
  }

  async delete(key: string): Promise<void> {
    await this.#run('read', (client) => client.run('DEL', key))
  }

  async first(key: string, value: string): Promise<string> {
    const found = await this.#run('write', (client) => client.script(FIRST, [key], [value, this.keepSeconds]))
    return String(found)
  }

  /** Waits are told through `channels`. */
  onChange(): () => void {
    return () => {}
  }

  /** Redis expires results itself. */
  async cleanup(): Promise<number> {
    return 0
  }

  isRecoverable(error: unknown): boolean {
    return error instanceof BackendUnavailableError
  }

  end(reason: Error): void {
    if (this.#ending.signal.aborted) return
    this.#ending.abort(reason)
    this.channels.close()
    this.#cancelEnd = this.#clock.after(CLOSE_MS, () => this.#link.close())
  }

  async close(): Promise<void> {
    this.end(new BackendUnavailableError(`The result backend ${this.displayUrl} was closed.`))
    this.#cancelEnd?.()
    this.#link.close()
  }

  #write(key: string, given: Uint8Array | string, known: string, writer: KeyWriter): void {
    const value = isText(given) ? given : Buffer.from(given.buffer, given.byteOffset, given.byteLength)
    // No more than three bytes for each unit of text.
    const size = value.length * 3 > LONGEST_VALUE ? Buffer.byteLength(value) : 0
    if (size > LONGEST_VALUE) {
      const error = new BackendStoreError(
        `The value for ${key} has ${size} bytes, more than the 512 MiB that Redis takes. ` +
          'Store it elsewhere, and return where it is.',
      )
      queueMicrotask(() => writer.onFailed(error))
      return
    }
    this.#enqueue({ key, value, known, refusal: '', writer })
  }

  #enqueue(write: PendingWrite): void {
    this.#pending.push(write)
    if (this.#pending.length === 1) setImmediate(() => this.#flush())
  }

  /** Sends what was asked for in this tick, in calls that do not hold up the server. */
  #flush(): void {
    const writes = this.#pending
    this.#pending = []
    let batch: PendingWrite[] = []
    let size = 0
    for (const write of writes) {
      if (
        batch.length === RESULTS_AT_ONCE ||
        (batch.length > 0 && size + write.value.length > BYTES_AT_ONCE)
      ) {
        void this.#store(batch)
        batch = []
        size = 0
      }
      batch.push(write)
      size += write.value.length
    }
    if (batch.length > 0) void this.#store(batch)
  }

  /** Never rejects; each write settles on its own. What the server cannot take now is sent again, as after a loss. */
  async #store(writes: readonly PendingWrite[]): Promise<void> {
    let left = writes
    try {
      await this.#run('write', async (client) => {
        left = await this.#storeOnce(client, left)
        const refused = left[0]
        if (refused === undefined) return
        const error = refusal(this.displayUrl, refused.key, refused.refusal)
        // A server that became a replica stays one: the next attempt asks for the master.
        if (/READONLY/.test(refused.refusal)) client.lose(error)
        throw error
      })
    } catch (error) {
      for (const { writer } of left) writer.onFailed(error)
    }
  }

  /** The writes that the server may take later. */
  async #storeOnce(client: RedisClient, writes: readonly PendingWrite[]): Promise<readonly PendingWrite[]> {
    const args: RedisArgument[] = [this.keepSeconds]
    for (const { value } of writes) args.push(value)
    // Mostly nothing is known of any.
    if (writes.some(({ known }) => known !== '')) for (const { known } of writes) args.push(known)
    const keys = writes.map(({ key }) => key)
    const reply: unknown = await client.script(STORE, keys, args)
    const verdicts: readonly unknown[] = Array.isArray(reply) ? reply : []
    const left: PendingWrite[] = []
    let index = 0
    for (const write of writes) {
      const verdict = verdicts[index++]
      if (!Array.isArray(verdict)) write.writer.onStored()
      else if (verdict[0] !== null) void this.#judge(write, verdict[0] as Buffer)
      else {
        write.refusal = String(verdict[1])
        const error = refusal(this.displayUrl, write.key, write.refusal)
        if (this.isRecoverable(error)) left.push(write)
        else write.writer.onFailed(error)
      }
    }
    return left
  }

  /** What is stored is not JSON as Celery writes it: whether it is a SUCCESS only the reader of results can tell. */
  async #judge(write: PendingWrite, stored: Buffer): Promise<void> {
    try {
      if (await write.writer.isSuccess(stored)) return write.writer.onStored()
      write.known = createHash('sha1').update(stored).digest('hex')
      this.#enqueue(write)
    } catch (error) {
      write.writer.onFailed(error)
    }
  }

  async #run<T>(
    kind: 'read' | 'write',
    operation: (client: RedisClient, isAgain: boolean) => Promise<T>,
  ): Promise<T> {
    const { signal } = this.#ending
    const giveUpAt = this.#clock.monotonic() + READ_MS
    let wasSent = false
    for (let retries = 0; ; retries++) {
      try {
        const client = await this.#link.client()
        const isAgain = wasSent
        wasSent = true
        return await operation(client, isAgain)
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (!this.isRecoverable(error)) throw error
        const policy = this.#retryPolicy
        const delayMs = jittered(linearDelayMs(retries, policy), this.#random, 0.3)
        const isOver =
          kind === 'write' ? retries >= policy.maxRetries : this.#clock.monotonic() + delayMs >= giveUpAt
        if (isOver) throw error
        await pause(this.#clock, delayMs, signal)
      }
    }
  }
}

function isText(value: Uint8Array | string): value is string {
  return typeof value === 'string'
}

function bytes(value: unknown): Uint8Array | undefined {
  return Buffer.isBuffer(value) ? value : undefined
}
