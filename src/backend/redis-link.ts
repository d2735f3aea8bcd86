/**
 * A connection to Redis that is opened when it is needed, and again after a loss.
 *
 * Rule 1: all who need it while it is being opened share one attempt, and its failure.
 * Rule 2: after a failed attempt the next one waits, jittered, at most a second: nobody spins, and a server that came
 * back is found at once.
 * Rule 3: a loss is told once, and so is the recovery.
 */
import { exponentialDelayMs, jittered } from '../backoff.js'
import { type Clock, pause } from '../clock.js'
import { BackendUnavailableError } from '../errors.js'
import type { Logger } from '../logger.js'
import { openRedis, type RedisClient } from '../transport/redis-client.js'
import type { RedisBackendTarget } from './redis-target.js'

/** What a link is made of. */
export interface RedisLinkOptions {
  readonly target: RedisBackendTarget
  /** Added to the connection's name. */
  readonly role: string
  readonly clock: Clock
  readonly random: () => number
  readonly logger: Logger
  /** Ends attempts, with its reason. */
  readonly signal: AbortSignal
}

const FIRST_WAIT_MS = 50
const LONGEST_WAIT_MS = 1000

/** See above. */
export class RedisLink {
  readonly #options: RedisLinkOptions
  #current: RedisClient | undefined
  #opening: Promise<RedisClient> | undefined
  #failures = 0
  #isTroubled = false
  #notBefore = Number.NEGATIVE_INFINITY

  constructor(options: RedisLinkOptions) {
    this.#options = options
  }

  /** The open connection. Throws `BackendUnavailableError` or `ConfigError` when the attempt failed. */
  async client(): Promise<RedisClient> {
    if (this.#current?.isOpen) return this.#current
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  /** Ends the connection at once. */
  close(): void {
    this.#current?.close()
  }

  async #open(): Promise<RedisClient> {
    const { target, role, clock, logger, signal } = this.#options
    const waitMs = this.#notBefore - clock.monotonic()
    if (waitMs > 0) await pause(clock, waitMs, signal)
    signal.throwIfAborted()
    try {
      const client = await openRedis(target.url, {
        transportOptions: target.transportOptions,
        signal,
        role,
        unavailable: BackendUnavailableError,
      })
      this.#current = client
      if (signal.aborted) {
        client.close()
        throw signal.reason
      }
      const openedAt = clock.monotonic()
      if (this.#isTroubled) logger.info({}, `the result backend ${target.shownUrl} is back`)
      this.#isTroubled = false
      void client.closed.then((cause) => {
        if (clock.monotonic() - openedAt > LONGEST_WAIT_MS) this.#failures = 0
        else this.#holdOff()
        if (cause !== undefined) this.#trouble(cause)
      })
      return client
    } catch (cause) {
      if (signal.aborted) throw signal.reason
      this.#holdOff()
      this.#trouble(cause)
      throw cause
    }
  }

  /** Also after a connection that ended as soon as it was open. */
  #holdOff(): void {
    const { clock, random } = this.#options
    const longestMs = exponentialDelayMs(this.#failures++, { firstMs: FIRST_WAIT_MS, maxMs: LONGEST_WAIT_MS })
    this.#notBefore = clock.monotonic() + jittered(longestMs, random, 0.5)
  }

  #trouble(cause: unknown): void {
    if (this.#isTroubled || this.#options.signal.aborted) return
    this.#isTroubled = true
    const { logger, target } = this.#options
    logger.warn(
      { err: cause },
      `the result backend ${target.shownUrl} is away; trying again until it is back`,
    )
  }
}
