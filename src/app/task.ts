/**
 * A task with its function (`celery/app/task.py` Task; surface 2.1, 2.4).
 *
 * Rule 1: a task is a function: called, it runs here and now, with nothing of celeriac around it but `self`.
 * Rule 2: arguments are checked in Python's words before a call is sent from here, and again where it runs.
 * Rule 3: a schema's errors are the task's: they are stored, and retried only where `autoretryFor` says so.
 */
import type { AsyncResult } from '../backend/async-result.js'
import type { EagerResult } from '../backend/eager-result.js'
import type { AnyKwargs, Arguments } from '../canvas/call-types.js'
import type { SendOptions } from '../canvas/send-options.js'
import type { Call } from '../canvas/signature-app.js'
import { InvalidArgumentError } from '../errors.js'
import type { TaskContext } from '../execution/context.js'
import type { RunnableTask, TaskHandlers, TaskOptions } from '../execution/host.js'
import { annotated } from './annotations.js'
import { bindArguments, checkArguments, type Parameters, parametersOf } from './parameters.js'
import { type StandardSchema, validate } from './schema.js'
import type { TaskApp } from './task-app.js'
import { selfOf } from './task-base.js'
import { type OptionalCall, splitCall, TaskHandle } from './task-handle.js'
import {
  executionDefaults,
  resolveHandlers,
  resolveOptions,
  type SharedOptions,
  type TaskDefinition,
  type TaskFunction,
  type TaskParts,
} from './task-options.js'

/** A task that can be called as the function it was made from. */
export type CallableTask<A extends Arguments, R, K extends object = AnyKwargs> = Task<A, R, K> &
  ((...args: A) => R)

