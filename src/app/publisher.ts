/**
 * Sends task messages (`celery/app/base.py` send_task, `celery/app/amqp.py`, kombu's `Producer`).
 *
 * Rule 1: everything is routed and encoded before anything is sent: an error in one request sends none.
 * Rule 2: a publish ends within `timeoutMs` (default 5000, connecting and retries included) or when its signal aborts.
 * Rule 3: only connectivity is retried. A retry may send twice what the broker had already taken when its answer was
 *         lost: at least once, as in Celery.
 * Rule 4: messages of one call that share a retry policy reach the broker in one batch, in order.
 */

import { withoutDeathHeaders } from '../../protocol/custom-headers.js'
import type { Envelope } from '../../protocol/envelope.js'
import { propertiesFromWire, propertiesToWire } from '../../protocol/message-properties.js'
import type { Codec } from '../../protocol/serializers.js'
import { bodyTriple } from '../../protocol/task-body.js'
import { encodeTask, type TaskBody } from '../../protocol/task-message.js'
import { encodeRetry } from '../../protocol/task-retry.js'
import { linearDelayMs } from '../backoff.js'
import type { RetryPolicy, SendOptions } from '../canvas/send-options.js'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError, ConfigError, ConnectivityError } from '../errors.js'
import type { Resend } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'
import type { Logger } from '../logger.js'
import type { Signals } from '../signals.js'
import type { Address, Connection, Exchange, Outgoing } from '../transport/transport.js'
import { brokerOptions } from './config.js'
import { type ConnectionsDeps, type OpenConnection, PublishConnections } from './connections.js'
import {
  type Destination,
  destinationOf,
  etaOf,
  expiry,
  type PreparedTask,
  type Preparing,
  policyOf,
  prepareTask,
} from './outgoing-task.js'
import { type Queues, type TaskQueue, topologyOf } from './queues.js'
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

/** How long a call to the broker may take. */
export interface Bounds {
  /** Milliseconds, connecting included; default 5000. */
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Milliseconds that a publish may take when nobody says otherwise: Celery's default policy ends sooner. */
export const defaultTimeoutMs = 5000

interface Ready {
  readonly id: string
  readonly task: string
  readonly outgoing: Outgoing
  readonly body: unknown
  readonly declare: TaskQueue | undefined
  readonly retry: boolean
  readonly policy: RetryPolicy
}

/** Publishes for one app. */
export class Publisher {
  private readonly deps: PublisherDeps
  private readonly app: Preparing
  private readonly connections: PublishConnections
  /** Opens a connection for each use: what consumes must leave nothing behind on the shared one. */
  private readonly ownConnections: PublishConnections

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
    this.ownConnections = new PublishConnections({ ...how, poolLimit: 0 })
    this.app = {
      settings,
      queues: deps.queues,
      router: new Router(settings.taskRoutes, settings.taskDefaultQueue),
      zone: new ZonedTime(appZone(settings)),
      origin: deps.origin,
      replyTo: deps.replyTo,
    }
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
    const now = this.deps.clock.now()
    const prepared = requests.map((request) => {
      const id = request.options.taskId || this.deps.newId()
      return prepareTask(request, id, now, this.app)
    })
    const ready: Ready[] = []
    for (const task of prepared) {
      this.warnIfExpired(task)
      ready.push(await this.encoded(task))
    }
    await this.publishAll(ready, boundsOf(requests.map(({ options }) => options)))
    return prepared.map(({ fields, destination, ignoreResult }) => ({
      id: fields.id,
      queue: destination.queue,
      exchange: destination.exchange,
      routingKey: destination.routingKey,
      ignoreResult,
    }))
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
    const destination = destinationOf({ ...placeOf(deliveryInfo), ...places(options) }, this.app)
    const ready = await this.announced({
      id: message.id,
      task: message.task,
      outgoing: { envelope, to: addressOf(destination) },
      body: bodyTriple({
        ...request.body,
        args: change.args ?? request.body.args,
        kwargs: change.kwargs ?? request.body.kwargs,
      }),
      declare: destination.declare,
      retry: options.retry ?? this.app.settings.taskPublishRetry,
      policy: { ...policyOf(this.app.settings.taskPublishRetryPolicy), ...options.retryPolicy },
    })
    await this.publishAll([ready], boundsOf([options]))
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
    await this.bounded(options, options.what ?? 'a message', (signal) =>
      this.attempts(signal, this.app.settings.taskPublishRetry, this.defaultPolicy, async (open) => {
        const { exchange } = options
        if (exchange?.type === 'fanout') assertFanout(open.connection, open.displayUrl)
        if (exchange !== undefined) {
          await open.connection.declare({ exchanges: [exchange], queues: [], bindings: [] })
        }
        await this.declared(open, options.declare)
        await open.connection.publish([{ envelope, to, mandatory: false }], { signal })
      }),
    )
  }

