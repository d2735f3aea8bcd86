import type { TaskBody, TaskMessage } from '../../protocol/task-message.js'
import type { RunnableTask } from '../execution/host.js'
import type { Courier, TaskRequest } from '../execution/request.js'
import type { Delivery } from '../transport/transport.js'

/** A decoded message and how it came. */
export interface Arrival {
  readonly delivery: Delivery
  readonly message: TaskMessage
  readonly body: TaskBody
  readonly task: RunnableTask
}

/** What a run is told of it. */
export function taskRequestFrom(
  { delivery, message, body }: Arrival,
  hostname: string,
  courier: Courier,
): TaskRequest {
  const { exchange, routingKey } = delivery.address
  return {
    message,
    body,
    // Celery's four, and no more (WRK-041).
    deliveryInfo: { exchange, routingKey, priority: message.priority, redelivered: delivery.redelivered },
    hostname,
    isEager: false,
    courier,
  }
}
