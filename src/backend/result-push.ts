/**
 * Waits for results that the store sends as they are stored (`celery/backends/asynchronous.py`, wire-format 8.5).
 *
 * Rule 1: subscribe, then read, then listen: what was stored before the subscription is read, what comes later is
 * heard. The same after every reconnect.
 * Rule 2: a key stays subscribed while somebody waits for it or expects it, and not a tick longer.
 * Rule 3: a value that was read is dropped when one was heard meanwhile, which is newer or will be followed by the one
 * that was read.
 * Rule 4: a success that was heard for a task that is expected is kept for the wait that is about to begin (a publish that
 * is confirmed may be overtaken by the result). It stays as it is (surface RES-005), so nothing is read for it.
 * Rule 5: one slow look at all that is waited for is the net below; it is the only timer.
 */
import type { ResultMeta } from '../../protocol/result-meta.js'
import { READY_STATES } from '../../protocol/task-state.js'
import type { Clock } from '../clock.js'
import type { WatchOptions } from './backend.js'
import type { KeyChannels } from './key-value-store.js'
import type { DecodedMeta } from './result-poll.js'
import { ResultWait, ResultWaits } from './result-waits.js'

/** What is waited on. */
export interface PushSource {
  readonly channels: KeyChannels
  /** Stored bytes by task id; ids with nothing stored are left out. */
  read(taskIds: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>>
  decode(taskId: string, bytes: Uint8Array): Promise<DecodedMeta>
  keyOf(taskId: string): string
  /** `undefined` for the key of something else. */
  idOf(key: string): string | undefined
}

/** Between looks at everything, in case a message was lost on the way. */
const LOOK_MS = 10_000
/** The same while the store cannot be read. */
const TROUBLED_LOOK_MS = 1000
/** A store that cannot be read for so long fails the waits: about what Celery's 20 retries take. */
const PATIENCE_MS = 20_000
/** What nobody came to wait for in this time is not listened to any longer; a later wait subscribes again. */
const EXPECT_MS = 600_000
/** Nor are more than so many. */
const MOST_EXPECTED = 20_000
/** A success that nobody has come for in this time is read again. */
const KEEP_MS = 10_000
/** No more are kept, and none that is longer, in bytes. */
const [MOST_KEPT, LONGEST_KEPT] = [500, 8192]

/** See above. */
export class ResultPush {
  readonly #source: PushSource
  readonly #clock: Clock
  readonly #waits = new ResultWaits()
  /** When each was expected; the first ones first. */
  readonly #expected = new Map<string, number>()
  /** Successes of tasks that were expected, the first ones first. */
  readonly #kept = new Map<string, { readonly meta: ResultMeta; readonly at: number }>()
  readonly #toRead = new Set<string>()
  /** For each read under way, what was heard meanwhile. */
  readonly #heardDuringReads = new Set<Set<string>>()
  #isReadPlanned = false
  #cancelTimer: (() => void) | undefined
  #troubledSince: number | undefined

