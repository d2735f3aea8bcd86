/**
 * A chord's parts in Redis, under Celery's keys (`on_chord_part_return` in `celery/backends/redis.py`, wire-format 8.4).
 *
 * Rule 1: the parts of one turn of the event loop share a call; each is counted on its own, in order, and fails on its own.
 * Rule 2: a part that is counted again, its answer being lost, finds all of them there although another one was the last:
 *         here a chord is ended by one part, which may be told of it again.
 */
import { BackendUnavailableError } from '../errors.js'
import type { RedisArgument, RedisClient, RedisCommand } from '../transport/redis-client.js'
import type { CompletedParts, CountedPart, KeyParts, PartWriter } from './key-value-store.js'
import type { PendingChord, PendingOptions } from './pending-chord.js'
import { pendingChords } from './redis-pending.js'
import { refusal } from './redis-refusal.js'
import { PARTS } from './redis-scripts.js'

/** What parts need of their store. */
export interface RedisPartsHost {
  /** `result_chord_ordered`: false keeps them in a list, in the order of their ends. */
  readonly isOrdered: boolean
  /** 0: for ever. */
  readonly keepSeconds: number
  /** For errors. */
  readonly displayUrl: string
  set(key: string, value: Uint8Array): Promise<void>
  /** Does it, again after a loss by the store's rules; `isAgain` when it may have been done. */
  run<T>(kind: 'read' | 'write', operation: (client: RedisClient, isAgain: boolean) => Promise<T>): Promise<T>
}

interface PendingPart {
  readonly groupKey: string
  /** '' in a list. */
  readonly place: string
  readonly member: Buffer | string
  readonly head: number
  /** The result to store before; '' where there is none. */
  readonly key: string
  readonly value: Uint8Array | string
  readonly writer: PartWriter
}

/** One call holds up the server's other clients. */
const partsAtOnce = 256
const bytesAtOnce = 1_000_000
/** Most chords of which is known which part has ended them. */
const mostEnded = 1000

/** See above. */
export class RedisParts implements KeyParts {
  readonly #host: RedisPartsHost
  #pending: PendingPart[] = []
  /** The part that has ended a chord, oldest chord first. */
  readonly #ends = new Map<string, string>()

  constructor(host: RedisPartsHost) {
    this.#host = host
  }

  begin(groupKey: string, size: number): Promise<void> {
    return this.#host.set(`${groupKey}.s`, Buffer.from(String(size)))
  }

  /** INCR is the one command here that must not be sent twice. */
  async grow(groupKey: string): Promise<void> {
    const client = await this.#host.run('write', async (open) => open)
    await client.run('INCRBY', `${groupKey}.t`, 1)
  }

  add(part: CountedPart): Promise<CompletedParts | undefined> {
    return new Promise((onCounted, onFailed) => {
      this.put(part, '', '', { onCounted, onUndone: () => {}, onFailed })
    })
  }

