import { listedSteps } from '../../protocol/carried-steps.js'
import type { MessageProperties } from '../../protocol/envelope.js'
import type { RequestInfo } from './context.js'
import type { RunnableTask, TaskOptions } from './host.js'
import type { TaskRequest } from './request.js'

/** What `self.request` shows for a received message (surface 2.2); `children` is the live list of the run. */
export function requestInfo(
  request: TaskRequest,
  task: RunnableTask,
  children: readonly unknown[],
): RequestInfo {
  const { message, body } = request
  const hasHeaders = Object.keys(message.headers).length > 0
  return {
    id: message.id,
    task: message.task,
    rootId: message.rootId,
    parentId: message.parentId,
    args: body.args,
    kwargs: body.kwargs,
    group: message.groupId,
    groupIndex: message.groupIndex,
    chord: body.chord,
    get chain() {
      return listedSteps(body.chain)
    },
    callbacks: body.callbacks,
    errbacks: body.errbacks,
    retries: message.retries,
    eta: message.eta,
    expires: message.expires,
    timelimit: [message.timeLimit, message.softTimeLimit],
    timeLimit: message.timeLimit,
    softTimeLimit: message.softTimeLimit,
    replyTo: message.replyTo,
    correlationId: message.correlationId,
    deliveryInfo: { ...request.deliveryInfo, isEager: request.isEager },
    properties: wireProperties(message.properties),
    headers: hasHeaders ? message.headers : undefined,
    hostname: request.hostname,
    origin: message.origin,
    argsRepr: message.argsRepr,
    kwargsRepr: message.kwargsRepr,
    shadow: message.shadow,
    ignoreResult: ignoresResult(request, task),
    isEager: request.isEager,
    calledDirectly: false,
    loglevel: undefined,
    logfile: undefined,
    replacedTaskNesting: message.replacedTaskNesting,
    stampedHeaders: message.stampedHeaders,
    stamps: message.stamps,
    children,
    utc: message.utc,
    lang: message.lang,
    compression: message.body.compression,
  }
}

/** True when the run stores no result: what the message says, else the task (surface TSK-051). */
export function ignoresResult(request: TaskRequest, task: RunnableTask): boolean {
  return request.message.ignoreResult ?? task.options.ignoreResult
}

/** `self.request` of a function that was called by itself (surface TSK-052): no message, so no ids. */
export function directRequestInfo(
  task: { readonly name: string; readonly options: Pick<TaskOptions, 'ignoreResult'> },
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  hostname: string,
): RequestInfo {
  return {
    id: '',
    task: task.name,
    rootId: '',
    parentId: undefined,
    args,
    kwargs,
    group: undefined,
    groupIndex: undefined,
    chord: undefined,
    chain: [],
    callbacks: [],
    errbacks: [],
    retries: 0,
    eta: undefined,
    expires: undefined,
    timelimit: [undefined, undefined],
    timeLimit: undefined,
    softTimeLimit: undefined,
    replyTo: undefined,
    correlationId: '',
    deliveryInfo: { exchange: '', routingKey: '', priority: undefined, redelivered: false, isEager: false },
    properties: {},
    headers: undefined,
    hostname,
    origin: undefined,
    argsRepr: '',
    kwargsRepr: '',
    shadow: undefined,
    ignoreResult: task.options.ignoreResult,
    isEager: false,
    calledDirectly: true,
    loglevel: undefined,
    logfile: undefined,
    replacedTaskNesting: 0,
    stampedHeaders: undefined,
    stamps: {},
    children: [],
    utc: true,
    lang: undefined,
    compression: undefined,
  }
}

/** AMQP's names for the basic properties (wire-format 1.1.2), in its order. */
const propertyNames = {
  correlationId: 'correlation_id',
  replyTo: 'reply_to',
  priority: 'priority',
  deliveryMode: 'delivery_mode',
  expiration: 'expiration',
  messageId: 'message_id',
  timestamp: 'timestamp',
  type: 'type',
  userId: 'user_id',
  appId: 'app_id',
  clusterId: 'cluster_id',
} as const satisfies Record<Exclude<keyof MessageProperties, 'extra'>, string>

function wireProperties(properties: MessageProperties): Readonly<Record<string, unknown>> {
  const wire: Record<string, unknown> = {}
  for (const [key, name] of Object.entries(propertyNames)) {
    const value = properties[key as keyof typeof propertyNames]
    if (value !== undefined) wire[name] = value
  }
  return { ...wire, ...properties.extra }
}
