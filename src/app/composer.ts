/**
 * Makes task messages: routed, encoded, and shown to the receivers of before_task_publish (`celery/app/base.py` send_task,
 * `celery/app/amqp.py` as_task_v2). Nothing is sent here, and no broker is asked.
 *
 * Rule 1: all messages of one call are made before the first is handed on: an error in one request sends none.
 * Rule 2: a call for which there is a plan (plans.ts) is not worked out again: what a signal's receiver could change or
 *         see has no plan.
 */
import type { Envelope } from '../../protocol/envelope.js'
import { propertiesFromWire, propertiesToWire } from '../../protocol/message-properties.js'
import type { Codec } from '../../protocol/serializers.js'
import { bodyTriple } from '../../protocol/task-body.js'
import { encodeTask } from '../../protocol/task-message.js'
import type { Clock } from '../clock.js'
import type { Resend } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'
import type { Logger } from '../logger.js'
import type { Signals } from '../signals.js'
import { delaysInBroker } from './native-delay.js'
import { type PreparedTask, type Preparing, policyOf, prepareTask } from './outgoing-task.js'
import { Plans } from './plans.js'
import type { Queues } from './queues.js'
import type { ReadyMessage } from './ready-message.js'
import { retryMessage } from './retry-message.js'
import { Router } from './router.js'
import type { SendRequest, Sent } from './send-request.js'
import type { Settings } from './settings.js'
import { appZone, ZonedTime } from './zoned-time.js'

/** What messages are made with; the app provides it. */
export interface ComposerDeps {
  readonly settings: Settings
  readonly queues: Queues
  readonly codec: Codec
  /** Broker URLs for publishing (`brokerUrls(settings, 'write')`): of RabbitMQ's, delays may be the broker's. */
  readonly urls: readonly string[]
  readonly signals: Pick<Signals, 'beforeTaskPublish' | 'afterTaskPublish'>
  readonly clock: Clock
  readonly logger: Logger
  /** `gen<pid>@<host>` (surface PUB-037). */
  readonly origin: string
  /** Sent as `reply_to` where a call gives none: the app's own id, a UUID (surface PUB-017). */
  readonly replyTo: string
  readonly newId: () => string
}

/** The messages of one call, and what is told of them once they are sent. */
export interface Composed {
  readonly ready: readonly ReadyMessage[]
  readonly sent: readonly Sent[]
}

/** Makes the messages of one app. */
export class Composer {
  private readonly deps: ComposerDeps
  private readonly app: Preparing
  private readonly plans: Plans

  /** Throws `ConfigError` for routes or a zone that cannot be used. */
  constructor(deps: ComposerDeps) {
    const { settings } = deps
    this.deps = deps
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

  /**
   * Everything about these messages; what they were made of is let go of, since many may wait for their answers. For
   * where nobody receives before_task_publish. Throws `InvalidArgumentError`, `QueueNotFoundError`, `EncodeError`.
   */
  compose(requests: readonly SendRequest[]): Composed {
    const now = this.deps.clock.now()
    const { beforeTaskPublish, afterTaskPublish } = this.deps.signals
    const mayPlan = !beforeTaskPublish.hasReceivers && !afterTaskPublish.hasReceivers
    const ready: ReadyMessage[] = []
    const sent: Sent[] = []
    for (const request of requests) {
      const plan = mayPlan ? this.plans.of(request) : undefined
      const id = this.idOf(request)
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

  /** As `compose`, and shown to the receivers of before_task_publish. */
  async composeAndAnnounce(requests: readonly SendRequest[]): Promise<Composed> {
    const now = this.deps.clock.now()
    const tasks = requests.map((request) => prepareTask(request, this.idOf(request), now, this.app))
    const ready = tasks.map((task) => this.encoded(task))
    const sent = tasks.map((task) => sentOf(task.fields.id, task))

    const announced: ReadyMessage[] = []
    for (const [at, task] of tasks.entries()) {
      // receivers may have changed args and kwargs in place
      announced.push(await this.announced(ready[at] as ReadyMessage, () => this.encode(task)))
    }
    return { ready: announced, sent }
  }

  /** The message of `request` again as a retry (retry-message.ts), announced as every message is. Throws as `compose` does. */
  composeRetry(request: TaskRequest, change: Resend): Promise<ReadyMessage> {
    const { clock, codec } = this.deps
    return this.announced(retryMessage(request, change, clock.now(), codec, this.app))
  }

  private idOf({ options, id }: SendRequest): string {
    return options.taskId || id || this.deps.newId()
  }

  private encoded(task: PreparedTask): ReadyMessage {
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

  private encode({ serializer, compression, fields, argsAsTuple, body }: PreparedTask): Envelope {
    const protocol = this.app.settings.taskProtocol === 1 ? 1 : 2
    const how = { codec: this.deps.codec, serializer, compression, argsAsTuple, protocol } as const
    const envelope = encodeTask(fields, body, how)
    if (protocol === 2 || fields.customHeaders === undefined) return envelope
    // protocol 1 has no headers but those of the caller (send_task_message: headers2.update)
    return { ...envelope, headers: { ...fields.customHeaders, ...envelope.headers } }
  }

  private warnIfExpired({ fields, expiredSeconds }: PreparedTask): void {
    if (expiredSeconds === undefined) return
    this.deps.logger.warn(
      { task_id: fields.id, task_name: fields.task },
      `${fields.id} has an expiration date in the past (${expiredSeconds}s ago). It is sent with an expiration of 0: ` +
        'brokers that know expiry drop it unless a consumer takes it at once. Check the code that sent the task.',
    )
  }

  private warnIfKept({ fields, destination }: PreparedTask): void {
    if (destination.delayedBy !== 'worker') return
    this.deps.logger.warn(
      { task_id: fields.id, task_name: fields.task, queue: destination.queue },
      'Direct exchanges are not supported with native delayed delivery: a worker keeps this task until its time. ' +
        'Give the queue a topic or fanout exchange.',
    )
  }

  /** Lets receivers of before_task_publish change headers and properties (surface PUB-038, SIG-001). */
  private async announced(message: ReadyMessage, again?: () => Envelope): Promise<ReadyMessage> {
    const { beforeTaskPublish } = this.deps.signals
    if (!beforeTaskPublish.hasReceivers || message.body === undefined) return message
    const { envelope, to } = message.outgoing
    const headers = { ...envelope.headers }
    const properties = { ...propertiesToWire(envelope.properties) }
    await beforeTaskPublish.send(message.task, {
      body: bodyTriple(message.body),
      exchange: to.exchange,
      routingKey: to.routingKey,
      headers,
      properties,
      retryPolicy: message.way.retryPolicy,
    })
    const changed: Envelope = {
      ...(again?.() ?? envelope),
      headers,
      properties: propertiesFromWire(properties),
    }
    return { ...message, outgoing: { envelope: changed, to } }
  }
}

function sentOf(id: string, { destination, ignoreResult }: PreparedTask): Sent {
  const { queue, exchange, routingKey } = destination
  return { id, queue, exchange, routingKey, ignoreResult }
}
