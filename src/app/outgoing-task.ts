/**
 * From a send request to what goes on the wire and where (`celery/app/base.py` send_task, `celery/app/amqp.py`
 * as_task_v2 and send_task_message). Pure: the time and the id come in.
 *
 * Rule 1: call options win over the task's own, which win over routes (surface PUB-039).
 * Rule 2: a queue on a direct exchange is reached through the default exchange, unless exchange and routing key are
 *         both given (surface PUB-054).
 * Rule 3: a message that no queue could get is refused here, where Celery would lose it.
 */
import { CarriedSteps } from '../../protocol/carried-steps.js'
import { isoToEpochMs, parseIsoDateTime } from '../../protocol/iso-time.js'
import type { TaskBody, TaskFields } from '../../protocol/task-message.js'
import { dateToIso } from '../../protocol/values.js'
import type { Linkable, RetryPolicy, SendOptions } from '../canvas/send-options.js'
import { linkables, signatureDataOf } from '../canvas/wire-options.js'
import { InvalidArgumentError } from '../errors.js'
import { delayedAddress } from './native-delay.js'
import { deliveryModeOf, type Queues, type TaskQueue } from './queues.js'
import type { Router } from './router.js'
import type { SendRequest } from './send-request.js'
import type { Settings } from './settings.js'
import type { ZonedTime } from './zoned-time.js'

/** What preparing needs from the app. */
export interface Preparing {
  readonly settings: Settings
  readonly queues: Queues
  readonly router: Router
  readonly zone: ZonedTime
  /** `gen<pid>@<host>`. */
  readonly origin: string
  /** The queue where an rpc backend waits; sent with every task, as Celery does. */
  readonly replyTo: string
  /** `task_publish_retry_policy` in our names. */
  readonly retryPolicy: RetryPolicy
  /** The broker keeps delayed messages (`delaysInBroker`). */
  readonly delaysInBroker: boolean
}

/** Where a message goes, and what is declared before. */
export interface Destination {
  readonly exchange: string
  readonly routingKey: string
  /** Name of the queue that was asked for. */
  readonly queue: string | undefined
  readonly declare: TaskQueue | undefined
  readonly deliveryMode: 1 | 2
  /** Who keeps a delayed message until its time, where the broker could: see `native-delay.ts`. */
  readonly delayedBy?: 'broker' | 'worker'
}

/** A task message before it is encoded. */
export interface PreparedTask {
  readonly fields: TaskFields
  readonly body: TaskBody
  readonly serializer: string
  readonly compression: string | undefined
  readonly destination: Destination
  readonly ignoreResult: boolean
  readonly argsAsTuple: boolean
  readonly retry: boolean
  readonly retryPolicy: RetryPolicy
  /** Set when `expires` lies in the past: seconds ago. */
  readonly expiredSeconds: number | undefined
}

/** Earliest offset that Celery takes (`amqp.py`, `INT_MIN`). */
const earliestSeconds = -2147483648
/** Past the year 9999 neither Python nor ISO text goes; this is safely before it. */
const latestSeconds = 7900 * 365 * 86_400

/** Decides everything about one message. Throws `InvalidArgumentError`, `QueueNotFoundError`, `EncodeError`. */
export function prepareTask(request: SendRequest, id: string, nowMs: number, app: Preparing): PreparedTask {
  const { args, kwargs, name } = request
  checkArguments(request)
  const asked = merged(request.taskDefaults, request.options)
  const options = app.router.route(asked.routeName ?? name, args, kwargs, asked)
  const destination = delayedDestination(destinationOf(options, app), options, nowMs, app)
  const expires = expiry(options.expires, nowMs, app.zone)
  const fields: TaskFields = {
    id,
    task: name,
    shadow: options.shadow,
    eta: etaOf(options, nowMs, app.zone),
    expires: expires?.iso,
    groupId: options.groupId,
    groupIndex: options.groupIndex,
    retries: options.retries,
    timeLimit: limit(options.timeLimit, 'timeLimit'),
    softTimeLimit: limit(options.softTimeLimit, 'softTimeLimit'),
    rootId: options.rootId || request.current?.rootId || request.current?.id,
    parentId: options.parentId || request.current?.id,
    argsRepr: options.argsRepr,
    kwargsRepr: options.kwargsRepr,
    origin: options.origin ?? app.origin,
    ignoreResult: options.ignoreResult ?? false,
    replacedTaskNesting: options.replacedTaskNesting,
    stampedHeaders: options.stampedHeaders ?? (options.stamps ? Object.keys(options.stamps) : undefined),
    stamps: options.stamps,
    utc: app.settings.enableUtc,
    // an empty one is none (`reply_to or self.thread_oid`)
    replyTo: options.replyTo || app.replyTo,
    correlationId: options.correlationId,
    priority: priorityOf(request, options, app.settings),
    deliveryMode: destination.deliveryMode,
    expiration: expires ? expires.expiration : expirationText(options.properties?.['expiration']),
    properties: options.properties && withoutExpiration(options.properties),
    customHeaders: options.headers,
  }
  return {
    fields,
    body: bodyOf(args, kwargs, options),
    serializer: options.serializer ?? app.settings.taskSerializer,
    compression: options.compression ?? app.settings.taskCompression ?? undefined,
    destination,
    ignoreResult: options.ignoreResult ?? false,
    // `args or ()`: no arguments are an empty tuple however they were given
    argsAsTuple: request.argsAsTuple || args.length === 0,
    retry: options.retry ?? app.settings.taskPublishRetry,
    retryPolicy: options.retryPolicy ? { ...app.retryPolicy, ...options.retryPolicy } : app.retryPolicy,
    expiredSeconds: expires?.expiredSeconds,
  }
}

