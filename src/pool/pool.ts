import type { Outcome } from '../execution/outcome.js'
import type { TaskRequest } from '../execution/request.js'
import type { Service } from '../service.js'

/** Runs task messages somewhere: on this event loop, in threads, or in child processes. */
export interface Pool extends Service {
  /** How many run at once. */
  readonly size: number
  /** Slots that a task which ignored its hard limit still holds; they no longer count in `size`'s use. */
  readonly leaked: number
  /** The caller keeps within `size`; a run starts at once. */
  run(request: TaskRequest, limits: TimeLimits): Execution
  resize(size: number): Promise<void>
}

/** One task in flight. Its promises never reject. */
export interface Execution {
  /** Settles when the task is about to start: the moment of an early ack. Undefined when it ended before. */
  readonly accepted: Promise<{ readonly pid: number } | undefined>
  readonly outcome: Promise<Outcome>
  /** Asks the run to stop: aborts its signal; `outcome` becomes `terminated` at once. */
  terminate(signal: NodeJS.Signals): void
}

/** Seconds. */
export interface TimeLimits {
  readonly soft: number | undefined
  readonly hard: number | undefined
}
