/**
 * What stores of keys and values share (`celery/backends/base.py` BaseKeyValueStoreBackend, wire-format 8.1, 8.2).
 *
 * Rule 1: a stored SUCCESS stays: whatever is stored after it is dropped (surface RES-005). The look and the write are
 * two steps, as in Celery; within this backend they are one, and where the store can `put` they are one for all.
 * Rule 2: writes of one task happen in the order in which they were asked for.
 * Rule 3: the store is asked by `StoreAttempts` alone: whatever fails is tried again where that may help.
 */
import { ContentRefusedError, DecodeError } from '../../protocol/errors.js'
import {
  decodeGroupMeta,
  decodeResultMeta,
  encodeGroupMeta,
  encodeResultMeta,
  groupKey,
  type ResultEncoding,
  type ResultMeta,
  resultMetaText,
  taskKey,
} from '../../protocol/result-meta.js'
import { type Clock, pause, systemClock } from '../clock.js'
import { BackendUnavailableError, InvalidArgumentError } from '../errors.js'
import { type Logger, silentLogger } from '../logger.js'
import type { ResultPlace, SealedResult } from '../transport/transport.js'
import type { ChordCounter, ResultBackend, WatchOptions } from './backend.js'
import type { BackendOptions } from './backend-options.js'
import { FirstWrite, type FirstWrites } from './first-write.js'
import { KeyValueChords } from './key-value-chords.js'
import type { CountedPart, KeyValueStore, PartWriter } from './key-value-store.js'
import { PartUnderWay } from './part-write.js'
import { type DecodedMeta, ResultPoll } from './result-poll.js'
import { ResultPush } from './result-push.js'
import { StoreAttempts } from './store-attempts.js'
import { WritesUnderWay } from './writes-under-way.js'

/**
 * Waits before further looks at an unreadable value that stays the same: 1.4 s in all, longer than a write pauses on a
 * busy machine, and many, since somebody who writes without a pause leaves the file empty at every other look.
 */
const HALF_WRITTEN_LOOKS_MS = [2, 3, 5, 8, 12, 17, 25, 33, 45, 60, 80, 110, 150, 200, 300, 400]
/** An unreadable value that keeps changing is being written; but not for ever. */
const MOST_LOOKS = 100
/** Longer ones are stored by themselves. */
const MOST_SEALED = 1_000_000

