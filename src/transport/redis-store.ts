/**
 * A Redis server as a `QueueStore`, sharing kombu's keys with Python (`kombu/transport/redis.py`, wire-format 6).
 *
 * Rule 1: popping and recording in `unacked` is one script; see redis-scripts.ts for what it keeps.
 * Rule 2: two connections: one for commands, one for what the server tells (redis-arrivals.ts). The loss of one is the
 *         loss of the store.
 * Rule 3: `ack_emulation` is always on: a message that is nowhere but in memory could be lost.
 */

import type { Envelope } from '../../protocol/envelope.js'
import { DecodeError } from '../../protocol/errors.js'
import { decodeVirtualEnvelope, type ReceivedEnvelope } from '../../protocol/virtual-envelope.js'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { LeaseMoment } from './lease-term.js'
import type { Claimed, Handing, Parcel, QueueStore, Settling, Stored, StoredBinding } from './queue-store.js'
import { RedisArrivals } from './redis-arrivals.js'
import { claimScript, watchScript } from './redis-claim-scripts.js'
import { isLocal, noMessage, RedisClaimed, type RedisLocalMessage } from './redis-claimed.js'
import type { RedisArgument, RedisClient } from './redis-client.js'
import { RedisHandovers } from './redis-handover.js'
import { RedisInheritance } from './redis-inheritance.js'
import { RedisLeases } from './redis-leases.js'
import { MarkMaker } from './redis-mark.js'
import {
  fanoutChannel,
  type RedisOptions,
  stepKey,
  stepKeys,
  stepOf,
  unreadableKey,
  waitingKeys,
  wakeChannel,
} from './redis-options.js'
import { RedisParking, type Unparked } from './redis-parking.js'
import { RedisPublishing } from './redis-publishing.js'
import { RedisSettling } from './redis-settling.js'
import { RedisTopology } from './redis-topology.js'
import { UnseenClaims } from './redis-unseen.js'
import { RedisWaiting } from './redis-waiting.js'
import { passOnScript } from './redis-waiting-scripts.js'
import type { Exchange, ResultPlace } from './transport.js'

/** What a Redis store is made of. */
export interface RedisStoreParts {
  readonly client: RedisClient
  readonly options: RedisOptions
  readonly clock: Clock
  readonly logger: Logger
  readonly newId: () => string
  readonly random: () => number
  /** Renews leases apart from the event loop; returns how to end it. Called when the first message was claimed. */
  readonly startLeaseThread?: (owner: string, renewals: SharedArrayBuffer) => () => Promise<void>
}

/** Names in a claim, in its order. */
interface ClaimKeys {
  readonly order: readonly string[]
  readonly keys: readonly string[]
  /** For unreadable items, for those that watch, for those that are woken: each for all queues. */
  readonly places: readonly string[]
}

/** Most messages in one call of a script: Lua's stack is bounded. */
const largestBatch = 1000

/** One connection's view of the queues of a Redis database. */
export class RedisStore implements QueueStore {
  onUnreadable: QueueStore['onUnreadable']
  onLost: QueueStore['onLost']
  readonly leases: RedisLeases
  readonly parking: RedisParking
  readonly #parts: RedisStoreParts
  readonly #client: RedisClient
  readonly #options: RedisOptions
  readonly #arrivals: RedisArrivals
  readonly #marks: MarkMaker
  readonly #unseen: UnseenClaims
  readonly #waiting: RedisWaiting
  readonly #publishing: RedisPublishing
  readonly #settling: RedisSettling
  readonly #inheritance: RedisInheritance
  readonly #handovers: RedisHandovers
  readonly #topology: RedisTopology
  /** Queues in the order in which the next claim takes them (`round_robin`). */
  #cycle: readonly string[] = []
  #endLeaseThread: (() => Promise<void>) | undefined
  #lastKeys: ClaimKeys | undefined
  /** The last claim left nothing behind. */
  #isDry = false
  /** The last claim gave what had been parked. */
  #wasParked = false
  #isEnded = false
  #isClosing = false

