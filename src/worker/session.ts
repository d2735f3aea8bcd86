/**
 * The lifetime of a broker connection: connect, declare, consume, wait for its loss, again
 * (`celery/worker/consumer/consumer.py` start, ensure_connected; surface WRK-087 to WRK-092).
 *
 * Rule 1: this is the one place where a worker reconnects. Rule 2: connecting, declaring and consuming are one
 * attempt: a broker that takes connections and then refuses to consume does not make a busy loop. Rule 3: one log line
 * per attempt that counts, Celery's; an error that no waiting can mend (a bad URL, a wrong declaration) ends the session at once.
 *
 * A broker that falls silent without closing is the transport's to notice (heartbeats, socket timeouts): it then
 * settles `closed`, and a loss is a loss. A watchdog here would have to guess from an idle queue.
 */
import { jittered, linearDelayMs } from '../backoff.js'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError, ConfigError, ConnectivityError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Deadline } from '../service.js'
import type {
  Capabilities,
  Connection,
  ConsumeOptions,
  Subscription,
  Topology,
} from '../transport/transport.js'

/** When to try again. */
export interface ReconnectPolicy {
  /** `broker_connection_retry_on_startup`, or `broker_connection_retry` where that is not set. */
  readonly onStartup: boolean
  /** `broker_connection_retry`. */
  readonly afterLoss: boolean
  /** `broker_connection_max_retries`: rounds over all URLs; null or 0 means no limit. */
  readonly maxRetries: number | null
}

/** What a `Session` needs. */
export interface SessionOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** One attempt at one address. */
  readonly brokers: readonly Broker[]
  readonly policy: ReconnectPolicy
  /** 0 <= n < 1; takes up to a quarter from each wait, so that workers do not come back all at once. Default none. */
  readonly random?: () => number
  /** What must exist before the current set of queues is consumed. */
  topology(queues: readonly string[]): Topology
  readonly queues: readonly string[]
  /** Makes the receiving end of a new connection; what it asks for waits until the subscription is there. */
  receive(wishes: Wishes, isRestart: boolean, capabilities: Capabilities): Receiver
  /** What else lives on each connection. */
  readonly companion?: Companion | undefined
  /** Removes what waits in the queues before the first consuming. */
  readonly purge: boolean
  /** Called with each new connection before anything is consumed; a rejection fails the attempt. */
  onConnected?(connection: Connection, broker: Broker): Promise<void>
  /** The connection is gone, and everything that came from it. */
  onLoss(cause: Error | undefined): void
  /** The session has given up; it has stopped by itself. */
  onGivenUp(error: Error): void
}

/** One address of the broker. */
export interface Broker {
  /** Without its password. */
  readonly displayUrl: string
  connect(signal: AbortSignal): Promise<Connection>
}

/** Something besides the task queues that a connection carries: remote control. */
export interface Companion {
  readonly name: string
  /** Called with each new connection, before the task queues are consumed; a rejection fails the attempt. */
  attach(connection: Connection, isRestart: boolean): Promise<void>
  /** Called before an orderly close; not after a loss, when nothing is left to end. */
  detach(): Promise<void>
}

/** The receiving end of one connection. */
export type Receiver = Omit<ConsumeOptions, 'noAck'>

/** What the receiving end may ask of its subscription while it runs. */
export interface Wishes {
  setPrefetch(count: number): Promise<void>
  /** `Subscription.takeParked`, where the broker can. */
  takeParked(dueBeforeMs: number): void
}

/** kombu's `ensure_connection`: 2, 4, 6 ... seconds, and 30 more at most. */
const reconnectDelay = { startMs: 2000, stepMs: 2000, maxMs: 30_000 }
/**
 * Within a longer wait the brokers are tried every so often, without a word and without counting: a worker is back soon
 * after its broker, and yet gives up no earlier than Celery's.
 */
const quietTryMs = 4000
/** Celery's SHUTDOWN_SOCKET_TIMEOUT (WRK-086). */
const closeTimeoutMs = 5000
/** `restart_state(maxR=5, maxT=1)`: more losses than this within a second are followed by a pause of a second. */
const mostRestartsPerSecond = 5
/**
 * After that, as long as each connection is refused what it is for within a second (a key of another type, a missing
 * right), the pause doubles up to this: no storm of connections and log lines, and still back soon.
 */
const longestPauseMs = 4000

interface Open {
  readonly connection: Connection
  readonly subscription: Subscription
}

/** Keeps a worker connected. */
export class Session {
  private readonly options: SessionOptions
  private readonly stopping = new AbortController()
  private readonly consumed: Set<string>
  private open: Open | undefined
  private connecting: Connection | undefined
  private beginning: Promise<Open> | undefined
  private loop: Promise<void> | undefined
  private readonly restarts: number[] = []
  /** Connections in a row that ended at once, since there were too many within a second. */
  private hasty = 0