  put(part: CountedPart, key: string, value: Uint8Array | string, writer: PartWriter): void {
    const { groupKey, score, head } = part
    const place = this.#host.isOrdered ? (Number.isFinite(score) ? String(score) : '+inf') : ''
    const member = typeof part.member === 'string' ? part.member : Buffer.from(part.member)
    this.#pending.push({ groupKey, place, member, head, key, value, writer })
    if (this.#pending.length === 1) setImmediate(() => this.#flush())
  }

  keys(groupKey: string): readonly string[] {
    return [`${groupKey}.j`, `${groupKey}.t`, `${groupKey}.s`]
  }

  async end(groupKey: string): Promise<void> {
    const deletes = this.keys(groupKey).map((key): RedisCommand => ['DEL', key])
    await this.#host.run('write', (client) => client.batch([['MULTI'], ...deletes, ['EXEC']]))
  }

  pending(keyPrefix: string, options: PendingOptions): AsyncIterable<PendingChord> {
    const { keepSeconds } = this.#host
    return pendingChords(
      { run: (operation) => this.#host.run('read', operation), keepSeconds },
      keyPrefix,
      options,
    )
  }

  #flush(): void {
    const pending = this.#pending
    this.#pending = []
    let batch: PendingPart[] = []
    let size = 0
    for (const part of pending) {
      const own = part.member.length + part.value.length
      if (batch.length === partsAtOnce || (batch.length > 0 && size + own > bytesAtOnce)) {
        void this.#count(batch)
        batch = []
        size = 0
      }
      batch.push(part)
      size += own
    }
    void this.#count(batch)
  }

  /** Never rejects; each part settles on its own. What the server cannot take now is counted again, as after a loss. */
  async #count(batch: readonly PendingPart[]): Promise<void> {
    let left = batch
    try {
      await this.#host.run('write', async (client, isAgain) => {
        const refused = await this.#countOnce(client, left, isAgain)
        left = refused.map(({ part }) => part)
        const [first] = refused
        if (first === undefined) return
        if (/READONLY/.test(first.error.message)) client.lose(first.error)
        throw first.error
      })
    } catch (error) {
      for (const { writer } of left) writer.onFailed(error)
    }
  }

  /** Rule 2. */
  #isEnd({ groupKey, member, head }: PendingPart, isAll: boolean, isAgain: boolean): boolean {
    if (!isAll) {
      // Also where a chord of that id is run once more.
      this.#ends.delete(groupKey)
      return false
    }
    const own = textOf(member).slice(0, head || member.length)
    const end = this.#ends.get(groupKey)
    if (isAgain && end !== undefined && end !== own) return false
    this.#ends.set(groupKey, own)
    if (this.#ends.size > mostEnded) {
      for (const oldest of this.#ends.keys()) {
        this.#ends.delete(oldest)
        break
      }
    }
    return true
  }

  /** Those parts that the server may take later. */
  async #countOnce(
    client: RedisClient,
    batch: readonly PendingPart[],
    isAgain: boolean,
  ): Promise<readonly { readonly part: PendingPart; readonly error: Error }[]> {
    const chords = new Map<string, number>()
    const keys: string[] = []
    const results: string[] = []
    const { keepSeconds } = this.#host
    const args: RedisArgument[] = [keepSeconds, isAgain ? 1 : 0, 0]
    for (const { groupKey, place, member, head, key, value } of batch) {
      let chord = chords.get(groupKey)
      if (chord === undefined) {
        chord = chords.size + 1
        chords.set(groupKey, chord)
        keys.push(...this.keys(groupKey), groupKey)
      }
      if (key !== '') results.push(key)
      args.push(chord, member, place, head, typeof value === 'string' ? value : Buffer.from(value))
    }
    args[2] = chords.size
    const answers = (await client.script(PARTS, [...keys, ...results], args)) as readonly unknown[]
    const refused: { readonly part: PendingPart; readonly error: Error }[] = []
    for (let at = 0; at < batch.length; at++) {
      const part = batch[at] as PendingPart
      const error = this.#told(part, answers[at], isAgain)
      if (error !== undefined) refused.push({ part, error })
    }
    return refused
  }

  /** Tells who put it; gives what was refused for now. */
  #told(part: PendingPart, answer: unknown, isAgain: boolean): Error | undefined {
    const { writer } = part
    if (answer === UNDONE) writer.onUndone()
    else if (Buffer.isBuffer(answer)) {
      const error = refusal(this.#host.displayUrl, part.groupKey, answer.toString())
      if (error instanceof BackendUnavailableError) return error
      writer.onFailed(error)
    } else {
      const done = completed(answer)
      writer.onCounted(this.#isEnd(part, done !== undefined, isAgain) ? done : undefined)
    }
    return undefined
  }
}

/** What PARTS says where a result needs more than one step. */
const UNDONE = 1

function textOf(member: Buffer | string): string {
  return typeof member === 'string' ? member : member.toString('latin1')
}

/** The group and all its parts, when it was the last one. */
function completed(answer: unknown): CompletedParts | undefined {
  if (!Array.isArray(answer)) return undefined
  const [group, members] = answer as unknown[]
  return {
    members: Array.isArray(members) ? members.filter(Buffer.isBuffer) : [],
    group: Buffer.isBuffer(group) ? group : undefined,
  }
}
