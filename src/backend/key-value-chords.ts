/**
 * A chord's parts, counted in a store of keys and values so that workers of both languages may finish them
 * (`RedisBackend.on_chord_part_return`, wire-format 8.4, surface CNV-102 to CNV-109).
 *
 * Rule 1: a part that runs twice, once in each language, is one part: JSON is written as Python writes it, to the byte.
 * One that runs twice here is one part also when its results differ, which Celery counts as two.
 * Rule 2: a header that was saved as a group holds groups itself; its values are then joined in that shape. They may still
 * be under way: a Celery worker that sends a group of a header tells its size as that of the whole. So they are waited
 * for, as Celery does, for `result_chord_join_timeout`.
 */
import { DecodeError } from '../../protocol/errors.js'
import type { RemoteError } from '../../protocol/remote-error.js'
import {
  decodeGroupMeta,
  type ResultEncoding,
  type ResultMeta,
  resultMetaFromWire,
  wireResult,
} from '../../protocol/result-meta.js'
import { READY_STATES } from '../../protocol/task-state.js'
import { type Clock, pause } from '../clock.js'
import type { ResultPlace } from '../transport/transport.js'
import type { ChordCounter, HeaderPart } from './backend.js'
import type { CompletedParts, CountedPart, KeyParts, PartWriter } from './key-value-store.js'
import { PartWrite, type PartWrites } from './part-write.js'
import type { PendingChord, PendingOptions } from './pending-chord.js'

/** What counting needs of its backend. */
export interface ChordSource {
  readonly parts: KeyParts
  /** `ResultBackend.store`. */
  store(meta: ResultMeta): Promise<void>
  /**
   * Stores `meta` and counts its part in one step; false, with nothing begun, where it takes more. Absent where it always does.
   */
  readonly putPart?: (meta: ResultMeta, part: CountedPart, writer: PartWriter) => boolean
  /** `KeyValueStore.place`. */
  readonly place: ResultPlace | undefined
  groupKey(groupId: string): string
  /** The key of a group without its id. */
  readonly groupKeyPrefix: string
  attempt<T>(what: string, operation: () => Promise<T>): Promise<T>
  /** What `attempt` does once its operation has failed with `cause`. */
  attemptAgain<T>(what: string, operation: () => Promise<T>, cause: unknown): Promise<T>
  fetchMany(taskIds: readonly string[]): Promise<ReadonlyMap<string, ResultMeta>>
  readonly clock: Clock
  /** How long the results of a header are waited for; a look at them is not cut short. */
  readonly joinTimeoutMs: number
  /** Ends waiting, with its reason. */
  readonly signal: AbortSignal
}

/** As many parts are read as one list: more brackets than a thousand would be counted one by one. */
const LISTED = 500
/** Between two looks at results that are under way; the pause doubles. */
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 200

