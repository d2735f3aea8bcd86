/**
 * Sends task messages (`celery/app/base.py` send_task, `celery/app/amqp.py`, kombu's `Producer`).
 *
 * Rule 1: everything is routed and encoded before anything is sent: an error in one request sends none.
 * Rule 2: a publish ends within `timeoutMs` (default 5000) or when its signal aborts; see attempts.ts.
 * Rule 3: a retry may send twice what the broker had already taken when its answer was lost: at least once, as in
 *         Celery. A broker that can tell (Redis) is asked first.
 * Rule 4: messages of one call that share a retry policy reach the broker in order, in batches of a thousand, each when the
 *         one before was answered.
 */

import type { Envelope } from '../../protocol/envelope.js'
import { propertiesFromWire, propertiesToWire } from '../../protocol/message-properties.js'
import type { Codec } from '../../protocol/serializers.js'
import { bodyTriple } from '../../protocol/task-body.js'
import { encodeTask } from '../../protocol/task-message.js'
import { encodeRetry } from '../../protocol/task-retry.js'
import type { Clock } from '../clock.js'
import { ConfigError } from '../errors.js'
import type { Resend } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'
import type { Logger } from '../logger.js'
import type { Signals } from '../signals.js'
import type { Address, Connection, Exchange, PublishOptions, Topology } from '../transport/transport.js'
import { Attempts, type Bounds, type BrokerWork, defaultTimeoutMs } from './attempts.js'
import { brokerOptions } from './config.js'
import { type ConnectionsDeps, type OpenConnection, PublishConnections } from './connections.js'
import { assertFanout } from './mailbox.js'
import { delaysInBroker, delayTopologyOf } from './native-delay.js'
import {
  delayedDestination,
  destinationOf,
  etaOf,
  expiry,
  type PreparedTask,
  type Preparing,
  policyOf,
  prepareTask,
} from './outgoing-task.js'
import { Plans } from './plans.js'
import { type Queues, type TaskQueue, topologyOf } from './queues.js'
import { boundsOf, outgoingOf, type PreparedMessages, type Ready, runsOf } from './ready.js'
import { definedTimes, placeOf, places, retryFields } from './resending.js'
import { Router } from './router.js'
import type { SendRequest, Sent } from './send-request.js'
import type { Settings } from './settings.js'
import { appZone, ZonedTime } from './zoned-time.js'

export type { SendRequest, Sent } from './send-request.js'

/** What a publisher is made of; the app provides it. */
export interface PublisherDeps {
  readonly settings: Settings
  readonly queues: Queues
  readonly codec: Codec
  /** Broker URLs for publishing, tried in turn (`brokerUrls(settings, 'write')`). */
  readonly urls: readonly string[]
  readonly transport: ConnectionsDeps['transport']
  readonly signals: Pick<Signals, 'beforeTaskPublish' | 'afterTaskPublish'>
  readonly clock: Clock
  readonly logger: Logger
  /** `gen<pid>@<host>` (surface PUB-037). */
  readonly origin: string
  /** Sent as `reply_to` where a call gives none: the app's own id, a UUID (surface PUB-017). */
  readonly replyTo: string
  readonly newId: () => string
  /** 0 <= n < 1. */
  readonly random: () => number
}

interface Prepared {
  readonly ready: readonly Ready[]
  readonly sent: readonly Sent[]
}

