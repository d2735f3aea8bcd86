/**
 * The reply queue of one app (`ResultConsumer` of `celery/backends/rpc.py`).
 *
 * Rule 1: it is declared before the first task is sent, and consumed only once somebody waits: until then the broker
 * keeps what comes.
 * Rule 2: once consumed it is consumed until the end. The queue goes with its last consumer, and everything in it.
 * Rule 3: after a loss it is declared and consumed again, for as long as it takes. Results sent meanwhile may have
 * found no queue; that is said once.
 */
import { exponentialDelayMs, jittered } from '../backoff.js'
import { type Clock, pause } from '../clock.js'
import { BackendUnavailableError, CeleriacError, ConnectivityError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Connection, Delivery, Queue } from '../transport/transport.js'
import { onAbort } from './abort-listener.js'
import type { RpcBroker } from './rpc-broker.js'

/** What the reply queue is made of. */
export interface RpcRepliesOptions {
  readonly broker: RpcBroker
  readonly queue: Queue
  readonly clock: Clock
  readonly random: () => number
  readonly logger: Logger
  /** Called with each reply, oldest first; must not throw. */
  onReply(delivery: Delivery): void
  /** It is consumed from now on, for the first time or again after a loss. */
  onListening(): void
  /** It cannot be consumed now; tried again unless the error says that no waiting helps. */
  onTrouble(error: Error): void
}

/** Declaring and looking take no longer. */
const ANSWER_MS = 5000
const FIRST_WAIT_MS = 50
const LONGEST_WAIT_MS = 1000

/** See above. */
export class RpcReplies {
  readonly #options: RpcRepliesOptions
  readonly #ending = new AbortController()
  #connection: Connection | undefined
  #opening: Promise<Connection> | undefined
  #looking: Promise<void> | undefined
  #isWanted = false
  #isListening = false
  #hasListened = false

  constructor(options: RpcRepliesOptions) {
    this.#options = options
  }

  /** Whether what is sent now is heard. */
  get isListening(): boolean {
    return this.#isListening
  }

  /** Makes sure that there is a queue. Throws `BackendUnavailableError`, or what the broker has against it. */
  async declare(): Promise<void> {
    if (this.#connection === undefined) await this.#bounded('declare it', () => this.#opened())
  }

  /** Starts to consume, unless that was done before. Never throws. */
  listen(): void {
    if (this.#isWanted) return
    this.#isWanted = true
    void this.#listen()
  }

  /** Takes what waits in the queue, unless it is consumed anyway. Throws as `declare`. */
  async look(): Promise<void> {
    if (this.#isWanted) return
    this.#looking ??= this.#bounded('read it', (signal) => this.#look(signal)).finally(() => {
      this.#looking = undefined
    })
    await this.#looking
  }

  /** Ends consuming; the queue goes with it. Safe twice. */
  async end(reason: Error): Promise<void> {
    if (!this.#ending.signal.aborted) this.#ending.abort(reason)
    this.#isListening = false
    await this.#options.broker.close()
  }

  /** The connection, with the queue declared on it. */
  #opened(): Promise<Connection> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #open(): Promise<Connection> {
    const { broker, queue } = this.#options
    const connection = await broker.connect(this.#ending.signal)
    if (connection === this.#connection) return connection
    await connection.declare({ exchanges: [], queues: [queue], bindings: [] })
    this.#ending.signal.throwIfAborted()
    this.#connection = connection
    void connection.closed.then((cause) => this.#lost(connection, cause))
    return connection
  }

  async #look(signal: AbortSignal): Promise<void> {
    const connection = await this.#opened()
    while (!signal.aborted) {
      const delivery = await connection.get(this.#options.queue.name)
      if (delivery === undefined) return
      this.#options.onReply(delivery)
      await delivery.ack()
    }
  }

  /** Never rejects. */
  async #listen(): Promise<void> {
    const { clock, random, logger, queue, onReply, onListening, onTrouble } = this.#options
    const { signal } = this.#ending
    // What is being taken one by one comes first.
    await this.#looking?.catch(() => {})
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const connection = await this.#opened()
        await connection.consume([queue.name], {
          prefetch: 0,
          noAck: true,
          onDeliveries: (deliveries) => deliveries.forEach(onReply),
        })
        if (connection !== this.#connection) continue
        this.#isListening = true
        if (this.#hasListened) logger.info({}, `the reply queue ${queue.name} is consumed again`)
        this.#hasListened = true
        onListening()
        return
      } catch (error) {
        if (signal.aborted) return
        onTrouble(error as Error)
        if (!(error instanceof ConnectivityError)) {
          logger.error({ err: error }, `the reply queue ${queue.name} cannot be consumed`)
          this.#isWanted = false
          return
        }
        const longestMs = exponentialDelayMs(failures, { firstMs: FIRST_WAIT_MS, maxMs: LONGEST_WAIT_MS })
        await pause(clock, jittered(longestMs, random, 0.5), signal).catch(() => {})
      }
    }
  }

  #lost(connection: Connection, cause: Error | undefined): void {
    if (connection !== this.#connection) return
    this.#connection = undefined
    if (!this.#isListening || this.#ending.signal.aborted) return
    this.#isListening = false
    const { logger, queue, onTrouble } = this.#options
    logger.warn(
      { err: cause },
      `the connection of the reply queue ${queue.name} was lost; results that are sent until it is back may be lost`,
    )
    onTrouble(new BackendUnavailableError(`the reply queue ${queue.name} lost its connection`, { cause }))
    void this.#listen()
  }

  async #bounded<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, queue } = this.#options
    const late = new AbortController()
    const cancel = clock.after(ANSWER_MS, () => {
      late.abort(new BackendUnavailableError(`no answer within ${ANSWER_MS} ms`))
    })
    try {
      return await settled(work, AbortSignal.any([late.signal, this.#ending.signal]))
    } catch (cause) {
      if (this.#ending.signal.aborted) throw this.#ending.signal.reason
      if (cause instanceof CeleriacError && !(cause instanceof ConnectivityError)) throw cause
      throw new BackendUnavailableError(
        `The broker did not let us use the reply queue ${queue.name} (to ${what}): ${(cause as Error).message}. ` +
          'Nothing was sent. Check that the broker is up and that brokerUrl is right.',
        { cause },
      )
    } finally {
      cancel()
    }
  }
}

/** Settles as the work does, or rejects with the signal's reason as soon as it aborts. */
function settled<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const stopListening = onAbort(signal, () => reject(signal.reason))
    work(signal).then(resolve, reject).finally(stopListening)
  })
}
