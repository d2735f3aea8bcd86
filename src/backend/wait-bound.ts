import type { Clock } from '../clock.js'
import { BackendUnavailableError, ConfigError, InvalidArgumentError } from '../errors.js'
import { onAbort } from './abort-listener.js'
import type { WaitOptions } from './any-result.js'
import type { ResultContext } from './result-context.js'

/** A store that has not answered in this time after the end of a wait is not waited for. */
const LAST_LOOK_MS = 1000

/** The end of a wait: by time, by the caller's signal, or by what was done meanwhile
 * and threw. Frees what it took with `end`. */
export class WaitBound {
  readonly #controller = new AbortController()
  readonly #clock: Clock
  readonly #displayUrl: string
  readonly #options: WaitOptions
  readonly #stopListening: (() => void) | undefined
  #cancelTimeout: (() => void) | undefined
  #cancelInterval: (() => void) | undefined
  #cancelRepeat: (() => void) | undefined
  #isEnded = false
  #thrown: { readonly reason: unknown } | undefined

  /** Throws the signal's reason when it has aborted, `InvalidArgumentError` for a `timeout` that is no number (a wait
   * without an end otherwise), and `ConfigError` for `onMessage` where the store does not push. */
  constructor(context: ResultContext, options: WaitOptions) {
    options.signal?.throwIfAborted()
    if (options.onMessage !== undefined && !context.backend.push) {
      throw new ConfigError(
        `The result backend ${context.backend.displayUrl} does not support onMessage: it is asked for results ` +
          'instead of being told of them. Use onInterval, or progress().',
      )
    }
    const timeout: unknown = options.timeout ?? 0
    if (typeof timeout !== 'number' || Number.isNaN(timeout)) {
      throw new InvalidArgumentError(`timeout is a number of seconds, not ${describeTimeout(timeout)}`)
    }
    this.#clock = context.clock
    this.#displayUrl = context.backend.displayUrl
    this.#options = options
    const { signal } = options
    this.#stopListening = signal && onAbort(signal, () => this.#controller.abort(signal.reason))
    if (options.timeout) {
      this.#cancelTimeout = context.clock.after(Math.max(0, options.timeout * 1000), () => {
        this.#controller.abort()
      })
    }
    if (options.onInterval !== undefined) this.#tick(options.onInterval)
  }

  /** Aborts when the wait is over. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Throws what ended the wait, unless that was time. */
  check(): void {
    if (this.#thrown !== undefined) throw this.#thrown.reason
    this.#options.signal?.throwIfAborted()
  }

  /** Waits for `read`, but not beyond the end of the wait. */
  async until(read: Promise<void>): Promise<void> {
    if (this.signal.aborted) return
    let stopListening: (() => void) | undefined
    const end = new Promise<void>((resolve) => {
      stopListening = onAbort(this.signal, resolve)
    })
    try {
      await Promise.race([read, end])
    } finally {
      stopListening?.()
      read.catch(() => {})
    }
  }

  /** One look at the store after the end. Throws `BackendUnavailableError` after a second, and the signal's reason. */
  async lastLook<T>(read: Promise<T>): Promise<T> {
    const { signal } = this.#options
    let free = (): void => {}
    const late = new Promise<never>((_, reject) => {
      const cancel = this.#clock.after(LAST_LOOK_MS, () =>
        reject(
          new BackendUnavailableError(
            `The wait is over, and the result backend ${this.#displayUrl} does not answer, so what became of the task ` +
              'is not known. Check that it is up, and ask again.',
          ),
        ),
      )
      const stopListening = signal && onAbort(signal, () => reject(signal.reason))
      free = () => {
        cancel()
        stopListening?.()
      }
    })
    try {
      return await Promise.race([read, late])
    } finally {
      free()
      read.catch(() => {})
    }
  }

  /** Does `act` at every interval, one at a time; what it rejects with ends the wait. Once for a wait. */
  repeat(act: () => Promise<void>): void {
    this.#cancelRepeat = this.#clock.after(this.#intervalMs, () => {
      act().then(
        () => {
          if (!this.#isEnded && !this.signal.aborted) this.repeat(act)
        },
        (reason: unknown) => this.#fail(reason),
      )
    })
  }

  /** Frees timers and listeners. Safe twice. */
  end(): void {
    this.#isEnded = true
    this.#cancelRepeat?.()
    this.#cancelTimeout?.()
    this.#cancelInterval?.()
    this.#stopListening?.()
  }

  #tick(onInterval: () => void): void {
    this.#cancelInterval = this.#clock.after(this.#intervalMs, () => {
      try {
        onInterval()
        this.#tick(onInterval)
      } catch (reason) {
        this.#fail(reason)
      }
    })
  }

  get #intervalMs(): number {
    return (this.#options.interval ?? 0.5) * 1000
  }

  #fail(reason: unknown): void {
    this.#thrown ??= { reason }
    this.#controller.abort()
  }
}

function describeTimeout(timeout: unknown): string {
  return typeof timeout === 'number' ? String(timeout) : `a ${typeof timeout}`
}