  constructor(source: PushSource, clock: Clock) {
    this.#source = source
    this.#clock = clock
    source.channels.listen({
      onValue: (key, bytes) => {
        const id = source.idOf(key)
        if (id !== undefined) this.#hear(id, bytes)
      },
      onReady: (keys) => {
        for (const key of keys) {
          const id = source.idOf(key)
          if (id !== undefined) this.hint(id)
        }
      },
      onRefused: (keys, reason) => {
        for (const key of keys) for (const wait of this.#waits.of(source.idOf(key) ?? '')) wait.fail(reason)
      },
    })
  }

  /** How many watches are open. */
  get size(): number {
    return this.#waits.size
  }

  /** Subscribes before the task is sent (surface RES-023); resolves when that has been written. Never fails. */
  async expect(taskId: string): Promise<void> {
    const now = this.#clock.monotonic()
    this.#expected.delete(taskId)
    this.#expected.set(taskId, now)
    this.#kept.delete(taskId)
    for (const [oldest, since] of this.#expected) {
      if (now - since <= EXPECT_MS && this.#expected.size <= MOST_EXPECTED) break
      this.drop(oldest)
    }
    this.#source.channels.want(this.#source.keyOf(taskId))
    await this.#source.channels.flushed()
  }

  /** Expects the task no longer; those who wait go on. */
  drop(taskId: string): void {
    this.#expected.delete(taskId)
    this.#kept.delete(taskId)
    this.#unwant(taskId)
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

  /** Reads one task's result soon, if anybody waits for it. */
  hint(taskId: string): void {
    if (!this.#waits.isFor(taskId)) return
    this.#toRead.add(taskId)
    if (this.#isReadPlanned) return
    this.#isReadPlanned = true
    setImmediate(() => {
      this.#isReadPlanned = false
      const ids = [...this.#toRead].filter((id) => this.#waits.isFor(id))
      this.#toRead.clear()
      void this.#look(ids)
    })
  }

  /** See `ResultBackend.watch`; `interval` has no meaning here. */
  watch(taskIds: readonly string[], options: WatchOptions): AsyncGenerator<ResultMeta, void, undefined> {
    return ResultWait.results(
      options.signal,
      () => this.#open(taskIds, options),
      (wait) => this.#close(wait),
    )
  }

  /** Ends every watch, each with `reason`, and expects nothing any longer. */
  end(reason: unknown): void {
    for (const wait of this.#waits) {
      wait.fail(reason)
      this.#close(wait)
    }
    for (const id of [...this.#expected.keys()]) this.drop(id)
    this.#kept.clear()
  }

  #open(taskIds: readonly string[], { every = false }: WatchOptions): ResultWait {
    const wait = new ResultWait(taskIds, every)
    for (const id of taskIds) {
      const meta = this.#takeKept(id)
      if (meta !== undefined && wait.waiting.delete(id)) wait.tell(meta)
    }
    this.#waits.add(wait)
    for (const id of wait.waiting) {
      // Otherwise it is read when the subscription is there.
      if (this.#source.channels.want(this.#source.keyOf(id))) this.hint(id)
    }
    this.#arm()
    return wait
  }

  #close(wait: ResultWait): void {
    if (!this.#waits.delete(wait)) return
    for (const id of wait.waiting) this.#leave(wait, id)
    if (this.#waits.size > 0) return
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#troubledSince = undefined
  }

  /** Who waited and left will not come back for it unasked. */
  #leave(wait: ResultWait, taskId: string): void {
    if (this.#waits.leave(wait, taskId)) this.drop(taskId)
  }

  #unwant(taskId: string): void {
    if (this.#waits.isFor(taskId) || this.#expected.has(taskId)) return
    this.#source.channels.unwant(this.#source.keyOf(taskId))
  }

  #arm(): void {
    if (this.#cancelTimer !== undefined || this.#waits.size === 0) return
    const ms = this.#troubledSince === undefined ? LOOK_MS : TROUBLED_LOOK_MS
    this.#cancelTimer = this.#clock.after(ms, () => {
      this.#cancelTimer = undefined
      void this.#look(this.#waits.taskIds()).then(() => this.#arm())
    })
  }

  /** Never rejects: whatever goes wrong is thrown by the watches that it concerns. */
  async #look(taskIds: readonly string[]): Promise<void> {
    if (taskIds.length === 0) return
    const heard = new Set<string>()
    this.#heardDuringReads.add(heard)
    try {
      const values = await this.#source.read(taskIds)
      this.#troubledSince = undefined
      for (const [id, bytes] of values) if (!heard.has(id)) void this.#deliver(id, bytes)
    } catch (reason) {
      this.#fail(taskIds, reason)
    } finally {
      this.#heardDuringReads.delete(heard)
    }
  }

  /** A store that is away is waited for; what is wrong otherwise is told at once. */
  #fail(taskIds: readonly string[], reason: unknown): void {
    const now = this.#clock.monotonic()
    this.#troubledSince ??= now
    if (isRetriable(reason) && now - this.#troubledSince < PATIENCE_MS) {
      // Look again sooner than a quiet store would be looked at.
      this.#cancelTimer?.()
      this.#cancelTimer = undefined
      this.#arm()
      return
    }
    for (const wait of this.#waits.ofAny(taskIds)) wait.fail(reason)
  }

  #hear(taskId: string, bytes: Uint8Array): void {
    for (const heard of this.#heardDuringReads) heard.add(taskId)
    void this.#deliver(taskId, bytes)
  }

  /** Never rejects. */
  async #deliver(taskId: string, bytes: Uint8Array): Promise<void> {
    const isWaitedFor = this.#waits.isFor(taskId)
    if (!isWaitedFor && !this.#expected.has(taskId)) return
    try {
      const { meta } = await this.#source.decode(taskId, bytes)
      for (const wait of this.#waits.of(taskId)) this.#tell(wait, taskId, meta, bytes)
      if (!READY_STATES.has(meta.state)) return
      const isKept = !isWaitedFor && meta.state === 'SUCCESS' && bytes.length <= LONGEST_KEPT
      const isExpected = this.#expected.has(taskId)
      this.drop(taskId)
      if (isKept && isExpected) this.#keep(taskId, meta)
    } catch (reason) {
      for (const wait of this.#waits.of(taskId)) wait.fail(reason)
    }
  }

  #keep(taskId: string, meta: ResultMeta): void {
    const at = this.#clock.monotonic()
    this.#kept.set(taskId, { meta, at })
    for (const [oldest, kept] of this.#kept) {
      if (at - kept.at <= KEEP_MS && this.#kept.size <= MOST_KEPT) break
      this.#kept.delete(oldest)
    }
  }

  #takeKept(taskId: string): ResultMeta | undefined {
    const kept = this.#kept.get(taskId)
    if (kept === undefined) return undefined
    this.#kept.delete(taskId)
    return this.#clock.monotonic() - kept.at <= KEEP_MS ? kept.meta : undefined
  }

  #tell(wait: ResultWait, taskId: string, meta: ResultMeta, bytes: Uint8Array): void {
    if (READY_STATES.has(meta.state)) {
      wait.waiting.delete(taskId)
      wait.seen.delete(taskId)
      this.#leave(wait, taskId)
    } else {
      const seen = wait.seen.get(taskId)
      if (!wait.every || (seen !== undefined && Buffer.compare(seen, bytes) === 0)) return
      wait.seen.set(taskId, bytes)
    }
    wait.tell(meta)
  }
}

function isRetriable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'retriable' in error && error.retriable === true
}