/** A task of this app. */
export class Task<A extends Arguments = Arguments, R = unknown, K extends object = AnyKwargs>
  extends TaskHandle<A, R, K>
  implements RunnableTask
{
  override readonly name: string
  readonly options: TaskOptions
  readonly handlers: TaskHandlers
  readonly errbackStyle: 'id' | 'request'
  /** The function's parameters, `self` left out. */
  readonly parameters: Parameters
  private readonly parts: TaskParts
  /** The options that every call of it is sent with, unless the call gives others. */
  readonly sendDefaults: SendOptions
  private readonly definition: TaskDefinition
  private readonly base: object | undefined

  constructor(
    app: TaskApp,
    name: string,
    definition: TaskDefinition,
    run: TaskFunction,
    presets: SendOptions = {},
  ) {
    super(app, presets)
    this.name = name
    this.definition = definition
    this.base = definition.base === undefined ? undefined : new definition.base()
    const shared: SharedOptions = (this.base as { options?: SharedOptions } | undefined)?.options ?? {}
    this.parts = annotated(
      name,
      {
        options: resolveOptions(definition, shared, app.conf),
        handlers: resolveHandlers(definition, this.base as TaskHandlers | undefined, (context) =>
          this.selfFor(context),
        ),
        run,
        typing: definition.typing ?? shared.typing ?? true,
        errbackStyle: definition.errbackStyle ?? shared.errbackStyle ?? 'id',
      },
      app.conf.taskAnnotations,
    )
    this.options = this.parts.options
    this.sendDefaults = Object.freeze(executionDefaults(this.parts.options))
    this.handlers = this.parts.handlers
    this.errbackStyle = this.parts.errbackStyle
    this.parameters = parametersOf(run, definition.params, this.options.bind ? 1 : 0)
  }

  /** Parameter names in order, when keyword arguments are mapped to them. */
  get params(): readonly string[] | undefined {
    return this.parameters.isNamed ? this.parameters.names : undefined
  }

  /**
   * Runs the task here, now, with a result and all that a worker does around it (surface TST-003 to TST-014). Never
   * throws the task's error, unless `throws` (default `taskEagerPropagates`) says so.
   */
  async apply(
    ...[call]: OptionalCall<A, K, { readonly throws?: boolean }>
  ): Promise<EagerResult<Awaited<R>>> {
    const { throws, ...rest } = (call ?? {}) as SendOptions & { readonly throws?: boolean }
    const { options, ...given } = splitCall(rest)
    const eager = { ...given, name: this.name, options: { ...this.presets, ...options } }
    return (await this.app.runEagerly(this, eager, throws)) as EagerResult<Awaited<R>>
  }

  /** The same task with other options for every call; it is callable, too. */
  withOptions(options: SendOptions): CallableTask<A, R, K> {
    const presets = Object.freeze({ ...this.presets, ...options })
    return callable(Object.create(this, { presets: { value: presets } }) as Task<A, R, K>)
  }

  /** Calls the function as a worker does; `RunnableTask.run`. */
  run(self: TaskContext, args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): unknown {
    const { args: argsSchema, kwargs: kwargsSchema, result } = this.definition
    if (argsSchema === undefined && kwargsSchema === undefined && result === undefined) {
      return this.invoke(self, this.bound(args, kwargs))
    }
    return this.runValidated(self, args, kwargs)
  }

  /** Calls the function directly: no checks, no handlers; a bound task gets a `self` of its own. */
  callDirectly(args: readonly unknown[]): unknown {
    if (!this.options.bind) return (this.parts.run as (...all: unknown[]) => unknown)(...args)
    return this.invoke(this.app.directContext(this, args, {}), args)
  }

  /** Checks a call and sends it with the task's own options, or runs it with `taskAlwaysEager`. */
  override send(call: Call): Promise<AsyncResult<unknown>> {
    try {
      const ready = this.prepared(call)
      return ready instanceof Promise ? ready.then((one) => this.sendReady(one)) : this.sendReady(ready)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** `send` for many: nothing is sent when one of them is wrong. */
  override async sendMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]> {
    const ready: Call[] = []
    for (const call of calls) {
      const one = this.prepared(call)
      ready.push(one instanceof Promise ? await one : one)
    }
    if (!this.app.conf.taskAlwaysEager) {
      return this.app.publishMany(ready, this.sendDefaults)
    }
    const results: AsyncResult<unknown>[] = []
    for (const call of ready) results.push(await this.runHere(call))
    return results
  }

  private sendReady(ready: Call): Promise<AsyncResult<unknown>> {
    return this.app.conf.taskAlwaysEager ? this.runHere(ready) : this.app.publish(ready, this.sendDefaults)
  }

  /**
   * A call as it is published, checked, with `sendDefaults`. A promise only where a schema may take its time: of calls under
   * way, each is kept until its answer.
   */
  prepared(call: Call): Call | Promise<Call> {
    const { softTimeLimit, timeLimit } = this.options
    if (softTimeLimit && timeLimit && softTimeLimit > timeLimit) {
      throw new InvalidArgumentError(
        `Task ${this.name}: soft_time_limit must be less than or equal to time_limit (${softTimeLimit} > ${timeLimit})`,
      )
    }
    if (this.parts.typing) checkArguments(this.callName, this.parameters, call.args, call.kwargs)
    return this.definition.validateOnSend === true
      ? this.validated(call).then((valid) => this.shadowed(valid))
      : this.shadowed(call)
  }

  private shadowed(call: Call): Call {
    const shadow = call.options.shadow ?? this.definition.shadowName?.(call.args, call.kwargs, call.options)
    return shadow === undefined ? call : { ...call, options: { ...call.options, shadow } }
  }

  private async runHere(call: Call): Promise<AsyncResult<unknown>> {
    const arrived = this.app.overTheWire(call, call.options.serializer ?? this.options.serializer)
    // As in Celery the caller gets an EagerResult, which answers all that it can of what an AsyncResult is asked.
    return (await this.app.runEagerly(this, arrived)) as unknown as AsyncResult<unknown>
  }

  private async validated(call: Call): Promise<Call> {
    const { args: argsSchema, kwargs: kwargsSchema } = this.definition
    if (kwargsSchema !== undefined) await this.validKwargs(kwargsSchema, call.kwargs)
    if (argsSchema !== undefined) await this.validArgs(argsSchema, this.bound(call.args, call.kwargs))
    return call
  }

  private async runValidated(
    self: TaskContext,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
    const { args: argsSchema, kwargs: kwargsSchema, result } = this.definition
    const validKwargs = kwargsSchema === undefined ? kwargs : await this.validKwargs(kwargsSchema, kwargs)
    const bound = this.bound(args, validKwargs)
    const valid = argsSchema === undefined ? bound : await this.validArgs(argsSchema, bound)
    const value = await this.invoke(self, valid)
    return result === undefined ? value : await validate(result, value, `The result of task ${this.name} is`)
  }

  private async validArgs(schema: StandardSchema<unknown, Arguments>, args: Arguments): Promise<Arguments> {
    const valid: unknown = await validate(schema, args, `The arguments of task ${this.name} are`)
    if (!Array.isArray(valid))
      throw new TypeError(`The args schema of task ${this.name} must give a list back`)
    return valid
  }

  private async validKwargs(
    schema: StandardSchema<unknown, AnyKwargs>,
    kwargs: AnyKwargs,
  ): Promise<AnyKwargs> {
    return validate(schema, kwargs, `The keyword arguments of task ${this.name} are`)
  }

  private bound(args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): readonly unknown[] {
    return bindArguments(this.callName, this.parameters, args, kwargs).args
  }

  private invoke(context: TaskContext, args: readonly unknown[]): unknown {
    const run = this.parts.run as (...all: unknown[]) => unknown
    return this.options.bind ? run(this.selfFor(context), ...args) : run(...args)
  }

  private selfFor(context: TaskContext): TaskContext {
    return this.base === undefined ? context : selfOf(context, this.base)
  }

  /** The function's name in error messages: the last part of the task's. */
  private get callName(): string {
    return this.name.slice(this.name.lastIndexOf('.') + 1)
  }
}

/** The task as a function: calling it calls the task's own, everything else is the task's. */
export function callable<A extends Arguments, R, K extends object>(
  task: Task<A, R, K>,
): CallableTask<A, R, K> {
  const call = (...args: A): R => task.callDirectly(args) as R
  Object.defineProperty(call, 'name', { value: task.name })
  Object.defineProperty(call, 'length', { value: task.parameters.required })
  return Object.setPrototypeOf(call, task) as CallableTask<A, R, K>
}
