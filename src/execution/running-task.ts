/**
 * The `self` of one run (`Task.retry`, `update_state`, `add_trail` in `celery/app/task.py`).
 *
 * Rule 1: what it does to the world goes through the run's gate, so a body that was given up cannot act.
 * Rule 2: a retry counts even when its promise is forgotten: `execute` waits for the one that is under way.
 */
import { pyRepr } from '../../protocol/python-repr.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { Tuple } from '../../protocol/values.js'
import type { Linkable } from '../canvas/send-options.js'
import { signatureDataOf } from '../canvas/wire-options.js'
import {
  Ignore,
  InvalidArgumentError,
  MaxRetriesExceededError,
  Reject,
  RemoteTaskError,
  Retry,
  SoftTimeLimitExceeded,
} from '../errors.js'
import type { Logger } from '../logger.js'
import { applierOf } from './applier.js'
import { applySignature, planSignatures } from './apply-signature.js'
import type { RequestInfo, RetryOptions, StateChange, TaskContext } from './context.js'
import { endsInOneStep, handOver } from './hand-over.js'
import type { Host, Resend, RunnableTask } from './host.js'
import { chordAddition, replacement } from './replace.js'
import type { TaskRequest } from './request.js'
import { directRequestInfo, requestInfo } from './request-info.js'
import { resultRecord } from './result-record.js'
import { isExhausted } from './retry.js'
import { RunAbandoned, type RunGate } from './run-gate.js'
import { retryMessage } from './verdict-text.js'

/** What a run has done so far; shared by `self` and the pipeline. */
export class RunState {
  /** `as_tuple` forms of the results of tasks sent by this run. */
  readonly children: unknown[] = []
  /** What the rest of the workflow was told: once is enough, also when a later step of this run fails. */
  readonly told = { chain: false, chord: false, errbacks: false }
  /** The `retry()` that has not settled yet. */
  pendingRetry: Promise<unknown> | undefined
  /** `maxRetries` of the last `retry()` call, which autoretry then uses too (surface TSK-081). */
  maxRetries: number | null | undefined
}

/** A `Retry` of an eager run: nothing was sent, `apply()` runs `change` itself (surface TSK-089). */
export class EagerRetry extends Retry {
  readonly change: Resend
  constructor(message: string, when: number | Date | string | undefined, exc: unknown, change: Resend) {
    super(message, when, exc)
    this.name = 'Retry'
    this.change = change
  }
}

/** What `self` is made of. */
export interface RunParts {
  readonly task: RunnableTask
  readonly host: Host
  readonly request: TaskRequest
  readonly state: RunState
  readonly gate: RunGate
  /** Asked once, when the body looks at it. */
  makeSignal(): AbortSignal
}

/** `self` while a message is being run. */
export class RunningTask implements TaskContext {
  readonly name: string
  readonly incoming: TaskRequest
  readonly #parts: RunParts
  #request: RequestInfo | undefined
  #log: Logger | undefined
  #signal: AbortSignal | undefined
  #toldOfLimit = false

  constructor(parts: RunParts) {
    this.#parts = parts
    this.name = parts.task.name
    this.incoming = parts.request
  }

  // Made when a body looks: most look at none of them.

  get request(): RequestInfo {
    const { request, task, state } = this.#parts
    this.#request ??= requestInfo(request, task, state.children)
    return this.#request
  }

  get log(): Logger {
    const { host, request } = this.#parts
    this.#log ??= host.logger.child({ task_id: request.message.id, task_name: this.name })
    return this.#log
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#parts.makeSignal()
    return this.#signal
  }

  retry(options?: RetryOptions & { readonly throw?: true }): Promise<never>
  retry(options: RetryOptions & { readonly throw: false }): Promise<Retry>
  retry(options: RetryOptions & { readonly throw?: boolean } = {}): Promise<Retry> {
    const { state } = this.#parts
    const attempt = this.#retry(options)
    const settled = (): void => {
      if (state.pendingRetry === attempt) state.pendingRetry = undefined
    }
    // Also keeps a forgotten `await` from becoming an unhandled rejection; `execute` sees to the outcome.
    attempt.then(settled, settled)
    state.pendingRetry = attempt
    return attempt
  }

