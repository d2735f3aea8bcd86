import type { Settling } from './queue-store.js'
import type { RedisClaimed } from './redis-claimed.js'
import type { RedisArgument, RedisClient } from './redis-client.js'
import { type RedisOptions, unreadableKey } from './redis-options.js'
import type { RedisPublishing } from './redis-publishing.js'
import { forgetScript, putBackScript, setAsideScript } from './redis-settle-scripts.js'

/** Most messages in one call of a script: Lua's stack is bounded. */
const largestBatch = 1000

/** Ends what is held in `unacked`, by any connection of this process. */
export class RedisSettling {
  readonly #client: RedisClient
  readonly #options: RedisOptions
  readonly #publishing: RedisPublishing

  constructor(client: RedisClient, options: RedisOptions, publishing: RedisPublishing) {
    this.#client = client
    this.#options = options
    this.#publishing = publishing
  }

  /** Returns those that were no longer held by whoever claimed them. */
  async settle(claimed: readonly RedisClaimed[], how: Settling): Promise<readonly RedisClaimed[]> {
    // In front, the last goes first: then the first is next.
    const ordered = how === 'return' || how === 'undo' ? claimed.toReversed() : claimed
    const lost: RedisClaimed[] = []
    for (let at = 0; at < ordered.length; at += largestBatch) {
      const part = ordered.slice(at, at + largestBatch)
      const numbers =
        how === 'ack' || how === 'drop' ? await this.#forget(part) : await this.#putBack(part, how)
      for (const number of numbers) lost.push(part[number - 1] as RedisClaimed)
    }
    return lost
  }

  /** Moves what proves to be no envelope into the list of unreadable ones. */
  async setAside({ tag, mark, queue }: RedisClaimed, bytes: Buffer): Promise<void> {
    const { unackedKey, indexKey } = this.#options
    const keys = [unackedKey, indexKey, unreadableKey(this.#options, queue)]
    await this.#client.script(setAsideScript, keys, [tag, mark, bytes])
  }

  async #forget(part: readonly RedisClaimed[]): Promise<readonly number[]> {
    const { unackedKey, indexKey } = this.#options
    // What one claim brought has one mark, and mostly ends together.
    const runs: (string | number)[] = []
    for (const { mark } of part) {
      if (runs.at(-2) !== mark) runs.push(mark, 0)
      runs[runs.length - 1] = Number(runs.at(-1)) + 1
    }
    const args = [runs.length / 2, ...runs, ...part.map(({ tag }) => tag)]
    return (await this.#client.script(forgetScript, [unackedKey, indexKey], args)) as number[]
  }

  async #putBack(part: readonly RedisClaimed[], how: Settling): Promise<readonly number[]> {
    const keys = [this.#options.unackedKey, this.#options.indexKey]
    const args: RedisArgument[] = [how === 'requeue' ? 'LPUSH' : 'RPUSH']
    for (const { tag, mark, list, envelope, exchange, routingKey, redelivered } of part) {
      const known = keys.indexOf(list, 2)
      const text = this.#publishing.encoded(envelope, {
        exchange,
        routingKey,
        deliveryTag: tag,
        redelivered: redelivered || how !== 'undo',
      })
      args.push(tag, mark, known < 0 ? keys.push(list) : known + 1, text)
    }
    return (await this.#client.script(putBackScript, keys, args)) as number[]
  }
}
