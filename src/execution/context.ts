import type { Logger } from '../logger.js'
import type { TaskRequest } from './request.js'

/** What a task body sees as `self` (and `currentTask()`): its request, and what it can ask of its run. */
export interface TaskContext {
  readonly name: string
  readonly request: RequestInfo
  /** A pino-like logger with `task_id` and `task_name` bound. */
  readonly log: Logger
  /** Aborts at the soft time limit (reason: `SoftTimeLimitExceeded`), at terminate and at cold shutdown. */
  readonly signal: AbortSignal
  readonly incoming: TaskRequest
}

/** `self.request`: Celery's Context in camelCase (surface 2.2). */
export interface RequestInfo {
  readonly id: string
}
