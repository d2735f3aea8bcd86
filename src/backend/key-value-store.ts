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
  get(key: string): Promise<Uint8Array | undefined>
  /** In the order of `keys`. */
  getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>
  set(key: string, value: Uint8Array): Promise<void>
  delete(key: string): Promise<void>
  /** Calls `listener` with each key that changed; the returned function ends that and frees what it took. */
  onChange(listener: (key: string) => void): () => void
  /** Deletes what is under keys that start with one of `prefixes` and is older than the expiry; returns how many. */
  cleanup(prefixes: readonly string[]): Promise<number>
  /** True when trying `error`'s operation again may work. */
  isRecoverable(error: unknown): boolean
  /** An unreadable value may have been caught half-written: worth another look before it counts as corrupt. */
  readonly writesInPlace: boolean
  close(): Promise<void>
}