  /**
   * Runs `work` with the publishing connection: purge, queue lengths. `what` names it in errors. Tried once. Throws
   * `BrokerUnavailableError`.
   */
  run<T>(what: string, work: (connection: Connection) => Promise<T>, bounds: Bounds = {}): Promise<T> {
    return this.bounded(bounds, what, (signal) =>
      this.connections.use(signal, (open) => work(open.connection)),
    )
  }

  /** As `run`, with a connection that is opened for `work` and closed after it. */
  runAlone<T>(what: string, work: (connection: Connection) => Promise<T>, bounds: Bounds = {}): Promise<T> {
    return this.bounded(bounds, what, (signal) =>
      this.ownConnections.use(signal, (open) => work(open.connection)),
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

  private get defaultPolicy(): RetryPolicy {
    return policyOf(this.app.settings.taskPublishRetryPolicy)
  }

  private warnIfExpired({ fields, expiredSeconds }: PreparedTask): void {
    if (expiredSeconds === undefined) return
    this.deps.logger.warn(
      { task_id: fields.id, task_name: fields.task },
      `${fields.id} has an expiration date in the past (${expiredSeconds}s ago). It is sent with an expiration of 0: ` +
        'brokers that know expiry drop it unless a consumer takes it at once. Check the code that sent the task.',
    )
  }

  private encode(task: PreparedTask, argsAsTuple: boolean, body: TaskBody): Envelope {
    const protocol = this.app.settings.taskProtocol === 1 ? 1 : 2
    const { serializer, compression, fields } = task
    const envelope = encodeTask(fields, body, {
      codec: this.deps.codec,
      serializer,
      compression,
      argsAsTuple,
      protocol,
    })
    if (protocol === 2 || fields.customHeaders === undefined) return envelope
    // protocol 1 has no headers but those of the caller (send_task_message: headers2.update)
    return { ...envelope, headers: { ...fields.customHeaders, ...envelope.headers } }
  }

  private async encoded(task: PreparedTask): Promise<Ready> {
    const envelope = this.encode(task, task.argsAsTuple, task.body)
    return this.announced(
      {
        id: task.fields.id,
        task: task.fields.task,
        outgoing: { envelope, to: addressOf(task.destination) },
        body: bodyTriple(task.body),
        declare: task.destination.declare,
        retry: task.retry,
        policy: task.retryPolicy,
      },
      // receivers may have changed args and kwargs in place
      () => this.encode(task, task.argsAsTuple, task.body),
    )
  }

  /** Lets receivers of before_task_publish change headers and properties (surface PUB-038, SIG-001). */
  private async announced(ready: Ready, again?: () => Envelope): Promise<Ready> {
    const { beforeTaskPublish } = this.deps.signals
    if (!beforeTaskPublish.hasReceivers) return ready
    const { envelope, to } = ready.outgoing
    const headers = { ...envelope.headers }
    const properties = { ...propertiesToWire(envelope.properties) }
    await beforeTaskPublish.send(ready.task, {
      body: ready.body,
      exchange: to.exchange,
      routingKey: to.routingKey,
      headers,
      properties,
      retryPolicy: ready.policy,
    })
    const changed: Envelope = {
      ...(again?.() ?? envelope),
      headers,
      properties: propertiesFromWire(properties),
    }
    return { ...ready, outgoing: { envelope: changed, to } }
  }

  private async publishAll(messages: readonly Ready[], bounds: Bounds): Promise<void> {
    const first = messages[0]
    if (first === undefined) return
    const what = messages.length === 1 ? `task ${first.task}[${first.id}]` : `${messages.length} tasks`
    await this.bounded(bounds, what, async (signal) => {
      for (const run of runsOf(messages)) await this.publishRun(run, signal)
    })
  }

  private async declared(open: OpenConnection, queue: TaskQueue | undefined): Promise<void> {
    if (queue === undefined) return
    try {
      await open.declareOnce(queue.name, () => topologyOf([queue]))
    } catch (error) {
      // A name that the broker refuses would fail every worker that consumes all queues of this app.
      if (error instanceof ConfigError) this.deps.queues.forget(queue.name)
      throw error
    }
  }

  private async publishRun(run: readonly Ready[], signal: AbortSignal): Promise<void> {
    const { retry, policy } = run[0] as Ready
    await this.attempts(signal, retry, policy, async (open) => {
      for (const { declare } of run) await this.declared(open, declare)
      await open.connection.publish(
        run.map(({ outgoing }) => outgoing),
        { signal },
      )
    })
    const { afterTaskPublish } = this.deps.signals
    if (!afterTaskPublish.hasReceivers) return
    for (const { task, outgoing, body } of run) {
      const { exchange, routingKey } = outgoing.to
      await afterTaskPublish.send(task, {
        body,
        headers: { ...outgoing.envelope.headers },
        exchange,
        routingKey,
      })
    }
  }

  private async attempts(
    signal: AbortSignal,
    retry: boolean,
    policy: RetryPolicy,
    work: (open: OpenConnection) => Promise<void>,
  ): Promise<void> {
    const most = retry
      ? policy.maxRetries === null
        ? Number.POSITIVE_INFINITY
        : (policy.maxRetries ?? 3)
      : 0
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.connections.use(signal, work)
      } catch (error) {
        const isFinal = signal.aborted || this.connections.isClosed || attempt >= most
        if (isFinal || !(error instanceof ConnectivityError)) throw error
        this.deps.logger.debug({ err: error, attempt: attempt + 1 }, 'publishing failed; trying again')
        await pause(this.deps.clock, delayMs(attempt, policy), signal)
      }
    }
  }

