/**
 * Sends results as messages (`store_result` of `celery/backends/rpc.py`).
 *
 * Rule 1: what is given in one tick shares one confirmed publish, and each result still settles on its own.
 * Rule 2: an outage is waited out by Celery's retry policy of this backend: 20 retries, the first at once, the others
 * a second apart. A retry may send a result twice; who waits takes the first.
 * Rule 3: what the broker refuses for itself (too large, say) fails alone.
 * Rule 4: a reply queue that is not there fails nothing, and is awaited for a while (rpc-absent.ts).
 */
import { linearDelayMs } from '../backoff.js'
import { type Clock, pause } from '../clock.js'
import { BackendUnavailableError, ConnectivityError, UnroutableError } from '../errors.js'
import type { Outgoing } from '../transport/transport.js'
import type { RetryPolicy } from './retry-policy.js'
import { AbsentQueues } from './rpc-absent.js'
import type { RpcBroker } from './rpc-broker.js'

/** A batch holds no more than this, so that one slow write does not hold up thousands. */
const AT_ONCE = 256
const BYTES_AT_ONCE = 1_000_000
/** One attempt takes no longer: connecting, and the broker's confirmation. */
const ATTEMPT_MS = 10_000
/** `end` waits so long for what is under way. */
const CLOSE_MS = 3000

interface PendingSend {
  readonly message: Outgoing
  resolve(): void
  reject(error: unknown): void
}

/** What a sender is made of. */
export interface RpcSenderOptions {
  readonly broker: Pick<RpcBroker, 'publish'>
  readonly policy: RetryPolicy
  readonly clock: Clock
}

/** See above. */
export class RpcSender {
  readonly #options: RpcSenderOptions
  readonly #ending = new AbortController()
  readonly #givingUp = new AbortController()
  readonly #batches = new Set<Promise<void>>()
  readonly #absent: AbsentQueues
  #pending: PendingSend[] = []

  constructor(options: RpcSenderOptions) {
    this.#options = options
    this.#absent = new AbsentQueues({
      clock: options.clock,
      publish: (messages) => this.#attempts(messages),
    })
  }

  /** Resolves when the broker has it, or when its queue is not there. Throws `BackendUnavailableError`, or why the broker refused it. */
  send(message: Outgoing): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ending.signal.aborted) return reject(this.#ending.signal.reason)
      if (this.#absent.takes(message)) return resolve()
      this.#pending.push({ message, resolve, reject })
      if (this.#pending.length === 1) setImmediate(() => this.#flush())
    })
  }

  /** Sends what was given, once and for at most three seconds; resolves when all has settled. Safe twice. */
  async end(reason: Error): Promise<void> {
    this.#flush()
    if (!this.#ending.signal.aborted) this.#ending.abort(reason)
    const cancel = this.#options.clock.after(CLOSE_MS, () => this.#givingUp.abort(reason))
    await Promise.all(this.#batches)
    await this.#absent.end(reason)
    cancel()
  }

  #flush(): void {
    const all = this.#pending
    this.#pending = []
    let batch: PendingSend[] = []
    let size = 0
    for (const each of all) {
      const { length } = each.message.envelope.body
      if (batch.length === AT_ONCE || (batch.length > 0 && size + length > BYTES_AT_ONCE)) {
        this.#start(batch)
        batch = []
        size = 0
      }
      batch.push(each)
      size += length
    }
    if (batch.length > 0) this.#start(batch)
  }

  #start(batch: readonly PendingSend[]): void {
    const sent = this.#send(batch).finally(() => this.#batches.delete(sent))
    this.#batches.add(sent)
  }

  /** Never rejects. */
  async #send(batch: readonly PendingSend[]): Promise<void> {
    try {
      await this.#attempts(
        batch.map(({ message }) => ({ ...message, mandatory: this.#absent.awaits(message) })),
      )
      for (const each of batch) each.resolve()
    } catch (error) {
      if (error instanceof UnroutableError) {
        this.#absent.add(error.returned as readonly Outgoing[])
        for (const each of batch) each.resolve()
        return
      }
      const isShared = error instanceof ConnectivityError || this.#ending.signal.aborted
      if (batch.length === 1 || isShared) for (const each of batch) each.reject(error)
      else for (const each of batch) await this.#send([each])
    }
  }

  async #attempts(messages: readonly Outgoing[]): Promise<void> {
    const { policy, clock, broker } = this.#options
    const { signal } = this.#ending
    for (let retries = 0; ; retries += 1) {
      const late = new AbortController()
      const cancel = clock.after(ATTEMPT_MS, () => {
        late.abort(new BackendUnavailableError(`the broker did not answer within ${ATTEMPT_MS} ms`))
      })
      try {
        return await broker.publish(messages, AbortSignal.any([late.signal, this.#givingUp.signal]))
      } catch (error) {
        if (!(error instanceof ConnectivityError)) throw error
        if (retries >= policy.maxRetries || signal.aborted) {
          throw new BackendUnavailableError(
            `${messages.length === 1 ? 'A result' : `${messages.length} results`} could not be sent to the reply ` +
              `queue: ${error.message}. Whoever waits will not get ${messages.length === 1 ? 'it' : 'them'}; check the broker.`,
            { cause: error },
          )
        }
        await pause(clock, linearDelayMs(retries, policy), signal)
      } finally {
        cancel()
      }
    }
  }
}
