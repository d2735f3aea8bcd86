/**
 * Messages that wait for a later time with the broker instead of in a worker's memory (redis-scripts.ts, rule 6).
 *
 * Rule 1: a parked message comes back `leadMs` before it is due, so that whoever takes it has it in hand in time.
 * Rule 2: parked when less than that is left, it can be had at once, but not by the connection that gave it up: that one
 *         takes nothing that is due as late for half of the time that is left, or until it says that it has room. So a
 *         full worker sees such messages a few times more, not over and over, and those that are due first are always
 *         had first. (A first version gave such a message a later score: it stood behind all that was due later.)
 *         Kombu is kept off for half of the time that is left too, from twice `leadMs`.
 * Rule 3: it is taken straight from its parking place by a connection that has room, soonest first, and not pushed into
 *         its queue: so many messages that are due together wait on the server, not in queues and workers.
 * Rule 4: nothing hangs on this. Kombu brings it back at its own next look, every 100 s, and so do our restorers when
 *         nobody took it until it was due. What Python brought back is a stale tag here, and dropped.
 * Rule 5: delays are sent, not times: the server's clock alone decides, as for leases.
 */
import type { Clock } from '../clock.js'
import type { Claimed, Parked } from './queue-store.js'
import { RedisClaimed } from './redis-claimed.js'
import type { RedisArgument, RedisClient } from './redis-client.js'
import { parkedMark, parkedOwner } from './redis-mark.js'
import { parkedKey, type RedisOptions } from './redis-options.js'
import { parkScript, unparkScript } from './redis-park-scripts.js'
import type { UnseenClaims } from './redis-unseen.js'

/**
 * How long before its time a parked message comes back. Chosen to be longer than an idle worker sleeps between two looks
 * (redis-arrivals.ts), than clocks usually differ, and than a busy one needs; short, because what has come back may
 * wait in a worker's memory.
 */
export const leadMs = 10_000
/** Between looks when nothing is known to be parked: another connection may have parked something. */
const lookMs = 5000
/** What is due so soon after what is taken comes along. */
const togetherMs = 250
/** Most messages in one call of a script: Lua's stack is bounded. */
const largestBatch = 1000

/** What the parking of one store needs. */
export interface RedisParkingHost {
  readonly client: RedisClient
  readonly options: RedisOptions
  readonly clock: Clock
  readonly claims: UnseenClaims
  /** Something is parked that is due before the next look. */
  onSooner(): void
}

/** A message that was taken from its parking place; not read yet. */
export interface Unparked {
  readonly queue: string
  readonly tag: string
  readonly mark: string
  readonly bytes: Buffer
}

/** Parks and takes for one connection. */
export class RedisParking {
  readonly #host: RedisParkingHost
  /** When to look next, on the monotonic clock. */
  #nextLook = 0
  #dueBeforeMs = Number.POSITIVE_INFINITY
  /** What is due at this time or later was given up here (rule 2) and is not taken until the monotonic `end`. */
  #unwanted: { dueMs: number; end: number } | undefined
  #queues = ''

  constructor(host: RedisParkingHost) {
    this.#host = host
  }

  /** False for a message that exists only in this process. */
  accepts(claimed: Claimed): boolean {
    return claimed instanceof RedisClaimed
  }