/** Where options lead (`send_task_message`). Throws `QueueNotFoundError`, `InvalidArgumentError`. */
export function destinationOf(
  options: SendOptions,
  { queues, settings }: Pick<Preparing, 'queues' | 'settings'>,
): Destination {
  const isNowhere = options.queue === undefined && !options.exchange
  const name = isNowhere ? settings.taskDefaultQueue : options.queue
  const queue = name === undefined ? undefined : queues.get(name)
  const type = options.exchangeType ?? queue?.exchange.type ?? 'direct'
  const mode = options.deliveryMode ?? queue?.exchange.deliveryMode ?? settings.taskDefaultDeliveryMode
  const deliveryMode = deliveryModeOf(mode)
  const declare = queue === undefined || queue.isBroadcast ? undefined : queue
  const to = (exchange: string, routingKey: string): Destination => {
    return { exchange, routingKey, queue: queue?.name, declare, deliveryMode }
  }
  if ((!options.exchange || !options.routingKey) && type === 'direct') {
    if (queue === undefined) {
      throw new InvalidArgumentError(
        `A direct exchange ('${options.exchange}') without a routing key reaches no queue: give routingKey, or queue.`,
      )
    }
    return to('', queue.name)
  }
  if (options.exchange !== undefined) return to(options.exchange, options.routingKey ?? '')
  return to(
    queue?.exchange.name || settings.taskDefaultExchange,
    options.routingKey || queue?.routingKey || settings.taskDefaultRoutingKey,
  )
}

/** Where a message with a delay goes: the broker's own delays, when it has them for this exchange (PUB-084 to PUB-086). */
export function delayedDestination(
  destination: Destination,
  options: Pick<SendOptions, 'countdown' | 'eta' | 'exchangeType' | 'routingKey'>,
  nowMs: number,
  app: Pick<Preparing, 'delaysInBroker' | 'queues'>,
): Destination {
  const { countdown, eta } = options
  if ((!countdown && !eta) || !app.delaysInBroker) return destination
  const seconds =
    countdown || !eta
      ? (countdown ?? 0)
      : ((eta instanceof Date ? eta.getTime() : isoToEpochMs(checkedIso(eta, 'eta'))) - nowMs) / 1000
  if (seconds <= 0) return destination
  const queue = destination.queue === undefined ? undefined : app.queues.find(destination.queue)
  if ((queue?.exchange.type ?? options.exchangeType ?? 'direct') === 'direct')
    return { ...destination, delayedBy: 'worker' }
  const address = delayedAddress(seconds, queue?.routingKey ?? destination.routingKey)
  return address === undefined ? destination : { ...destination, ...address, delayedBy: 'broker' }
}

/** The `eta` header: countdown wins and 0 means none; a moment is written in UTC, text as it is (PUB-003 to PUB-005). */
export function etaOf(
  options: Pick<SendOptions, 'countdown' | 'eta'>,
  nowMs: number,
  zone: ZonedTime,
): string | undefined {
  const { countdown } = options
  if (countdown !== undefined && countdown !== null && countdown !== 0)
    return zone.iso(nowMs + seconds(countdown, 'countdown') * 1000)
  if (!options.eta) return undefined
  return options.eta instanceof Date ? dateToIso(options.eta) : checkedIso(options.eta, 'eta')
}

/** The `expires` header, and what is left of it as the `expiration` property (surface PUB-006). */
export function expiry(
  expires: SendOptions['expires'],
  nowMs: number,
  zone: ZonedTime,
):
  | { readonly iso: string; readonly expiration: string; readonly expiredSeconds: number | undefined }
  | undefined {
  if (expires === undefined || expires === null) return undefined
  const iso =
    typeof expires === 'number'
      ? zone.iso(nowMs + seconds(expires, 'expires') * 1000)
      : expires instanceof Date
        ? dateToIso(expires)
        : checkedIso(expires, 'expires')
  const left = typeof expires === 'number' ? expires : (isoToEpochMs(iso) - nowMs) / 1000
  return {
    iso,
    expiration: String(Math.trunc(Math.max(0, left) * 1000)),
    expiredSeconds: left < 0 ? -left : undefined,
  }
}

