/** An app as small as a run needs it, for the tests of this folder and of `pool/`: a real result store, sends recorded. */

import type { ResultMeta } from '../../protocol/result-meta.js'
import { createCodec } from '../../protocol/serializers.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import type { TaskMessage } from '../../protocol/task-message.js'
import { AsyncResult } from '../backend/async-result.js'
import type { ResultBackend } from '../backend/backend.js'
import type { EagerResult } from '../backend/eager-result.js'
import { openBackend } from '../backend/open.js'
import { algebra, signatureFromData } from '../canvas/algebra.js'
import { Signature } from '../canvas/signature.js'
import type { Call, CanvasSettings } from '../canvas/signature-app.js'
import { optionsToWire } from '../canvas/wire-options.js'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import { createSignals } from '../signals.js'
import { FakeClock } from '../testing/fake-clock.js'
import { applyTask } from './apply.js'
import { currentTask, type TaskContext } from './context.js'
import type { ExecutionSettings, Host, Resend, RunnableTask, TaskHandlers, TaskOptions } from './host.js'
import type { Outcome } from './outcome.js'
import type { TaskRequest } from './request.js'

/** One line of the log: level, text and fields. */
export interface LogLine {
  readonly level: string
  readonly text: string
  readonly fields: Readonly<Record<string, unknown>>
}

type Body = (self: TaskContext, ...args: never[]) => unknown

/** What a test's task is made of beside its function. */
export type TestTask = Partial<TaskOptions> & {
  readonly handlers?: TaskHandlers
  readonly errbackStyle?: 'id' | 'request'
}

/** Implements `Host` on the memory backend, with a fake clock; `events` lists what happened, in order. */
export class TestHost implements Host {
  readonly main = 'test'
  readonly clock: Clock
  readonly backend: ResultBackend
  readonly random = () => 0.5
  readonly events: string[] = []
  readonly lines: LogLine[] = []
  readonly sent: { readonly signature: SignatureData; readonly options: Record<string, unknown> }[] = []
  /** How many calls each batch had. */
  readonly batches: number[] = []
  readonly resent: { readonly request: TaskRequest; readonly change: Resend }[] = []
  readonly stored: ResultMeta[] = []
  /** Where each of `stored` would be sent to. */
  readonly storedFor: (string | undefined)[] = []
  readonly logger: Logger = recordingLogger(this.lines)
  readonly signals = createSignals(this.logger)
  readonly execution: ExecutionSettings
  readonly canvas: CanvasSettings
  readonly algebra = algebra
  readonly oid = 'reply-to'
  /** Set to make sending, retrying or storing fail. */
  failure: { send?: Error; resend?: Error; store?: (meta: ResultMeta) => Error | undefined } = {}
  private readonly tasks = new Map<string, RunnableTask>()
  private ids = 0

  constructor(
    settings: Partial<ExecutionSettings> & { readonly clock?: Clock; readonly backendUrl?: string } = {},
  ) {
    const { clock = new FakeClock(), backendUrl = 'cache+memory://', ...execution } = settings
    this.clock = clock
    this.execution = {
      resultExtended: false,
      inheritParentPriority: false,
      deduplicateSuccessful: false,
      alwaysEager: false,
      eagerPropagates: false,
      storeEagerResult: false,
      errbacksOnChordHeader: false,
      ...execution,
    }
    const { alwaysEager, errbacksOnChordHeader } = this.execution
    this.canvas = { alwaysEager, errbacksOnChordHeader, linksChains: false }
    const backend = openBackend(backendUrl, { codec: createCodec(), clock })
    const store = backend.store.bind(backend)
    backend.store = async (meta, request) => {
      const failure = this.failure.store?.(meta)
      if (failure !== undefined) throw failure
      await store(meta, request)
      this.stored.push(meta)
      this.storedFor.push(request?.replyTo)
      this.events.push(`store ${meta.state}`)
    }
    // Chords are not counted unless a test says how: `Object.assign(backend, { chords })`.
    this.backend = Object.assign(backend, { chords: undefined })
  }

  readonly newId = (): string => `id-${++this.ids}`

  /** Defines a task; its function gets `self` first. */
  define(
    name: string,
    body: Body,
    { handlers = {}, errbackStyle = 'id', ...options }: TestTask = {},
  ): RunnableTask {
    const task: RunnableTask = {
      name,
      options: { ...taskDefaults, ...options },
      params: undefined,
      handlers,
      errbackStyle,
      run: (self, args, kwargs) => {
        this.events.push('body')
        return (body as (...all: unknown[]) => unknown)(self, ...args, ...Object.values(kwargs))
      },
    }
    this.tasks.set(name, task)
    return task
  }

  task(name: string): RunnableTask | undefined {
    return this.tasks.get(name)
  }

  async send(signature: SignatureData, options: Readonly<Record<string, unknown>> = {}) {
    return (await signatureFromData(this, signature).applyWire({ options })) as AsyncResult<unknown>
  }

  async dispatch(call: Call): Promise<AsyncResult<unknown>> {
    const [result] = await this.dispatchMany([call])
    return result as AsyncResult<unknown>
  }