/** Publishes for one app. */
export class Publisher {
  private readonly deps: PublisherDeps
  private readonly app: Preparing
  private readonly plans: Plans
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
    this.app = {
      settings,
      queues: deps.queues,
      router: new Router(settings.taskRoutes, settings.taskDefaultQueue),
      zone: new ZonedTime(appZone(settings)),
      origin: deps.origin,
      replyTo: deps.replyTo,
      retryPolicy: policyOf(settings.taskPublishRetryPolicy),
      get delaysInBroker() {
        return delaysInBroker(deps.urls, deps.queues)
      },
    }
    this.plans = new Plans(this.app, deps.codec)
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
      ? await this.preparedAndAnnounced(requests)
      : this.prepared(requests)
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
    const { ready, sent } = this.prepared([request])
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
    const { ready, sent } = this.prepared(requests)
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
    const { message, deliveryInfo } = request
    const options = change.options ?? {}
    const now = this.deps.clock.now()
    const { zone } = this.app
    const expires = expiry(options.expires === undefined ? message.expires : options.expires, now, zone)
    const envelope = encodeRetry(message, request.body, {
      codec: this.deps.codec,
      retries: change.retries,
      eta: etaOf({ ...options, ...definedTimes(change) }, now, zone),
      expiration: expires?.expiration,
      args: change.args,
      kwargs: change.kwargs,
      serializer: options.serializer,
      compression: options.compression,
      fields: retryFields(options, expires?.iso, message.headers),
    })
    const place = { ...placeOf(deliveryInfo), ...places(options), ...definedTimes(change) }
    const destination = delayedDestination(destinationOf(place, this.app), place, now, this.app)
    const ready = await this.announced({
      id: message.id,
      task: message.task,
      outgoing: { envelope, to: destination },
      body: {
        ...request.body,
        args: change.args ?? request.body.args,
        kwargs: change.kwargs ?? request.body.kwargs,
      },
      way: {
        destination,
        retry: options.retry ?? this.app.settings.taskPublishRetry,
        retryPolicy: { ...this.app.retryPolicy, ...options.retryPolicy },
      },
    })
    await this.publishAll([ready], options)
  }

  /**
   * Publishes a finished message (events, remote control) that nobody need receive. `what` names it in errors; `exchange` is declared first.
   * Throws as `send` does, and `ConfigError` for a fanout exchange on a broker that has none.
   */
  async publishRaw(
    envelope: Envelope,
    to: Address,
    options: Bounds & {
      readonly what?: string
      readonly declare?: TaskQueue
      readonly exchange?: Exchange
    } = {},
  ): Promise<void> {
    const { exchange } = options
    const { taskPublishRetry } = this.app.settings
    await this.attempts.run(
      () => options.what ?? 'a message',
      async (open, signal, after) => {
        if (exchange?.type === 'fanout') assertFanout(open.connection, open.displayUrl)
        if (exchange !== undefined) {
          await open.connection.declare({ exchanges: [exchange], queues: [], bindings: [] })
        }
        if (options.declare !== undefined) await this.declaring(open, options.declare)
        await open.connection.publish([{ envelope, to, mandatory: false }], publishOptions(signal, after))
      },
      options,
      taskPublishRetry ? this.app.retryPolicy : undefined,
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

  /** Everything about these messages; what they were made of is let go of, since many may wait for their answers. */
  private prepared(requests: readonly SendRequest[]): Prepared {
    const now = this.deps.clock.now()
    const { beforeTaskPublish, afterTaskPublish } = this.deps.signals
    const mayPlan = !beforeTaskPublish.hasReceivers && !afterTaskPublish.hasReceivers
    const ready: Ready[] = []
    const sent: Sent[] = []
    for (const request of requests) {
      const plan = mayPlan ? this.plans.of(request) : undefined
      const id = request.options.taskId || request.id || this.deps.newId()
      const outgoing = plan?.outgoing(id, request.args, request.kwargs)
      if (plan !== undefined && outgoing !== undefined) {
        ready.push({ id, task: request.name, outgoing, body: undefined, way: plan.task })
        sent.push(sentOf(id, plan.task))
        continue
      }
      const task = prepareTask(request, id, now, this.app)
      ready.push(this.encoded(task))
      sent.push(sentOf(id, task))
    }
    return { ready, sent }
  }

  private async preparedAndAnnounced(requests: readonly SendRequest[]): Promise<Prepared> {
    const now = this.deps.clock.now()
    const tasks = requests.map((request) =>
      prepareTask(request, request.options.taskId || request.id || this.deps.newId(), now, this.app),
    )
    const ready = tasks.map((task) => this.encoded(task))
    const sent = tasks.map((task) => sentOf(task.fields.id, task))

    const announced: Ready[] = []
    for (const [at, task] of tasks.entries()) {
      // receivers may have changed args and kwargs in place
      announced.push(await this.announced(ready[at] as Ready, () => this.encode(task)))
    }
    return { ready: announced, sent }
  }

  private warnIfExpired({ fields, expiredSeconds }: PreparedTask): void {
    if (expiredSeconds === undefined) return
    this.deps.logger.warn(
      { task_id: fields.id, task_name: fields.task },
      `${fields.id} has an expiration date in the past (${expiredSeconds}s ago). It is sent with an expiration of 0: ` +
        'brokers that know expiry drop it unless a consumer takes it at once. Check the code that sent the task.',
    )
  }

  private encode({ serializer, compression, fields, argsAsTuple, body }: PreparedTask): Envelope {
    const protocol = this.app.settings.taskProtocol === 1 ? 1 : 2
    const how = { codec: this.deps.codec, serializer, compression, argsAsTuple, protocol } as const
    const envelope = encodeTask(fields, body, how)
    if (protocol === 2 || fields.customHeaders === undefined) return envelope
    // protocol 1 has no headers but those of the caller (send_task_message: headers2.update)
    return { ...envelope, headers: { ...fields.customHeaders, ...envelope.headers } }
  }

  private warnIfKept({ fields, destination }: PreparedTask): void {
    if (destination.delayedBy !== 'worker') return
    this.deps.logger.warn(
      { task_id: fields.id, task_name: fields.task, queue: destination.queue },
      'Direct exchanges are not supported with native delayed delivery: a worker keeps this task until its time. ' +
        'Give the queue a topic or fanout exchange.',
    )
  }

  private encoded(task: PreparedTask): Ready {
    this.warnIfExpired(task)
    this.warnIfKept(task)
    const { fields, destination, body, retry, retryPolicy } = task
    return {
      id: fields.id,
      task: fields.task,
      outgoing: { envelope: this.encode(task), to: destination },
      body,
      way: { destination, retry, retryPolicy },
    }
  }

  /** Lets receivers of before_task_publish change headers and properties (surface PUB-038, SIG-001). */
  private async announced(ready: Ready, again?: () => Envelope): Promise<Ready> {
    const { beforeTaskPublish } = this.deps.signals
    if (!beforeTaskPublish.hasReceivers || ready.body === undefined) return ready
    const { envelope, to } = ready.outgoing
    const headers = { ...envelope.headers }
    const properties = { ...propertiesToWire(envelope.properties) }
    await beforeTaskPublish.send(ready.task, {
      body: bodyTriple(ready.body),
      exchange: to.exchange,
      routingKey: to.routingKey,
      headers,
      properties,
      retryPolicy: ready.way.retryPolicy,
    })
    const changed: Envelope = {
      ...(again?.() ?? envelope),
      headers,
      properties: propertiesFromWire(properties),
    }
    return { ...ready, outgoing: { envelope: changed, to } }
  }

  private publishAll(messages: readonly Ready[], bounds: Bounds): Promise<void> {
    const runs = runsOf(messages)
    return runs.length === 1 ? this.publishRun(messages, bounds) : this.publishRuns(runs, bounds)
  }

  /** One bound for all of them: each run gets what the earlier ones left. */
  private async publishRuns(runs: readonly (readonly Ready[])[], bounds: Bounds): Promise<void> {
    const { clock } = this.deps
    const endsAt = clock.monotonic() + (bounds.timeoutMs ?? defaultTimeoutMs)
    for (const run of runs) {
      await this.publishRun(run, { ...bounds, timeoutMs: Math.max(0, endsAt - clock.monotonic()) })
    }
  }

  private publishRun(run: readonly Ready[], bounds: Bounds): Promise<void> {
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

  private broughtBy(run: readonly Ready[], bounds: Bounds, work: BrokerWork<void>): Promise<void> {
    const { task, id, way } = run[0] as Ready
    const what = (): string => (run.length === 1 ? `task ${task}[${id}]` : `${run.length} tasks`)
    return this.attempts.run(what, work, bounds, way.retry ? way.retryPolicy : undefined)
  }

  private async tellPublished(run: readonly Ready[]): Promise<void> {
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
  private declaringAll(open: OpenConnection, run: readonly Ready[]): Promise<void> | undefined {
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
    const { settings } = this.app
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

function sentOf(id: string, { destination, ignoreResult }: PreparedTask): Sent {
  const { queue, exchange, routingKey } = destination
  return { id, queue, exchange, routingKey, ignoreResult }
}

const plainly: PublishOptions = {}

function publishOptions(
  signal: AbortSignal | undefined,
  after: readonly Error[] | undefined,
): PublishOptions {
  if (signal === undefined) return plainly
  return after === undefined || after.length === 0 ? { signal } : { signal, after }
}
