import { ConfigError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Pool } from '../pool/pool.js'
import type { Service } from '../service.js'
import type { Transport } from '../transport/transport.js'

/** How a worker differs from its app's settings (the flags of `celery worker`). Times are seconds. */
export interface WorkerOptions {
  /** Consume from exactly these (`-Q`); default all declared queues (surface WRK-012, WRK-013). */
  readonly queues?: readonly string[]
  /** Consume from all but these (`-X`), after `queues` (WRK-014). */
  readonly excludeQueues?: readonly string[]
  /** Tasks that run at once (`-c`); default `workerConcurrency`, else the number of processors. */
  readonly concurrency?: number
  /** Node name (`-n`) with Celery's abbreviations; default `celery@<machine>` (WRK-007). */
  readonly hostname?: string
  /** Deliveries held per slot; default `workerPrefetchMultiplier` (4); 0 means no limit (WRK-018). */
  readonly prefetchMultiplier?: number
  /** Removes what waits in the queues before consuming (`--purge`). */
  readonly purge?: boolean
  /** Hard limit of tasks that have none (`--time-limit`). */
  readonly timeLimit?: number
  /** Soft limit of tasks that have none (`--soft-time-limit`). */
  readonly softTimeLimit?: number
  /** Ignores every rate limit; default `workerDisableRateLimits` (WRK-048). */
  readonly disableRateLimits?: boolean
  /** How much the worker remembers; the command line reads Celery's variables of the environment for it. */
  readonly memory?: WorkerMemory
  /** Parts of your own, started last in this order and stopped first in the reverse. */
  readonly services?: readonly Service[]
  /** Where tasks run; default this event loop. */
  readonly pool?: Pool
  /** Default the app's. */
  readonly logger?: Logger
  /** Finds the transport of a broker URL; default the app's way. */
  readonly openTransport?: (url: string) => Transport
}

/** What a worker remembers (surface CFG-008). */
export interface WorkerMemory {
  /** Revoked ids, default 50000 (`CELERY_WORKER_REVOKES_MAX`). */
  readonly revokesMax?: number
  /** Seconds that it remembers them, default 10800 (`CELERY_WORKER_REVOKE_EXPIRES`). */
  readonly revokeExpires?: number
  /** Ids of tasks that succeeded, default 1000 (`CELERY_WORKER_SUCCESSFUL_MAX`). */
  readonly successfulMax?: number
  /** Seconds that it remembers them, default 10800 (`CELERY_WORKER_SUCCESSFUL_EXPIRES`). */
  readonly successfulExpires?: number
}

/** How to stop. */
export interface StopOptions {
  /**
   * `warm` lets running tasks finish, `soft` for `worker_soft_shutdown_timeout` seconds, `cold` puts them back at
   * once. Default `warm`.
   */
  readonly how?: Shutdown
  /** Milliseconds after which a warm stop turns cold; default none. */
  readonly timeoutMs?: number
}

/** Kinds of shutdown, colder to the right. */
export type Shutdown = 'warm' | 'soft' | 'cold'

/** How a worker ended. */
export interface WorkerExit {
  /** 0 after a warm stop, 1 after a cold one or when the worker gave up (surface WRK-085). */
  readonly code: 0 | 1
  readonly reason: 'stopped' | 'gave up'
  /** What made it give up. */
  readonly error: Error | undefined
}

/** What a start banner shows (surface WRK-102). */
export interface Banner {
  readonly hostname: string
  /** The app's name. */
  readonly app: string
  /** Broker URL without password. */
  readonly transport: string
  /** Result store URL without password; `disabled://` when there is none. */
  readonly results: string
  readonly concurrency: number
  readonly pool: string
  readonly queues: readonly {
    readonly name: string
    readonly exchange: string
    readonly exchangeType: string
    readonly routingKey: string
  }[]
  /** Sorted names, builtins included. */
  readonly tasks: readonly string[]
}

/** Gives back what can be a concurrency; throws `ConfigError` for anything else. */
export function checkedConcurrency(concurrency: number): number {
  if (Number.isInteger(concurrency) && concurrency > 0) return concurrency
  throw new ConfigError(`The concurrency of a worker is a whole number above 0, not ${String(concurrency)}.`)
}

/** What `Revocations` and `SuccessSet` are given for `memory`; what it leaves out keeps their defaults. */
export function memoryLimits(memory: WorkerMemory = {}): MemoryLimits {
  return {
    revocations: {
      ...(memory.revokesMax === undefined ? {} : { maxCount: memory.revokesMax }),
      ...(memory.revokeExpires === undefined ? {} : { expiresMs: memory.revokeExpires * 1000 }),
    },
    successes: {
      ...(memory.successfulMax === undefined ? {} : { maxSize: memory.successfulMax }),
      ...(memory.successfulExpires === undefined ? {} : { lifetimeSeconds: memory.successfulExpires }),
    },
  }
}

/** `WorkerMemory` in the words of those who remember. */
export interface MemoryLimits {
  readonly revocations: { readonly maxCount?: number; readonly expiresMs?: number }
  readonly successes: { readonly maxSize?: number; readonly lifetimeSeconds?: number }
}
