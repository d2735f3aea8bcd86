import type { Clock } from '../clock.js'
import type { Host } from '../execution/host.js'
import type { Logger } from '../logger.js'
import type { Endings } from './endings.js'
import type { Errands } from './errands.js'
import type { Request } from './request.js'

/** What one request needs from its worker, and whom it tells. */
export interface Desk {
  readonly host: Host
  readonly clock: Clock
  readonly logger: Logger
  readonly errands: Errands
  readonly endings: Endings
  /** `celery@host`. */
  readonly nodeName: string
  /** Seconds; the worker's own defaults, `--time-limit` and `--soft-time-limit`. */
  readonly timeLimit: number | undefined
  readonly softTimeLimit: number | undefined
  onAccepted(request: Request): void
  /** The broker has answered an ack or a reject. */
  onAcknowledged(): void
  /** Nothing is left to do for it. */
  onSettled(request: Request): void
}
