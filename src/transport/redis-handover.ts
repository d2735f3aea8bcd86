/**
 * Ends held messages in one step with what follows from them, on the server that has the queues and keeps the results.
 *
 * Rule 1: a handover is done whole or not at all, whoever dies meanwhile: its message is acknowledged if and only if the
 *         next ones are in their queues and the result is stored.
 * Rule 2: those of one turn of the event loop share a call; each succeeds, or is refused, on its own.
 * Rule 3: what the server refuses is no failure of the connection: the caller does it step by step, and is told by the
 *         step that fails. A server that takes no such script at all is not asked again.
 */
import { ConnectivityError } from '../errors.js'
import type { Parcel, Stored } from './queue-store.js'
import type { RedisClaimed } from './redis-claimed.js'
import type { RedisArgument, RedisClient } from './redis-client.js'
import { refusalWord } from './redis-errors.js'
import { handOverScript } from './redis-handover-script.js'
import type { RedisOptions } from './redis-options.js'

/** What handovers need of their store. */
export interface RedisHandoversHost {
  readonly client: RedisClient
  readonly options: RedisOptions
  /** The list and the text of a message. */
  place(message: Stored): { readonly list: string; readonly text: string }
  /** Told, when the messages are on their way, into which lists. */
  onPushed(lists: ReadonlySet<string>): void
}

/** What came of a handover. */
export type Handed = boolean | 'gone'

interface Pending {
  readonly claimed: RedisClaimed | undefined
  readonly parcel: Parcel
  readonly messages: readonly { readonly list: string; readonly text: string }[]
  resolve(handed: Handed): void
  reject(error: unknown): void
}

/** One call holds up the server's other clients, so it does no more than this. */
const handoversAtOnce = 128
const bytesAtOnce = 1_000_000
/** More is sent step by step, in batches. */
const mostMessages = 100

/** See above. */
export class RedisHandovers {
  readonly #host: RedisHandoversHost
  #pending: Pending[] = []
  #isRefused = false

  constructor(host: RedisHandoversHost) {
    this.#host = host
  }

  /** Done at the end of this turn. Rejects when the answer was lost, and then it may have been done. */
  handOver(claimed: RedisClaimed | undefined, parcel: Parcel): Promise<Handed> {
    const place = parcel.result?.place ?? parcel.deletes?.place
    const isElsewhere = place !== undefined && place.server !== this.#host.client.server
    if (this.#isRefused || isElsewhere || parcel.messages.length > mostMessages) return Promise.resolve(false)
    return new Promise((resolve, reject) => {
      // Encoded before it is under way: an error of one is not an error of all.
      const messages = parcel.messages.map((message) => this.#host.place(message))
      this.#pending.push({ claimed, parcel, messages, resolve, reject })
      if (this.#pending.length === 1) setImmediate(() => this.#flush())
    })
  }

  #flush(): void {
    const pending = this.#pending
    this.#pending = []
    let batch: Pending[] = []
    let size = 0
    for (const one of pending) {
      const own = sizeOf(one)
      if (batch.length === handoversAtOnce || (batch.length > 0 && size + own > bytesAtOnce)) {
        void this.#send(batch)
        batch = []
        size = 0
      }
      batch.push(one)
      size += own
    }
    void this.#send(batch)
  }

  /** Never rejects. */
  async #send(batch: readonly Pending[]): Promise<void> {
    const { client, options, onPushed } = this.#host
    const keys = [options.unackedKey, options.indexKey]
    const numbers = new Map<string, number>()
    const numberOf = (key: string): number => {
      const known = numbers.get(key)
      if (known !== undefined) return known
      numbers.set(key, keys.push(key))
      return keys.length
    }
    const lists = new Set<string>()
    const args: RedisArgument[] = [client.db]
    for (const { claimed, parcel, messages } of batch) {
      args.push(claimed?.tag ?? '', claimed?.mark ?? '', messages.length)
      for (const { list, text } of messages) {
        lists.add(list)
        args.push(numberOf(list), text)
      }
      const { result, deletes } = parcel
      args.push((result?.place ?? deletes?.place)?.database ?? client.db)
      if (result === undefined) args.push(0, 0, '')
      else args.push(numberOf(result.key), result.keepSeconds, bytesOf(result.value))
      args.push(deletes?.keys.length ?? 0)
      for (const key of deletes?.keys ?? []) args.push(numberOf(key))
    }
    try {
      const answering = client.script(handOverScript, keys, args)
      onPushed(lists)
      const answers = (await answering) as readonly (number | Buffer)[]
      for (const [at, { resolve }] of batch.entries()) {
        const answer = answers[at]
        resolve(answer === 1 ? true : answer === 0 ? 'gone' : false)
      }
    } catch (error) {
      const isUnanswered = refusalWord((error as Error).cause) === undefined
      this.#isRefused ||= !(error instanceof ConnectivityError)
      for (const { resolve, reject } of batch) {
        if (isUnanswered) reject(error)
        else resolve(false)
      }
    }
  }
}

function sizeOf({ messages, parcel }: Pending): number {
  let size = parcel.result?.value.length ?? 0
  for (const { text } of messages) size += text.length
  return size
}

function bytesOf(value: Uint8Array | string): Buffer | string {
  return typeof value === 'string' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}
