import type { TaskBody, TaskMessage } from '../../protocol/task-message.js'

/** One received message, decoded, on its way through the worker. */
export interface TaskRequest {
  readonly message: TaskMessage
  readonly body: TaskBody
  readonly deliveryInfo: DeliveryInfo
  /** Node name of the executing worker, `celery@host`. */
  readonly hostname: string
  /** True for `apply()` and `taskAlwaysEager`. */
  readonly isEager: boolean
}

/** Where a message came through (surface WRK-041). */
export interface DeliveryInfo {
  readonly exchange: string
  readonly routingKey: string
  readonly priority: number | undefined
  readonly redelivered: boolean
}
