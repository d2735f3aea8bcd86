import type { AsyncResult } from '../backend/async-result.js'
import type { AnyKwargs, Arguments } from '../canvas/call-types.js'
import type { SendOptions } from '../canvas/send-options.js'
import type { Call } from '../canvas/signature-app.js'
import type { TaskApp } from './task-app.js'
import { TaskHandle } from './task-handle.js'

/** What `app.remote<...>` is told of a task that lives elsewhere; each part may be left out. */
export interface RemoteTypes {
  readonly args?: Arguments
  readonly kwargs?: object
  readonly result?: unknown
}

/** The positional arguments of a remote task. */
export type RemoteArgs<T> = T extends { readonly args: infer A extends Arguments } ? A : Arguments
/** The keyword arguments of a remote task. */
export type RemoteKwargs<T> = T extends { readonly kwargs: infer K extends object } ? K : AnyKwargs
/** The result of a remote task. */
export type RemoteResult<T> = T extends { readonly result: infer R } ? R : unknown

/** The same for all calls, so that a publisher knows them again. */
const noDefaults: SendOptions = Object.freeze({})

/** A task that lives in another process, in Python or elsewhere: its arguments are never checked here. */
export class RemoteTask<
  A extends Arguments = Arguments,
  R = unknown,
  K extends object = AnyKwargs,
> extends TaskHandle<A, R, K> {
  override readonly name: string

  constructor(app: TaskApp, name: string, presets: SendOptions = {}) {
    super(app, presets)
    this.name = name
  }

  /** The same task with other options for every call. */
  withOptions(options: SendOptions): RemoteTask<A, R, K> {
    return new RemoteTask(this.app, this.name, { ...this.presets, ...options })
  }

  override send(call: Call): Promise<AsyncResult<unknown>> {
    return this.app.publish(call, noDefaults)
  }

  override sendMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]> {
    return this.app.publishMany(calls, noDefaults)
  }
}
