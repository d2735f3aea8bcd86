import type { Logger } from '../logger.js'

/** A logger whose target can change after others have taken hold of it (`celeriac worker` brings its own). */
export class AppLogger implements Logger {
  private target: Logger

  constructor(target: Logger) {
    this.target = target
  }

  /** From now on everything goes to `target`; children made before keep theirs. */
  use(target: Logger): void {
    this.target = target
  }

  trace(fields: object, message?: string): void {
    this.target.trace(fields, message)
  }
  debug(fields: object, message?: string): void {
    this.target.debug(fields, message)
  }
  info(fields: object, message?: string): void {
    this.target.info(fields, message)
  }
  warn(fields: object, message?: string): void {
    this.target.warn(fields, message)
  }
  error(fields: object, message?: string): void {
    this.target.error(fields, message)
  }
  fatal(fields: object, message?: string): void {
    this.target.fatal(fields, message)
  }
  child(bindings: Record<string, unknown>): Logger {
    return this.target.child(bindings)
  }
  isLevelEnabled(level: string): boolean {
    return this.target.isLevelEnabled?.(level) ?? true
  }
}
