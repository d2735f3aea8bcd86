/** Keys that are remembered together, unless many more writes are under way. */
const usualGeneration = 1024

/**
 * The writes under way, by key; every result of a worker comes through here.
 *
 * A `Map` from which keys are deleted would leave its table for a new one again and again (`Seats` tells what that
 * costs), so keys are left where they are, and dropped with a whole generation: what of it is under way then moves on.
 */
export class WritesUnderWay {
  #young = new Map<string, Promise<void> | undefined>()
  #old = new Map<string, Promise<void> | undefined>()
  #mostYoung = usualGeneration

  /** The last one of this key. */
  get(key: string): Promise<void> | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }

  /** This is the last one of its key from now on. */
  begin(key: string, write: Promise<void>): void {
    if (this.#young.size >= this.#mostYoung) this.#age()
    this.#young.set(key, write)
  }

  /** It is over. */
  end(key: string, write: Promise<void>): void {
    if (this.#young.get(key) === write) this.#young.set(key, undefined)
    if (this.#old.get(key) === write) this.#old.set(key, undefined)
  }

  /** All of them. */
  all(): readonly Promise<void>[] {
    return [...this.#old.values(), ...this.#young.values()].filter((write) => write !== undefined)
  }

  #age(): void {
    const next = new Map<string, Promise<void> | undefined>()
    for (const [key, write] of this.#old) {
      // A newer one of the same key stands before it.
      if (write !== undefined && this.#young.get(key) === undefined) next.set(key, write)
    }
    this.#old = this.#young
    this.#young = next
    this.#mostYoung = Math.max(usualGeneration, 2 * next.size)
  }
}
