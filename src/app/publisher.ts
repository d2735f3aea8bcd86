/**
 * Brings messages to the broker: task messages (made by composer.ts), remote control, and what else is asked of the broker
 * (`celery/app/amqp.py` send_task_message, kombu's `Producer`).
 *
 * Rule 1: everything is routed and encoded before anything is sent: an error in one request sends none.
 * Rule 2: a publish ends within `timeoutMs` (default 5000) or when its signal aborts; see attempts.ts.
 * Rule 3: a retry may send twice what the broker had already taken when its answer was lost: at least once, as in
 *         Celery. A broker that can tell (Redis) is asked first.
 * Rule 4: messages of one call that share a retry policy reach the broker in order, in batches of a thousand, each when the
 *         one before was answered.
 */

import type { Envelope } from '../../protocol/envelope.js'
import { bodyTriple } from '../../protocol/task-body.js'
import type { RetryPolicy } from '../canvas/send-options.js'
import { ConfigError } from '../errors.js'
import type { Resend } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'
import type {
  Address,
  Connection,
  Exchange,
  Outgoing,
  PublishOptions,
  Topology,
} from '../transport/transport.js'
import { Attempts, type Bounds, type BrokerWork, defaultTimeoutMs } from './attempts.js'
import { Composer, type ComposerDeps } from './composer.js'
import { brokerOptions } from './config.js'
import { type ConnectionsDeps, type OpenConnection, PublishConnections } from './connections.js'
import { assertFanout } from './mailbox.js'
import { delayTopologyOf } from './native-delay.js'
import { policyOf } from './outgoing-task.js'
import { type TaskQueue, topologyOf } from './queues.js'
import { outgoingOf, type ReadyMessage, runsOf } from './ready-message.js'
import type { SendRequest, Sent } from './send-request.js'

/** What a publisher is made of; the app provides it. Its URLs are tried in turn. */
export interface PublisherDeps extends ComposerDeps {
  readonly transport: ConnectionsDeps['transport']
  /** 0 <= n < 1. */
  readonly random: () => number
}

/** What may be sent by somebody else. */
export interface PreparedMessages {
  readonly messages: readonly Outgoing[]
  readonly sent: readonly Sent[]
}

/** Publishes for one app. */
export class Publisher {
  private readonly deps: PublisherDeps
  private readonly composer: Composer
  /** Of messages that are not a call's; absent: tried once. */
  private readonly retryPolicy: RetryPolicy | undefined
  private readonly connections: PublishConnections
  private readonly attempts: Attempts
  /** Opens a connection for each use: what consumes must leave nothing behind on the shared one. */
  private readonly ownConnections: PublishConnections
  private readonly ownAttempts: Attempts

  /** Connects when first used. Throws `ConfigError` for routes or a zone that cannot be used. */
  constructor(deps: PublisherDeps) {
    const { settings } = deps
    this.deps = deps
    const how: ConnectionsDeps = {
      ...deps,
      transportOptions: brokerOptions(settings),
      connectTimeoutMs: settings.brokerConnectionTimeout * 1000,
      poolLimit: settings.brokerPoolLimit,
      failoverStrategy: settings.brokerFailoverStrategy,
    }
    this.connections = new PublishConnections(how)
    this.attempts = new Attempts(this.connections, deps)
    this.ownConnections = new PublishConnections({ ...how, poolLimit: 0 })
    this.ownAttempts = new Attempts(this.ownConnections, deps)
    this.composer = new Composer(deps)
    this.retryPolicy = settings.taskPublishRetry ? policyOf(settings.taskPublishRetryPolicy) : undefined
  }

  /** The broker's URLs without passwords. */
  get displayUrl(): string {
    return this.connections.displayUrl
  }

  /**
   * Publishes all, or throws before anything was sent: `InvalidArgumentError`, `QueueNotFoundError`, `EncodeError`.
   * Throws `BrokerUnavailableError` when the broker did not take them in time; some may have arrived then. Rejects
   * with the reason of an aborted `options.signal`.
   */
  async send(requests: readonly SendRequest[]): Promise<readonly Sent[]> {
    const { ready, sent } = this.deps.signals.beforeTaskPublish.hasReceivers
      ? await this.composer.composeAndAnnounce(requests)
      : this.composer.compose(requests)
    await this.publishAll(ready, boundsOf(requests))
    return sent
  }

  /** `send` for one. */
  async sendOne(request: SendRequest): Promise<Sent> {
    return (await this.send([request]))[0] as Sent
  }

