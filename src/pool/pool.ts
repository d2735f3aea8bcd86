import type { Outcome } from '../execution/outcome.js'
import type { TaskRequest } from '../execution/request.js'
import type { Service } from '../service.js'

/** Runs task messages somewhere: on this event loop, in threads, or in child processes. */
export interface Pool extends Service {
  /** How many run at once. */
  readonly size: number
  /** Slots that a task which ignored its hard limit still holds; they no longer count in `size`'s use. */
  readonly leaked: number
  /** The caller keeps within `size`; a run starts at the end of this turn, and tells `watcher`. */
  run(request: TaskRequest, limits: TimeLimits, watcher: RunWatcher): Execution
  resize(size: number): Promise<void>
}

/** Who is told of one run. Calls and not promises: every task comes through here. Neither may throw. */
export interface RunWatcher {
  /** The task is about to start: the moment of an early ack. Not called when it ended before. */
  onAccepted(pid: number): void
  /** Called once. */
  onEnded(outcome: Outcome): void
}

/** One task in flight. */
export interface Execution {
  /** Asks the run to stop: aborts its signal; it ends as `terminated` at once. */
  terminate(signal: NodeJS.Signals): void
}

/** Seconds. */
export interface TimeLimits {
  readonly soft: number | undefined
  readonly hard: number | undefined
}
