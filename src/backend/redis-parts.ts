/**
 * A chord's parts in Redis, under Celery's keys (`on_chord_part_return` in `celery/backends/redis.py`, wire-format 8.4).
 *
 * Rule 1: the parts of one turn of the event loop share a call; each is counted on its own, in order, and fails on its own.
 * Rule 2: a part that is counted again, its answer being lost, finds all of them there although another one was the last:
 *         here a chord is ended by one part, which may be told of it again.
 */
import { BackendUnavailableError } from '../errors.js'
import type { RedisArgument, RedisClient, RedisCommand } from '../transport/redis-client.js'
import type { CompletedParts, KeyParts } from './key-value-store.js'
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
  readonly member: Buffer
  readonly head: number
  resolve(done: CompletedParts | undefined): void
  reject(error: unknown): void
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

  add(
    groupKey: string,
    score: number,
    member: Uint8Array,
    head: number,
  ): Promise<CompletedParts | undefined> {
    const place = this.#host.isOrdered ? (Number.isFinite(score) ? String(score) : '+inf') : ''
    return new Promise((resolve, reject) => {
      this.#pending.push({ groupKey, place, member: Buffer.from(member), head, resolve, reject })
      if (this.#pending.length === 1) setImmediate(() => this.#flush())
    })
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
      if (batch.length === partsAtOnce || (batch.length > 0 && size + part.member.length > bytesAtOnce)) {
        void this.#count(batch)
        batch = []
        size = 0
      }
      batch.push(part)
      size += part.member.length
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
      for (const { reject } of left) reject(error)
    }
  }

  /** Rule 2. */
  #isEnd({ groupKey, member, head }: PendingPart, isAll: boolean, isAgain: boolean): boolean {
    if (!isAll) {
      // Also where a chord of that id is run once more.
      this.#ends.delete(groupKey)
      return false
    }
    const own = member.toString('latin1', 0, head || member.length)
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
    const groups = [...new Set(batch.map(({ groupKey }) => groupKey))]
    const numbers = new Map(groups.map((groupKey, at) => [groupKey, at + 1]))
    const keys = groups.flatMap((groupKey) => [...this.keys(groupKey), groupKey])
    const { keepSeconds, displayUrl } = this.#host
    const args: RedisArgument[] = [keepSeconds, isAgain ? 1 : 0]
    for (const { groupKey, place, member, head } of batch)
      args.push(numbers.get(groupKey) as number, member, place, head)
    const answers = (await client.script(PARTS, keys, args)) as readonly unknown[]
    return batch.flatMap((part, at) => {
      const answer = answers[at]
      if (!Buffer.isBuffer(answer)) {
        const done = completed(answer)
        part.resolve(this.#isEnd(part, done !== undefined, isAgain) ? done : undefined)
        return []
      }
      const error = refusal(displayUrl, part.groupKey, answer.toString())
      if (error instanceof BackendUnavailableError) return [{ part, error }]
      part.reject(error)
      return []
    })
  }
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
