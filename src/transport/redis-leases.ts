/**
 * Leases in kombu's terms: the score of a tag in `unacked_index` is when its holder was last known to live.
 *
 * Rule 1: what we hold gets a new score well within every third of `visibility_timeout`, so no Python process takes it
 *         for abandoned (with its own `visibility_timeout`, which may be shorter than ours: set both the same).
 * Rule 2: what nobody renewed for `visibility_timeout` goes back in front of its queues, by kombu's protocol: one
 *         process at a time under `unacked_mutex`, newest first, `redelivered` in both places, priority step kept.
 *         What is parked (redis-parking.ts) has such a score too; it is left to whoever has room for it until it is due.
 * Rule 3: what was not renewed in time is not ours, whatever the server says: somebody may be restoring it at this
 *         instant (Python looks first and takes after).
 * Rule 4: nothing is dropped: what has no queue any more, or cannot be read, goes into a list of its own.
 */
import { matchingQueues } from '../../protocol/exchange-routing.js'
import { decodeJson, encodeJson } from '../../protocol/json.js'
import { asMapping } from '../../protocol/mapping.js'
import type { Clock } from '../clock.js'
import { countedMs, isBefore, type LeaseMoment, momentAfter, momentOf, SharedRenewals } from './lease-term.js'
import type { Claimed, QueueStore, StoredBinding } from './queue-store.js'
import { RedisClaimed } from './redis-claimed.js'
import type { RedisClient } from './redis-client.js'
import {
  abandonedScript,
  forgetGhostScript,
  lockLongerScript,
  renewScript,
  restoreScript,
  unlockScript,
} from './redis-lease-scripts.js'
import { parkedOwner } from './redis-mark.js'
import { type RedisOptions, stepKey, stepOf, unreadableKey } from './redis-options.js'
import { leadMs } from './redis-parking.js'
import { markLength } from './redis-scripts.js'
import type { Unreadable } from './transport.js'

/** What the leases of one store need. */
export interface RedisLeasesHost {
  readonly client: RedisClient
  readonly clock: Clock
  readonly options: RedisOptions
  readonly random: () => number
  readonly newId: () => string
  /** The part of the marks that names this connection. */
  readonly owner: string
  bindings(exchange: string): Promise<readonly StoredBinding[]>
  onUnreadable(report: Unreadable): void
}

/**
 * Kombu's 300 s would be long to wait for when we die: it is taken for less, and taken anew for each batch. That two
 * restore at the same time does no harm.
 */
const longestLockMs = 1500
/** Most tags in one call, and most restored before the lock is looked at again. */
const batchSize = 500

/** Renews and restores for one connection. */
export class RedisLeases implements NonNullable<QueueStore['leases']> {
  /** A quarter of `visibility_timeout` or a little less, so that many workers do not look at once. */
  readonly intervalMs: number
  /** What the lease thread says. */
  readonly renewals = new SharedRenewals()
  readonly #host: RedisLeasesHost

  constructor(host: RedisLeasesHost) {
    this.#host = host
    this.intervalMs = (host.options.visibilityTimeoutMs / 4) * (0.8 + 0.2 * host.random())
  }

