/** Something the person at the keyboard must change; printed without a stack. Exit codes are Celery's (CLI-008). */
export class CommandError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 1, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'CommandError'
    this.exitCode = exitCode
  }
}

/** Wrong usage: unknown option, bad value, no such app (`EX_USAGE` as Click has it). */
export const exitUsage = 2
/** Nobody answered (`EX_UNAVAILABLE`). */
export const exitUnavailable = 69
/** The pid file is taken (`EX_CANTCREAT`). */
export const exitCantCreate = 73
