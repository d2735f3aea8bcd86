/** What celeriac's parts log to: the few methods of pino that we use, so any pino logger fits. */
export interface Logger {
  trace(fields: object, message?: string): void
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
  fatal(fields: object, message?: string): void
  child(bindings: Record<string, unknown>): Logger
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
}