  constructor(options: SessionOptions) {
    this.options = options
    this.consumed = new Set(options.queues)
  }

  /** The queues that are consumed now, or will be after a reconnection. */
  get queues(): readonly string[] {
    return [...this.consumed]
  }

  get isConnected(): boolean {
    return this.open !== undefined
  }

  /** Resolves when consuming. Rejects when the broker cannot be had and the policy says to give up, or on `quiet`. */
  async start(): Promise<void> {
    this.beginning = this.establish(false)
    const first = await this.beginning
    this.loop = this.run(first)
  }

  /** No new deliveries; what was handed over can still be settled. Bounded. */
  async quiet(): Promise<void> {
    this.stopping.abort(
      new BrokerUnavailableError('The worker was stopped while it was connecting to its broker.'),
    )
    const { open } = this
    if (open !== undefined) await this.bounded('cancel the consumer', open.subscription.cancel())
  }

  /** Closes; the broker takes back what was not settled. Bounded by 5 s and by `deadline`. */
  async stop(deadline: Deadline): Promise<void> {
    await this.quiet()
    const { companion } = this.options
    if (companion !== undefined && this.open !== undefined) {
      await this.bounded(`end ${companion.name}`, companion.detach(), deadline)
    }
    const connection = this.open?.connection ?? this.connecting
    if (connection !== undefined) await this.bounded('close the connection', connection.close(), deadline)
    // An attempt that is still under way closes what it opens.
    if (this.beginning !== undefined && this.loop === undefined) {
      await this.bounded('end the attempt to connect', this.beginning.then(noop, noop), deadline)
    }
    // It waits for the connection to be gone, which one that does not close never is.
    if (this.loop !== undefined) await this.bounded('end the session', this.loop, deadline)
  }

  /** Consumes from one more queue from now on, after a reconnection too (WRK-017). */
  async addQueue(queue: string): Promise<void> {
    if (this.consumed.has(queue)) return
    this.consumed.add(queue)
    const { open } = this
    if (open === undefined) return
    await open.connection.declare(this.options.topology([queue]))
    await open.subscription.addQueue(queue)
    this.options.logger.info({ queue }, `Started consuming from ${queue}`)
  }

  /** Consumes no more from a queue (WRK-017). */
  async cancelQueue(queue: string): Promise<void> {
    if (!this.consumed.delete(queue)) return
    this.options.logger.info({ queue }, `Canceling queue ${queue}`)
    await this.open?.subscription.cancelQueue(queue)
  }

