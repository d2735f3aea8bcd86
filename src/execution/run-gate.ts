/**
 * Keeps a run that was given up (hard time limit, terminate) from having any further effect: JavaScript cannot stop a
 * function, so what it does later must not count.
 *
 * Rule 1: everything a run does to the world (store, send, count, hooks) goes through `effect`.
 * Rule 2: once closed, `effect` throws `RunAbandoned` and does nothing.
 * Rule 3: an effect that was under way when the gate closed is left to end; `idle` waits for it, so that what is stored
 * about the end of the run comes after it.
 */
import type { Clock } from '../clock.js'
import { TaskVerdict } from '../errors.js'

/** Thrown into a body that goes on after its run was given up. */
export class RunAbandoned extends TaskVerdict {
  readonly code = 'RUN_ABANDONED'
}

/** One run's gate; open until `close`. */
export class RunGate {
  /** The run ends with this, all at once; settles, without rejecting, when it is known whether it has. */
  ending: Promise<boolean> | undefined
  private closedBecause: string | undefined
  private underWay = 0
  private waiting: (() => void)[] | undefined

  get isClosed(): boolean {
    return this.closedBecause !== undefined
  }

  /** `reason` completes the sentence "This run was given up: ...". */
  close(reason: string): void {
    this.closedBecause ??= reason
  }

  /** Throws `RunAbandoned` when closed. */
  check(): void {
    if (this.closedBecause === undefined) return
    throw new RunAbandoned(
      `This run was given up: ${this.closedBecause}. What it does from now on has no effect; end it.`,
    )
  }

  /** Does `act` unless the gate is closed; throws `RunAbandoned` then, also when it closed while `act` was under way. */
  async effect<T>(act: () => T | Promise<T>): Promise<T> {
    return this.passing(async () => act())
  }

  /** `effect` for what gives a promise, at the cost of one more: storing a result comes through here. */
  passing<T>(act: () => Promise<T>): Promise<T> {
    try {
      this.enter()
    } catch (error) {
      return Promise.reject(error)
    }
    return act().then(
      (value) => {
        this.leave()
        this.check()
        return value
      },
      (error: unknown) => {
        this.leave()
        throw error
      },
    )
  }

  /** An effect begins, of which `leave` must tell the end; throws when closed. */
  enter(): void {
    this.check()
    this.underWay += 1
  }

  leave(): void {
    this.underWay -= 1
    if (this.underWay > 0 || this.waiting === undefined) return
    const { waiting } = this
    this.waiting = undefined
    for (const wake of waiting) wake()
  }

  /** Resolves when no effect is under way, or after `boundMs`. */
  async idle(clock: Clock, boundMs: number): Promise<void> {
    if (this.underWay === 0) return
    await new Promise<void>((resolve) => {
      const cancel = clock.after(boundMs, resolve)
      this.waiting ??= []
      this.waiting.push(() => {
        cancel()
        resolve()
      })
    })
  }
}
