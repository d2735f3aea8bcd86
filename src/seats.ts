/** What can have a seat in one `Seats` at a time. */
export interface Seated {
  /** -1 without one; of `Seats` alone. */
  seat: number
}

/**
 * Objects that come and go by the thousands, in the order of their coming. A `Set` would do the same but for one thing:
 * the engine's table of a `Set` whose members change is left for a new one again and again, and what stands in the one
 * that was left lives on until all memory is collected: at 400 at a time that was half of what a worker allocates.
 */
export class Seats<T extends Seated> {
  readonly #taken: (T | undefined)[] = []
  /** When each seat was taken: a running number. */
  readonly #since: number[] = []
  readonly #free: number[] = []
  #count = 0

  /** How many there are. */
  get size(): number {
    return this.#taken.length - this.#free.length
  }

  has(one: T): boolean {
    return one.seat >= 0 && this.#taken[one.seat] === one
  }

  add(one: T): void {
    if (this.has(one)) return
    const seat = this.#free.pop() ?? this.#taken.length
    one.seat = seat
    this.#taken[seat] = one
    this.#since[seat] = this.#count++
  }

  /** False when it was not here. */
  delete(one: T): boolean {
    if (!this.has(one)) return false
    this.#taken[one.seat] = undefined
    this.#free.push(one.seat)
    one.seat = -1
    return true
  }

  /** All of them, first come first. */
  all(): readonly T[] {
    const all = this.#taken.filter((one) => one !== undefined)
    return all.sort((a, b) => (this.#since[a.seat] ?? 0) - (this.#since[b.seat] ?? 0))
  }

  clear(): void {
    for (const one of this.all()) this.delete(one)
  }
}
