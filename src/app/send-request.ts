import type { SendOptions } from '../canvas/send-options.js'

/** One task to send, with everything decided but where it goes. */
export interface SendRequest {
  readonly name: string
  /** The id, where the options give none. */
  readonly id?: string | undefined
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  /** True when the caller gave positional arguments (`delay(2, 3)`): `argsrepr` is then a Python tuple. */
  readonly argsAsTuple: boolean
  /** What the caller gave; wins over `taskDefaults`, which win over `task_routes` (surface PUB-039). */
  readonly options: SendOptions
  /** The task's own execution options (surface TSK-025), empty for tasks of other processes. */
  readonly taskDefaults: SendOptions
  /** The task that is running here, for `root_id`, `parent_id` and inherited priority. */
  readonly current:
    | { readonly id: string; readonly rootId: string; readonly priority: number | undefined }
    | undefined
}

/** A message that the broker has accepted. */
export interface Sent {
  readonly id: string
  readonly queue: string | undefined
  readonly exchange: string
  readonly routingKey: string
  readonly ignoreResult: boolean
}
