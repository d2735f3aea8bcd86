/**
 * The newest result of each task that came to the reply queue (`_out_of_band`, `_pending_messages` and `_cache` of
 * Celery's backends in one).
 *
 * Rule 1: a SUCCESS stays; anything else is replaced by what comes after it.
 * Rule 2: bounded by number and bytes: what came first goes first, and the first time that is said aloud.
 */
import type { Envelope } from '../../protocol/envelope.js'

/** How much is kept. */
export interface InboxLimits {
  /** Default 100,000 results (Celery: 8,192). */
  readonly results?: number
  /** Default 256 MiB of bodies. */
  readonly bytes?: number
}

interface Entry {
  readonly envelope: Envelope
  readonly isSuccess: boolean
}

/** See above. */
export class RpcInbox {
  readonly #entries = new Map<string, Entry>()
  readonly #limits: Required<InboxLimits>
  readonly #onDropped: (taskId: string) => void
  #bytes = 0

  /** `onDropped` is called with each task whose result was dropped for want of room. */
  constructor(onDropped: (taskId: string) => void, limits: InboxLimits = {}) {
    this.#onDropped = onDropped
    this.#limits = { results: 100_000, bytes: 256 * 2 ** 20, ...limits }
  }

  get size(): number {
    return this.#entries.size
  }

  /** False when a SUCCESS was there before, which stays. */
  put(taskId: string, envelope: Envelope, isSuccess: boolean): boolean {
    if (this.#entries.get(taskId)?.isSuccess === true) return false
    this.delete(taskId)
    this.#entries.set(taskId, { envelope, isSuccess })
    this.#bytes += envelope.body.length
    for (const oldest of this.#entries.keys()) {
      const isRoom = this.#entries.size <= this.#limits.results && this.#bytes <= this.#limits.bytes
      if (isRoom || oldest === taskId) break
      this.delete(oldest)
      this.#onDropped(oldest)
    }
    return true
  }

  get(taskId: string): Envelope | undefined {
    return this.#entries.get(taskId)?.envelope
  }

  delete(taskId: string): void {
    const known = this.#entries.get(taskId)
    if (known === undefined) return
    this.#entries.delete(taskId)
    this.#bytes -= known.envelope.body.length
  }
}