  async dispatchMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]> {
    if (this.failure.send !== undefined) throw this.failure.send
    this.batches.push(calls.length)
    return calls.map(({ name, args, kwargs, options }) => {
      const wire: Record<string, unknown> = optionsToWire({
        ...options,
        taskId: options.taskId ?? this.newId(),
      })
      this.sent.push({ signature: sig(name, args.map(plainOf), { options: wire, kwargs }), options: wire })
      this.events.push(`send ${name}`)
      const result = this.asyncResult(String(wire['task_id']))
      if (options.addToParent !== false) this.addTrail(result)
      return result
    })
  }

  dispatchEagerly(call: Call): Promise<EagerResult<unknown>> {
    return applyTask(this.tasks.get(call.name) as RunnableTask, call, this)
  }

  callTask(name: string): never {
    throw new Error(`${name} is not called by itself here`)
  }

  asyncResult<T>(taskId: string): AsyncResult<T> {
    return new AsyncResult<T>(taskId, this)
  }

  underWay<T>(sending: Promise<T>): Promise<T> {
    return sending
  }

  addTrail(result: { asTuple(): unknown }): void {
    currentTask()?.addTrail(result)
  }

  insideTask(): boolean {
    return currentTask() !== undefined
  }

  placeOf(name: string): Pick<RunnableTask['options'], 'queue' | 'priority'> | undefined {
    return this.tasks.get(name)?.options
  }

  async resend(request: TaskRequest, change: Resend): Promise<void> {
    if (this.failure.resend !== undefined) throw this.failure.resend
    this.resent.push({ request, change })
    this.events.push('resend')
  }

  wrapsRuns = false
  around(_request: TaskRequest, run: () => Promise<Outcome>): Promise<Outcome> {
    return run()
  }

  /** The texts of the log at `level`. */
  logged(level: string): readonly string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.text)
  }
}

/** A received message of task `name`; `message` and `body` change single fields. */
export function testRequest(
  name: string,
  args: readonly unknown[] = [],
  more: {
    readonly message?: Partial<TaskMessage>
    readonly body?: Partial<TaskRequest['body']>
    readonly redelivered?: boolean
    readonly priority?: number
  } = {},
): TaskRequest {
  const id = more.message?.id ?? `${name}-1`
  return {
    message: {
      protocol: 2,
      lang: 'py',
      id,
      task: name,
      shadow: undefined,
      rootId: id,
      parentId: undefined,
      groupId: undefined,
      groupIndex: undefined,
      retries: 0,
      eta: undefined,
      expires: undefined,
      utc: true,
      softTimeLimit: undefined,
      timeLimit: undefined,
      replyTo: undefined,
      correlationId: id,
      priority: more.priority,
      ignoreResult: undefined,
      replacedTaskNesting: 0,
      stampedHeaders: undefined,
      stamps: {},
      origin: 'gen1@host',
      argsRepr: '(args)',
      kwargsRepr: '{}',
      headers: {},
      properties: {},
      body: { body: new Uint8Array(0), contentType: '', contentEncoding: '', compression: undefined },
      ...more.message,
    },
    body: {
      args,
      kwargs: {},
      callbacks: [],
      errbacks: [],
      chain: [],
      chord: undefined,
      ...more.body,
    },
    deliveryInfo: {
      exchange: '',
      routingKey: 'celery',
      priority: more.priority,
      redelivered: more.redelivered ?? false,
    },
    hostname: 'celery@test',
    isEager: false,
  }
}

/** A plain signature dict. */
export function sig(
  task: string,
  args: readonly unknown[] = [],
  more: {
    readonly options?: object
    readonly immutable?: boolean
    readonly type?: string
    readonly kwargs?: object
  } = {},
): SignatureData {
  return {
    task,
    args,
    kwargs: more.kwargs ?? {},
    options: more.options ?? {},
    subtask_type: more.type ?? null,
    immutable: more.immutable ?? false,
  }
}

/** Signatures among arguments as they are on the wire. */
function plainOf(value: unknown): unknown {
  return value instanceof Signature ? value.toSignatureData() : value
}

const taskDefaults: TaskOptions = {
  bind: true,
  maxRetries: 3,
  defaultRetryDelay: 180,
  rateLimit: null,
  ignoreResult: false,
  trail: true,
  sendEvents: true,
  storeErrorsEvenIfIgnored: false,
  serializer: 'json',
  timeLimit: null,
  softTimeLimit: null,
  trackStarted: false,
  acksLate: false,
  acksOnFailureOrTimeout: true,
  acksOnFailure: null,
  acksOnTimeout: null,
  rejectOnWorkerLost: false,
  throws: [],
  expires: null,
  priority: null,
  resultReprMaxsize: 1024,
  autoretryFor: [],
  dontAutoretryFor: [],
  retryKwargs: {},
  retryBackoff: false,
  retryBackoffMax: 600,
  retryJitter: true,
  storeEagerResult: false,
  queue: null,
  exchange: null,
  routingKey: null,
  deliveryMode: null,
  compression: null,
}

function recordingLogger(lines: LogLine[], bound: Readonly<Record<string, unknown>> = {}): Logger {
  const write =
    (level: string) =>
    (fields: object, text?: string): void => {
      lines.push({ level, text: text ?? '', fields: { ...bound, ...fields } })
    }
  return {
    trace: write('trace'),
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    fatal: write('fatal'),
    child: (bindings) => recordingLogger(lines, { ...bound, ...bindings }),
  }
}
