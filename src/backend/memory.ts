/**
 * `cache+memory://`: results inside this process (`celery/backends/cache.py` DummyClient).
 *
 * Rule 1: what one process stores no other process sees; backends that share one `MemoryResults` see each other's.
 * Rule 2: what has expired is gone for readers at once, and freed when something else is stored. No timer runs.
 */
import type { Clock } from '../clock.js'
import type { KeyParts, KeyValueStore } from './key-value-store.js'
import { MemoryParts } from './memory-parts.js'

/** The results that backends of one process share. */
export class MemoryResults {
  readonly #values = new Map<string, { readonly bytes: Uint8Array; readonly diesAt: number }>()
  readonly #listeners = new Set<(key: string) => void>()
  /** Chords whose parts are being counted. */
  readonly parts = new MemoryParts()
  readonly #limit: number

  /**
   * `limit` is how many results are kept before the ones stored first are dropped. Default 100,000 (Celery keeps
   * 5,000, which a busy process outruns before its callers have asked).
   */
  constructor(limit = 100_000) {
    this.#limit = limit
  }

  get size(): number {
    return this.#values.size
  }

  get(key: string, now: number): Uint8Array | undefined {
    const kept = this.#values.get(key)
    return kept === undefined || kept.diesAt <= now ? undefined : kept.bytes
  }

  set(key: string, bytes: Uint8Array, diesAt: number, now: number): void {
    this.#values.delete(key)
    this.#values.set(key, { bytes, diesAt })
    // Stored in order, so the first ones are the first to die.
    for (const [oldest, kept] of this.#values) {
      if (kept.diesAt > now && this.#values.size <= this.#limit) break
      this.#values.delete(oldest)
    }
    for (const listener of this.#listeners) listener(key)
  }

  delete(key: string): void {
    this.#values.delete(key)
  }

  /** Deletes what has died under keys with one of `prefixes`; returns how many. */
  sweep(prefixes: readonly string[], now: number): number {
    let count = 0
    for (const [key, kept] of this.#values) {
      if (kept.diesAt > now || !prefixes.some((prefix) => key.startsWith(prefix))) continue
      this.#values.delete(key)
      count++
    }
    return count
  }

  onChange(listener: (key: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** One backend's view of `MemoryResults`. */
export class MemoryResultStore implements KeyValueStore {
  readonly kind = 'memory'
  readonly displayUrl = 'cache+memory://'
  readonly persistent = false
  readonly autoExpires = true
  readonly push = true
  readonly writesInPlace = false
  readonly #results: MemoryResults
  readonly #clock: Clock
  readonly #keepMs: number

  /** `expires` is in seconds; `null` and 0 keep for ever. */
  constructor(results: MemoryResults, options: { readonly clock: Clock; readonly expires: number | null }) {
    this.#results = results
    this.#clock = options.clock
    this.#keepMs = options.expires ? options.expires * 1000 : Number.POSITIVE_INFINITY
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.#results.get(key, this.#clock.now())
  }

  async getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    const now = this.#clock.now()
    return keys.map((key) => this.#results.get(key, now))
  }

  async set(key: string, value: Uint8Array): Promise<void> {
    const now = this.#clock.now()
    this.#results.set(key, value, now + this.#keepMs, now)
  }

  async delete(key: string): Promise<void> {
    this.#results.delete(key)
  }

  onChange(listener: (key: string) => void): () => void {
    return this.#results.onChange(listener)
  }

  async cleanup(prefixes: readonly string[]): Promise<number> {
    return this.#results.sweep(prefixes, this.#clock.now())
  }

  isRecoverable(): boolean {
    return false
  }

  /** Counted in this process; Celery's cache backends count, too (surface CNV-110). */
  readonly parts: KeyParts = {
    begin: async (key, size) => this.#results.parts.begin(key, size, ...this.#times()),
    grow: async (key) => this.#results.parts.grow(key, ...this.#times()),
    add: async ({ groupKey, score, member: given, head }) => {
      const member = typeof given === 'string' ? Buffer.from(given) : given
      const members = this.#results.parts.add(groupKey, { score, member }, head, ...this.#times())
      return members && { members, group: await this.get(groupKey) }
    },
    end: async (key) => this.#results.parts.end(key),
    pending: (prefix, options) =>
      this.#results.parts.pending(
        prefix,
        options,
        Number.isFinite(this.#keepMs) ? this.#keepMs / 1000 : 0,
        this.#clock.now(),
      ),
  }

  /** When what is written now dies, and the time now. */
  #times(): readonly [diesAt: number, now: number] {
    const now = this.#clock.now()
    return [now + this.#keepMs, now]
  }

  async close(): Promise<void> {}
}