  /** Until when what is claimed or renewed by a call sent now will be ours. */
  term(): LeaseMoment {
    return momentAfter(momentOf(this.#host.clock), countedMs(this.#host.options.visibilityTimeoutMs))
  }

  isHeld(claimed: Claimed): boolean {
    if (!(claimed instanceof RedisClaimed)) return true
    const now = momentOf(this.#host.clock)
    return isBefore(now, claimed.heldUntil) || this.renewals.covers(claimed.heldUntil, now)
  }

  async renew(claimed: readonly Claimed[]): Promise<readonly Claimed[]> {
    const { client, options, owner } = this.#host
    const stored = claimed.filter((message) => message instanceof RedisClaimed)
    const lost: Claimed[] = []
    for (let at = 0; at < stored.length; at += batchSize) {
      const part = stored.slice(at, at + batchSize)
      const args = [owner, options.visibilityTimeoutMs / 1000, ...part.map(({ tag }) => tag)]
      const heldUntil = this.term()
      const gone = (await client.script(
        renewScript,
        [options.unackedKey, options.indexKey],
        args,
      )) as number[]
      const numbers = new Set(gone)
      for (const [index, message] of part.entries()) {
        if (numbers.has(index + 1) || !this.isHeld(message)) lost.push(message)
        else message.heldUntil = heldUntil
      }
    }
    return lost
  }

  async restoreExpired(): Promise<number> {
    const { client, options, newId } = this.#host
    const seconds = options.visibilityTimeoutMs / 1000
    // The lock is taken only when there is something to do: who dies with it keeps everybody from restoring.
    const look = (most: number): Promise<unknown> => {
      const args = [seconds, most, parkedOwner, leadMs / 1000]
      return client.script(abandonedScript, [options.indexKey, options.unackedKey], args)
    }
    const some = (await look(1)) as Buffer[]
    if (some.length === 0) return 0
    const token = newId()
    const expireMs = Math.min(options.mutexExpireMs, longestLockMs)
    if ((await client.run('SET', options.mutexKey, token, 'PX', expireMs, 'NX')) !== 'OK') return 0
    const most = options.restoreLimit ?? Number.POSITIVE_INFINITY
    let restored = 0
    let parked = 0
    try {
      for (;;) {
        // The newest first, so each batch goes in front of the one before it.
        const tags = (await look(Math.min(batchSize, most - restored))) as Buffer[]
        const found = await this.#restore(tags)
        restored += found.restored
        parked += found.parked
        const isAll = tags.length < batchSize || found.restored === 0 || restored >= most
        if (isAll || (await client.script(lockLongerScript, [options.mutexKey], [token, expireMs])) !== 1)
          break
      }
      // That nobody had room for a parked message until now is no sign of a death.
      return Math.max(0, restored - parked)
    } finally {
      await client.script(unlockScript, [options.mutexKey], [token])
    }
  }

  /** In the given order: each goes in front of those before it. */
  async #restore(tags: readonly Buffer[]): Promise<{ readonly restored: number; readonly parked: number }> {
    const { client, options } = this.#host
    if (tags.length === 0) return { restored: 0, parked: 0 }
    const values = (await client.runBytes('HMGET', options.unackedKey, ...tags)) as (Buffer | null)[]
    const tables = new Map<string, readonly StoredBinding[]>()
    const results: Promise<unknown>[] = []
    let parked = 0
    for (const [at, tag] of tags.entries()) {
      const value = values[at] ?? null
      if (value === null) {
        await client.script(forgetGhostScript, [options.indexKey, options.unackedKey], [tag])
        continue
      }
      if (value.includes(parkedOwner, value.length - markLength, 'latin1')) parked += 1
      const { lists, text } = await this.#destination(value, tables)
      const keys = [options.unackedKey, options.indexKey, ...lists]
      const seconds = options.visibilityTimeoutMs / 1000
      results.push(client.script(restoreScript, keys, [tag, value, seconds, text]))
    }
    // What one queue refuses stays where it is until the next look, and keeps nobody else's from coming back.
    const ended = await Promise.allSettled(results)
    const restored = ended.filter((one) => one.status === 'fulfilled' && one.value === 1).length
    const refusal = ended.find((one) => one.status === 'rejected')
    if (refusal !== undefined && restored === 0) throw refusal.reason
    return { restored, parked }
  }

  async #destination(
    value: Buffer,
    tables: Map<string, readonly StoredBinding[]>,
  ): Promise<{ readonly lists: readonly string[]; readonly text: string | Buffer }> {
    const { options } = this.#host
    let routingKey = ''
    try {
      const [envelope, exchange, key] = parts(value)
      routingKey = key
      const text = encodeJson(redelivered(envelope))
      const priority = asMapping(envelope['properties'])?.['priority']
      const step = stepOf(options, Number(priority))
      const queues = await this.#queues(exchange, routingKey, tables)
      if (queues.length === 0)
        throw new Error(`no queue is bound to exchange '${exchange}' with key '${routingKey}'`)
      return { lists: queues.map((queue) => stepKey(options, queue, step)), text }
    } catch (error) {
      const keptAt = unreadableKey(options, routingKey)
      this.#host.onUnreadable({ queue: routingKey, bytes: value, keptAt, error: error as Error })
      return { lists: [keptAt], text: value }
    }
  }

  /** As kombu's `_lookup`, but for exchanges of unknown type the stored pattern says what it takes for a topic. */
  async #queues(
    exchange: string,
    routingKey: string,
    tables: Map<string, readonly StoredBinding[]>,
  ): Promise<readonly string[]> {
    if (exchange === '') return routingKey === '' ? [] : [routingKey]
    const rows = tables.get(exchange) ?? (await this.#host.bindings(exchange))
    tables.set(exchange, rows)
    const direct = matchingQueues('direct', rows, routingKey)
    const patterned = rows.filter(({ pattern }) => pattern !== '')
    return [...new Set([...direct, ...matchingQueues('topic', patterned, routingKey)])]
  }
}

type Members = Readonly<Record<string, unknown>>

function parts(value: Buffer): readonly [Members, string, string] {
  const stored = decodeJson(value, { exact: true })
  if (!Array.isArray(stored)) throw new Error('an entry of unacked is not a list')
  const [envelope, exchange, routingKey] = stored as unknown[]
  const members = asMapping(envelope)
  if (members === undefined) throw new Error('an entry of unacked holds no envelope')
  return [members, String(exchange ?? ''), String(routingKey ?? '')]
}

/** Kombu's marks of a restored message, in both places. */
function redelivered(envelope: Members): Members {
  const properties = asMapping(envelope['properties']) ?? {}
  return {
    ...envelope,
    headers: { ...asMapping(envelope['headers']), redelivered: true },
    properties: {
      ...properties,
      delivery_info: { ...asMapping(properties['delivery_info']), redelivered: true },
    },
  }
}
