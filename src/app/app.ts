/**
 * Who you are: the tasks, settings and connections of one application (`celery/app/base.py` Celery).
 *
 * Rule 1: making an app does nothing: no connection, no timer, no file. What it needs is opened when first used, and
 * `close()` lets all of it go.
 * Rule 2: it knows nothing of workers; `Celery` (in `worker/celery.ts`) adds them.
 * Rule 3: settings stop here. What lies below gets options of its own.
 * Rule 4: it holds the parts together; what they do is theirs: sending (calls.ts), making and bringing messages
 * (composer.ts, publisher.ts), results (app-backend.ts), remote control (control.ts).
 */
import { hostname } from 'node:os'
import { LamportClock } from '../../protocol/lamport-clock.js'
import { type Codec, createCodec } from '../../protocol/serializers.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { AsyncResult, restoreGroup } from '../backend/async-result.js'
import type { ResultBackend } from '../backend/backend.js'
import type { EagerResult } from '../backend/eager-result.js'
import type { GroupResult } from '../backend/group-result.js'
import type { ResultContext, RevokeOptions } from '../backend/result-context.js'
import { algebra, signatureFromData } from '../canvas/algebra.js'
import type { AnyKwargs, Arguments, KwargsOf } from '../canvas/call-types.js'
import type { Linkable, SendOptions } from '../canvas/send-options.js'
import { Signature } from '../canvas/signature.js'
import type { Call, CanvasSettings } from '../canvas/signature-app.js'
import { optionsToWire } from '../canvas/wire-options.js'
import { type Clock, systemClock } from '../clock.js'
import { InvalidArgumentError } from '../errors.js'
import { applyTask } from '../execution/apply.js'
import { currentTask, type TaskContext } from '../execution/context.js'
import type { ExecutionSettings, Host, PreparedCalls, Resend, RunnableTask } from '../execution/host.js'
import type { Outcome } from '../execution/outcome.js'
import type { TaskRequest } from '../execution/request.js'
import { DirectTask } from '../execution/running-task.js'
import { type Logger, silentLogger } from '../logger.js'
import { createSignals, type Signals } from '../signals.js'
import { openTransport } from '../transport/open.js'
import type { Transport } from '../transport/transport.js'
import { appBackend } from './app-backend.js'
import { AppLogger } from './app-logger.js'
import type { AppOptions } from './app-options.js'
import { canvasSettings, executionSettings, settingsOf } from './app-settings.js'
import { registerBuiltins } from './builtins.js'
import { Calls } from './calls.js'
import { Chords } from './chords.js'
import { brokerUrls } from './config.js'
import { Control } from './control.js'
import { Interceptors } from './interceptors.js'
import { Publisher } from './publisher.js'
import { Queues } from './queues.js'
import {
  type RemoteArgs,
  type RemoteKwargs,
  type RemoteResult,
  RemoteTask,
  type RemoteTypes,
} from './remote-task.js'
import type { Settings } from './settings.js'
import { type CallableTask, callable, Task } from './task.js'
import type { TaskApp } from './task-app.js'
import type { TaskSelf } from './task-base.js'
import { splitCall } from './task-handle.js'
import type { TaskDefinition, TaskFunction } from './task-options.js'
import { TaskRegistry } from './task-registry.js'
import { type CloseOptions, UnderWay } from './under-way.js'

/** What `sendTask` takes: arguments and call options (surface 3.1). */
export type SendTaskOptions = SendOptions & { readonly args?: Arguments; readonly kwargs?: AnyKwargs }

