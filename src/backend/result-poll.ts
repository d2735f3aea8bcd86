/**
 * One loop that looks for all results somebody of this backend waits for (`celery/backends/base.py` get_many).
 *
 * Rule 1: one timer and one read for all waits, however many; none while nobody waits.
 * Rule 2: a wait is looked at sooner while it is young: after 10 ms, then twice as long each time, up to its interval.
 * Rule 3: a store that tells of a change gets looked at at once; the loop stays as the net below.
 * Rule 4: bytes that were seen before are not decoded again.
 */

import type { ResultMeta } from '../../protocol/result-meta.js'
import { READY_STATES } from '../../protocol/task-state.js'
import type { Clock } from '../clock.js'
import { onAbort } from './abort-listener.js'
import type { WatchOptions } from './backend.js'

/** A meta and the bytes that it was read from in the end. */
export interface DecodedMeta {
  readonly meta: ResultMeta
  readonly bytes: Uint8Array
}

/** How the loop reads. */
export interface PollSource {
  /** Stored bytes by task id; ids with nothing stored are left out. */
  read(taskIds: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>>
  /** Reads one stored value, perhaps looking again when it was caught half-written. */
  decode(taskId: string, bytes: Uint8Array): Promise<DecodedMeta>
  /** Starts telling of changes; the returned function stops it. */
  listen(changed: (taskId: string) => void): () => void
}

interface Wait {
  readonly waiting: Set<string>
  readonly every: boolean
  readonly longestMs: number
  delayMs: number
  dueAt: number
  readonly seen: Map<string, Uint8Array>
  readonly found: ResultMeta[]
  error: { readonly reason: unknown } | undefined
  ended: boolean
  wake: () => void
}

const FIRST_LOOK_MS = 10
/** Celery's `interval`. */
const LONGEST_MS = 500
/** Waits that fall due within this time of each other share a look. */
const SHARED_MS = 5

/** Shared polling with wake-ups. */
export class ResultPoll {
  readonly #source: PollSource
  readonly #clock: Clock
  readonly #waits = new Map<string, Set<Wait>>()
  readonly #all = new Set<Wait>()
  readonly #hinted = new Set<string>()
  readonly #decoding = new Set<string>()
  #stopListening: (() => void) | undefined
  #cancelTimer: (() => void) | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #looking = false

  constructor(source: PollSource, clock: Clock) {
    this.#source = source
    this.#clock = clock
  }

  /** How many watches are open. */
  get size(): number {
    return this.#all.size
  }

  /** See `ResultBackend.watch`. */
  async *watch(
    taskIds: readonly string[],
    options: WatchOptions,
  ): AsyncGenerator<ResultMeta, void, undefined> {
    const { signal } = options
    if (signal.aborted || taskIds.length === 0) return
    const wait = this.#open(taskIds, options)
    const stopListening = onAbort(signal, () => {
      wait.ended = true
      wait.wake()
    })
    try {
      for (;;) {
        for (let meta = wait.found.shift(); meta !== undefined; meta = wait.found.shift()) {
          if (signal.aborted) return
          yield meta
        }
        if (wait.error !== undefined) throw wait.error.reason
        if (wait.ended || wait.waiting.size === 0) return
        await new Promise<void>((resolve) => {
          wait.wake = resolve
        })
      }
    } finally {
      stopListening()
      this.#close(wait)
    }
  }

  /** Ends every watch, each with `reason`. */
  end(reason: unknown): void {
    for (const wait of this.#all) {
      wait.error ??= { reason }
      wait.wake()
      this.#close(wait)
    }
  }