  async #retry(options: RetryOptions & { readonly throw?: boolean }): Promise<Retry> {
    this.checkpoint()
    const { host, task, request, state, gate } = this.#parts
    const { args, kwargs, exc, countdown, eta, maxRetries, throw: throws = true, ...sendOptions } = options
    if (maxRetries !== undefined) state.maxRetries = maxRetries
    const limit = maxRetries === undefined ? task.options.maxRetries : maxRetries
    const { message, body } = request
    if (isExhausted(message.retries, limit))
      throw exc ?? this.#exhausted(args ?? body.args, kwargs ?? body.kwargs)
    const when = eta ?? countdown ?? task.options.defaultRetryDelay
    const change: Resend = {
      ...(args === undefined ? {} : { args }),
      ...(kwargs === undefined ? {} : { kwargs }),
      retries: message.retries + 1,
      ...(typeof when === 'number' ? { countdown: when } : { eta: when }),
      ...(Object.keys(sendOptions).length === 0 ? {} : { options: sendOptions }),
    }
    const text = retryMessage(when, exc)
    if (request.isEager) return finish(new EagerRetry(text, when, exc, change), throws)
    try {
      await gate.effect(() => host.resend(request, change))
    } catch (error) {
      if (error instanceof RunAbandoned) throw error
      throw new Reject(error, false)
    }
    this.addTrail({ asTuple: () => [[message.id, null], null] })
    return finish(new Retry(text, when, exc), throws)
  }

  #exhausted(args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): MaxRetriesExceededError {
    const { id } = this.request
    const call = `args:${pyRepr(args, { asTuple: true })} kwargs:${pyRepr(kwargs)}`
    return new MaxRetriesExceededError(id, `Can't retry ${this.name}[${id}] ${call}`)
  }

  async updateState(change: StateChange): Promise<void> {
    this.checkpoint()
    const { host, request, state, gate } = this.#parts
    const record = resultRecord(request, {
      state: change.state,
      result: change.meta instanceof Error ? remoteErrorFrom(change.meta) : change.meta,
      children: state.children,
      nowMs: host.clock.now(),
      extended: host.execution.resultExtended,
      ...(change.taskId === undefined ? {} : { taskId: change.taskId }),
    })
    if (record.taskId === '') return
    await gate.effect(() => host.backend.store(record, resultRequest(request)))
  }

  addTrail<R extends { asTuple(): unknown }>(result: R): R {
    if (this.#parts.task.options.trail) this.#parts.state.children.push(result.asTuple())
    return result
  }

  async replace(signature: Linkable): Promise<unknown> {
    this.checkpoint()
    const { host, request, gate } = this.#parts
    const applier = applierOf(host, gate)
    const own = replacement(request, signatureDataOf(signature), host)
    if (request.isEager && host.applyEagerly !== undefined) return host.applyEagerly(own)
    const ended = { ...this.#parts, self: this }
    const isDone =
      endsInOneStep(ended) &&
      (await handOver(ended, await planSignatures(applier, [{ signature: own, call: {} }]), {}))
    if (!isDone) await applySignature(applier, own, {})
    gate.check()
    throw new Ignore('Replaced by new task')
  }

  addToChord(signature: Linkable): Promise<{ readonly id: string; asTuple(): unknown }>
  addToChord(signature: Linkable, options: { readonly lazy: true }): Promise<SignatureData>
  async addToChord(
    signature: Linkable,
    { lazy = false }: { readonly lazy?: boolean } = {},
  ): Promise<{ readonly id: string; asTuple(): unknown } | SignatureData> {
    this.checkpoint()
    const { host, request, gate } = this.#parts
    const applier = applierOf(host, gate)
    const { groupId, signature: addition } = chordAddition(request, signatureDataOf(signature), host)
    const { chords } = host.backend
    if (chords?.grow === undefined) throw cannotGrow(request.message.id)
    await gate.effect(async () => chords.grow?.(groupId))
    if (lazy) return addition.toSignatureData()
    const result = await applySignature(applier, addition, {})
    return { id: String(result?.id), asTuple: () => result?.asTuple() }
  }

  signature(args: readonly unknown[] = [], kwargs: Readonly<Record<string, unknown>> = {}): SignatureData {
    return signatureOf(this.name, args, kwargs)
  }

  async isAborted(): Promise<boolean> {
    this.checkpoint()
    const { host, request } = this.#parts
    if (request.message.id === '') return false
    return (await host.backend.fetch(request.message.id))?.state === 'ABORTED'
  }

  checkpoint(): void {
    const { signal } = this
    this.#parts.gate.check()
    if (this.#toldOfLimit || !(signal.reason instanceof SoftTimeLimitExceeded)) return
    this.#toldOfLimit = true
    throw signal.reason
  }
}

/** What a direct call is made of. */
export interface DirectParts {
  readonly task: RunnableTask
  readonly host: Pick<Host, 'logger' | 'backend'>
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  /** Shown as `request.hostname`; default empty. */
  readonly hostname?: string
  readonly signal?: AbortSignal
}

/**
 * `self` of a function that is called by itself (`add(2, 3)`): there is no message, so `retry` throws its `exc` or a
 * `Retry` (surface TSK-082), and states are stored only for a `taskId` that is given.
 */
export class DirectTask implements TaskContext {
  readonly name: string
  readonly request: RequestInfo
  readonly log: Logger
  readonly signal: AbortSignal
  readonly incoming: undefined
  readonly #parts: DirectParts

  constructor(parts: DirectParts) {
    this.#parts = parts
    this.name = parts.task.name
    this.request = directRequestInfo(parts.task, parts.args, parts.kwargs, parts.hostname ?? '')
    this.log = parts.host.logger.child({ task_name: parts.task.name })
    this.signal = parts.signal ?? new AbortController().signal
  }

  retry(options?: RetryOptions & { readonly throw?: true }): Promise<never>
  retry(options: RetryOptions & { readonly throw: false }): Promise<Retry>
  retry(options: RetryOptions = {}): Promise<Retry> {
    return Promise.reject(options.exc ?? new Retry('Task can be retried', undefined))
  }

  async updateState(change: StateChange): Promise<void> {
    if (change.taskId === undefined) return
    await this.#parts.host.backend.store({
      taskId: change.taskId,
      state: change.state,
      result: change.meta instanceof Error ? remoteErrorFrom(change.meta) : (change.meta ?? null),
      traceback: undefined,
      children: [],
      dateDone: undefined,
    })
  }

  addTrail<R extends { asTuple(): unknown }>(result: R): R {
    return result
  }

  replace(): Promise<unknown> {
    return Promise.reject(noMessage(this.name, 'be replaced'))
  }

  addToChord(): Promise<never> {
    return Promise.reject(noMessage(this.name, 'add to a chord'))
  }

  signature(args: readonly unknown[] = [], kwargs: Readonly<Record<string, unknown>> = {}): SignatureData {
    return signatureOf(this.name, args, kwargs)
  }

  isAborted(): Promise<boolean> {
    return Promise.resolve(false)
  }

  checkpoint(): void {
    if (this.signal.aborted) throw this.signal.reason
  }
}

/** The part of a request that a result store may need. */
export function resultRequest(request: TaskRequest): {
  readonly id: string
  readonly replyTo: string | undefined
  readonly correlationId: string
} {
  const { id, replyTo, correlationId } = request.message
  return { id, replyTo, correlationId }
}

function signatureOf(
  task: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): SignatureData {
  return { task, args: Tuple.from(args), kwargs, options: {}, subtask_type: null, immutable: false }
}

function cannotGrow(taskId: string): RemoteTaskError {
  const text = 'Backend does not support add_to_chord'
  const error = { type: 'NotImplementedError', module: 'builtins', args: [text], traceback: undefined }
  return new RemoteTaskError(taskId, error, text)
}

function noMessage(name: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `${name} was called as a function, so there is no message that could ${what}: send it with delay(), or use apply().`,
  )
}

function finish(retry: Retry, throws: boolean): Retry {
  if (throws) throw retry
  return retry
}