/** An application without workers; `Celery` is one with them. */
export class App implements Host, ResultContext, TaskApp, AsyncDisposable {
  /** Its name: Celery's `main`. */
  readonly main: string
  /** Settings in camelCase, frozen. */
  readonly conf: Settings
  readonly logger: AppLogger
  readonly clock: Clock
  readonly random: () => number
  readonly newId: () => string
  readonly signals: Signals
  readonly interceptors = new Interceptors()
  readonly tasks = new TaskRegistry()
  readonly execution: ExecutionSettings
  readonly canvas: CanvasSettings
  readonly algebra = algebra
  /** The id of this app in `reply_to`; a UUID. */
  readonly oid: string
  /** Counts what this process and the workers it hears from say to each other (surface EVT-008). */
  readonly logicalClock = new LamportClock()
  /** What was sent and the broker has not answered for yet: `close` lets it go out. */
  readonly sending = new UnderWay()
  readonly control: Control
  readonly chords: Chords = new Chords(() => this.backend)
  private readonly options: AppOptions
  private readonly calls = new Calls(this)
  private lazyCodec: Codec | undefined
  private lazyQueues: Queues | undefined
  private lazyBackend: ResultBackend | undefined
  private lazyPublisher: Publisher | undefined
  /** What is opened afterwards is closed from the start. */
  private isClosed = false

  /** Throws `UnknownSettingError` and `ConfigError` for settings that cannot be. */
  constructor(main = 'celery', options: AppOptions = {}) {
    this.main = main
    this.options = options
    this.logger = new AppLogger(options.logger ?? silentLogger)
    this.clock = options.clock ?? systemClock()
    this.random = options.random ?? Math.random
    this.newId = options.newId ?? (() => crypto.randomUUID())
    this.conf = settingsOf(options, this.logger)
    this.signals = createSignals(this.logger)
    this.oid = this.newId()
    this.execution = executionSettings(this.conf)
    this.canvas = canvasSettings(this.conf)
    this.control = new Control(this)
    registerBuiltins(this, {
      chordRetryInterval: this.conf.resultChordRetryInterval,
      define: (name, definition, run) => this.task(name, definition, run),
    })
  }

  // ---- tasks ----

  /**
   * Defines a task. The first definition of a name wins and is returned to all (surface TSK-032). With `bind: true` the
   * function gets `self` first. Throws `ConfigError` for annotations that do not fit.
   */
  task<A extends Arguments, R>(name: string, run: (...args: A) => R): CallableTask<A, R>
  task<
    A extends Arguments,
    R,
    const P extends readonly string[] = readonly string[],
    B extends object = object,
  >(
    name: string,
    definition: TaskDefinition<P, B, A> & { readonly bind: true },
    run: (self: TaskSelf<B>, ...args: A) => R,
  ): CallableTask<A, R, KwargsOf<P, A>>
  task<
    A extends Arguments,
    R,
    const P extends readonly string[] = readonly string[],
    B extends object = object,
  >(
    name: string,
    definition: TaskDefinition<P, B, A> & { readonly bind?: false },
    run: (...args: A) => R,
  ): CallableTask<A, R, KwargsOf<P, A>>
  task(name: string): RunnableTask | undefined
  task(name: string, second?: TaskDefinition | TaskFunction, third?: TaskFunction): unknown {
    if (second === undefined) return this.tasks.get(name)
    const [definition, run] = typeof second === 'function' ? [{}, second] : [second, third]
    if (typeof name !== 'string' || name === '' || typeof run !== 'function') {
      throw new InvalidArgumentError(
        "A task needs a name and a function: app.task('shop.add', (x, y) => x + y)",
      )
    }
    const known = this.tasks.get(name)
    return known ?? this.tasks.add(callable(new Task(this, name, definition, run)))
  }

  /** A task that lives in another process, by its name and types; nothing is checked or registered here. */
  remote<T extends RemoteTypes = RemoteTypes>(
    name: string,
    options: SendOptions = {},
  ): RemoteTask<RemoteArgs<T>, RemoteResult<T>, RemoteKwargs<T>> {
    return new RemoteTask(this, name, options)
  }

  /**
   * Sends a task by its name; options of a local task of that name do not apply (surface PUB-027). Throws as `delay`
   * does, but for `TypeError`.
   */
  async sendTask<R = unknown>(name: string, call: SendTaskOptions = {}): Promise<AsyncResult<R>> {
    return (await this.publishByName({ ...splitCall(call), name })) as AsyncResult<R>
  }

  /**
   * Sends many tasks by their names in as few round trips as the broker allows; the results come in the order of the
   * calls. All are routed and encoded before anything is sent. Throws as `sendTask` does; after
   * `BrokerUnavailableError` some may have arrived.
   */
  sendTasks(
    calls: readonly (SendTaskOptions & { readonly name: string })[],
  ): Promise<readonly AsyncResult<unknown>[]> {
    return this.publishMany(
      calls.map(({ name, ...call }) => ({ ...splitCall(call), name })),
      {},
    )
  }