  /** Milliseconds until the next look is due. */
  get untilLookMs(): number {
    return Math.max(0, this.#nextLook - this.#host.clock.monotonic())
  }

  /** Whether `take` would ask the server; false costs nothing. */
  mayGive(queues: readonly string[], dueBeforeMs: number): boolean {
    return (
      dueBeforeMs !== this.#dueBeforeMs ||
      this.#nextLook <= this.#host.clock.monotonic() ||
      queues.join('\0') !== this.#queues
    )
  }

  /** Gives messages up until shortly before they are due; returns those that were no longer ours. */
  async park(parked: readonly Parked[]): Promise<readonly Claimed[]> {
    const lost: Claimed[] = []
    for (let at = 0; at < parked.length; at += largestBatch)
      lost.push(...(await this.#parkSome(parked.slice(at, at + largestBatch))))
    return lost
  }

  /**
   * What has come back of these queues, at most `most`, and due before `dueBeforeMs`. Asks the server only when something
   * may be there; when it left some behind, the next look is due at once.
   */
  async take(queues: readonly string[], most: number, dueBeforeMs: number): Promise<readonly Unparked[]> {
    const { client, options, clock } = this.#host
    const names = queues.join('\0')
    if (dueBeforeMs > this.#dueBeforeMs) this.#unwanted = undefined
    if (dueBeforeMs > this.#dueBeforeMs || names !== this.#queues) this.#nextLook = 0
    this.#dueBeforeMs = dueBeforeMs
    this.#queues = names
    if (this.#nextLook > clock.monotonic()) return []
    const began = clock.monotonic()
    if (this.#unwanted !== undefined && this.#unwanted.end <= began) this.#unwanted = undefined
    const wantedMs = Math.min(dueBeforeMs, this.#unwanted?.dueMs ?? Number.POSITIVE_INFINITY)
    const upper = Math.min(0, wantedMs - 1 - leadMs - clock.now())
    const mark = this.#host.claims.begin(queues)
    const keys = [options.unackedKey, options.indexKey, ...queues.map((queue) => parkedKey(options, queue))]
    this.#nextLook = Math.min(began + lookMs, this.#unwanted?.end ?? Number.POSITIVE_INFINITY)
    const together = upper < 0 ? 0 : togetherMs / 1000
    const args = [Math.min(most, largestBatch), upper / 1000, mark, parkedOwner, together]
    const [next, ...items] = (await client.script(unparkScript, keys, args)) as (number | Buffer)[]
    this.#host.claims.end(mark)
    const taken: Unparked[] = []
    for (let at = 0; at < items.length; at += 3) {
      const queue = queues[Number(items[at]) - 1] as string
      taken.push({ queue, tag: String(items[at + 1]), mark, bytes: items[at + 2] as Buffer })
    }
    const nextMs = Number(next) * 1000
    // What only waits for room is not waited for by the clock: wider bounds make the next look due.
    if (upper === 0 && nextMs >= 0) this.#lookBy(began + nextMs)
    return taken
  }

  async #parkSome(parked: readonly Parked[]): Promise<readonly Claimed[]> {
    const { client, options, clock } = this.#host
    const keys: string[] = [options.unackedKey, options.indexKey]
    const args: RedisArgument[] = [options.visibilityTimeoutMs / 1000]
    const now = clock.now()
    let soonest = Number.POSITIVE_INFINITY
    for (const { claimed, untilMs } of parked) {
      const { tag, mark, queue, size } = claimed as RedisClaimed
      const key = parkedKey(options, queue)
      const known = keys.indexOf(key, 2)
      const leftMs = untilMs - now
      const awayMs = leftMs - leadMs
      if (awayMs < 0) this.#giveUp(untilMs, leftMs / 2)
      soonest = Math.min(soonest, awayMs < 0 ? leftMs / 2 : awayMs)
      const place = known < 0 ? keys.push(key) : known + 1
      args.push(tag, mark, place, awayMs / 1000, kombuAwayMs(leftMs) / 1000, parkedMark(size))
    }
    const numbers = (await client.script(parkScript, keys, args)) as number[]
    const before = this.#nextLook
    this.#lookBy(clock.monotonic() + soonest)
    if (this.#nextLook < before) this.#host.onSooner()
    return numbers.map((number) => parked[number - 1]?.claimed as Claimed)
  }

  #giveUp(dueMs: number, forMs: number): void {
    const end = this.#host.clock.monotonic() + forMs
    const before = this.#unwanted
    this.#unwanted =
      before === undefined
        ? { dueMs, end }
        : { dueMs: Math.min(dueMs, before.dueMs), end: Math.max(end, before.end) }
  }

  #lookBy(moment: number): void {
    this.#nextLook = Math.min(this.#nextLook, moment)
  }
}

/** How long kombu leaves a message alone that is due in `leftMs` (rule 2). */
function kombuAwayMs(leftMs: number): number {
  return Math.max(0, leftMs - leadMs, Math.min(leftMs, 2 * leadMs) / 2)
}
