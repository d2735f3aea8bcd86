/**
 * The connection that an app publishes through.
 *
 * Rule 1: one connection serves all publishes at once: ours are multiplexed, so `broker_pool_limit` above zero means
 *         "share one". With 0 or null each use opens a connection of its own and closes it, as in Celery.
 * Rule 2: it is opened when first needed and again when needed after a loss; nothing reconnects in the background.
 * Rule 3: of several URLs the next is tried when one fails; after a round of failures the next round waits a little,
 *         so that a thousand publishes during an outage are not a thousand dials.
 * Rule 4: an open connection may keep the process alive; `close()` lets it go. (Folders and memory hold nothing open.)
 */
import { exponentialDelayMs } from '../backoff.js'
import { redactUrl } from '../broker-url.js'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError, CeleriacError, ConnectivityError } from '../errors.js'
import type { Logger } from '../logger.js'
import { orAborted } from '../or-aborted.js'
import type { Connection, ConnectOptions, Topology, Transport } from '../transport/transport.js'

/** What connections are made with. */
export interface ConnectionsDeps {
  /** Tried in turn; at least one. */
  readonly urls: readonly string[]
  /** Finds the transport of a URL's scheme. Throws `UnknownSchemeError`. */
  transport(url: string): Transport | Promise<Transport>
  readonly transportOptions: Readonly<Record<string, unknown>>
  /** `broker_connection_timeout` in milliseconds. */
  readonly connectTimeoutMs: number
  /** `broker_pool_limit`: 0 or null opens a connection for each use. */
  readonly poolLimit: number | null
  /** `broker_failover_strategy`: `shuffle`, or anything else for one after the other. */
  readonly failoverStrategy: string | null
  readonly clock: Clock
  readonly logger: Logger
  /** 0 <= n < 1. */
  readonly random: () => number
  readonly newId: () => string
}

/** An open connection, and what has been declared on it. */
export interface OpenConnection {
  readonly connection: Connection
  /** Without its password. */
  readonly displayUrl: string
  /** Declares what was not declared on this connection before, else undefined; `key` names it. */
  declareOnce(key: string, topology: () => Topology): Promise<void> | undefined
  /** Whether `declareOnce` of this key has been done. */
  isDeclared(key: string): boolean
}

/** Hands out the publishing connection of one app. */
export class PublishConnections {
  private readonly deps: ConnectionsDeps
  private readonly urls: readonly string[]
  private readonly aborter = new AbortController()
  private readonly openOnes = new Set<OpenConnection>()
  private shared: Promise<OpenConnection> | undefined
  private current: OpenConnection | undefined
  private next = 0
  private failedRounds = 0
  private notBefore = 0

  constructor(deps: ConnectionsDeps) {
    this.deps = deps
    this.urls = deps.failoverStrategy === 'shuffle' ? shuffled(deps.urls, deps.random) : deps.urls
  }

  /** True once `close` was called. */
  get isClosed(): boolean {
    return this.aborter.signal.aborted
  }

  /** The shared connection when it is open. */
  get ready(): OpenConnection | undefined {
    return this.isClosed ? undefined : this.current
  }

  /** All URLs without their passwords. */
  get displayUrl(): string {
    return this.urls.map(redactUrl).join(';')
  }

  /**
   * Runs `work` with the connection. Rejects with the signal's reason as soon as it aborts, even when the transport
   * does not answer. A connection that fails, or whose answer is late (the reason is a `ConnectivityError`), is given
   * up. Throws `BrokerUnavailableError` when no URL answers.
   */
  async use<T>(signal: AbortSignal, work: (open: OpenConnection) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const isShared = Boolean(this.deps.poolLimit)
    const dialing = isShared ? this.acquire() : this.dial()
    const open = await orAborted(dialing, signal).catch((error: unknown) => {
      // nobody else will use a connection of one's own that comes too late
      if (!isShared) dialing.then((unwanted) => this.dispose(unwanted)).catch(() => {})
      throw error
    })
    try {
      return await orAborted(work(open), signal)
    } catch (error) {
      // an impatient caller is no sign that the connection is bad for the others; a late or lost answer is
      if (error instanceof ConnectivityError) this.giveUp(open)
      throw error
    } finally {
      if (!isShared) await orAborted(this.dispose(open), signal).catch(() => {})
    }
  }

