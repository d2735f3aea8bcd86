/**
 * What lost connections of this process hold in `unacked`, in the hands of the connection that comes after them.
 *
 * Rule 1: only what still carries the mark of the lost one is touched: nobody has restored it or taken it up since.
 * Rule 2: taking over gives it a mark of this connection, so that its lease thread renews it, and nobody renews it for
 *         the dead one. Whoever does not live to hear the answer may have done it: its mark is remembered beforehand.
 */
import { BrokerRefusedError } from '../errors.js'
import type { Claimed, Handing, Parcel, Settling } from './queue-store.js'
import { RedisClaimed } from './redis-claimed.js'
import type { RedisClient } from './redis-client.js'
import { adoptScript } from './redis-lease-scripts.js'
import type { RedisLeases } from './redis-leases.js'
import type { MarkMaker } from './redis-mark.js'
import type { RedisOptions } from './redis-options.js'
import type { RedisSettling } from './redis-settling.js'

/** What an inheritance needs of its store. */
export interface RedisInheritanceHost {
  readonly client: RedisClient
  readonly options: RedisOptions
  readonly marks: MarkMaker
  readonly leases: RedisLeases
  readonly settling: RedisSettling
  handOver(given: readonly Handing[]): void
}

const batchSize = 500

/** Acts on what lost connections claimed, through one that lives. */
export class RedisInheritance {
  readonly #host: RedisInheritanceHost

  constructor(host: RedisInheritanceHost) {
    this.#host = host
  }

  /**
   * Returns those that were not held for any of us any more; with `wasAsked` not those whose lease cannot have run out: they
   * were settled before. Throws `BrokerRefusedError` when a parcel is refused.
   */
  async settle(
    lost: readonly RedisClaimed[],
    how: Settling | Parcel,
    wasAsked: boolean,
  ): Promise<readonly RedisClaimed[]> {
    const { leases } = this.#host
    const settled = typeof how === 'string' ? await this.#settle(lost, how) : await this.#handOver(lost, how)
    // A stored result says whether a parcel was delivered; without one it is believed, as with all that was asked.
    const believes = wasAsked && (typeof how === 'string' || how.result === undefined)
    return lost.filter((claimed) => !settled.has(claimed) && !(believes && leases.isHeld(claimed)))
  }

  async #settle(lost: readonly RedisClaimed[], how: Settling): Promise<ReadonlySet<RedisClaimed>> {
    const asked = lost.flatMap((claimed) => {
      const others = claimed.otherMarks ?? []
      return [claimed, ...others.map((mark) => claimed.under(mark))].map((entry) => ({ claimed, entry }))
    })
    const refused = await this.#host.settling.settle(
      asked.map(({ entry }) => entry),
      how,
    )
    const gone = new Set(refused)
    return new Set(asked.filter(({ entry }) => !gone.has(entry)).map(({ claimed }) => claimed))
  }

  async #handOver(lost: readonly RedisClaimed[], parcel: Parcel): Promise<ReadonlySet<RedisClaimed>> {
    const settled = new Set<RedisClaimed>()
    for (const claimed of lost) {
      const others = claimed.otherMarks ?? []
      for (const entry of [claimed, ...others.map((mark) => claimed.under(mark))]) {
        const handed = await new Promise<boolean | 'gone'>((onHanded, onUnhanded) =>
          this.#host.handOver([{ claimed: entry, parcel, onHanded, onUnhanded }]),
        )
        if (handed === false) throw new BrokerRefusedError('the server refused what follows from a task')
        if (handed === true) settled.add(claimed)
      }
    }
    return settled
  }

  /** A claim of this connection for each, undefined for those that are gone. Local ones stay what they are. */
  async adopt(lost: readonly Claimed[]): Promise<readonly (Claimed | undefined)[]> {
    const adopted: (Claimed | undefined)[] = [...lost]
    const stored = [...lost.entries()].flatMap(([at, claimed]) =>
      claimed instanceof RedisClaimed ? [{ at, claimed }] : [],
    )
    const { client, options, marks, leases } = this.#host
    for (let from = 0; from < stored.length; from += batchSize) {
      const heldUntil = leases.term()
      const part = stored.slice(from, from + batchSize).map((one) => ({ ...one, mark: marks.next() }))
      const args: string[] = []
      for (const { claimed, mark } of part) {
        args.push(claimed.tag, mark, [claimed.mark, ...(claimed.otherMarks ?? [])].join(''))
        claimed.otherMarks = [...(claimed.otherMarks ?? []), mark]
      }
      const gone = (await client.script(
        adoptScript,
        [options.unackedKey, options.indexKey],
        args,
      )) as number[]
      const numbers = new Set(gone)
      for (const [index, { at, claimed, mark }] of part.entries()) {
        // From here on the new claim alone may settle it.
        claimed.otherMarks = undefined
        adopted[at] = numbers.has(index + 1) ? undefined : claimed.under(mark, heldUntil)
      }
    }
    return adopted
  }
}