  private async run(first: Open): Promise<void> {
    const { options } = this
    const { signal } = this.stopping
    let open = first
    try {
      for (;;) {
        const openedAt = options.clock.monotonic()
        const cause = await open.connection.closed
        const livedMs = options.clock.monotonic() - openedAt
        this.open = undefined
        if (signal.aborted) return
        options.onLoss(cause)
        options.logger.warn(
          { err: cause },
          'consumer: Connection to broker lost. Trying to re-establish the connection...',
        )
        await this.pauseWhenFrequent(cause, livedMs)
        open = await this.establish(true)
      }
    } catch (error) {
      this.open = undefined
      if (!signal.aborted) options.onGivenUp(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** One open connection that consumes; tries until it has one or the policy ends it. */
  private async establish(isRestart: boolean): Promise<Open> {
    const { brokers, policy, logger } = this.options
    const { signal } = this.stopping
    let rounds = 0
    for (let attempt = 0; ; attempt += 1) {
      signal.throwIfAborted()
      const broker = brokers[attempt % brokers.length]
      if (broker === undefined) throw new ConfigError('No broker URL is configured: set brokerUrl.')
      try {
        return await this.tryOnce(broker, isRestart)
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof ConnectivityError)) throw error
        this.checkPolicy(isRestart, error)
        const says = `consumer: Cannot connect to ${broker.displayUrl}: ${error.message}.`
        if ((attempt + 1) % brokers.length !== 0) {
          logger.error({ err: error }, `${says}\nWill retry using next failover.\n`)
          continue
        }
        rounds += 1
        if (policy.maxRetries && rounds > policy.maxRetries) throw error
        const delayMs = jittered(linearDelayMs(rounds - 1, reconnectDelay), this.random, 0.25)
        const when = `Trying again in ${(delayMs / 1000).toFixed(2)} seconds... (${rounds}/${policy.maxRetries || 'no limit'})`
        logger.error({ err: error }, `${says}\n${when}\n`)
        const found = await this.waitAndTry(delayMs, isRestart)
        if (found !== undefined) return found
      }
    }
  }

  /** The wait between two rounds, cut short by a broker that is back. */
  private async waitAndTry(delayMs: number, isRestart: boolean): Promise<Open | undefined> {
    const { brokers, clock } = this.options
    const { signal } = this.stopping
    const end = clock.monotonic() + delayMs
    for (;;) {
      const left = end - clock.monotonic()
      const stepMs = jittered(quietTryMs, this.random, 0.25)
      await pause(clock, Math.max(0, Math.min(left, stepMs)), signal)
      if (left <= stepMs) return undefined
      for (const broker of brokers) {
        try {
          return await this.tryOnce(broker, isRestart)
        } catch (error) {
          signal.throwIfAborted()
          if (!(error instanceof ConnectivityError)) throw error
        }
      }
    }
  }

  private readonly random = (): number => this.options.random?.() ?? 0

  private checkPolicy(isRestart: boolean, error: Error): void {
    const { policy, logger } = this.options
    if (isRestart ? policy.afterLoss : policy.onStartup) return
    const setting = isRestart ? 'broker_connection_retry' : 'broker_connection_retry_on_startup'
    logger.fatal(
      { err: error },
      `Retrying to ${isRestart ? 're-establish' : 'establish'} a connection to the message broker after a ` +
        `connection loss has been disabled (app.conf.${setting}=False). Shutting down...`,
    )
    throw error
  }

  private async tryOnce(broker: Broker, isRestart: boolean): Promise<Open> {
    const connection = await broker.connect(this.stopping.signal)
    this.connecting = connection
    let isHeir = false
    try {
      this.stopping.signal.throwIfAborted()
      const queues = this.queues
      await connection.declare(this.options.topology(queues))
      if (this.options.purge && !isRestart) await this.purge(connection, queues)
      // First of all, for whoever consumes also returns what looks abandoned: it might be what we still work on.
      isHeir = true
      await this.options.onConnected?.(connection, broker)
      await this.options.companion?.attach(connection, isRestart)
      // A delivery may change the prefetch count before `consume` has resolved.
      let found: (subscription: Subscription) => void = () => {}
      const ready = new Promise<Subscription>((resolve) => {
        found = resolve
      })
      const wishes: Wishes = {
        setPrefetch: async (count) => (await ready).setPrefetch(count),
        takeParked: (dueBeforeMs) => void ready.then((open) => open.takeParked?.(dueBeforeMs)),
      }
      const receiver = this.options.receive(wishes, isRestart, connection.capabilities)
      const subscription = await connection.consume(queues, { ...receiver, noAck: false })
      found(subscription)
      this.stopping.signal.throwIfAborted()
      this.open = { connection, subscription }
      this.options.logger.info({ broker: broker.displayUrl }, `Connected to ${broker.displayUrl}`)
      return this.open
    } catch (error) {
      // What still runs is left to the next one, as after any loss.
      const left = isHeir && error instanceof ConnectivityError ? connection.abandon?.(error) : undefined
      await this.bounded('close the connection', left ?? connection.close())
      if (left !== undefined) this.options.onLoss(error as Error)
      throw error
    } finally {
      this.connecting = undefined
    }
  }

  private async purge(connection: Connection, queues: readonly string[]): Promise<void> {
    let count = 0
    for (const queue of queues) count += await connection.purge(queue)
    if (count === 0) return
    this.options.logger.info(
      { count },
      `purge: Erased ${count} message${count === 1 ? '' : 's'} from the queue.`,
    )
  }

  /** WRK-092. */
  private async pauseWhenFrequent(cause: Error | undefined, livedMs: number): Promise<void> {
    const { clock, logger } = this.options
    if (this.hasty > 0 && livedMs < 1000) {
      await pause(clock, Math.min(1000 * 2 ** this.hasty, longestPauseMs), this.stopping.signal)
      this.hasty += 1
      return
    }
    this.hasty = 0
    const now = clock.monotonic()
    this.restarts.push(now)
    while ((this.restarts[0] ?? now) < now - 1000) this.restarts.shift()
    if (this.restarts.length <= mostRestartsPerSecond) return
    logger.fatal({ err: cause }, `Frequent restarts detected: ${this.restarts.length} within a second`)
    await pause(clock, 1000, this.stopping.signal)
    this.hasty = 1
  }

  /** Waits for `act`, but not longer than 5 s or until `deadline`; never rejects. */
  private async bounded(
    what: string,
    act: Promise<void>,
    deadline = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const { clock, logger } = this.options
    const ms = Math.max(0, Math.min(closeTimeoutMs, deadline - clock.now()))
    let cancel: () => void = () => {}
    const bound = new Promise<'late'>((resolve) => {
      cancel = clock.after(ms, () => resolve('late'))
    })
    const ended = act.then(
      () => 'done' as const,
      (error: unknown) => logger.warn({ err: error }, `Could not ${what}.`),
    )
    if ((await Promise.race([ended, bound])) === 'late') logger.warn({}, `Could not ${what} within ${ms} ms.`)
    cancel()
  }
}

function noop(): void {}
