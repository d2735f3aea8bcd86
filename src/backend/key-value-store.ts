import type { ResultPlace } from '../transport/transport.js'
import type { PendingChord, PendingOptions } from './pending-chord.js'

/**
 * What a store must do to keep results under keys; `KeyValueBackend` does the rest.
 *
 * Rule 1: a value is replaced as a whole; a reader sees the old or the new bytes, never a mixture.
 * Rule 2: the calls throw the driver's own errors; `KeyValueBackend` turns them into ours.
 */
export interface KeyValueStore {
  readonly kind: string
  readonly displayUrl: string
  readonly persistent: boolean
  readonly autoExpires: boolean
  /** True when `onChange` tells of every change, whoever made it. */
  readonly push: boolean
  /** Tries the store out, as `ResultBackend.check`. */
  check?(): Promise<void>
  get(key: string): Promise<Uint8Array | undefined>
  /** In the order of `keys`. */
  getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>
  set(key: string, value: Uint8Array): Promise<void>
  delete(key: string): Promise<void>
  /** Stores `value` where nothing is, in one step, and gives what is there then. */
  first?(key: string, value: string): Promise<string>
  /** Calls `listener` with each key that changed; the returned function ends that and frees what it took. */
  onChange(listener: (key: string) => void): () => void
  /** Deletes what is under keys that start with one of `prefixes` and is older than the expiry; returns how many. */
  cleanup(prefixes: readonly string[]): Promise<number>
  /** True when trying `error`'s operation again may work. */
  isRecoverable(error: unknown): boolean
  /** An unreadable value may have been caught half-written: worth another look before it counts as corrupt. */
  readonly writesInPlace: boolean
  close(): Promise<void>
  /**
   * Stores `value` (text goes as UTF-8) unless `isSuccess` of the writer says that what is there must stay: look and
   * write are one step on the server. Calls and no promise: every result of a worker comes through here. Without it,
   * `get` and `set` do.
   */
  put?(key: string, value: Uint8Array | string, writer: KeyWriter): void
  /** Where the values are, when another connection to that server may write them, as `put` and `parts.end` would. */
  readonly place?: ResultPlace | undefined
  /** With it: for how long, in seconds; 0 for ever. */
  readonly keepSeconds?: number
  /** Present when each change is sent with its value, for the keys that one asks for. */
  readonly channels?: KeyChannels
  /** Present when the store can count a chord's parts. */
  readonly parts?: KeyParts
  /** No more waiting for a store that is away: what is under way ends, with the error of `close`, within seconds. */
  end?(reason: Error): void
}

/** Who puts a value: asked about what is there, and told once what came of it, never before `put` has returned. */
export interface KeyWriter {
  isSuccess(stored: Uint8Array): Promise<boolean>
  onStored(): void
  onFailed(error: unknown): void
}

/** What is told of the keys that are wanted. */
export interface KeyListener {
  /** A key got this value. */
  onValue(key: string, value: Uint8Array): void
  /** From now on no value of these keys is missed; called again after a connection was lost and made anew. */
  onReady(keys: readonly string[]): void
  /** The store will not tell of these keys (a missing permission, say). */
  onRefused(keys: readonly string[], reason: unknown): void
}

/** Values as they are stored, key by key. */
export interface KeyChannels {
  /** Called once, before all else. */
  listen(listener: KeyListener): void
  /** Asks for a key's values, at the end of this tick; true when they are already being sent. */
  want(key: string): boolean
  unwant(key: string): void
  /** Resolves when what was asked for in this tick has been written to the connection, if there is one. */
  flushed(): Promise<void>
}

/** The end of a chord's header: its parts in order, and the group saved under the same key where there is one. */
export interface CompletedParts {
  readonly members: readonly Uint8Array[]
  readonly group: Uint8Array | undefined
}

/** A part as it is counted; see `KeyParts.add`. */
export interface CountedPart {
  readonly groupKey: string
  readonly score: number
  readonly member: Uint8Array | string
  readonly head: number
}

/** Who puts a part: told once what came of it, never before `put` has returned. */
export interface PartWriter {
  /** All parts, when it is the last one. */
  onCounted(done: CompletedParts | undefined): void
  /** Nothing was done: it takes more than one step. */
  onUndone(): void
  onFailed(error: unknown): void
}

/** A chord's parts under `<groupKey>.j`, `.t` and `.s` (wire-format 8.4). */
export interface KeyParts {
  begin(groupKey: string, size: number): Promise<void>
  /** Expects one part more (`add_to_chord`). */
  grow(groupKey: string): Promise<void>
  /**
   * Adds a part; gives all of them when it is the last one. `score` is its place, `Infinity` when it has none. One that
   * begins with the same `head` bytes in the same place is the same part, run again; 0: cannot be told. A member that is
   * text is ASCII.
   */
  add(part: CountedPart): Promise<CompletedParts | undefined>
  /**
   * `KeyValueStore.put` of its task's result and `add` in one step. Calls and no promise, as there: every part of a worker
   * comes through here.
   */
  put?(part: CountedPart, key: string, value: Uint8Array | string, writer: PartWriter): void
  end(groupKey: string): Promise<void>
  /** The keys that `end` deletes. */
  keys?(groupKey: string): readonly string[]
  /** Chords that wait; `keyPrefix` is the group's key without its id. */
  pending(keyPrefix: string, options: PendingOptions): AsyncIterable<PendingChord>
}