/** See above. */
export class KeyValueChords implements ChordCounter {
  readonly #source: ChordSource
  readonly #encoding: ResultEncoding
  readonly #contentType: string
  readonly storePart?: NonNullable<ChordCounter['storePart']>
  /** This, for parts that are stored and counted in one step. */
  readonly #writes: PartWrites = {
    read: (groupId, done) => this.#read(groupId, done),
    stepwise: (write) => this.#stepwise(write),
    again: (write, cause) =>
      this.#source.attemptAgain(countingOf(write.groupId, write.meta), () => this.#stepwise(write), cause),
  }

  constructor(source: ChordSource, encoding: ResultEncoding) {
    this.#source = source
    this.#encoding = encoding
    const [contentType = encoding.serializer] = encoding.codec.accepting([encoding.serializer])
    this.#contentType = contentType
    const { putPart } = source
    if (putPart === undefined) return
    this.storePart = (groupId, index, meta, watcher) => {
      const write = new PartWrite(this.#writes, groupId, index, meta, watcher)
      if (!putPart(meta, this.#partOf(groupId, index, meta), write)) write.onUndone()
    }
  }

  begin(groupId: string, size: number): Promise<void> {
    return this.#on(`saving the size of chord ${groupId}`, groupId, (parts, key) => parts.begin(key, size))
  }

  grow(groupId: string): Promise<void> {
    return this.#on(`adding a part to chord ${groupId}`, groupId, (parts, key) => parts.grow(key))
  }

  end(groupId: string): Promise<void> {
    return this.#on(`deleting the parts of chord ${groupId}`, groupId, (parts, key) => parts.end(key))
  }

  endKeys(groupId: string): ReturnType<NonNullable<ChordCounter['endKeys']>> {
    const { place, parts } = this.#source
    const keys = parts.keys?.(this.#source.groupKey(groupId))
    return place === undefined || keys === undefined ? undefined : { place, keys }
  }

  async partDone(
    groupId: string,
    index: number,
    meta: ResultMeta,
  ): Promise<readonly HeaderPart[] | undefined> {
    const done = await this.#add(groupId, this.#partOf(groupId, index, meta), meta)
    return done && this.#read(groupId, done)
  }

  #add(groupId: string, part: CountedPart, meta: ResultMeta): Promise<CompletedParts | undefined> {
    return this.#source.attempt(countingOf(groupId, meta), () => this.#source.parts.add(part))
  }

  async #stepwise({ groupId, index, meta }: PartWrite): Promise<readonly HeaderPart[] | undefined> {
    await this.#source.store(meta)
    return this.partDone(groupId, index, meta)
  }

  async #read(groupId: string, done: CompletedParts): Promise<readonly HeaderPart[]> {
    if (done.group !== undefined) return this.#joined(decodeGroupMeta(done.group, this.#encoding))
    return this.#decodeAll(groupId, done.members)
  }

  #partOf(groupId: string, score: number, meta: ResultMeta): CountedPart {
    const groupKey = this.#source.groupKey(groupId)
    const { codec, serializer } = this.#encoding
    const { taskId, state } = meta
    const result = wireResult(meta, this.#encoding)
    if (this.#contentType !== 'application/json') {
      const member = codec.encode([1, taskId, state, result], serializer).body
      return { groupKey, score, member, head: headOf(member, taskId) }
    }
    const text = codec.isPlainJson(serializer) ? codec.encodeText?.(result, serializer) : undefined
    if (text !== undefined) {
      const head = `[1, ${asciiOf(JSON.stringify(taskId))}`
      const member = `${head}, ${asciiOf(JSON.stringify(state))}, ${asPythonWrites(text)}]`
      return { groupKey, score, member, head: head.length }
    }
    const bytes = codec.encode([1, taskId, state, result], serializer).body
    const member = Buffer.from(asPythonWrites(bytesOf(bytes).toString()))
    return { groupKey, score, member, head: headOf(member, taskId) }
  }

  pending(options: PendingOptions): AsyncIterable<PendingChord> {
    return this.#source.parts.pending(this.#source.groupKeyPrefix, options)
  }

  #on<T>(what: string, groupId: string, use: (parts: KeyParts, key: string) => Promise<T>): Promise<T> {
    const key = this.#source.groupKey(groupId)
    return this.#source.attempt(what, () => use(this.#source.parts, key))
  }

  #decodeAll(groupId: string, members: readonly Uint8Array[]): readonly ResultMeta[] {
    const parts: ResultMeta[] = []
    for (let from = 0; from < members.length; from += LISTED) {
      const some = members.slice(from, from + LISTED)
      for (const part of this.#decodeList(some) ?? some.map((bytes) => this.#decode(bytes)))
        parts.push(partOf(groupId, part))
    }
    return parts
  }

  /**
   * The parts as one list: a thousand short texts cost several times as much as one that holds them all. Undefined where
   * the parts are no JSON, and where one of them is wrong: read by itself it says how.
   */
  #decodeList(members: readonly Uint8Array[]): readonly unknown[] | undefined {
    const { codec, serializer } = this.#encoding
    if (this.#contentType !== 'application/json' || !codec.isPlainJson(serializer)) return undefined
    const pieces: Uint8Array[] = []
    for (const member of members) pieces.push(pieces.length === 0 ? OPEN : COMMA, member)
    pieces.push(CLOSE)
    try {
      const list = this.#decode(Buffer.concat(pieces))
      return Array.isArray(list) && list.length === members.length && list.every(isPart) ? list : undefined
    } catch {
      return undefined
    }
  }

  #decode(bytes: Uint8Array): unknown {
    const accept = new Set([this.#contentType])
    const isBinary = !/json|yaml/.test(this.#contentType)
    const contentEncoding = isBinary ? 'binary' : 'utf-8'
    return this.#encoding.codec.decode(
      { body: bytes, contentType: this.#contentType, contentEncoding },
      accept,
    )
  }

  /** One meta for each member of the saved group; that of a group holds the list of its members' values. */
  async #joined(tuple: unknown): Promise<readonly HeaderPart[]> {
    const ids = new Set<string>()
    const members = membersOf(tuple) ?? []
    for (const member of members) collectIds(member, ids)
    const metas = await this.#ended([...ids])
    return members.map((member) => ({ ...join(member, metas), isJoined: true }))
  }

  /** The results of these tasks once all have ended, or one has failed; those that come too late are left out. */
  async #ended(ids: readonly string[]): Promise<ReadonlyMap<string, ResultMeta>> {
    const { clock, joinTimeoutMs, signal } = this.#source
    const end = clock.monotonic() + joinTimeoutMs
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const metas = await this.#source.fetchMany(ids)
      const ended = [...metas].filter(([, { state }]) => READY_STATES.has(state))
      const isOver = ended.length === ids.length || ended.some(([, { state }]) => state !== 'SUCCESS')
      if (isOver || clock.monotonic() >= end) return new Map(ended)
      await pause(clock, pauseMs, signal)
    }
  }
}