  /**
   * Reads one task now, if anybody waits for it, since its result is about to be forgotten. Never rejects: those who wait
   * go on waiting.
   */
  async settle(taskId: string): Promise<void> {
    if (!this.#waits.has(taskId)) return
    const values = await this.#source.read([taskId]).catch(() => new Map<string, Uint8Array>())
    const bytes = values.get(taskId)
    if (bytes !== undefined) await this.#deliver(taskId, bytes)
  }

  /** Looks at one task now, if anybody waits for it. */
  hint(taskId: string): void {
    if (!this.#waits.has(taskId)) return
    this.#hinted.add(taskId)
    this.#arm(this.#clock.monotonic())
  }

  #open(taskIds: readonly string[], options: WatchOptions): Wait {
    const now = this.#clock.monotonic()
    const longestMs = options.interval === undefined ? LONGEST_MS : Math.max(1, options.interval * 1000)
    const wait: Wait = {
      waiting: new Set(taskIds),
      every: options.every === true,
      longestMs,
      delayMs: options.interval === undefined ? FIRST_LOOK_MS : longestMs,
      dueAt: now,
      seen: new Map(),
      found: [],
      error: undefined,
      ended: false,
      wake: () => {},
    }
    this.#all.add(wait)
    for (const id of wait.waiting) {
      const others = this.#waits.get(id)
      if (others === undefined) this.#waits.set(id, new Set([wait]))
      else others.add(wait)
    }
    this.#stopListening ??= this.#source.listen((taskId) => this.hint(taskId))
    this.#arm(now)
    return wait
  }

  #close(wait: Wait): void {
    if (!this.#all.delete(wait)) return
    for (const id of wait.waiting) this.#leave(wait, id)
    if (this.#all.size > 0) return
    this.#hinted.clear()
    this.#disarm()
    this.#stopListening?.()
    this.#stopListening = undefined
  }

  #leave(wait: Wait, taskId: string): void {
    const others = this.#waits.get(taskId)
    others?.delete(wait)
    if (others?.size === 0) this.#waits.delete(taskId)
  }

  #arm(at: number): void {
    if (this.#looking || at >= this.#timerAt) return
    this.#disarm()
    this.#timerAt = at
    this.#cancelTimer = this.#clock.after(Math.max(0, at - this.#clock.monotonic()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY
      void this.#look()
    })
  }

  #disarm(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  /** Never rejects: whatever goes wrong is thrown by the watches that it concerns. */
  async #look(): Promise<void> {
    this.#looking = true
    const horizon = this.#clock.monotonic() + SHARED_MS
    const due = [...this.#all].filter((wait) => wait.dueAt <= horizon)
    const ids = new Set(this.#hinted)
    this.#hinted.clear()
    for (const wait of due) for (const id of wait.waiting) ids.add(id)
    // What is read again just now would overtake this read, which would then be told after it.
    for (const id of this.#decoding) if (ids.delete(id)) this.#hinted.add(id)
    try {
      const values = await this.#source.read([...ids])
      for (const [id, bytes] of values) void this.#deliver(id, bytes)
    } catch (reason) {
      const concerned = new Set(due)
      for (const id of ids) for (const wait of this.#waits.get(id) ?? []) concerned.add(wait)
      for (const wait of concerned) this.#fail(wait, reason)
    }
    const now = this.#clock.monotonic()
    for (const wait of due) {
      wait.dueAt = now + wait.delayMs
      wait.delayMs = Math.min(wait.longestMs, wait.delayMs * 2)
    }
    this.#looking = false
    if (this.#all.size === 0) return
    const isHinted = [...this.#hinted].some((id) => !this.#decoding.has(id))
    let next = isHinted ? now : Number.POSITIVE_INFINITY
    for (const wait of this.#all) if (!wait.ended) next = Math.min(next, wait.dueAt)
    if (next < Number.POSITIVE_INFINITY) this.#arm(next)
  }

  /** Never rejects. Not awaited by the loop: a value that was caught half-written holds up nobody else. */
  async #deliver(taskId: string, bytes: Uint8Array): Promise<void> {
    if (this.#notSeen(taskId, bytes).length === 0) return
    this.#decoding.add(taskId)
    try {
      const read = await this.#source.decode(taskId, bytes)
      for (const wait of this.#notSeen(taskId, read.bytes)) this.#tell(wait, taskId, read)
    } catch (reason) {
      for (const wait of this.#waits.get(taskId) ?? []) this.#fail(wait, reason)
    } finally {
      this.#decoding.delete(taskId)
      if (this.#hinted.has(taskId)) this.hint(taskId)
    }
  }

  #notSeen(taskId: string, bytes: Uint8Array): readonly Wait[] {
    const waits = [...(this.#waits.get(taskId) ?? [])]
    return waits.filter((wait) => !sameBytes(wait.seen.get(taskId), bytes))
  }

  #tell(wait: Wait, taskId: string, { meta, bytes }: DecodedMeta): void {
    const isReady = READY_STATES.has(meta.state)
    if (isReady) {
      wait.waiting.delete(taskId)
      wait.seen.delete(taskId)
      this.#leave(wait, taskId)
    } else {
      wait.seen.set(taskId, bytes)
    }
    if (!isReady && !wait.every) return
    wait.found.push(meta)
    wait.wake()
  }

  #fail(wait: Wait, reason: unknown): void {
    wait.error ??= { reason }
    wait.ended = true
    wait.wake()
  }
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && a.length === b.length && Buffer.compare(a, b) === 0
}
