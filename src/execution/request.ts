import type { TaskBody, TaskMessage } from '../../protocol/task-message.js'
import type { Handover, ResultPlace } from '../transport/transport.js'

/** One received message, decoded, on its way through the worker. */
export interface TaskRequest {
  readonly message: TaskMessage
  readonly body: TaskBody
  readonly deliveryInfo: DeliveryInfo
  /** Node name of the executing worker, `celery@host`. */
  readonly hostname: string
  /** True for `apply()` and `taskAlwaysEager`. */
  readonly isEager: boolean
  /** Ends the message in one step with what follows from it; absent where nothing can. */
  readonly courier?: Courier
}

/** Who brought a message, and can end it together with what follows. */
export interface Courier {
  /** Whether its broker may do that where something is stored in `place`, or nothing is. */
  handsOver(place: ResultPlace | undefined): boolean
  /**
   * Publishes, stores and acknowledges (what was not acknowledged before) in one step; the task has succeeded then. False
   * where it must be done step by step: nothing was done, as far as anybody can tell. Never rejects.
   */
  handOver(what: Handover): Promise<boolean>
}

/** Where a message came through (surface WRK-041). */
export interface DeliveryInfo {
  readonly exchange: string
  readonly routingKey: string
  readonly priority: number | undefined
  readonly redelivered: boolean
}
