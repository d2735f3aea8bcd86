/**
 * The second connection of a Redis store: what the server tells us without being asked.
 *
 * Rule 1: arrivals. The claim script reads the lists that it found empty with client tracking on (`OPTIN`), and the
 *         server tells this connection once when one of them changes, whoever pushes; others are woken on a channel
 *         of their own (redis-scripts.ts, rule 5). Nothing is polled; a slow look remains as a net. Where the server has no tracking, `polling_interval` is the bound.
 * Rule 2: fanout. A queue bound to a fanout exchange is a subscription and a buffer in this process (kombu's
 *         `_fanout_queues`), from the first consumer to the last; what comes while nobody consumes is lost, as in kombu.
 *         A buffer that nobody empties is bounded, the oldest goes first.
 */
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { RedisLocalMessage } from './redis-claimed.js'
import type { RedisClient } from './redis-client.js'
import { refusalWord } from './redis-errors.js'

const invalidations = '__redis__:invalidate'
/** A claim looks again after so long although nothing was told; spread, so that many workers do not look at once. */
const netMs = 5000
/** Most messages of one fanout queue that wait in this process. */
const bufferLimit = 10_000

/** What the arrivals of one store need. */
export interface ArrivalsHost {
  readonly main: RedisClient
  readonly clock: Clock
  readonly logger: Logger
  readonly pollMs: number
  /** Gives a number in [0, 1). */
  readonly random: () => number
  /** The channel on which other connections wake this one; its messages are names of queues. */
  readonly channel: string
  /** Told when this connection was woken and nobody here waits: another must be. */
  passOn(queue: string): void
  /** Reads a fanout message; `undefined` when it is none (it was reported). */
  read(queue: string, bytes: Buffer): RedisLocalMessage | undefined
  onLost(cause: Error): void
}

interface FanoutQueue {
  readonly patterns: Set<string>
  readonly waiting: RedisLocalMessage[]
  /** How many consumers of this connection hear it now. */
  hearers: number
  wasHeard: boolean
}

/** Waits for messages on behalf of one store. */
export class RedisArrivals {
  readonly #host: ArrivalsHost
  readonly #queues = new Map<string, FanoutQueue>()
  readonly #wakes = new Set<() => void>()
  #news = 0
  #opening: Promise<RedisClient> | undefined
  #clientId: Promise<unknown> | undefined
  #tracking: Promise<boolean> | undefined
  #closed = false

  constructor(host: ArrivalsHost) {
    this.#host = host
  }

  /** Counts what was told so far: a claim that began at an older count must look again. */
  get news(): number {
    return this.#news
  }

  /** Turns tracking on; false where the server has none. */
  track(): Promise<boolean> {
    this.#tracking ??= this.#startTracking()
    return this.#tracking
  }

