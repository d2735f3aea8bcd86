/** What celeriac's parts log to: the few methods of pino that we use, so any pino logger fits. */
export interface Logger {
  trace(fields: object, message?: string): void
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
  fatal(fields: object, message?: string): void
  child(bindings: Record<string, unknown>): Logger
  /** False where a line of this level would be dropped: then its text and fields are not built. Default always true. */
  isLevelEnabled?(level: string): boolean
}

/** Whether a line of `level` would be written. */
export function wouldLog(logger: Logger, level: 'debug' | 'info'): boolean {
  return logger.isLevelEnabled?.(level) ?? true
}

/** Logs nothing: the default of a library inside somebody else's program. */
export const silentLogger: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  fatal() {},
  child: () => silentLogger,
  isLevelEnabled: () => false,
}