  /** A signature of a task by name, of a signature's data, or a copy of a signature (surface CNV-004). */
  signature(
    of: string | Linkable | { readonly name: string },
    call: SendTaskOptions & { readonly immutable?: boolean } = {},
  ): Signature {
    const { immutable, ...rest } = call
    const name =
      typeof of === 'string' ? of : 'name' in of && typeof of.name === 'string' ? of.name : undefined
    if (name !== undefined) {
      const { options, ...given } = splitCall(rest)
      return new Signature(this, {
        ...given,
        task: name,
        options: optionsToWire(options),
        immutable: immutable ?? false,
      })
    }
    const copy = signatureFromData(this, of).clone(rest) as Signature
    return immutable === undefined ? copy : copy.set({ immutable })
  }

  // ---- results ----

  /** The result of the task with this id. */
  asyncResult<R = unknown>(taskId: string): AsyncResult<R> {
    return new AsyncResult<R>(taskId, this)
  }

  /** A group that was saved with this id; undefined when the backend has none (surface RES-073). */
  restoreGroup(groupId: string): Promise<GroupResult | undefined> {
    return restoreGroup(groupId, this)
  }

  /** Warns of results that eager tasks never stored (surface TST-007). */
  beforeRead(): void {
    if (!this.conf.taskAlwaysEager || this.conf.taskStoreEagerResult) return
    this.logger.warn(
      {},
      'Results are not stored in backend and should not be retrieved when task_always_eager is enabled, unless task_store_eager_result is enabled.',
    )
  }

  insideTask(): boolean {
    return currentTask() !== undefined
  }

  /** Tells all workers not to run these tasks (surface RES-055). */
  async revoke(taskIds: readonly string[], options: RevokeOptions = {}): Promise<void> {
    const { wait, ...rest } = options
    await this.control.revoke(taskIds, { ...rest, reply: wait ?? false })
  }

  // ---- parts, opened when first used ----

  get codec(): Codec {
    const { types, serializers, maxBodyBytes } = this.options
    this.lazyCodec ??= createCodec({
      ...(types === undefined ? {} : { types }),
      ...(serializers === undefined ? {} : { serializers }),
      ...(maxBodyBytes === undefined ? {} : { maxBytes: maxBodyBytes }),
    })
    return this.lazyCodec
  }

  get queues(): Queues {
    this.lazyQueues ??= new Queues(this.conf, this.newId)
    return this.lazyQueues
  }

  /** Throws `UnknownSchemeError` for a `resultBackend` that nothing here serves. */
  get backend(): ResultBackend {
    if (this.lazyBackend === undefined) {
      this.lazyBackend = appBackend(this, this.options.memoryResults)
      if (this.isClosed) void this.lazyBackend.close()
    }
    return this.lazyBackend
  }

  get publisher(): Publisher {
    if (this.lazyPublisher !== undefined) return this.lazyPublisher
    this.lazyPublisher = new Publisher({
      settings: this.conf,
      queues: this.queues,
      codec: this.codec,
      urls: brokerUrls(this.conf, 'write'),
      transport: (url) => this.transport(url),
      signals: this.signals,
      clock: this.clock,
      logger: this.logger,
      origin: this.options.origin ?? `gen${process.pid}@${hostname()}`,
      replyTo: this.oid,
      newId: this.newId,
      random: this.random,
    })
    if (this.isClosed) void this.lazyPublisher.close()
    return this.lazyPublisher
  }

  /** The transport of a broker URL: by its scheme, or as `openTransport` finds it. Throws `UnknownSchemeError`. */
  transport(url: string): Transport {
    return (this.options.openTransport ?? openTransport)(url)
  }

  /** Names of the queues that a worker of this app consumes from. */
  queueNames(): readonly string[] {
    return [...this.queues.consumeFrom.keys()]
  }