  /** Resolves at the next news, when `signal` aborts, or after a bound: `mostMs` where that is sooner. */
  async wait(since: number, signal: AbortSignal, mostMs = Number.POSITIVE_INFINITY): Promise<void> {
    const tells = await this.track()
    if (this.#news !== since || signal.aborted || this.#closed) return
    const { clock, random, pollMs } = this.#host
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel()
        this.#wakes.delete(end)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = clock.after(Math.min(mostMs, tells ? netMs * (0.8 + 0.4 * random()) : pollMs), end)
      this.#wakes.add(end)
      signal.addEventListener('abort', end, { once: true })
    })
  }

  /** Makes claims look again. */
  wake(): void {
    this.#news += 1
    for (const wake of [...this.#wakes]) wake()
  }

  /** Makes a queue one of fanout messages, for whoever will hear it. Idempotent. */
  async bind(queue: string, pattern: string): Promise<void> {
    const known = this.#queues.get(queue) ?? { patterns: new Set(), waiting: [], hearers: 0, wasHeard: false }
    this.#queues.set(queue, known)
    if (known.patterns.has(pattern)) return
    known.patterns.add(pattern)
    if (known.hearers > 0) await (await this.#open()).psubscribe(globbed(pattern))
  }

  /** A consumer of the queue begins: resolves when nothing that is published from now on is missed. */
  async startHearing(queue: string): Promise<void> {
    const known = this.#queues.get(queue)
    if (known === undefined) return
    known.hearers += 1
    known.wasHeard = true
    // Also when others hear it: their subscription may still be on its way, and the server answers in order.
    await (await this.#open()).psubscribe(...[...known.patterns].map(globbed))
  }

  /** A consumer of the queue has ended. */
  async stopHearing(queue: string): Promise<void> {
    const known = this.#queues.get(queue)
    if (known === undefined || known.hearers === 0) return
    known.hearers -= 1
    if (known.hearers === 0) await this.#unsubscribe(known)
  }

  /** Ends the subscriptions of a queue and forgets what waits in it. */
  async forget(queue: string): Promise<void> {
    const known = this.#queues.get(queue)
    this.#queues.delete(queue)
    if (known !== undefined && known.hearers > 0) await this.#unsubscribe(known)
  }

  async #unsubscribe({ patterns }: FanoutQueue): Promise<void> {
    if (this.#opening === undefined) return
    const client = await this.#opening
    const heard = [...this.#queues.values()].filter(({ hearers }) => hearers > 0)
    const others = new Set(heard.flatMap((queue) => [...queue.patterns]))
    const unused = [...patterns].filter((pattern) => !others.has(pattern))
    if (unused.length > 0) await client.punsubscribe(...unused.map(globbed))
  }

  /** Whether the queue is one of fanout messages. */
  isFanout(queue: string): boolean {
    return this.#queues.has(queue)
  }

  /** Whether somebody here consumes from this fanout queue. */
  isHeard(queue: string): boolean {
    return (this.#queues.get(queue)?.hearers ?? 0) > 0
  }

  /** The queues that this process consumed from, and nobody else. */
  get heardQueues(): readonly string[] {
    return [...this.#queues].flatMap(([queue, { wasHeard }]) => (wasHeard ? [queue] : []))
  }

  /** What waits in a fanout queue, after all that was published before this call. */
  async settledLength(queue: string): Promise<number> {
    // The server answers in order: what it sent before this PING has been read when the answer is.
    if (this.#opening !== undefined) await (await this.#opening).run('PING')
    return this.#queues.get(queue)?.waiting.length ?? 0
  }

  /** Takes up to `most` messages of these fanout queues. */
  take(queues: readonly string[], most: number): RedisLocalMessage[] {
    const taken: RedisLocalMessage[] = []
    for (const queue of queues) {
      if (taken.length >= most) break
      taken.push(...(this.#queues.get(queue)?.waiting.splice(0, most - taken.length) ?? []))
    }
    return taken
  }

  /** Puts local messages back, in front or behind. */
  putBack(messages: readonly RedisLocalMessage[], where: 'front' | 'behind'): void {
    for (const message of where === 'front' ? messages.toReversed() : messages) {
      const waiting = this.#queues.get(message.queue)?.waiting
      if (where === 'front') waiting?.unshift(message)
      else waiting?.push(message)
    }
    if (messages.length > 0) this.wake()
  }

  /** Forgets what waits in a fanout queue; how many they were. */
  purge(queue: string): number {
    return this.#queues.get(queue)?.waiting.splice(0).length ?? 0
  }

  /** Ends the connection and every wait. Safe twice. */
  close(): void {
    this.#closed = true
    this.wake()
    this.#opening?.then(
      (client) => client.close(),
      () => {},
    )
  }

  #open(): Promise<RedisClient> {
    this.#opening ??= this.#connect()
    return this.#opening
  }

  async #connect(): Promise<RedisClient> {
    const client = await this.#host.main.another('pubsub')
    if (this.#closed) client.close()
    // Asked before anything is subscribed: afterwards this connection takes no other commands.
    this.#clientId = client.run('CLIENT', 'ID')
    this.#clientId.catch(() => {})
    void client.closed.then((cause) => cause && this.#host.onLost(cause))
    client.onMessage((channel, payload, pattern) => {
      if (channel === invalidations) this.wake()
      else if (channel === this.#host.channel) this.#woken(String(payload))
      else if (Buffer.isBuffer(payload)) this.#arrived(pattern ?? channel, payload)
    })
    return client
  }

  async #startTracking(): Promise<boolean> {
    const client = await this.#open()
    try {
      const id = Number(await this.#clientId)
      await client.subscribe(invalidations, this.#host.channel)
      await this.#host.main.run('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, 'OPTIN')
      return true
    } catch (error) {
      const { cause } = error as { cause?: unknown }
      if (refusalWord(cause) === undefined) throw error
      const { logger, pollMs } = this.#host
      logger.warn(
        { err: error, everyMs: pollMs },
        'the Redis server has no CLIENT TRACKING; polling for messages',
      )
      return false
    }
  }

  #woken(queue: string): void {
    const isWaiting = this.#wakes.size > 0
    this.wake()
    // A claim on its way may come too late for this; to wake one too many does no harm.
    if (!isWaiting) this.#host.passOn(queue)
  }

  #arrived(pattern: string, bytes: Buffer): void {
    for (const [queue, { patterns, waiting, hearers }] of this.#queues) {
      if (hearers === 0 || ![...patterns].some((each) => globbed(each) === pattern)) continue
      const message = this.#host.read(queue, bytes)
      if (message === undefined) continue
      waiting.push(message)
      if (waiting.length <= bufferLimit) continue
      waiting.shift()
      if (waiting.length === bufferLimit)
        this.#host.logger.debug({ queue }, 'a full fanout queue lost its oldest message')
    }
    this.wake()
  }
}

/** Kombu subscribes to the name as it is; only what it means as a wildcard may act as one. */
function globbed(pattern: string): string {
  return pattern.replace(/[\\?[\]]/g, '\\$&')
}
