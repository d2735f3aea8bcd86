/**
 * Work that a broker must take: in time, and again where that may help.
 *
 * Rule 1: it ends within `timeoutMs` (connecting and retries included) or when its signal aborts.
 * Rule 2: only connectivity is retried.
 * Rule 3: the usual case, an open connection and nobody's signal, costs a place among the deadlines. Signals and their
 *         listeners are made when something must be waited for beyond one answer: they cost more than the publish.
 */
import { linearDelayMs } from '../backoff.js'
import type { RetryPolicy } from '../canvas/send-options.js'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError, ConnectivityError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { OpenConnection, PublishConnections } from './connections.js'
import { Deadlines } from './deadlines.js'

/** How long a call to the broker may take. */
export interface Bounds {
  /** Milliseconds, connecting included; default 5000. */
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Milliseconds that a publish may take when nobody says otherwise: Celery's default policy ends sooner. */
export const defaultTimeoutMs = 5000

/**
 * What is done with a connection; `signal` is there when the work may have to end before its answer, `after` holds what
 * earlier attempts failed with.
 */
export type BrokerWork<T> = (
  open: OpenConnection,
  signal: AbortSignal | undefined,
  after: readonly Error[] | undefined,
) => Promise<T>

/** One piece of work, and how it is brought to the broker. */
interface Task<T> {
  /** Names it in errors. */
  readonly what: () => string
  readonly work: BrokerWork<T>
  readonly timeoutMs: number
  /** Absent: tried once. */
  readonly policy: RetryPolicy | undefined
}

/** Brings work to the broker over the connections of one app. */
export class Attempts {
  private readonly connections: PublishConnections
  private readonly clock: Clock
  private readonly logger: Logger
  private readonly deadlines: Deadlines

  constructor(connections: PublishConnections, parts: { readonly clock: Clock; readonly logger: Logger }) {
    this.connections = connections
    this.clock = parts.clock
    this.logger = parts.logger
    this.deadlines = new Deadlines(parts.clock)
  }

  /**
   * Runs `work`, which `what` names in errors, again by `policy` where one is given. Throws `BrokerUnavailableError`,
   * the signal's reason, or what `work` throws besides.
   */
  run<T>(
    what: () => string,
    work: BrokerWork<T>,
    { timeoutMs = defaultTimeoutMs, signal }: Bounds,
    policy?: RetryPolicy,
  ): Promise<T> {
    const task: Task<T> = { what, work, timeoutMs, policy }
    const open = signal === undefined ? this.connections.ready : undefined
    return open === undefined ? this.bounded(task, signal, timeoutMs) : this.quick(task, open)
  }

  /** The first attempt, over a connection that is open. */
  private quick<T>(task: Task<T>, open: OpenConnection): Promise<T> {
    return new Promise((resolve, reject) => {
      const beganAt = this.clock.monotonic()
      const { timeoutMs } = task
      let isLate = false
      const done = this.deadlines.add(timeoutMs, () => {
        isLate = true
        this.connections.giveUp(open)
        reject(this.failure(task, lateError(timeoutMs)))
      })
      started(task.work, open).then(
        (value) => {
          done()
          resolve(value)
        },
        (error: unknown) => {
          done()
          if (isLate || !(error instanceof ConnectivityError)) return reject(error)
          this.connections.giveUp(open)
          const leftMs = timeoutMs - (this.clock.monotonic() - beganAt)
          resolve(this.bounded(task, undefined, leftMs, error))
        },
      )
    })
  }

  /** All attempts, or those after one that ended in `failure`, within `leftMs`. */
  private async bounded<T>(
    task: Task<T>,
    signal: AbortSignal | undefined,
    leftMs: number,
    failure?: ConnectivityError,
  ): Promise<T> {
    signal?.throwIfAborted()
    const timeout = new AbortController()
    const cancel = this.clock.after(leftMs, () => timeout.abort(lateError(task.timeoutMs)))
    const either = signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, signal])
    try {
      return await this.attempts(task, either, failure)
    } catch (error) {
      throw error instanceof ConnectivityError ? this.failure(task, error) : error
    } finally {
      cancel()
    }
  }

  private async attempts<T>(
    { work, policy }: Task<T>,
    signal: AbortSignal,
    earlier: ConnectivityError | undefined,
  ): Promise<T> {
    const most = policy === undefined ? 0 : retriesOf(policy)
    let failure: unknown = earlier
    const failures: Error[] = []
    for (let attempt = 0; ; attempt += 1) {
      try {
        if (failure === undefined)
          return await this.connections.use(signal, (open) => work(open, signal, failures))
      } catch (error) {
        failure = error
      }
      const isFinal = signal.aborted || this.connections.isClosed || attempt >= most
      if (isFinal || !(failure instanceof ConnectivityError)) throw failure
      failures.push(failure)
      this.logger.debug({ err: failure, attempt: attempt + 1 }, 'publishing failed; trying again')
      await pause(this.clock, delayMs(attempt, policy ?? {}), signal)
      failure = undefined
    }
  }

  /** Says which publish failed and what to do. */
  private failure({ what }: Pick<Task<unknown>, 'what'>, error: Error): BrokerUnavailableError {
    return new BrokerUnavailableError(
      `The broker at ${this.connections.displayUrl} did not take ${what()}: ${error.message}. ` +
        'It may or may not have arrived. Check that the broker is up and that brokerUrl is right, then send again.',
      { cause: error },
    )
  }
}

/** Also what is thrown at once is a rejection: its deadline must be taken away. */
function started<T>(work: BrokerWork<T>, open: OpenConnection): Promise<T> {
  try {
    return work(open, undefined, undefined)
  } catch (error) {
    return Promise.reject(error)
  }
}

function lateError(timeoutMs: number): BrokerUnavailableError {
  return new BrokerUnavailableError(`no answer within ${timeoutMs} ms`)
}

/** Null tries until the bound; Celery's default is three. */
function retriesOf({ maxRetries }: RetryPolicy): number {
  return maxRetries === null ? Number.POSITIVE_INFINITY : (maxRetries ?? 3)
}

/** Kombu's `retry_over_time`, with Celery's default policy where the policy says nothing. */
function delayMs(attempt: number, policy: RetryPolicy): number {
  return linearDelayMs(attempt, {
    startMs: (policy.intervalStart ?? 0) * 1000,
    stepMs: (policy.intervalStep ?? 0.2) * 1000,
    maxMs: (policy.intervalMax ?? 1) * 1000,
  })
}
