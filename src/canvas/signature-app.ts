import type { AsyncResult } from '../backend/async-result.js'
import type { EagerResult } from '../backend/eager-result.js'
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

/** What a signature asks of its app; `app/app.ts` is the one that provides it. */
export interface SignatureApp extends Sender {
  /** Sends the call, by the task's own rules when it is registered here, else by its name (surface CNV-015). */
  dispatch(call: Call): Promise<AsyncResult<unknown>>
  /** Runs the call here, now, with a result (surface TST-003). Throws `TaskNotRegisteredError`. */
  dispatchEagerly(call: Call): Promise<EagerResult<unknown>>
  /** Calls the task's function. Throws `TaskNotRegisteredError`. */
  callTask(name: string, args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): unknown
  asyncResult<T>(taskId: string): AsyncResult<T>
  newId(): string
  /** The reply queue of this process: `reply_to` of frozen signatures. */
  readonly oid: string
}
