import type { SignatureData } from '../../protocol/signature-data.js'
import type { AsyncResult } from '../backend/async-result.js'
import type { EagerResult } from '../backend/eager-result.js'
import type { ResultContext } from '../backend/result-context.js'
import type { SendOptions } from './send-options.js'
import type { Sender } from './sender.js'

/** One call that a signature describes. */
export interface Call {
  readonly name: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  /** True when the arguments were given one by one: `argsrepr` is then a Python tuple. */
  readonly argsAsTuple: boolean
  readonly options: SendOptions
}

/** The settings that a canvas looks at. */
export interface CanvasSettings {
  /** `task_always_eager`. */
  readonly alwaysEager: boolean
  /** `task_allow_error_cb_on_chord_header`. */
  readonly errbacksOnChordHeader: boolean
  /** `task_protocol` 1 has no chain in its messages: steps are linked as callbacks (surface CNV-052). */
  readonly linksChains: boolean
}

/** What signatures ask of each other without knowing each other's classes; `algebra.ts` is the one that provides it. */
export interface Algebra {
  /** `left | right` (surface 9.2). Throws `InvalidArgumentError`. */
  join(left: unknown, right: unknown): unknown
  /** A signature from its data, of the class that its `subtask_type` says. Throws `InvalidArgumentError`. */
  rebuild(app: SignatureApp, data: SignatureData): unknown
}

/** What a signature asks of its app; `app/app.ts` is the one that provides it. */
export interface SignatureApp extends Sender, ResultContext {
  readonly canvas: CanvasSettings
  readonly algebra: Algebra
  /** Sends the call, by the task's own rules when it is registered here, else by its name (surface CNV-015). */
  dispatch(call: Call): Promise<AsyncResult<unknown>>
  /** `dispatch` for many, in one batch: all are checked, routed and encoded before anything is sent. */
  dispatchMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]>
  /** Runs the call here, now, with a result (surface TST-003). Throws `TaskNotRegisteredError`. */
  dispatchEagerly(call: Call): Promise<EagerResult<unknown>>
  /** Calls the task's function. Throws `TaskNotRegisteredError`. */
  callTask(name: string, args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): unknown
  asyncResult<T>(taskId: string): AsyncResult<T>
  /** Makes the result a child of the task that is running here, if there is one. */
  addTrail(result: { asTuple(): unknown }): void
  /** Queue and priority of a task that is registered here; `undefined` for another. */
  placeOf(name: string): { readonly queue: string | null; readonly priority: number | null } | undefined
  newId(): string
  /** Counts what is sent in several steps, so that closing the app waits for all of them; gives it back. */
  underWay<T>(sending: Promise<T>): Promise<T>
  /** The reply queue of this process: `reply_to` of frozen signatures. */
  readonly oid: string
}
