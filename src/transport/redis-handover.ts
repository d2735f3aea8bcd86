/**
 * Ends held messages in one step with what follows from them, on the server that has the queues and keeps the results.
 *
 * Rule 1: a handover is done whole or not at all, whoever dies meanwhile: its message is acknowledged if and only if the
 *         next ones are in their queues and the result is stored.
 * Rule 2: those that are asked for together share a call; each succeeds, or is refused, on its own.
 * Rule 3: what the server refuses is no failure of the connection: the caller does it step by step, and is told by the
 *         step that fails. A server that takes no such script at all is not asked again.
 */
import { ConnectivityError } from '../errors.js'
import type { Handing, Stored } from './queue-store.js'
import { RedisClaimed } from './redis-claimed.js'
import type { RedisArgument, RedisClient } from './redis-client.js'
import { refusalWord } from './redis-errors.js'
import { handOverScript } from './redis-handover-script.js'
import type { RedisOptions } from './redis-options.js'
import type { ResultPlace } from './transport.js'

/** What handovers need of their store. */
export interface RedisHandoversHost {
  readonly client: RedisClient
  readonly options: RedisOptions
  /** The list and the text of a message. */
  place(message: Stored): { readonly list: string; readonly text: string }
  /** Told, when the messages are on their way, into which lists. */
  onPushed(lists: ReadonlySet<string>): void
}

/** One of a call, its messages encoded. */
interface Packed {
  readonly handing: Handing
  readonly claimed: RedisClaimed | undefined
  readonly messages: readonly { readonly list: string; readonly text: string }[]
}

/** One call holds up the server's other clients, so it does no more than this. */
const handoversAtOnce = 128
const bytesAtOnce = 1_000_000
/** More is sent step by step, in batches. */
const mostMessages = 100

/** See above. */
export class RedisHandovers {
  readonly #host: RedisHandoversHost
  #isRefused = false

  constructor(host: RedisHandoversHost) {
    this.#host = host
  }

  /** `QueueStore.handsOver`: what is kept by another server is not, nor anything once the server has taken no such script. */
  takes(place: ResultPlace | undefined): boolean {
    return !this.#isRefused && (place === undefined || place.server === this.#host.client.server)
  }

  /** `QueueStore.handOver`. */
  handOver(given: readonly Handing[]): void {
    let batch: Packed[] = []
    let size = 0
    for (const handing of given) {
      const packed = this.#pack(handing)
      if (packed === undefined) continue
      const own = sizeOf(packed)
      if (batch.length === handoversAtOnce || (batch.length > 0 && size + own > bytesAtOnce)) {
        void this.#send(batch)
        batch = []
        size = 0
      }
      batch.push(packed)
      size += own
    }
    if (batch.length > 0) void this.#send(batch)
  }

  /** Encoded before it is under way: an error of one is not an error of all. Undefined when it was told why it cannot be. */
  #pack(handing: Handing): Packed | undefined {
    const { claimed, parcel } = handing
    const isTaken = this.takes(parcel.result?.place ?? parcel.deletes?.place)
    // What exists only in this process is not held there.
    const isLocal = claimed !== undefined && !(claimed instanceof RedisClaimed)
    if (!isTaken || isLocal || parcel.messages.length > mostMessages) {
      queueMicrotask(() => handing.onHanded(false))
      return undefined
    }
    try {
      return { handing, claimed, messages: parcel.messages.map((message) => this.#host.place(message)) }
    } catch (error) {
      queueMicrotask(() => handing.onUnhanded(error))
      return undefined
    }
  }

  /** Never rejects. */
  async #send(batch: readonly Packed[]): Promise<void> {
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
    for (const { handing, claimed, messages } of batch) {
      const { parcel } = handing
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
      for (let at = 0; at < batch.length; at += 1) {
        const answer = answers[at]
        batch[at]?.handing.onHanded(answer === 1 ? true : answer === 0 ? 'gone' : false)
      }
    } catch (error) {
      const isUnanswered = refusalWord((error as Error).cause) === undefined
      this.#isRefused ||= !(error instanceof ConnectivityError)
      for (const { handing } of batch) {
        if (isUnanswered) handing.onUnhanded(error)
        else handing.onHanded(false)
      }
    }
  }
}

function sizeOf({ messages, handing }: Packed): number {
  let size = handing.parcel.result?.value.length ?? 0
  for (const { text } of messages) size += text.length
  return size
}

function bytesOf(value: Uint8Array | string): Buffer | string {
  return typeof value === 'string' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}