  /**
   * `sendOne` with nothing in between: of a thousand calls under way, each promise would be kept until its answer.
   * Undefined where receivers of before_task_publish must be waited for. Throws what `send` rejects with before anything
   * is sent.
   */
  begin(request: SendRequest): { readonly sent: Sent; readonly published: Promise<void> } | undefined {
    if (this.deps.signals.beforeTaskPublish.hasReceivers) return undefined
    const { ready, sent } = this.composer.compose([request])
    return { sent: sent[0] as Sent, published: this.publishRun(ready, request.options) }
  }

  /**
   * What `send` would publish, for another connection to the same broker, once the queues are declared: a promise where that
   * is to be done first. Undefined where it takes more than these messages: signals, a delay in the broker. Throws what
   * `send` throws.
   */
  prepare(
    requests: readonly SendRequest[],
  ): PreparedMessages | undefined | Promise<PreparedMessages | undefined> {
    const { signals } = this.deps
    if (signals.beforeTaskPublish.hasReceivers || signals.afterTaskPublish.hasReceivers) return undefined
    const { ready, sent } = this.composer.compose(requests)
    if (ready.some(({ way }) => way.destination.delayedBy !== undefined)) return undefined
    const messages = { messages: ready.map(outgoingOf), sent }
    const open = this.connections.ready
    const isDeclared = ready.every(({ way: { destination } }) => {
      const { declare } = destination
      return declare === undefined || open?.isDeclared(declare.name) === true
    })
    if (isDeclared) return messages
    const declaring = (use: OpenConnection): Promise<void> =>
      this.declaringAll(use, ready) ?? Promise.resolve()
    return this.broughtBy(ready, boundsOf(requests), declaring).then(() => messages)
  }

  /**
   * Publishes the message of `request` again as a retry (wire-format 1.4), to the queue that it came from unless the
   * options name another place. Throws as `send` does.
   */
  async resend(request: TaskRequest, change: Resend): Promise<void> {
    const ready = await this.composer.composeRetry(request, change)
    await this.publishAll([ready], change.options ?? {})
  }

  /**
   * Publishes a finished message (remote control) that nobody need receive. `what` names it in errors; `exchange` is
   * declared first. Throws as `send` does, and `ConfigError` for a fanout exchange on a broker that has none.
   */
  async publishRaw(
    envelope: Envelope,
    to: Address,
    options: Bounds & {
      readonly what?: string
      readonly exchange?: Exchange
    } = {},
  ): Promise<void> {
    const { exchange } = options
    await this.attempts.run(
      () => options.what ?? 'a message',
      async (open, signal, after) => {
        if (exchange?.type === 'fanout') assertFanout(open.connection, open.displayUrl)
        if (exchange !== undefined) {
          await open.connection.declare({ exchanges: [exchange], queues: [], bindings: [] })
        }
        await open.connection.publish([{ envelope, to, mandatory: false }], publishOptions(signal, after))
      },
      options,
      this.retryPolicy,
    )
  }

  /**
   * Runs `work` with the publishing connection: purge, queue lengths. `what` names it in errors. Tried once. Throws
   * `BrokerUnavailableError`.
   */
  run<T>(what: string, work: (connection: Connection) => Promise<T>, bounds: Bounds = {}): Promise<T> {
    return this.attempts.run(
      () => what,
      (open) => work(open.connection),
      bounds,
    )
  }

  /** As `run`, with a connection that is opened for `work` and closed after it. */
  runAlone<T>(what: string, work: (connection: Connection) => Promise<T>, bounds: Bounds = {}): Promise<T> {
    return this.ownAttempts.run(
      () => what,
      (open) => work(open.connection),
      bounds,
    )
  }

  /** Removes what waits in these queues; returns how many messages that were. Throws `BrokerUnavailableError`. */
  purge(queues: readonly string[], bounds: Bounds = {}): Promise<number> {
    return this.run(
      `purging ${queues.join(', ')}`,
      async (connection) => {
        let removed = 0
        for (const name of queues) {
          const queue = this.deps.queues.get(name)
          await connection.declare(topologyOf([queue]))
          removed += await connection.purge(queue.name)
        }
        return removed
      },
      bounds,
    )
  }

  /** Closes the connection; publishes that are under way fail. Safe twice. */
  async close(): Promise<void> {
    await Promise.all([this.connections.close(), this.ownConnections.close()])
  }