const [OPEN, COMMA, CLOSE] = [Buffer.from('['), Buffer.from(','), Buffer.from(']')]

function isPart(member: unknown): member is readonly unknown[] {
  return Array.isArray(member) && member.length === 4
}

function partOf(groupId: string, member: unknown): ResultMeta {
  if (!isPart(member)) throw new DecodeError(`A part of chord ${groupId} is not [1, task_id, state, result].`)
  const [, id, state, result] = member
  // The usual one.
  if (typeof id === 'string' && state === 'SUCCESS') return metaOf(id, state, result)
  return resultMetaFromWire({ task_id: id, status: state, result })
}

function countingOf(groupId: string, { taskId }: ResultMeta): string {
  return `counting task ${taskId} as a part of chord ${groupId}`
}

/** How many bytes there are up to the task's id and what ends it: two parts of one task begin alike. */
function headOf(member: Uint8Array, taskId: string): number {
  const id = Buffer.from(taskId)
  const at = bytesOf(member).indexOf(id)
  return at < 0 ? 0 : at + id.length + 1
}

function bytesOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Compact JSON as `json.dumps` has it: blanks after commas and colons, and ASCII only. */
function asPythonWrites(json: string): string {
  const spaced = json.replace(/"(?:[^"\\]|\\.)*"|[,:]/g, (token) =>
    token.length === 1 ? `${token} ` : token,
  )
  return asciiOf(spaced)
}

function asciiOf(json: string): string {
  return json.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function membersOf(tuple: unknown): readonly unknown[] | undefined {
  return Array.isArray(tuple) && Array.isArray(tuple[1]) ? tuple[1] : undefined
}

/** `[[id, parent], ...]`, or `[id, ...]` as older versions wrote it. */
function idOf(tuple: unknown): string {
  const head: unknown = Array.isArray(tuple) ? tuple[0] : undefined
  const id: unknown = Array.isArray(head) ? head[0] : head
  if (typeof id === 'string' && id !== '') return id
  throw new DecodeError(`A saved group names a member without an id: ${JSON.stringify(tuple)}.`)
}

function collectIds(tuple: unknown, ids: Set<string>): void {
  const members = membersOf(tuple)
  if (members === undefined) ids.add(idOf(tuple))
  else for (const member of members) collectIds(member, ids)
}

function join(tuple: unknown, metas: ReadonlyMap<string, ResultMeta>): ResultMeta {
  const taskId = idOf(tuple)
  const members = membersOf(tuple)
  if (members === undefined) return metas.get(taskId) ?? metaOf(taskId, 'FAILURE', notStored)
  const joined = members.map((member) => join(member, metas))
  const failed = joined.find((meta) => meta.state !== 'SUCCESS')
  return (
    failed ??
    metaOf(
      taskId,
      'SUCCESS',
      joined.map((meta) => meta.result),
    )
  )
}

/** What Celery's join says of a result that never came (it was ignored, or forgotten). */
const notStored: RemoteError = {
  type: 'TimeoutError',
  module: 'celery.exceptions',
  args: ['The operation timed out.'],
  traceback: undefined,
}

function metaOf(taskId: string, state: string, result: unknown): ResultMeta {
  return { taskId, state, result, traceback: undefined, children: undefined, dateDone: undefined }
}
