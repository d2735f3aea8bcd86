/**
 * A task's options: what a definition may say, and what they come to with settings, base and annotations
 * (`celery/app/task.py` Task and `from_config`; surface 2.1).
 *
 * Rule 1: definition, then base, then settings, then Celery's default; annotations win over all of them.
 * Rule 2: what a call sends by itself are exactly the execution options of surface TSK-025, where they are not null.
 */
import type { SendOptions } from '../canvas/send-options.js'
import type { TaskContext } from '../execution/context.js'
import type { TaskHandlers, TaskOptions } from '../execution/host.js'
import type { StandardSchema } from './schema.js'
import type { Settings } from './settings.js'

/** Execution options that only publishing looks at. */
export interface PublishOptions {
  readonly mandatory: boolean | null
  readonly immediate: boolean | null
}

/** Options that a definition, a base and an annotation may set; times are seconds. */
export type SharedOptions = {
  readonly [K in keyof (TaskOptions & PublishOptions)]?: (TaskOptions & PublishOptions)[K] | undefined
} & {
  /** Default true: arguments are checked before the task is sent from here (surface TSK-004). */
  readonly typing?: boolean
  /** How the task is called as an errback: `id` (default) with the failed task's id, `request` with its request, error and traceback. */
  readonly errbackStyle?: 'id' | 'request'
}

/** What a task base offers its tasks; see `TaskBase`. */
export type BaseClass<B extends object> = new () => B

/** What `app.task` takes between the name and the function. */
export interface TaskDefinition<
  P extends readonly string[] = readonly string[],
  B extends object = object,
  A extends readonly unknown[] = readonly unknown[],
> extends SharedOptions,
    TaskHandlers {
  /**
   * Names of the parameters, for callers that use keyword arguments; `'size?'` may be left out. Without it keyword
   * arguments only reach `self.request.kwargs`.
   */
  readonly params?: P
  /** Options, handlers and methods shared with other tasks; `self` has its methods. */
  readonly base?: BaseClass<B>
  /** Checks the positional arguments, once keyword arguments are in their places; what it gives back is used. */
  readonly args?: StandardSchema<unknown, A>
  /** Checks the keyword arguments as they came; what it gives back is used. */
  readonly kwargs?: StandardSchema<unknown, Readonly<Record<string, unknown>>>
  /** Checks what the function returns; what it gives back is stored. */
  readonly result?: StandardSchema
  /** Default false: `args` and `kwargs` are also checked before the task is sent from here. */
  readonly validateOnSend?: boolean
  /** The name that monitors show for a call (surface TSK-097). */
  shadowName?(
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
    options: SendOptions,
  ): string | undefined
}

/** A function that runs with `self` or without. */
export type TaskFunction = (...args: never[]) => unknown

/** Everything that decides how a task runs, after settings and base, before and after annotations. */
export interface TaskParts {
  readonly options: TaskOptions & PublishOptions
  readonly handlers: TaskHandlers
  readonly run: TaskFunction
  readonly typing: boolean
  readonly errbackStyle: 'id' | 'request'
}

const handlerNames = ['beforeStart', 'onSuccess', 'onFailure', 'onRetry', 'afterReturn'] as const

/** Options with every default filled in. */
export function resolveOptions(
  definition: SharedOptions,
  shared: SharedOptions,
  conf: Settings,
): TaskOptions & PublishOptions {
  const defaults: TaskOptions & PublishOptions = {
    bind: false,
    maxRetries: 3,
    defaultRetryDelay: 180,
    rateLimit: conf.taskDefaultRateLimit,
    ignoreResult: conf.taskIgnoreResult,
    trail: true,
    sendEvents: true,
    storeErrorsEvenIfIgnored: conf.taskStoreErrorsEvenIfIgnored,
    serializer: conf.taskSerializer,
    timeLimit: null,
    softTimeLimit: null,
    trackStarted: conf.taskTrackStarted,
    acksLate: conf.taskAcksLate,
    acksOnFailureOrTimeout: conf.taskAcksOnFailureOrTimeout,
    acksOnFailure: conf.taskAcksOnFailure,
    acksOnTimeout: conf.taskAcksOnTimeout,
    rejectOnWorkerLost: conf.taskRejectOnWorkerLost ?? false,
    throws: [],
    expires: null,
    priority: conf.taskDefaultPriority,
    resultReprMaxsize: 1024,
    autoretryFor: [],
    dontAutoretryFor: [],
    retryKwargs: {},
    retryBackoff: false,
    retryBackoffMax: 600,
    retryJitter: true,
    storeEagerResult: conf.taskStoreEagerResult,
    queue: null,
    exchange: null,
    routingKey: null,
    deliveryMode: null,
    compression: null,
    mandatory: null,
    immediate: null,
  }
  return { ...defaults, ...knownOptions(shared, defaults), ...knownOptions(definition, defaults) }
}

/** The handlers of a definition, and those of its base where the definition has none. */
export function resolveHandlers(
  definition: TaskHandlers,
  base: TaskHandlers | undefined,
  selfFor: (context: TaskContext) => TaskContext,
): TaskHandlers {
  const handlers: Record<string, unknown> = {}
  for (const name of handlerNames) {
    const owner = definition[name] === undefined ? base : definition
    const handler = owner?.[name] as ((self: TaskContext, ...rest: unknown[]) => unknown) | undefined
    if (handler === undefined) continue
    handlers[name] = (context: TaskContext, ...rest: unknown[]) =>
      handler.call(owner, selfFor(context), ...rest)
  }
  return handlers as TaskHandlers
}

/** What a call of the task sends by itself (surface TSK-024, TSK-025); null means nothing. */
export function executionDefaults(options: TaskOptions & PublishOptions): SendOptions {
  const { queue, routingKey, exchange, priority, expires, serializer, deliveryMode, compression } = options
  const { timeLimit, softTimeLimit, immediate, mandatory, ignoreResult } = options
  const all = {
    queue,
    routingKey,
    exchange,
    priority,
    expires,
    serializer,
    deliveryMode,
    compression,
    timeLimit,
    softTimeLimit,
    immediate,
    mandatory,
    ignoreResult,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as SendOptions
}

function knownOptions(given: SharedOptions, known: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given).filter(([name, value]) => value !== undefined && name in known),
  )
}