  /** Removes what waits in these queues, default all of this app; returns how many messages that were. */
  purge(queues: readonly string[] = this.queueNames()): Promise<number> {
    return this.publisher.purge(queues)
  }

  /** Logs to `logger` from now on, in every part of this app. */
  useLogger(logger: Logger): void {
    this.logger.use(logger)
  }

  /**
   * Lets what was sent before go out, for at most `timeoutMs` (default 5 s), and closes connection and result backend:
   * what is left rejects as for a broker that is away, and so does what is sent afterwards. Safe twice.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    await this.sending.idle(this.clock, options)
    this.isClosed = true
    // Results may be on their way over the publisher's connection.
    await this.lazyBackend?.close()
    await this.lazyPublisher?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // ---- what tasks, signatures and runs ask of their app ----

  publish(call: Call, taskDefaults: SendOptions): Promise<AsyncResult<unknown>> {
    return this.calls.send(call, taskDefaults)
  }

  publishMany(calls: readonly Call[], taskDefaults: SendOptions): Promise<readonly AsyncResult<unknown>[]> {
    return this.calls.sendMany(calls, taskDefaults)
  }

  async send(
    data: SignatureData,
    options: Readonly<Record<string, unknown>> = {},
  ): Promise<AsyncResult<unknown>> {
    return (await signatureFromData(this, data).applyWire({ options })) as AsyncResult<unknown>
  }

  async applyEagerly(data: Linkable): Promise<unknown> {
    // It has run already: nothing is waited for, so the task that asks may have the value.
    return (await signatureFromData(this, data).apply()).get({ disableSyncSubtasks: false })
  }

  dispatch(call: Call): Promise<AsyncResult<unknown>> {
    const task = this.tasks.get(call.name)
    return task === undefined ? this.publishByName(call) : task.send(call)
  }

  dispatchMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]> {
    return this.calls.dispatchMany(calls)
  }

  prepareMany(calls: readonly Call[]): PreparedCalls | undefined | Promise<PreparedCalls | undefined> {
    return this.calls.prepareMany(calls)
  }

  addTrail(result: { asTuple(): unknown }): void {
    currentTask()?.addTrail(result)
  }

  underWay<T>(sending: Promise<T>): Promise<T> {
    return this.sending.track(sending)
  }

  placeOf(name: string): Pick<RunnableTask['options'], 'queue' | 'priority'> | undefined {
    return this.tasks.get(name)?.options
  }

  async dispatchEagerly(call: Call): Promise<EagerResult<unknown>> {
    return this.runEagerly(this.tasks.require(call.name), call)
  }

  callTask(name: string, args: readonly unknown[], kwargs: AnyKwargs): unknown {
    const task = this.tasks.require(name)
    return task.run(this.directContext(task, args, kwargs), args, kwargs)
  }

  runEagerly(task: RunnableTask, call: Call, throws?: boolean): Promise<EagerResult<unknown>> {
    return applyTask(task, throws === undefined ? call : { ...call, throws }, this)
  }

  overTheWire(call: Call, serializer: string): Call {
    const payload = this.codec.encode([call.args, call.kwargs], serializer)
    const decoded = this.codec.decode(payload, new Set([payload.contentType])) as [Arguments, AnyKwargs]
    return { ...call, args: decoded[0], kwargs: decoded[1] }
  }

  directContext(task: RunnableTask, args: readonly unknown[], kwargs: AnyKwargs): TaskContext {
    return new DirectTask({ task, host: this, args, kwargs, hostname: hostname() })
  }

  resend(request: TaskRequest, change: Resend): Promise<void> {
    return this.publisher.resend(request, change)
  }

  get wrapsRuns(): boolean {
    return this.interceptors.wrapsRuns
  }

  around(request: TaskRequest, run: () => Promise<Outcome>): Promise<Outcome> {
    return this.interceptors.execute(request, run)
  }

  private publishByName(call: Call): Promise<AsyncResult<unknown>> {
    if (this.conf.taskAlwaysEager) {
      this.logger.warn(
        { task_name: call.name },
        'taskAlwaysEager has no effect on tasks that are sent by name: the message is published (AlwaysEagerIgnored)',
      )
    }
    return this.publish(call, {})
  }
}