/** Results under keys. */
export class KeyValueBackend implements ResultBackend {
  readonly enabled = true
  readonly kind: string
  readonly persistent: boolean
  readonly autoExpires: boolean
  readonly push: boolean
  readonly displayUrl: string
  readonly #store: KeyValueStore
  readonly #prefix: string
  readonly #encoding: ResultEncoding
  readonly #accept: readonly string[]
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #waits: ResultPoll | ResultPush
  readonly chords?: ChordCounter
  readonly firstCopy?: NonNullable<ResultBackend['firstCopy']>
  readonly #attempts: StoreAttempts
  readonly #writes = new WritesUnderWay()
  /** This, for the first writes of keys. */
  readonly #firstWrites: FirstWrites = {
    isSuccess: (key, taskId, stored) => this.#isSuccess(key, taskId, stored),
    end: (key, written) => this.#writes.end(key, written),
    hint: (taskId) => this.#waits.hint(taskId),
    again: (what, { key, taskId, value }, cause) =>
      this.#attempts.again(what, () => this.#put(key, taskId, value), cause),
  }
  readonly #closing = new AbortController()

  /** Throws `EncodeError` for a serializer that the codec does not know. */
  constructor(store: KeyValueStore, options: BackendOptions) {
    this.#store = store
    this.kind = store.kind
    this.persistent = store.persistent
    this.autoExpires = store.autoExpires
    this.push = store.push
    this.displayUrl = store.displayUrl
    this.#prefix = globalKeyPrefix(options.transportOptions)
    this.#encoding = { codec: options.codec, serializer: options.serializer ?? 'json' }
    this.#accept = options.accept ?? [this.#encoding.serializer]
    options.codec.accepting([this.#encoding.serializer])
    this.#clock = options.clock ?? systemClock()
    this.#logger = options.logger ?? silentLogger
    this.#attempts = new StoreAttempts({
      ...options,
      store,
      clock: this.#clock,
      logger: this.#logger,
      closing: this.#closing.signal,
    })
    const taskPrefix = `${this.#prefix}celery-task-meta-`
    const read = (ids: readonly string[]) => this.#readMany(ids)
    const decode = (id: string, bytes: Uint8Array) => this.#decodeTask(id, bytes)
    const idOf = (key: string): string | undefined =>
      key.startsWith(taskPrefix) ? key.slice(taskPrefix.length) : undefined
    const { channels, parts } = store
    if (channels === undefined) {
      const listen = (changed: (taskId: string) => void): (() => void) =>
        store.onChange((key) => {
          const id = idOf(key)
          if (id !== undefined) changed(id)
        })
      this.#waits = new ResultPoll({ read, decode, listen }, this.#clock)
    } else {
      const keyOf = (id: string): string => this.#taskKey(id)
      this.#waits = new ResultPush({ read, decode, channels, keyOf, idOf }, this.#clock)
    }
    const began = `${this.#prefix}_celeriac.began.`
    if (store.first !== undefined)
      this.firstCopy = async (message, copy) => (await store.first?.(began + message, copy)) ?? copy
    if (parts !== undefined) {
      this.chords = new KeyValueChords(
        {
          parts,
          get place() {
            return store.place
          },
          groupKey: (id) => this.#groupKey(id),
          groupKeyPrefix: `${this.#prefix}celery-taskset-meta-`,
          attempt: (what, operation) => this.#attempts.run(() => what, operation),
          attemptAgain: (what, operation, cause) => this.#attempts.again(what, operation, cause),
          store: (meta) => this.store(meta),
          ...(parts.put === undefined
            ? {}
            : { putPart: (meta, part, writer) => this.#putPart(meta, part, writer) }),
          fetchMany: (ids) => this.fetchMany(ids),
          clock: this.#clock,
          joinTimeoutMs: 1000 * (options.joinTimeout ?? 3),
          signal: this.#closing.signal,
        },
        this.#encoding,
      )
    }
  }

  /** How many watches are open; a test asks whether all were freed. */
  get openWatches(): number {
    return this.#waits.size
  }

  /** One promise for the usual case: every result of a worker comes through here. */
  store(meta: ResultMeta): Promise<void> {
    let key: string
    let value: Uint8Array | string
    try {
      key = this.#taskKey(meta.taskId)
      value = this.#encoded(meta)
    } catch (error) {
      return Promise.reject(error)
    }
    const { taskId, state } = meta
    const put =
      this.#store.put !== undefined && !this.#closing.signal.aborted && this.#writes.get(key) === undefined
    if (put) return this.#putFirst(key, taskId, state, value)
    return this.#inOrder(
      key,
      () =>
        this.#attempts.run(
          () => `storing ${state} of task ${taskId}`,
          () => this.#put(key, taskId, value),
        ),
      () => this.#waits.hint(taskId),
    )
  }

  get place(): ResultPlace | undefined {
    return this.#store.place
  }

  seal(meta: ResultMeta): SealedResult | undefined {
    const { place, keepSeconds = 0 } = this.#store
    if (place === undefined || this.#closing.signal.aborted) return undefined
    const key = this.#taskKey(meta.taskId)
    const value = this.#encoded(meta)
    const isUsual = this.#writes.get(key) === undefined && value.length < MOST_SEALED
    return isUsual ? { place, key, value, keepSeconds } : undefined
  }

  async holds({ key, value }: SealedResult): Promise<boolean> {
    const bytes = await this.#attempts.run(
      () => `reading ${key}`,
      () => this.#store.get(key),
    )
    return bytes !== undefined && Buffer.compare(bytes, Buffer.from(value)) === 0
  }

  #encoded(meta: ResultMeta): Uint8Array | string {
    const { result } = meta
    const stored = hasTuple(result) ? { ...meta, result: result.asTuple() } : meta
    return resultMetaText(stored, this.#encoding) ?? encodeResultMeta(stored, this.#encoding)
  }

  /** `ChordSource.putPart`. */
  #putPart(meta: ResultMeta, part: CountedPart, writer: PartWriter): boolean {
    const { taskId } = meta
    const key = this.#taskKey(taskId)
    const value = this.#encoded(meta)
    const isUsual =
      !this.#closing.signal.aborted && this.#writes.get(key) === undefined && value.length < MOST_SEALED
    if (!isUsual) return false
    const write = new PartUnderWay(this.#firstWrites, key, taskId, writer)
    this.#writes.begin(key, write.written)
    this.#store.parts?.put?.(part, key, value, write)
    return true
  }

  /** A write of a key that no other is under way for. */
  #putFirst(key: string, taskId: string, state: string, value: Uint8Array | string): Promise<void> {
    const write = new FirstWrite(this.#firstWrites, key, taskId, state, value)
    this.#writes.begin(key, write.written)
    this.#store.put?.(key, value, write)
    return write.written
  }

  /** Rule 1. */
  #put(key: string, taskId: string, value: Uint8Array | string): Promise<void> {
    const store = this.#store
    const isSuccess = (stored: Uint8Array | undefined) => this.#isSuccess(key, taskId, stored)
    if (store.put !== undefined) {
      return new Promise((resolve, reject) => {
        store.put?.(key, value, { isSuccess, onStored: resolve, onFailed: reject })
      })
    }
    return store.get(key).then(async (stored) => {
      if (!(await isSuccess(stored)))
        await store.set(key, typeof value === 'string' ? Buffer.from(value) : value)
    })
  }

  async fetch(taskId: string): Promise<ResultMeta | undefined> {
    const key = this.#taskKey(taskId)
    const bytes = await this.#attempts.run(
      () => `reading the result of task ${taskId}`,
      () => this.#store.get(key),
    )
    return bytes === undefined || bytes.length === 0
      ? undefined
      : (await this.#decodeTask(taskId, bytes)).meta
  }

  async fetchMany(taskIds: readonly string[]): Promise<ReadonlyMap<string, ResultMeta>> {
    const values = await this.#readMany([...new Set(taskIds)])
    const metas = new Map<string, ResultMeta>()
    for (const [id, bytes] of values) metas.set(id, (await this.#decodeTask(id, bytes)).meta)
    return metas
  }

  watch(taskIds: readonly string[], options: WatchOptions): AsyncGenerator<ResultMeta, void, undefined> {
    for (const id of taskIds) this.#taskKey(id)
    return this.#waits.watch(taskIds, options)
  }

  /** Has the store tell of this task's changes from now on, where it can; never fails. */
  async expect(taskId: string): Promise<void> {
    if (this.#waits instanceof ResultPush) await this.#waits.expect(taskId)
  }

  async forget(taskId: string): Promise<void> {
    const key = this.#taskKey(taskId)
    // Celery leaves those who wait waiting, also for what was there (and deaf to what comes). Nobody shall hang on that.
    await this.#waits.settle(taskId)
    if (this.#waits instanceof ResultPush) this.#waits.drop(taskId)
    await this.#inOrder(key, () =>
      this.#attempts.run(
        () => `forgetting task ${taskId}`,
        () => this.#store.delete(key),
      ),
    )
  }

  async storeGroup(groupId: string, tuple: unknown): Promise<void> {
    const key = this.#groupKey(groupId)
    const bytes = encodeGroupMeta(tuple, this.#encoding)
    await this.#inOrder(key, () =>
      this.#attempts.run(
        () => `saving group ${groupId}`,
        () => this.#store.set(key, bytes),
      ),
    )
  }

  async fetchGroup(groupId: string): Promise<unknown | undefined> {
    const key = this.#groupKey(groupId)
    const bytes = await this.#attempts.run(
      () => `reading group ${groupId}`,
      () => this.#store.get(key),
    )
    if (bytes === undefined || bytes.length === 0) return undefined
    return this.#decode(key, bytes, (raw) => decodeGroupMeta(raw, this.#encoding))
  }

  async forgetGroup(groupId: string): Promise<void> {
    const key = this.#groupKey(groupId)
    await this.#inOrder(key, () =>
      this.#attempts.run(
        () => `deleting group ${groupId}`,
        () => this.#store.delete(key),
      ),
    )
  }

  async cleanup(): Promise<number> {
    const names = ['celery-task-meta-', 'celery-taskset-meta-', 'chord-unlock-']
    const prefixes = names.map((name) => this.#prefix + name)
    return this.#attempts.run(
      () => 'deleting expired results',
      () => this.#store.cleanup(prefixes),
    )
  }

  async check(): Promise<void> {
    await this.#store.check?.()
  }

  /** Ends every wait and retry with `BackendUnavailableError`; writes under way finish. Safe twice. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    const reason = new BackendUnavailableError(`The result backend ${this.displayUrl} was closed.`)
    this.#closing.abort(reason)
    this.#waits.end(reason)
    this.#store.end?.(reason)
    await Promise.allSettled(this.#writes.all())
    await this.#store.close()
  }

  #taskKey(taskId: string): string {
    if (typeof taskId === 'string' && taskId !== '') return taskKey(taskId, this.#prefix)
    throw new InvalidArgumentError(`A task id must not be empty: got ${JSON.stringify(taskId)}.`)
  }

  #groupKey(groupId: string): string {
    if (typeof groupId === 'string' && groupId !== '') return groupKey(groupId, this.#prefix)
    throw new InvalidArgumentError(`A group id must not be empty: got ${JSON.stringify(groupId)}.`)
  }

  async #readMany(taskIds: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const keys = taskIds.map((id) => this.#taskKey(id))
    const values = await this.#attempts.run(
      () => `reading the results of ${keys.length} tasks`,
      () => this.#store.getMany(keys),
    )
    const found = new Map<string, Uint8Array>()
    for (const [index, bytes] of values.entries()) {
      const id = taskIds[index]
      if (id !== undefined && bytes !== undefined && bytes.length > 0) found.set(id, bytes)
    }
    return found
  }

  async #isSuccess(key: string, taskId: string, bytes: Uint8Array | undefined): Promise<boolean> {
    if (bytes === undefined || bytes.length === 0) return false
    try {
      return (await this.#decodeTask(taskId, bytes)).meta.state === 'SUCCESS'
    } catch (error) {
      // What nobody can read protects nothing: the new result replaces it.
      this.#logger.warn({ err: error, key }, 'replacing a stored result that cannot be read')
      return false
    }
  }

  /** The id is the key's, whatever id the value claims: it is the one that was asked for. */
  async #decodeTask(taskId: string, bytes: Uint8Array): Promise<DecodedMeta> {
    return this.#decode(this.#taskKey(taskId), bytes, (raw) => ({
      meta: { ...decodeResultMeta(raw, { ...this.#encoding, taskId }), taskId },
      bytes: raw,
    }))
  }

  /** Decodes; where a store is written in place, looks again before it calls the bytes corrupt. */
  async #decode<T>(key: string, bytes: Uint8Array, read: (bytes: Uint8Array) => T): Promise<T> {
    this.#checkAccepted(key)
    let raw = bytes
    let unchanged = 0
    for (let look = 0; ; look++) {
      try {
        return read(raw)
      } catch (cause) {
        if (!(cause instanceof DecodeError)) throw cause
        const delayMs = this.#store.writesInPlace ? HALF_WRITTEN_LOOKS_MS[unchanged] : undefined
        if (delayMs === undefined || look === MOST_LOOKS) {
          throw new DecodeError(
            `What is stored under ${key} in ${this.displayUrl} cannot be read as ${this.#encoding.serializer}: ` +
              `${cause.message} Check that result_serializer is the same on both sides, or forget the result.`,
            { cause },
          )
        }
        await pause(this.#clock, delayMs, this.#closing.signal)
        const next = await this.#attempts.run(
          () => `reading ${key}`,
          () => this.#store.get(key),
        )
        unchanged = next === undefined || Buffer.compare(next, raw) === 0 ? unchanged + 1 : 0
        raw = next ?? raw
      }
    }
  }

  #checkAccepted(key: string): void {
    const { codec, serializer } = this.#encoding
    const accept = codec.accepting(this.#accept)
    const [contentType = serializer] = codec.accepting([serializer])
    if (accept.has(contentType)) return
    throw new ContentRefusedError(
      contentType,
      `${key} in ${this.displayUrl} is ${contentType}, which is not accepted. Add '${serializer}' to resultAcceptContent.`,
    )
  }

  /**
   * Runs the writes of one key one after another; a failed one does not stop the next. `done` is called when this one
   * has succeeded.
   */
  #inOrder(key: string, write: () => Promise<void>, done?: () => void): Promise<void> {
    const before = this.#writes.get(key)
    const mine = before === undefined ? write() : before.then(write, write)
    this.#writes.begin(key, mine)
    const forget = (): void => this.#writes.end(key, mine)
    return mine.then(
      () => {
        forget()
        done?.()
      },
      (error: unknown) => {
        forget()
        throw error
      },
    )
  }
}

/** `global_keyprefix`, with `_` behind it unless it ends in one of `: _ - .` (surface RES-020). */
export function globalKeyPrefix(transportOptions: Readonly<Record<string, unknown>> | undefined): string {
  const prefix = transportOptions?.['global_keyprefix']
  if (typeof prefix !== 'string' || prefix === '') return ''
  return /[:_.-]$/.test(prefix) ? prefix : `${prefix}_`
}

/** A result object that a task returned is stored as its tuple (surface RES-015). */
function hasTuple(value: unknown): value is { asTuple(): unknown } {
  return (
    typeof value === 'object' && value !== null && 'asTuple' in value && typeof value.asTuple === 'function'
  )
}
