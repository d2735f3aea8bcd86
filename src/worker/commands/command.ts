/**
 * What a remote control command is (`celery/worker/control.py` Panel). One file per command in this folder; `all.ts`
 * lists them.
 *
 * Rule 1: a command does what must be in order before it first waits: commands start in the order they came.
 * Rule 2: whatever it throws is told to who asked, as Python's repr, and harms nobody else.
 */
import type { Logger } from '../../logger.js'
import type { Ledger } from '../ledger.js'
import type { WorkerApp } from '../worker-app.js'
import type { Shutdown } from '../worker-options.js'

/** The worker as commands see it. */
export interface CommandedWorker {
  /** Node name, `celery@host`. */
  readonly hostname: string
  readonly ledger: Ledger
  /** True when the worker holds the task. */
  revoke(id: string, options?: { readonly terminate?: boolean; readonly signal?: NodeJS.Signals }): boolean
  rateLimit(task: string, rate: string | number | null): void
  /** Seconds; null for none. */
  timeLimit(task: string, limits: { readonly soft: number | null; readonly hard: number | null }): void
  shutdown(how: Shutdown): Promise<void>
}

/** What a command is given. */
export interface CommandContext {
  readonly app: WorkerApp
  readonly worker: CommandedWorker
  readonly logger: Logger
}

/** One command. */
export interface ControlCommand {
  /** As it is called, `rate_limit`. */
  readonly name: string
  /** Arguments that must be given. */
  readonly required: readonly string[]
  /** All other arguments it knows; undefined takes any, as a Python handler with `**kwargs` does. */
  readonly optional?: readonly string[]
  /** The reply, which the task serializer must be able to write; `noReply` sends none (surface CTL-011). */
  run(context: CommandContext, args: Readonly<Record<string, unknown>>): unknown
}

/** The reply of a command that must not be answered. */
export const noReply: unique symbol = Symbol('no reply')

/** `{ ok }`: Celery's reply to what went well. */
export function ok(value: unknown): { readonly ok: unknown } {
  return { ok: value }
}

/** `{ error }`: Celery's reply to what could not be done. */
export function nok(error: string): { readonly error: string } {
  return { error }
}
