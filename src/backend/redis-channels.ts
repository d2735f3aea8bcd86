/**
 * The pub/sub channels of the keys that somebody waits for, on one connection (`ResultConsumer` of
 * `celery/backends/redis.py`, wire-format 8.5).
 *
 * Rule 1: what is wanted and no longer wanted within one tick goes out as one command each.
 * Rule 2: after a loss it reconnects by itself while anything is wanted, and subscribes to all of it again.
 * Rule 3: `onReady` names the keys from whose subscription on nothing is missed: whoever wants to know what was before
 * reads them then.
 */
import type { RedisClient } from '../transport/redis-client.js'
import type { KeyChannels, KeyListener } from './key-value-store.js'
import type { RedisLink } from './redis-link.js'

/** As many channels go out in one command. */
const AT_ONCE = 1000

/** See above. */
export class RedisChannels implements KeyChannels {
  readonly #link: RedisLink
  readonly #wanted = new Set<string>()
  /** Keys that were asked for on this connection; the object tells one asking from the next. */
  readonly #asked = new Map<string, object>()
  readonly #live = new Set<string>()
  readonly #changed = new Set<string>()
  #listener: KeyListener | undefined
  #client: RedisClient | undefined
  #isConnecting = false
  #isClosed = false
  #flush: Promise<void> | undefined

  constructor(link: RedisLink) {
    this.#link = link
  }

  /** How many keys are subscribed to or about to be; a test asks whether all were freed. */
  get size(): number {
    return this.#wanted.size
  }

  listen(listener: KeyListener): void {
    this.#listener = listener
  }

  want(key: string): boolean {
    if (this.#isClosed) return false
    this.#wanted.add(key)
    if (!this.#asked.has(key)) {
      this.#changed.add(key)
      void this.flushed()
    }
    return this.#live.has(key)
  }

  unwant(key: string): void {
    if (!this.#wanted.delete(key)) return
    this.#changed.add(key)
    void this.flushed()
  }

  flushed(): Promise<void> {
    this.#flush ??= new Promise((resolve) => {
      process.nextTick(() => {
        this.#flush = undefined
        this.#send()
        resolve()
      })
    })
    return this.#flush
  }

  close(): void {
    this.#isClosed = true
    this.#wanted.clear()
    this.#link.close()
  }

  /** Never throws: a failed command loses the connection, and with the next one all is asked for again. */
  #send(): void {
    const client = this.#client
    if (client === undefined || !client.isOpen) {
      if (this.#wanted.size > 0) void this.#connect()
      return
    }
    const wanted: string[] = []
    const unwanted: string[] = []
    for (const key of this.#changed) {
      if (this.#wanted.has(key) === this.#asked.has(key)) continue
      if (this.#wanted.has(key)) wanted.push(key)
      else unwanted.push(key)
    }
    this.#changed.clear()
    for (const key of unwanted) {
      this.#asked.delete(key)
      this.#live.delete(key)
    }
    const fail = (error: unknown): void => client.lose(error as Error)
    for (const keys of chunks(unwanted)) client.unsubscribe(...keys).catch(fail)
    for (const keys of chunks(wanted)) {
      const asking = {}
      for (const key of keys) this.#asked.set(key, asking)
      client.subscribe(...keys).then(
        () => {
          const ready = keys.filter((key) => this.#asked.get(key) === asking)
          for (const key of ready) this.#live.add(key)
          if (ready.length > 0) this.#listener?.onReady(ready)
        },
        (error: unknown) => {
          if (isRetriable(error)) return fail(error)
          for (const key of keys) this.#asked.delete(key)
          this.#listener?.onRefused(keys, error)
        },
      )
    }
  }

  /** Never rejects. The link waits between attempts. */
  async #connect(): Promise<void> {
    if (this.#isConnecting) return
    this.#isConnecting = true
    try {
      while (this.#wanted.size > 0 && !this.#isClosed) {
        try {
          const client = await this.#link.client()
          this.#adopt(client)
          return
        } catch (error) {
          // Whoever waits is served, or told what is wrong, by the reads of the command connection.
          if (!isRetriable(error)) return
        }
      }
    } finally {
      this.#isConnecting = false
    }
  }

  #adopt(client: RedisClient): void {
    this.#client = client
    this.#forgetConnection()
    client.onMessage((channel, payload) => {
      if (Buffer.isBuffer(payload)) this.#listener?.onValue(channel, payload)
    })
    void client.closed.then(() => {
      if (this.#client !== client) return
      this.#client = undefined
      this.#forgetConnection()
      this.#send()
    })
    this.#send()
  }

  #forgetConnection(): void {
    this.#asked.clear()
    this.#live.clear()
    this.#changed.clear()
    for (const key of this.#wanted) this.#changed.add(key)
  }
}

function isRetriable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'retriable' in error && error.retriable === true
}

function chunks(keys: readonly string[]): readonly string[][] {
  const parts: string[][] = []
  for (let from = 0; from < keys.length; from += AT_ONCE) parts.push(keys.slice(from, from + AT_ONCE))
  return parts
}