  constructor(parts: RedisStoreParts) {
    const { client, options, clock, logger, random } = parts
    this.#parts = parts
    this.#client = client
    this.#options = options
    this.#publishing = new RedisPublishing(client, options, parts.newId)
    this.#settling = new RedisSettling(client, options, this.#publishing)
    this.#topology = new RedisTopology(client, options)
    this.#marks = new MarkMaker(parts.newId())
    this.#unseen = new UnseenClaims(this.#marks, clock)
    this.#waiting = new RedisWaiting(parts.newId(), client, options)
    const onLost = (cause: Error): void => this.#lose(cause)
    this.#arrivals = new RedisArrivals({
      main: client,
      clock,
      logger,
      random,
      pollMs: options.pollMs,
      channel: wakeChannel(options) + this.#waiting.id,
      passOn: (queue) => {
        const [, idle] = waitingKeys(options, queue)
        client.script(passOnScript, [], [wakeChannel(options), idle]).catch(() => {})
      },
      onLost,
      read: (queue, bytes) => this.#readLocal(queue, bytes),
    })
    this.leases = new RedisLeases({
      client,
      clock,
      options,
      random,
      newId: parts.newId,
      owner: this.#marks.owner,
      bindings: (exchange) => this.bindings(exchange),
      onUnreadable: (report) => this.onUnreadable?.(report),
    })
    this.#handovers = new RedisHandovers({
      client,
      options,
      place: (message) => this.#publishing.place(message),
      onPushed: (lists) => this.#pushed(lists),
    })
    const { leases } = this
    this.#inheritance = new RedisInheritance({
      client,
      options,
      marks: this.#marks,
      leases,
      settling: this.#settling,
      handOver: (given) => this.#handovers.handOver(given),
    })
    this.parking = new RedisParking({
      client,
      options,
      clock,
      claims: this.#unseen,
      onSooner: () => this.#arrivals.wake(),
    })
    void client.closed.then((cause) => cause && onLost(cause))
  }

  push(messages: readonly Stored[], signal?: AbortSignal, after?: readonly Error[]): Promise<void> {
    return this.#publishing.push(messages, signal, after)
  }

  broadcast(exchange: string, routingKey: string, envelope: Envelope, signal?: AbortSignal): Promise<void> {
    return this.#publishing.broadcast(exchange, routingKey, envelope, signal)
  }

  async claim(
    queues: readonly string[],
    max: number,
    signal: AbortSignal,
    dueBeforeMs = Number.POSITIVE_INFINITY,
  ): Promise<readonly Claimed[]> {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      const fanout = queues.filter((queue) => this.#arrivals.isFanout(queue))
      const local = this.#arrivals.take(fanout, max)
      if (local.length > 0) return local
      const since = this.#arrivals.news
      const stored = fanout.length === 0 ? queues : queues.filter((queue) => !fanout.includes(queue))
      // In turns: neither what has come back nor what is new keeps the other waiting.
      const mayGive = !this.#wasParked && this.parking.mayGive(stored, dueBeforeMs)
      const parked = mayGive ? await this.#takeParked(stored, max, dueBeforeMs) : []
      this.#wasParked = parked.length > 0
      if (parked.length > 0) return parked
      if (stored.length > 0) {
        // Looking without watching first: a busy worker pays for tracking only when it has run dry.
        const looks = isFirst && !this.#isDry
        const watches = !looks && (await this.#arrivals.track())
        const { claimed, isEmpty } = await this.#take(stored, max, watches)
        this.#isDry = claimed.length < max
        if (claimed.length > 0) return claimed
        if (looks || !isEmpty) continue
      }
      await this.#arrivals.wait(since, signal, stored.length > 0 ? this.parking.untilLookMs : undefined)
    }
    void this.#waiting.leave(queues)
    return []
  }

  async claimNow(queue: string): Promise<Claimed | undefined> {
    if (this.#arrivals.isFanout(queue)) {
      if (!this.#arrivals.isHeard(queue)) await this.#arrivals.startHearing(queue)
      await this.#arrivals.settledLength(queue)
      return this.#arrivals.take([queue], 1)[0]
    }
    const [parked] = await this.#takeParked([queue], 1, Number.POSITIVE_INFINITY)
    if (parked !== undefined) return parked
    for (;;) {
      const { claimed, isEmpty } = await this.#take([queue], 1, false)
      if (claimed[0] !== undefined || isEmpty) return claimed[0]
    }
  }

  async settle(claimed: readonly Claimed[], how: Settling): Promise<readonly Claimed[]> {
    const stored = claimed.filter((message) => message instanceof RedisClaimed)
    if (stored.length < claimed.length) this.#settleLocal(claimed.filter(isLocal), how)
    return this.#settling.settle(stored, how)
  }

  handOver(given: readonly Handing[]): void {
    this.#handovers.handOver(given)
  }

  handsOver(place: ResultPlace | undefined): boolean {
    return this.#handovers.takes(place)
  }

  settleLost(
    lost: readonly Claimed[],
    how: Settling | Parcel,
    wasAsked: boolean,
  ): Promise<readonly Claimed[]> {
    if (typeof how === 'string') this.#settleLocal(lost.filter(isLocal), how)
    return this.#inheritance.settle(
      lost.filter((message) => message instanceof RedisClaimed),
      how,
      wasAsked,
    )
  }

  async adopt(lost: readonly Claimed[]): Promise<readonly (Claimed | undefined)[]> {
    const adopted = await this.#inheritance.adopt(lost)
    if (adopted.some((message) => message instanceof RedisClaimed)) this.#keepLeases()
    return adopted
  }

  async takeUnseen(dead: QueueStore): Promise<number> {
    if (!(dead instanceof RedisStore)) return 0
    const places = await dead.#unseen.find(this.#client, this.#options)
    const term = this.leases.term()
    const found = places.map((place) => this.#held(place, decodeVirtualEnvelope(place.bytes), term))
    const gone = found.length === 0 ? [] : await this.settle(found, 'undo')
    return found.length - gone.length
  }

  bind(exchange: string, binding: StoredBinding, type: Exchange['type']): Promise<void> {
    const { queue, routingKey } = binding
    const topic = fanoutChannel(this.#options, exchange, routingKey.replaceAll('#', '*'))
    const hear = type === 'fanout' ? () => this.#arrivals.bind(queue, topic) : undefined
    return this.#topology.bind(exchange, binding, hear)
  }

  bindings(exchange: string): Promise<readonly StoredBinding[]> {
    return this.#topology.bindings(exchange)
  }

  startHearing(queue: string): Promise<void> {
    return this.#arrivals.startHearing(queue)
  }

  stopHearing(queue: string): Promise<void> {
    return this.#arrivals.stopHearing(queue)
  }

  async length(queue: string): Promise<number> {
    if (this.#arrivals.isHeard(queue)) return this.#arrivals.settledLength(queue)
    return this.#topology.length(queue)
  }

  async purge(queue: string): Promise<number> {
    const local = this.#arrivals.purge(queue)
    return local + (await this.#topology.empty(queue))
  }

  async remove(queue: string): Promise<void> {
    await this.#arrivals.forget(queue)
    await this.#topology.unbind(queue)
    await this.#topology.empty(queue)
  }

  async close(): Promise<void> {
    this.#isEnded = true
    try {
      // The second time, whoever waited for the first has lost patience.
      if (this.#isClosing) return
      this.#isClosing = true
      const ended = this.#endLeaseThread?.()
      if (this.#client.isOpen) {
        // As kombu at the end of a channel: nobody else serves these queues, and their bindings would stay for ever.
        await Promise.all(this.#arrivals.heardQueues.map((queue) => this.#topology.unbind(queue)))
        await this.#waiting.leaveAll()
      }
      await ended
    } finally {
      this.#arrivals.close()
      this.#client.close()
    }
  }

  async #take(
    queues: readonly string[],
    max: number,
    watches: boolean,
  ): Promise<{ readonly claimed: readonly Claimed[]; readonly isEmpty: boolean }> {
    const options = this.#options
    const order = this.#inOrder(queues)
    const { keys, places } = this.#claimKeys(order)
    const mark = this.#unseen.begin(order)
    const args: RedisArgument[] = [Math.min(max, largestBatch), order.length]
    const leaves = this.#waiting.includes(order)
    args.push(options.order === 'round_robin' ? 'r' : 'l', mark, this.#parts.newId(), watches ? 'w' : '')
    args.push(leaves ? 'l' : '', this.#waiting.id, wakeChannel(options))
    for (const place of places) args.push(place)
    if (watches) this.#waiting.begins(order)
    const heldUntil = this.leases.term()
    const reply = await this.#client.script(claimScript, keys, args)
    this.#unseen.end(mark)
    // Not taken apart by a pattern, which would copy it by an iterator.
    const items = reply as readonly (number | Buffer)[]
    const [served, refused] = [Number(items[0]), items[1] as Buffer]
    if (served === -2) {
      if (refused.length > 0) throw unreadableQueue(refused)
      const watched = items
        .slice(2)
        .flatMap((number) => stepKeys(options, order[Number(number) - 1] as string))
      return { claimed: [], isEmpty: (await this.#watch(watched)) === 0 }
    }
    const isEmpty = items.length === 2
    if (!isEmpty && leaves) this.#waiting.ended(order)
    if (served > 0) this.#rotate(order, served)
    const found: Unparked[] = []
    for (let at = 2; at < items.length; at += 3) {
      const number = Number(items[at])
      const bytes = items[at + 2] as Buffer
      const queue = order[Math.abs(number) - 1] as string
      if (number < 0) {
        this.#report(queue, bytes, reasonFor(bytes))
        continue
      }
      found.push({ queue, tag: String(items[at + 1]), mark, bytes })
    }
    const claimed = await this.#taken(found, heldUntil)
    if (isEmpty && refused.length > 0) throw unreadableQueue(refused)
    return { claimed, isEmpty }
  }

  /** What was parked and has come back. */
  async #takeParked(
    queues: readonly string[],
    max: number,
    dueBeforeMs: number,
  ): Promise<readonly Claimed[]> {
    if (queues.length === 0) return []
    const heldUntil = this.leases.term()
    const found = await this.parking.take(queues, max, dueBeforeMs)
    // As after any claim: a watcher that has work leaves its place to another.
    if (found.length > 0) void this.#waiting.leave(queues)
    return this.#taken(found, heldUntil)
  }

  /** Reads what this connection holds from now on. */
  async #taken(found: readonly Unparked[], heldUntil: LeaseMoment): Promise<readonly Claimed[]> {
    // Before the messages are handed over: the first of them may block the event loop.
    if (found.length > 0) this.#keepLeases()
    const claimed: Claimed[] = []
    for (const place of found) {
      try {
        claimed.push(this.#held(place, decodeVirtualEnvelope(place.bytes), heldUntil))
      } catch (error) {
        await this.#settling.setAside(this.#held(place, noMessage, heldUntil), place.bytes)
        this.#report(place.queue, place.bytes, error as Error)
      }
    }
    return claimed
  }

  #held(place: Unparked, message: ReceivedEnvelope, heldUntil: LeaseMoment): RedisClaimed {
    const step = stepOf(this.#options, message.envelope.properties.priority)
    return new RedisClaimed(place, message, stepKey(this.#options, place.queue, step), heldUntil)
  }

  #keepLeases(): void {
    if (this.#isEnded) return
    this.#endLeaseThread ??= this.#parts.startLeaseThread?.(this.#marks.owner, this.leases.renewals.buffer)
  }

  /** A claim that follows on the same connection finds what was pushed: it need not be told of it. */
  #pushed(lists: ReadonlySet<string>): void {
    const own = this.#lastKeys?.keys
    if (own?.some((key) => lists.has(key))) this.#arrivals.wake()
  }

  /** Has the server tell when one of these lists changes from now on; how much is in them. */
  async #watch(lists: readonly string[]): Promise<number> {
    // Holds for the very next command: both are sent together, and the script whole, lest it be refused as unknown.
    const caching = this.#client.run('CLIENT', 'CACHING', 'YES')
    const size = this.#client.wholeScript(watchScript, lists)
    await Promise.all([caching, size])
    return Number(await size)
  }

  /** What a claim from these queues names; kept for the next, which most often asks for the same. */
  #claimKeys(order: readonly string[]): ClaimKeys {
    const last = this.#lastKeys
    if (last !== undefined && isSame(last.order, order)) return last
    const options = this.#options
    const lists = options.steps.flatMap((step) => order.map((queue) => stepKey(options, queue, step)))
    const waits = order.map((queue) => waitingKeys(options, queue))
    const unreadable = order.map((queue) => unreadableKey(options, queue))
    this.#lastKeys = {
      order,
      keys: [options.unackedKey, options.indexKey, ...lists],
      places: [...unreadable, ...waits.map(([waiting]) => waiting), ...waits.map(([, idle]) => idle)],
    }
    return this.#lastKeys
  }

  #inOrder(queues: readonly string[]): readonly string[] {
    const { order } = this.#options
    if (order === 'sorted') return queues.toSorted()
    if (order === 'priority' || queues.length === 1) return queues
    const [asked, cycle] = [new Set(queues), new Set(this.#cycle)]
    const fresh = queues.filter((queue) => !cycle.has(queue))
    return [...fresh, ...this.#cycle.filter((queue) => asked.has(queue))]
  }

  /** The queue served last stands last in the next claim. */
  #rotate(order: readonly string[], served: number): void {
    if (order.length > 1) this.#cycle = [...order.slice(served), ...order.slice(0, served)]
  }

  #report(queue: string, bytes: Buffer, error: Error): void {
    this.onUnreadable?.({ queue, bytes, error, keptAt: unreadableKey(this.#options, queue) })
  }

  #readLocal(queue: string, bytes: Buffer): RedisLocalMessage | undefined {
    try {
      const { envelope, deliveryInfo, deliveryTag, redelivered } = decodeVirtualEnvelope(bytes)
      return { queue, ...deliveryInfo, tag: deliveryTag, envelope, redelivered, isLocal: true }
    } catch (error) {
      const key = unreadableKey(this.#options, queue)
      this.#client.run('LPUSH', key, bytes).then(
        () => this.#report(queue, bytes, error as Error),
        () => {},
      )
      return undefined
    }
  }

  #settleLocal(messages: readonly RedisLocalMessage[], how: Settling): void {
    if (how === 'ack' || how === 'drop') return
    const again = how === 'undo' ? messages : messages.map((message) => ({ ...message, redelivered: true }))
    this.#arrivals.putBack(again, how === 'requeue' ? 'behind' : 'front')
  }

  #lose(cause: Error): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#arrivals.close()
    this.#client.close()
    this.onLost?.(cause)
  }
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, at) => name === other[at])
}

function unreadableQueue(refused: Buffer): Error {
  return new Error(`a queue cannot be read: ${refused.toString()}`)
}

function reasonFor(bytes: Buffer): Error {
  try {
    decodeVirtualEnvelope(bytes)
  } catch (error) {
    return error as Error
  }
  return new DecodeError('The envelope of a message could not be read by the server-side script.')
}