  /** Ends `work` in time, and says which publish failed and what to do. */
  private async bounded<T>(
    { timeoutMs = defaultTimeoutMs, signal }: Bounds,
    what: string,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted()
    const timeout = new AbortController()
    const cancel = this.deps.clock.after(timeoutMs, () => {
      timeout.abort(new BrokerUnavailableError(`no answer within ${timeoutMs} ms`))
    })
    const either = signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, signal])
    try {
      return await work(either)
    } catch (error) {
      if (!(error instanceof ConnectivityError)) throw error
      throw new BrokerUnavailableError(
        `The broker at ${this.displayUrl} did not take ${what}: ${error.message}. ` +
          'It may or may not have arrived. Check that the broker is up and that brokerUrl is right, then send again.',
        { cause: error },
      )
    } finally {
      cancel()
    }
  }
}

/** Throws `ConfigError` where nobody can be told at once (surface CTL-018). */
export function assertFanout({ capabilities }: Connection, displayUrl: string): void {
  if (capabilities.fanout) return
  throw new ConfigError(
    `The broker at ${displayUrl} has no fanout exchanges, so workers cannot be reached by remote control over it.`,
  )
}

function addressOf({ exchange, routingKey }: Destination): Address {
  return { exchange, routingKey }
}

/** The shortest bound of all, and any signal that is given. */
function boundsOf(options: readonly SendOptions[]): Bounds {
  const times = options.flatMap(({ timeoutMs }) => (timeoutMs === undefined ? [] : [timeoutMs]))
  const signals = [...new Set(options.flatMap(({ signal }) => (signal === undefined ? [] : [signal])))]
  return {
    timeoutMs: times.length > 0 ? Math.min(...times) : undefined,
    signal: signals.length > 1 ? AbortSignal.any(signals) : signals[0],
  }
}

/** Neighbours with the same retry policy travel together. */
function runsOf(messages: readonly Ready[]): readonly (readonly Ready[])[] {
  const runs: Ready[][] = []
  let before: string | undefined
  for (const message of messages) {
    const key = JSON.stringify([message.retry, message.policy])
    if (key === before) runs.at(-1)?.push(message)
    else runs.push([message])
    before = key
  }
  return runs
}

/** Kombu's `retry_over_time`, with Celery's default policy where the policy says nothing. */
function delayMs(attempt: number, policy: RetryPolicy): number {
  return linearDelayMs(attempt, {
    startMs: (policy.intervalStart ?? 0) * 1000,
    stepMs: (policy.intervalStep ?? 0.2) * 1000,
    maxMs: (policy.intervalMax ?? 1) * 1000,
  })
}

function definedTimes({ countdown, eta }: Resend): Pick<SendOptions, 'countdown' | 'eta'> {
  return { ...(countdown === undefined ? {} : { countdown }), ...(eta === undefined ? {} : { eta }) }
}

/** Back to where a message came from: through the default exchange its routing key is the queue (wire-format 1.4). */
function placeOf({ exchange, routingKey }: Address): SendOptions {
  return exchange === '' ? { queue: routingKey } : { exchange, routingKey }
}

function places({ queue, exchange, exchangeType, routingKey, deliveryMode }: SendOptions): SendOptions {
  const given = Object.entries({ queue, exchange, exchangeType, routingKey, deliveryMode })
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as SendOptions
}

/** What `retry()` was given besides times and arguments, as fields of the message. */
function retryFields(
  options: SendOptions,
  expires: string | undefined,
  headers: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { priority, timeLimit, softTimeLimit, shadow, replyTo, groupId, groupIndex, ignoreResult } = options
  const fields = {
    expires,
    priority: priority ?? undefined,
    timeLimit,
    softTimeLimit,
    shadow,
    replyTo,
    groupId,
    groupIndex,
    ignoreResult,
    customHeaders: options.headers && { ...withoutDeathHeaders(headers), ...options.headers },
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
