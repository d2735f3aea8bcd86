import type { Clock } from '../clock.js'
import type { ResultBackend } from './backend.js'

/** What result objects need from their app. */
export interface ResultContext {
  readonly backend: ResultBackend
  readonly clock: Clock
  /** Called before a result is read from the backend; the app warns of eager mode there (surface TST-007). */
  beforeRead?(): void
  /** True while a task body runs in this async context (surface RES-046). */
  insideTask(): boolean
  /** Broadcasts a revoke; absent when there is no way to. */
  revoke?(taskIds: readonly string[], options: RevokeOptions): Promise<void>
}

/** How to revoke. */
export interface RevokeOptions {
  readonly terminate?: boolean
  /** Default `SIGTERM`. */
  readonly signal?: string
  /** Wait until the workers have said that they know. Default false. */
  readonly wait?: boolean
  /** Seconds of silence after which no more workers are waited for. Default 1. */
  readonly timeout?: number
}