/** `task_publish_retry_policy` in our names; unknown keys of kombu's `ensure` are left out. */
export function policyOf(policy: Readonly<Record<string, unknown>>): RetryPolicy {
  const { max_retries: retries, interval_start: start, interval_step: step, interval_max: max } = policy
  return {
    ...(typeof retries === 'number' || retries === null ? { maxRetries: retries } : {}),
    ...(typeof start === 'number' ? { intervalStart: start } : {}),
    ...(typeof step === 'number' ? { intervalStep: step } : {}),
    ...(typeof max === 'number' ? { intervalMax: max } : {}),
  }
}

/** What was given wins; undefined is not given, null takes a default away (surface PUB-008). */
function merged(defaults: SendOptions, options: SendOptions): SendOptions {
  // what is undefined is dropped later; it must only not hide a default
  if (isEmpty(defaults)) return options
  const all: Record<string, unknown> = { ...defaults }
  for (const name in options) {
    const value: unknown = options[name as keyof SendOptions]
    if (value !== undefined) all[name] = value
  }
  return all
}

function isEmpty(record: object): boolean {
  for (const _ in record) return false
  return true
}

function checkArguments({ name, args, kwargs }: SendRequest): void {
  if (typeof name !== 'string' || name === '') {
    throw new InvalidArgumentError(
      `A task is sent by its name, such as 'shop.add', not by ${JSON.stringify(name) ?? kind(name)}.`,
    )
  }
  if (!Array.isArray(args)) {
    throw new InvalidArgumentError(`${name}: task args must be a list or tuple, not ${kind(args)}`)
  }
  if (typeof kwargs !== 'object' || kwargs === null || Array.isArray(kwargs)) {
    throw new InvalidArgumentError(`${name}: task keyword arguments must be a mapping, not ${kind(kwargs)}`)
  }
}

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value
}

const none: TaskBody['callbacks'] = []

function bodyOf(
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  options: SendOptions,
): TaskBody {
  return {
    args,
    kwargs,
    callbacks: options.link === undefined ? none : linkables(options.link).map(signatureDataOf),
    errbacks: options.linkError === undefined ? none : linkables(options.linkError).map(signatureDataOf),
    chain: options.chain === undefined ? none : stepsOf(options.chain),
    ...(options.chain?.length === 0 ? { endsChain: true } : {}),
    chord: options.chord === undefined ? undefined : signatureDataOf(options.chord),
  }
}

function stepsOf(chain: NonNullable<SendOptions['chain']>): TaskBody['chain'] {
  return chain instanceof CarriedSteps ? chain : Array.from(chain as Iterable<Linkable>, signatureDataOf)
}

/** A child without a priority of its own takes its parent's, where the setting says so (surface PUB-067). */
function priorityOf(request: SendRequest, options: SendOptions, settings: Settings): number | undefined {
  const own = options.priority ?? undefined
  if (own !== undefined && !Number.isInteger(own)) {
    throw new InvalidArgumentError(`priority is a whole number, not ${JSON.stringify(own) ?? kind(own)}`)
  }
  const isChild = !options.rootId || !options.parentId
  if (own !== undefined || !settings.taskInheritParentPriority || !isChild) return own
  return request.current?.priority
}

/** A worker drops a task whose limit is no number, and one that is NaN never comes to pass. */
function limit<T extends number | null | undefined>(value: T, what: string): T {
  if (value !== undefined && value !== null && (typeof value !== 'number' || Number.isNaN(value))) {
    throw new InvalidArgumentError(
      `${what} is a number of seconds, not ${JSON.stringify(value) ?? typeof value}`,
    )
  }
  return value
}

function seconds(value: number, what: string): number {
  if (!Number.isFinite(value) || value < earliestSeconds || value > latestSeconds) {
    throw new InvalidArgumentError(`${what} is out of range: ${value}`)
  }
  return value
}

/** Text goes out as it came, but a worker would drop a task whose text it cannot read. */
function checkedIso(text: string, what: string): string {
  try {
    parseIsoDateTime(text)
    return text
  } catch (cause) {
    throw new InvalidArgumentError(`${what} is not a date and time in ISO 8601: ${JSON.stringify(text)}`, {
      cause,
    })
  }
}

/** It has a field of its own. */
function withoutExpiration({ expiration: _, ...others }: Readonly<Record<string, unknown>>): typeof others {
  return others
}

/** Kombu's `expiration` option is seconds; text is taken for milliseconds, as on the wire. */
function expirationText(given: unknown): string | undefined {
  if (typeof given === 'number') return String(Math.trunc(given * 1000))
  return typeof given === 'string' ? given : undefined
}