  /** Closes what is open; later uses are refused. Safe twice. */
  async close(): Promise<void> {
    this.aborter.abort(new BrokerUnavailableError('The app was closed; make a new one to publish again.'))
    await Promise.all([...this.openOnes].map((open) => this.dispose(open)))
  }

  private acquire(): Promise<OpenConnection> {
    if (this.shared === undefined) {
      const dialed = this.dial()
      this.shared = dialed
      const forget = (): void => {
        if (this.shared === dialed) this.forget()
      }
      dialed.then((open) => {
        if (this.shared === dialed) this.current = open
        open.connection.closed.then(forget)
      }, forget)
    }
    return this.shared
  }

  private async dial(): Promise<OpenConnection> {
    const { signal } = this.aborter
    signal.throwIfAborted()
    const wait = this.notBefore - this.deps.clock.monotonic()
    if (wait > 0) await pause(this.deps.clock, wait, signal)
    let failure: unknown
    for (let tried = 0; tried < this.urls.length; tried += 1) {
      const url = this.urls[this.next % this.urls.length] as string
      try {
        const open = await this.connect(url, signal)
        this.failedRounds = 0
        return open
      } catch (error) {
        signal.throwIfAborted()
        // a mistake of the programmer is no reason to try elsewhere
        if (error instanceof CeleriacError && !(error instanceof ConnectivityError)) throw error
        failure = error
        this.next += 1
        this.deps.logger.debug({ err: error, broker: redactUrl(url) }, 'the broker cannot be reached')
      }
    }
    this.notBefore =
      this.deps.clock.monotonic() + exponentialDelayMs(this.failedRounds, { firstMs: 50, maxMs: 1000 })
    this.failedRounds += 1
    throw new BrokerUnavailableError(`no broker answers at ${this.displayUrl}: ${messageOf(failure)}`, {
      cause: failure,
    })
  }

  private async connect(url: string, signal: AbortSignal): Promise<OpenConnection> {
    const { deps } = this
    const transport = await deps.transport(url)
    const late = new AbortController()
    const cancel = deps.clock.after(deps.connectTimeoutMs, () => {
      late.abort(new BrokerUnavailableError(`no connection within ${deps.connectTimeoutMs} ms`))
    })
    const either = AbortSignal.any([signal, late.signal])
    const options: ConnectOptions = {
      transportOptions: deps.transportOptions,
      timeoutMs: deps.connectTimeoutMs,
      signal: either,
      clock: deps.clock,
      logger: deps.logger,
      newId: deps.newId,
    }
    const dialed = transport.connect(url, options)
    const connection = await orAborted(dialed, either)
      .catch((error: unknown) => {
        // one that comes after all must not stay open
        dialed.then((unwanted) => unwanted.close()).catch(() => {})
        throw error
      })
      .finally(cancel)
    if (signal.aborted) {
      await connection.close()
      signal.throwIfAborted()
    }
    const declared = new Map<string, Promise<void> | undefined>()
    const open: OpenConnection = {
      connection,
      displayUrl: redactUrl(url),
      declareOnce(key, topology) {
        if (declared.has(key)) return declared.get(key)
        const declaring = connection.declare(topology())
        declared.set(key, declaring)
        declaring.then(
          () => declared.set(key, undefined),
          () => declared.delete(key),
        )
        return declaring
      },
      isDeclared: (key) => declared.has(key) && declared.get(key) === undefined,
    }
    this.openOnes.add(open)
    connection.closed.then(() => this.openOnes.delete(open))
    return open
  }

  /** Closes a connection that failed or is late; the next use opens another. Safe twice. */
  giveUp(open: OpenConnection): void {
    if (this.current === open) this.forget()
    if (!this.openOnes.has(open)) return
    this.dispose(open).catch((error: unknown) => {
      this.deps.logger.debug({ err: error, broker: open.displayUrl }, 'closing a lost connection failed')
    })
  }

  private forget(): void {
    this.shared = undefined
    this.current = undefined
  }

  private async dispose(open: OpenConnection): Promise<void> {
    this.openOnes.delete(open)
    await open.connection.close()
  }
}

function shuffled(urls: readonly string[], random: () => number): readonly string[] {
  return urls
    .map((url) => ({ url, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ url }) => url)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
