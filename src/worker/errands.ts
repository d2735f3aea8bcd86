/** Promises that nobody awaits but that somebody must own: signals, acknowledgements, stored refusals. */
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'

/** Owns what runs beside the loop, so that nothing is left after `stop`. */
export class Errands {
  private readonly logger: Logger
  private readonly running = new Set<Promise<void>>()

  constructor(logger: Logger) {
    this.logger = logger
  }

  get size(): number {
    return this.running.size
  }

  /** Owns `errand`; a rejection is logged with `what` and never thrown. */
  run(what: string | (() => string), errand: Promise<unknown>): void {
    const owned: Promise<void> = errand.then(
      () => {
        this.running.delete(owned)
      },
      (error: unknown) => {
        this.running.delete(owned)
        this.logger.error({ err: error }, `${typeof what === 'string' ? what : what()} failed.`)
      },
    )
    this.running.add(owned)
  }

  /** Resolves when all of them have ended, those that start meanwhile included, or after `boundMs`, with a warning. */
  async settled(clock: Clock, boundMs: number): Promise<void> {
    if (this.running.size === 0) return
    let isLate = false
    let expire = (): void => {}
    const bound = new Promise<void>((resolve) => {
      expire = resolve
    })
    const cancel = clock.after(boundMs, () => {
      isLate = true
      expire()
    })
    while (this.running.size > 0 && !isLate) await Promise.race([Promise.all(this.running), bound])
    cancel()
    if (isLate)
      this.logger.warn(
        { left: this.running.size },
        `Not waiting any longer for ${this.running.size} errands.`,
      )
  }
}
