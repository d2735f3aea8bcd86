import type { AsyncResult } from '../backend/async-result.js'
import type { EagerResult } from '../backend/eager-result.js'
import type { SendOptions } from '../canvas/send-options.js'
import type { Call, SignatureApp } from '../canvas/signature-app.js'
import type { TaskContext } from '../execution/context.js'
import type { RunnableTask } from '../execution/host.js'
import type { Settings } from './settings.js'

/** What a task asks of its app; `app.ts` is the one that provides it. */
export interface TaskApp extends SignatureApp {
  readonly conf: Settings
  /** Publishes a call and gives the result to wait for. */
  publish(call: Call, taskDefaults: SendOptions): Promise<AsyncResult<unknown>>
  /** Publishes calls together, and gives their results in the order of the calls. */
  publishMany(calls: readonly Call[], taskDefaults: SendOptions): Promise<readonly AsyncResult<unknown>[]>
  /** Runs a task here, now (surface TST-003). */
  runEagerly(task: RunnableTask, call: Call, throws?: boolean): Promise<EagerResult<unknown>>
  /** Arguments as they would arrive after a trip over the wire (surface TST-001). */
  overTheWire(call: Call, serializer: string): Call
  /** What a bound task sees when it is called as a function (surface TSK-052). */
  directContext(
    task: RunnableTask,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): TaskContext
}
