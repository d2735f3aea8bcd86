/**
 * RESULTS. Where they are kept.
 *
 * Rule 1: a stored SUCCESS is never overwritten by another state (surface RES-005), where the store is shared.
 * Rule 2: `watch` frees all it took when its loop ends, however it ends.
 * Rule 3: calls of one tick may share a round trip; each still settles on its own.
 */
import type { ResultMeta } from '../../protocol/result-meta.js'
import type { ResultPlace, SealedResult } from '../transport/transport.js'
import type { PendingChord, PendingOptions } from './pending-chord.js'

/** Running a task needs only `store`; the rest serves those who ask. */
export interface ResultBackend {
  readonly kind: string
  /** False for the disabled backend: reading throws `BackendDisabledError`, storing does nothing. */
  readonly enabled: boolean
  /** True when results can be read by other processes later (deduplication needs it, surface TSK-072). */
  readonly persistent: boolean
  /** True when the store expires results itself; others need `cleanup` (surface RES-039). */
  readonly autoExpires: boolean
  /** True when `watch` is told of changes rather than asking for them. */
  readonly push: boolean
  /** Throws `EncodeError` for a value the result serializer cannot write, `BackendUnavailableError` when away. */
  store(meta: ResultMeta, request?: ResultRequest): Promise<void>
  /** Where `seal` has results stored; undefined where it seals none. */
  readonly place?: ResultPlace | undefined
  /**
   * The result as `store` would store it, for a broker's connection to the same server, which can do that in one step with
   * other things (`Delivery.handOver`). Undefined while another write of this task is under way. Throws `EncodeError`.
   * Absent where only `store` can store.
   */
  seal?(meta: ResultMeta): SealedResult | undefined
  /**
   * Remembers which copy of a message began first, as long as results are kept, and gives that: `copy` itself where none
   * has. Throws `BackendUnavailableError`. Absent where other processes could not be told.
   */
  firstCopy?(message: string, copy: string): Promise<string>
  /** Whether what was sealed is stored, and not what another run has stored. Throws `BackendUnavailableError`. */
  holds?(sealed: SealedResult): Promise<boolean>
  fetch(taskId: string): Promise<ResultMeta | undefined>
  fetchMany(taskIds: readonly string[]): Promise<ReadonlyMap<string, ResultMeta>>
  /**
   * Yields each meta as its task gets ready (with `every`: on every change of state that is seen), and ends when all
   * are ready or `signal` aborts (then without throwing).
   */
  watch(taskIds: readonly string[], options: WatchOptions): AsyncIterable<ResultMeta>
  /**
   * Tries the store out; a worker asks before it takes tasks, so that no result is lost to a mistake in the settings.
   * Throws `ConfigError` where no waiting helps. Absent where only the network can be in the way.
   */
  check?(): Promise<void>
  /** Called before a task is sent, so that a store that pushes cannot miss its result (surface RES-023). */
  expect?(taskId: string): Promise<void>
  forget(taskId: string): Promise<void>
  /** `tuple` is the `as_tuple` form of the group (wire-format 8.2). */
  storeGroup(groupId: string, tuple: unknown): Promise<void>
  fetchGroup(groupId: string): Promise<unknown | undefined>
  forgetGroup(groupId: string): Promise<void>
  /** Deletes what is older than `result_expires`; returns how many. Does nothing where the store does it itself. */
  cleanup(): Promise<number>
  /** Present when the store can count a chord's parts; otherwise `celery.chord_unlock` polls. */
  readonly chords?: ChordCounter
  /** The URL with its password hidden, for banners and errors. */
  readonly displayUrl: string
  close(): Promise<void>
}

/** How to watch. */
export interface WatchOptions {
  readonly signal: AbortSignal
  /** Seconds between looks where the store cannot push; default 0.5 as in Celery, sooner for a young task. */
  readonly interval?: number
  readonly every?: boolean
}

/** The part of a task message that a backend may need (the rpc backend answers to `replyTo`). */
export interface ResultRequest {
  readonly id: string
  readonly replyTo: string | undefined
  readonly correlationId: string
}

/** A part of a chord's header. */
export interface HeaderPart extends ResultMeta {
  /** It was read from its own result, in the shape of a header that was saved as a group (surface CNV-104, CNV-107). */
  readonly isJoined?: true
}

/** Who stores a part: told once what came of it, never before `storePart` has returned. Must not throw. */
export interface PartWatcher {
  /** It is stored and counted; as the last one, with what reads all parts as `partDone` gives them. */
  onCounted(read?: () => Promise<readonly HeaderPart[]>): void
  /** With what `store` or `partDone` would have rejected with. */
  onUncounted(error: unknown): void
}

/** Counts the parts of a chord. */
export interface ChordCounter {
  begin(groupId: string, size: number): Promise<void>
  /** Counts one part; `index` is `Infinity` for a part without one. To the caller that completes the chord it returns every part, in header order. */
  partDone(groupId: string, index: number, meta: ResultMeta): Promise<readonly HeaderPart[] | undefined>
  /**
   * `ResultBackend.store` and `partDone` in one step, where it can be one: absent where it never can. Throws `EncodeError`.
   * Calls and no promise: every part of a worker comes through here.
   */
  storePart?(groupId: string, index: number, meta: ResultMeta, watcher: PartWatcher): void
  /** Expects one part more than `begin` said (Celery's `add_to_chord`, surface TSK-093). */
  grow?(groupId: string): Promise<void>
  /** Deletes the counters; called when the body was sent or could not be. A failed header's are left to expire. */
  end?(groupId: string): Promise<void>
  /** What `end` deletes, for a broker's connection to the same server; absent where only `end` can delete it. */
  endKeys?(groupId: string): { readonly place: ResultPlace; readonly keys: readonly string[] } | undefined
  /** The chords whose body has not been sent. Throws `BackendUnavailableError`, and the reason of the signal. */
  pending?(options: PendingOptions): AsyncIterable<PendingChord>
}