  private publishAll(messages: readonly ReadyMessage[], bounds: Bounds): Promise<void> {
    const runs = runsOf(messages)
    return runs.length === 1 ? this.publishRun(messages, bounds) : this.publishRuns(runs, bounds)
  }

  /** One bound for all of them: each run gets what the earlier ones left. */
  private async publishRuns(runs: readonly (readonly ReadyMessage[])[], bounds: Bounds): Promise<void> {
    const { clock } = this.deps
    const endsAt = clock.monotonic() + (bounds.timeoutMs ?? defaultTimeoutMs)
    for (const run of runs) {
      await this.publishRun(run, { ...bounds, timeoutMs: Math.max(0, endsAt - clock.monotonic()) })
    }
  }

  private publishRun(run: readonly ReadyMessage[], bounds: Bounds): Promise<void> {
    const published = this.broughtBy(run, bounds, (open, signal, after) => {
      const options = publishOptions(signal, after)
      const declaring = this.declaringAll(open, run)
      if (declaring === undefined) return open.connection.publish(run.map(outgoingOf), options)
      return declaring.then(() => open.connection.publish(run.map(outgoingOf), options))
    })
    return this.deps.signals.afterTaskPublish.hasReceivers
      ? published.then(() => this.tellPublished(run))
      : published
  }

  private broughtBy(run: readonly ReadyMessage[], bounds: Bounds, work: BrokerWork<void>): Promise<void> {
    const { task, id, way } = run[0] as ReadyMessage
    const what = (): string => (run.length === 1 ? `task ${task}[${id}]` : `${run.length} tasks`)
    return this.attempts.run(what, work, bounds, way.retry ? way.retryPolicy : undefined)
  }

  private async tellPublished(run: readonly ReadyMessage[]): Promise<void> {
    for (const { task, outgoing, body } of run) {
      if (body === undefined) continue
      const { exchange, routingKey } = outgoing.to
      await this.deps.signals.afterTaskPublish.send(task, {
        body: bodyTriple(body),
        headers: { ...outgoing.envelope.headers },
        exchange,
        routingKey,
      })
    }
  }

  /** One after the other. Undefined when all were declared on this connection before. */
  private declaringAll(open: OpenConnection, run: readonly ReadyMessage[]): Promise<void> | undefined {
    let declaring: Promise<void> | undefined
    let before: TaskQueue | undefined
    for (const { way } of run) {
      const { declare, delayedBy } = way.destination
      if (declare !== undefined && declare !== before) {
        declaring = inTurn(declaring, () => this.declaring(open, declare))
      }
      before = declare
      if (delayedBy === 'broker') declaring = inTurn(declaring, () => this.declaringDelays(open, declare))
    }
    return declaring
  }

  /** Undefined when it was declared on this connection before. */
  private declaring(open: OpenConnection, queue: TaskQueue): Promise<void> | undefined {
    return open
      .declareOnce(queue.name, () => topologyOf([queue]))
      ?.catch((error: unknown) => {
        // A name that the broker refuses would fail every worker that consumes all queues of this app.
        if (error instanceof ConfigError) this.deps.queues.forget(queue.name)
        throw error
      })
  }

  private declaringDelays(open: OpenConnection, queue: TaskQueue | undefined): Promise<void> | undefined {
    const { settings } = this.deps
    const topology = (): Topology => delayTopologyOf(settings, queue === undefined ? [] : [queue])
    return open.declareOnce(`delays of ${queue?.name ?? ''}`, topology)
  }
}

function inTurn(
  before: Promise<void> | undefined,
  next: () => Promise<void> | undefined,
): Promise<void> | undefined {
  return before === undefined ? next() : before.then(next)
}

/** The shortest bound of all, and any signal that is given. */
function boundsOf(requests: readonly SendRequest[]): Bounds {
  if (requests.length === 1) return (requests[0] as SendRequest).options
  let shortest: number | undefined
  const signals = new Set<AbortSignal>()
  for (const { options } of requests) {
    const { timeoutMs, signal } = options
    if (timeoutMs !== undefined) shortest = Math.min(timeoutMs, shortest ?? timeoutMs)
    if (signal !== undefined) signals.add(signal)
  }
  const [signal] = signals
  return { timeoutMs: shortest, signal: signals.size > 1 ? AbortSignal.any([...signals]) : signal }
}

const plainly: PublishOptions = {}

function publishOptions(
  signal: AbortSignal | undefined,
  after: readonly Error[] | undefined,
): PublishOptions {
  if (signal === undefined) return plainly
  return after === undefined || after.length === 0 ? { signal } : { signal, after }
}
