/**
 * Runs a task here and now, with all that a worker does around it (`Task.apply` in `celery/app/task.py`; surface 15).
 *
 * Rule 1: no message, no broker: retries run at once, one after the other, whatever their countdown (TST-005).
 * Rule 2: results are stored only with `store_eager_result` (TST-007); callbacks are sent as by a worker (TST-008).
 * Rule 3: with `throws` the body's error is thrown, a `Retry` too, as Celery does, and no callback is called (TST-004).
 */
import { hostname } from 'node:os'
import { pyRepr } from '../../protocol/python-repr.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { TaskMessage } from '../../protocol/task-message.js'
import { EagerResult } from '../backend/eager-result.js'
import type { SendOptions } from '../canvas/send-options.js'
import type { Call } from '../canvas/signature-app.js'
import { signatureDataOf } from '../canvas/wire-options.js'
import { currentTask } from './context.js'
import { type Traced, trace } from './execute.js'
import type { Host, Resend, RunnableTask } from './host.js'
import type { Outcome } from './outcome.js'
import type { TaskRequest } from './request.js'
import { EagerRetry } from './running-task.js'

/** A call to run here; `throws` defaults to the setting `task_eager_propagates`. */
export type EagerCall = Call & { readonly throws?: boolean }

/** Runs the call, and its retries, to their end. Throws the task's error when `throws` says so; otherwise never. */
export async function applyTask(task: RunnableTask, call: EagerCall, host: Host): Promise<EagerResult> {
  let request = eagerRequest(task, call, host)
  const propagate = call.throws ?? host.execution.eagerPropagates
  for (;;) {
    const traced = await traceInterceptable(request, host, propagate)
    if (!(traced.retval instanceof EagerRetry)) return resultOf(request, traced)
    request = retried(request, traced.retval.change)
  }
}

async function traceInterceptable(request: TaskRequest, host: Host, propagate: boolean): Promise<Traced> {
  let traced: Traced | undefined
  await host.around(request, async (): Promise<Outcome> => {
    traced = await trace(request, host, { propagate })
    return traced.outcome
  })
  return traced ?? { outcome: { kind: 'ignored' }, state: 'IGNORED', retval: undefined }
}

function resultOf(request: TaskRequest, traced: Traced): EagerResult {
  const { id, task } = request.message
  const isError = traced.state !== 'SUCCESS'
  return new EagerResult(id, traced.retval, traced.state ?? 'SUCCESS', {
    name: task,
    traceback: isError ? remoteErrorFrom(traced.retval).traceback : undefined,
    context: { insideTask: () => currentTask() !== undefined },
  })
}

/** The request that a worker would have made of the call. */
function eagerRequest(task: RunnableTask, call: EagerCall, host: Host): TaskRequest {
  const { options } = call
  const id = options.taskId || host.newId()
  const outer = currentTask()?.request
  const message: TaskMessage = {
    protocol: 2,
    lang: 'js',
    id,
    task: task.name,
    shadow: options.shadow,
    rootId: options.rootId ?? (outer?.rootId || id),
    parentId: options.parentId ?? outer?.id,
    groupId: options.groupId,
    groupIndex: options.groupIndex,
    retries: options.retries ?? 0,
    eta: undefined,
    expires: undefined,
    utc: true,
    softTimeLimit: undefined,
    timeLimit: undefined,
    replyTo: undefined,
    correlationId: id,
    priority: options.priority ?? undefined,
    ignoreResult: options.ignoreResult,
    replacedTaskNesting: options.replacedTaskNesting ?? 0,
    stampedHeaders: options.stampedHeaders,
    stamps: options.stamps ?? {},
    origin: undefined,
    argsRepr: options.argsRepr ?? pyRepr(call.args, { asTuple: call.argsAsTuple }),
    kwargsRepr: options.kwargsRepr ?? pyRepr(call.kwargs),
    headers: options.headers ?? {},
    properties: {},
    body: { body: new Uint8Array(0), contentType: '', contentEncoding: '', compression: undefined },
  }
  return {
    message,
    body: {
      args: call.args,
      kwargs: call.kwargs,
      callbacks: links(options.link),
      errbacks: links(options.linkError),
      chain: links(options.chain && [...options.chain]),
      chord: options.chord === undefined ? undefined : signatureDataOf(options.chord),
    },
    deliveryInfo: {
      exchange: options.exchange ?? '',
      routingKey: options.routingKey ?? '',
      priority: options.priority ?? undefined,
      redelivered: false,
    },
    hostname: hostname(),
    isEager: true,
  }
}

function links(link: SendOptions['link']): TaskRequest['body']['callbacks'] {
  if (link === undefined) return []
  return (Array.isArray(link) ? link : [link]).map(signatureDataOf)
}

/** The next attempt: the same message with the changes that `retry()` asked for. */
function retried(request: TaskRequest, change: Resend): TaskRequest {
  const { message, body } = request
  const { options } = change
  return {
    ...request,
    message: {
      ...message,
      retries: change.retries,
      headers: { ...message.headers, ...options?.headers },
      shadow: options?.shadow ?? message.shadow,
    },
    body: {
      ...body,
      args: change.args ?? body.args,
      kwargs: change.kwargs ?? body.kwargs,
      callbacks: options?.link === undefined ? body.callbacks : links(options.link),
      errbacks: options?.linkError === undefined ? body.errbacks : links(options.linkError),
    },
  }
}
