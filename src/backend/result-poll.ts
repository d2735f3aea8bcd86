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
import type { WatchOptions } from './backend.js'
import { ResultWait, ResultWaits } from './result-waits.js'

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

const FIRST_LOOK_MS = 10
/** Celery's `interval`. */
const LONGEST_MS = 500
/** Waits that fall due within this time of each other share a look. */
const SHARED_MS = 5

/** A wait, and when it is looked at. */
class PolledWait extends ResultWait {
  readonly #longestMs: number
  #delayMs: number
  /** On the monotonic clock; the first time at once. */
  dueAt: number

  constructor(taskIds: readonly string[], { every = false, interval }: WatchOptions, now: number) {
    super(taskIds, every)
    this.#longestMs = interval === undefined ? LONGEST_MS : Math.max(1, interval * 1000)
    this.#delayMs = interval === undefined ? FIRST_LOOK_MS : this.#longestMs
    this.dueAt = now
  }

  /** It was looked at. */
  looked(now: number): void {
    this.dueAt = now + this.#delayMs
    this.#delayMs = Math.min(this.#longestMs, this.#delayMs * 2)
  }
}

/** Shared polling with wake-ups. */
export class ResultPoll {
  readonly #source: PollSource
  readonly #clock: Clock
  readonly #waits = new ResultWaits<PolledWait>()
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
    return this.#waits.size
  }

  /** See `ResultBackend.watch`. */
  watch(taskIds: readonly string[], options: WatchOptions): AsyncGenerator<ResultMeta, void, undefined> {
    return ResultWait.results(
      options.signal,
      () => this.#open(taskIds, options),
      (wait) => this.#close(wait),
    )
  }

  /** Ends every watch, each with `reason`. */
  end(reason: unknown): void {
    for (const wait of this.#waits) {
      wait.fail(reason)
      this.#close(wait)
    }
  }

  /**
   * Reads one task now, if anybody waits for it, since its result is about to be forgotten. Never rejects: those who wait
   * go on waiting.
   */
  async settle(taskId: string): Promise<void> {
    if (!this.#waits.isFor(taskId)) return
    const values = await this.#source.read([taskId]).catch(() => new Map<string, Uint8Array>())
    const bytes = values.get(taskId)
    if (bytes !== undefined) await this.#deliver(taskId, bytes)
  }

  /** Looks at one task now, if anybody waits for it. */
  hint(taskId: string): void {
    if (!this.#waits.isFor(taskId)) return
    this.#hinted.add(taskId)
    this.#arm(this.#clock.monotonic())
  }

  #open(taskIds: readonly string[], options: WatchOptions): PolledWait {
    const now = this.#clock.monotonic()
    const wait = new PolledWait(taskIds, options, now)
    this.#waits.add(wait)
    this.#stopListening ??= this.#source.listen((taskId) => this.hint(taskId))
    this.#arm(now)
    return wait
  }

  #close(wait: PolledWait): void {
    if (!this.#waits.delete(wait)) return
    for (const id of wait.waiting) this.#waits.leave(wait, id)
    if (this.#waits.size > 0) return
    this.#hinted.clear()
    this.#disarm()
    this.#stopListening?.()
    this.#stopListening = undefined
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
    const due = [...this.#waits].filter((wait) => wait.dueAt <= horizon)
    const ids = new Set(this.#hinted)
    this.#hinted.clear()
    for (const wait of due) for (const id of wait.waiting) ids.add(id)
    // What is read again just now would overtake this read, which would then be told after it.
    for (const id of this.#decoding) if (ids.delete(id)) this.#hinted.add(id)
    try {
      const values = await this.#source.read([...ids])
      for (const [id, bytes] of values) void this.#deliver(id, bytes)
    } catch (reason) {
      for (const wait of new Set([...due, ...this.#waits.ofAny(ids)])) wait.fail(reason)
    }
    const now = this.#clock.monotonic()
    for (const wait of due) wait.looked(now)
    this.#looking = false
    if (this.#waits.size === 0) return
    const isHinted = [...this.#hinted].some((id) => !this.#decoding.has(id))
    let next = isHinted ? now : Number.POSITIVE_INFINITY
    for (const wait of this.#waits) if (!wait.isOver) next = Math.min(next, wait.dueAt)
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
      for (const wait of this.#waits.of(taskId)) wait.fail(reason)
    } finally {
      this.#decoding.delete(taskId)
      if (this.#hinted.has(taskId)) this.hint(taskId)
    }
  }

  #notSeen(taskId: string, bytes: Uint8Array): readonly PolledWait[] {
    return this.#waits.of(taskId).filter((wait) => !sameBytes(wait.seen.get(taskId), bytes))
  }

  #tell(wait: PolledWait, taskId: string, { meta, bytes }: DecodedMeta): void {
    const isReady = READY_STATES.has(meta.state)
    if (isReady) {
      wait.waiting.delete(taskId)
      wait.seen.delete(taskId)
      this.#waits.leave(wait, taskId)
    } else {
      wait.seen.set(taskId, bytes)
    }
    if (isReady || wait.every) wait.tell(meta)
  }
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && a.length === b.length && Buffer.compare(a, b) === 0
}
