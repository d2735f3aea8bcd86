/**
 * From calls of tasks to the results that one waits for: what the publisher does, and beside it what the result backend,
 * the interceptors and the task that sends must know of it.
 *
 * Rule 1: the backend expects a result before its message goes out: it may be there before the broker has answered.
 * Rule 2: what is sent counts as under way until the broker has answered, so that closing the app lets it go out.
 * Rule 3: the running task is asked for once, when a call comes in: after a wait it may be another one's turn.
 */
import { AsyncResult } from '../backend/async-result.js'
import type { ResultContext } from '../backend/result-context.js'
import type { SendOptions } from '../canvas/send-options.js'
import type { Call } from '../canvas/signature-app.js'
import { InvalidArgumentError } from '../errors.js'
import { currentTask, type TaskContext } from '../execution/context.js'
import type { PreparedCalls } from '../execution/host.js'
import type { Interceptors } from './interceptors.js'
import type { PreparedMessages, Publisher } from './publisher.js'
import type { SendRequest, Sent } from './send-request.js'
import type { Settings } from './settings.js'
import type { TaskRegistry } from './task-registry.js'
import type { UnderWay } from './under-way.js'

/** What sending needs of the app. */
export interface CallsApp extends ResultContext {
  readonly conf: Pick<Settings, 'brokerReadUrl' | 'brokerWriteUrl'>
  readonly tasks: TaskRegistry
  readonly interceptors: Interceptors
  readonly publisher: Publisher
  readonly sending: UnderWay
  readonly newId: () => string
}

/** Sends the calls of one app. */
export class Calls {
  private readonly app: CallsApp

  constructor(app: CallsApp) {
    this.app = app
  }

  /** Sends a call; `taskDefaults` are the options of its task. Throws what `Publisher.send` does. */
  async send(call: Call, taskDefaults: SendOptions): Promise<AsyncResult<unknown>> {
    const { app } = this
    app.sending.begin()
    try {
      const context = currentTask()
      const request = this.requestOf(call, taskDefaults, context)
      const expected = this.expected(request, context)
      if (expected !== undefined) await expected
      if (app.interceptors.wrapPublishing) {
        const sent = await app.interceptors.publish(request, (one) => app.publisher.sendOne(one))
        return this.resultOf(request, sent, context)
      }
      const begun = app.publisher.begin(request)
      if (begun === undefined) return this.resultOf(request, await app.publisher.sendOne(request), context)
      await begun.published
      return this.resultOf(request, begun.sent, context)
    } finally {
      app.sending.end()
    }
  }

  /** `send` for many, in one batch: all are routed and encoded before anything is sent. */
  async sendMany(
    calls: readonly Call[],
    taskDefaults: SendOptions,
  ): Promise<readonly AsyncResult<unknown>[]> {
    const context = currentTask()
    return this.publish(
      calls.map((call) => this.requestOf(call, taskDefaults, context)),
      context,
    )
  }

  /** `sendMany`, each by its task's own rules where that is registered here (`SignatureApp.dispatchMany`). */
  async dispatchMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]> {
    const context = currentTask()
    return this.publish(await this.requestsOf(calls, context), context)
  }

  /** See `Host.prepareMany`: also undefined where tasks are sent to another broker than they are received from. */
  prepareMany(calls: readonly Call[]): PreparedCalls | undefined | Promise<PreparedCalls | undefined> {
    const requests = this.requestsOf(calls, currentTask())
    return requests instanceof Promise ? requests.then((all) => this.prepared(all)) : this.prepared(requests)
  }

  private prepared(
    requests: readonly SendRequest[],
  ): PreparedCalls | undefined | Promise<PreparedCalls | undefined> {
    const { conf, interceptors, publisher } = this.app
    const isOneBroker = String(conf.brokerReadUrl) === String(conf.brokerWriteUrl)
    if (!isOneBroker || interceptors.wrapPublishing) return undefined
    const prepared = publisher.prepare(requests)
    return prepared instanceof Promise
      ? prepared.then((messages) => messages && this.withTrail(messages, requests))
      : prepared && this.withTrail(prepared, requests)
  }

  private withTrail({ messages, sent }: PreparedMessages, requests: readonly SendRequest[]): PreparedCalls {
    const trail = sent.flatMap(({ id, ignoreResult }, at) => {
      const isChild = requests[at]?.options.addToParent !== false
      return isChild ? [new AsyncResult(id, this.app, { ignored: ignoreResult })] : []
    })
    return { messages, trail }
  }

  private publish(
    requests: readonly SendRequest[],
    context: TaskContext | undefined,
  ): Promise<readonly AsyncResult<unknown>[]> {
    return this.app.sending.track(this.publishNow(requests, context))
  }

  private async publishNow(
    requests: readonly SendRequest[],
    context: TaskContext | undefined,
  ): Promise<readonly AsyncResult<unknown>[]> {
    const { app } = this
    // Who sends a chord waits for its body; Celery has the store tell of every part, too, which is most of what that costs.
    const expected = requests.map((one) => (one.options.chord ? undefined : this.expected(one, context)))
    if (expected.some((one) => one !== undefined)) await Promise.all(expected)
    const sent = await app.interceptors.publishMany(requests, (all) => app.publisher.send(all))
    return sent.map((one, at) => this.resultOf(requests[at] as SendRequest, one, context))
  }

  /** A promise only where a schema takes its time. */
  private requestsOf(
    calls: readonly Call[],
    context: TaskContext | undefined,
  ): readonly SendRequest[] | Promise<readonly SendRequest[]> {
    const requests = calls.map((call) => {
      const task = this.app.tasks.get(call.name)
      if (task === undefined) return this.requestOf(call, {}, context)
      const ready = task.prepared(call)
      const defaults = task.sendDefaults
      return ready instanceof Promise
        ? ready.then((one) => this.requestOf(one, defaults, context))
        : this.requestOf(ready, defaults, context)
    })
    return requests.some((one) => one instanceof Promise)
      ? Promise.all(requests)
      : (requests as readonly SendRequest[])
  }

  private requestOf(call: Call, taskDefaults: SendOptions, context: TaskContext | undefined): SendRequest {
    const { name, args, kwargs, argsAsTuple } = call
    const id = checkedId(call.options.taskId) || this.app.newId()
    // A wrap may change the id where it finds the other options; without one, a handle's own options stay as they are.
    const options = this.app.interceptors.wrapPublishing ? { ...call.options, taskId: id } : call.options
    return { name, id, args, kwargs, argsAsTuple, options, taskDefaults, current: currentOf(context) }
  }

  /** Nobody waits inside a task, so nothing is listened to for its sub-tasks (surface RES-023). */
  private expected(
    { id, options, taskDefaults }: SendRequest,
    context: TaskContext | undefined,
  ): Promise<void> | undefined {
    const ignoreResult = options.ignoreResult ?? taskDefaults.ignoreResult ?? false
    return ignoreResult || context !== undefined ? undefined : this.app.backend.expect?.(id as string)
  }

  private resultOf(request: SendRequest, sent: Sent, context: TaskContext | undefined): AsyncResult<unknown> {
    const result = new AsyncResult(sent.id, this.app, { ignored: sent.ignoreResult })
    if (request.options.addToParent !== false) context?.addTrail(result)
    return result
  }
}

/** Before anything is sent: a result could not be waited for under what is no text. */
function checkedId(id: unknown): string | undefined {
  if (id === undefined || id === null) return undefined
  if (typeof id === 'string') return id
  throw new InvalidArgumentError(`taskId is text, not a value of type ${typeof id}.`)
}

/** The running task as the parent of what is sent now; a function that was called directly is nobody's parent. */
function currentOf(context: TaskContext | undefined): SendRequest['current'] {
  if (context?.incoming === undefined) return undefined
  const { message, deliveryInfo } = context.incoming
  const { id, rootId } = message
  return { id, rootId: rootId || id, priority: deliveryInfo.priority }
}
