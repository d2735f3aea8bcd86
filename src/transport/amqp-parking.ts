/**
 * A place in the broker for messages that are due later (`Delivery.park`): held unacknowledged they would block the
 * prefetch window, and kill the channel after the broker's `consumer_timeout`.
 *
 * Rule 1: a message is published to its waiting place and confirmed before its delivery is acknowledged. A crash between
 *         the two leaves both; the copy is marked redelivered, as the original then is.
 * Rule 2: a waiting place is a fanout exchange `celeriac.parked.<milliseconds>` with one queue of that name, where a
 *         message lives for so long and is dead-lettered to the default exchange; its routing key is the queue it came
 *         from, so that it returns there and nowhere else.
 * Rule 3: places have powers of two as times, so that there are few, and each is in order; a message that comes back
 *         early is parked again.
 * Rule 4: the queues are quorum queues that dead-letter at least once (RabbitMQ 3.10): a classic one would drop what the
 *         broker was about to hand on when it fell.
 * Rule 5: what finds no waiting place, such as for want of the right to declare one, is kept here until its time and then
 *         given back, so that it always has an owner; it holds its place of the prefetch window, as in Celery.
 */
import type { Envelope } from '../../protocol/envelope.js'
import type { Clock } from '../clock.js'
import { InvalidArgumentError, UnroutableError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Delivery, Outgoing, Topology } from './transport.js'

const prefix = 'celeriac.parked.'
/** Powers of two in milliseconds: 64 ms, so that what is nearly due does not come back at once, to 12 days. */
const [shortestLevel, longestLevel] = [6, 30]

/** What parking needs of its connection. */
export interface ParkingDeps {
  readonly clock: Clock
  readonly logger: Logger
  declare(topology: Topology): Promise<void>
  /** Rejects with `UnroutableError` when no queue took it. */
  publish(messages: readonly Outgoing[]): Promise<void>
}

/** What is parked, and where it is to return. */
type Parked = Pick<Delivery, 'envelope' | 'queue' | 'reject'> & Required<Pick<Delivery, 'isHeld'>>

/** Parks the deliveries of one connection. */
export class AmqpParking {
  readonly #deps: ParkingDeps
  readonly #declared = new Map<number, Promise<void>>()
  readonly #underWay = new Set<Promise<void>>()
  /** Each gives a message back that was kept here; the end of the connection does so too. */
  readonly #kept = new Set<() => void>()

  constructor(deps: ParkingDeps) {
    this.#deps = deps
  }

  /**
   * Resolves when the broker has confirmed the copy that will come back before `untilMs`, and `settle` has resolved for
   * the original; or when the original is kept here instead. Rejects when its connection is lost.
   */
  async park(parked: Parked, untilMs: number, settle: () => Promise<void>): Promise<void> {
    const parking = this.#copy(parked, untilMs).then(settle, (error: unknown) => {
      if (error instanceof InvalidArgumentError || !parked.isHeld()) throw error
      this.#keep(parked, untilMs, error)
    })
    this.#underWay.add(parking)
    try {
      await parking
    } finally {
      this.#underWay.delete(parking)
    }
  }

  /** Resolves when nothing is between copy and acknowledgement: a close in between would leave both. Never rejects. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
  }

  /** Gives up what is kept here: the connection has ended, and the broker has it again. */
  end(): void {
    for (const cancel of this.#kept) cancel()
    this.#kept.clear()
  }

  #keep(parked: Parked, untilMs: number, error: unknown): void {
    const { queue } = parked
    const { clock, logger } = this.#deps
    // One line for all that are kept at a time.
    if (this.#kept.size === 0)
      logger.warn(
        { err: error, queue },
        `A message of ${queue} that is due later is kept here, since the broker cannot keep it: it takes up room ` +
          'among what this worker fetches ahead.',
      )
    const cancel = clock.after(Math.max(0, untilMs - clock.now()), () => {
      this.#kept.delete(cancel)
      parked.reject({ requeue: true }).catch(() => {})
    })
    this.#kept.add(cancel)
  }

  async #copy({ envelope, queue }: Parked, untilMs: number): Promise<void> {
    const left = untilMs - this.#deps.clock.now()
    if (!Number.isFinite(left)) throw new InvalidArgumentError(`a message cannot be parked until ${untilMs}`)
    const exponent = Math.floor(Math.log2(Math.max(1, left)))
    const level = Math.min(longestLevel, Math.max(shortestLevel, exponent))
    await this.#place(level)
    const name = nameOf(level)
    const outgoing = { envelope, to: { exchange: name, routingKey: queue } }
    try {
      await this.#deps.publish([outgoing])
    } catch (error) {
      if (!(error instanceof UnroutableError)) throw error
      // Somebody has deleted the place.
      this.#declared.delete(level)
      await this.#place(level)
      await this.#deps.publish([outgoing])
    }
  }

  #place(level: number): Promise<void> {
    const known = this.#declared.get(level)
    if (known !== undefined) return known
    const declaring = this.#deps.declare(topologyOf(level))
    this.#declared.set(level, declaring)
    declaring.catch(() => this.#declared.delete(level))
    return declaring
  }
}

/** True for a message that has come back from a waiting place. */
export function parkedBefore({ headers }: Envelope): boolean {
  const deaths = headers['x-death']
  if (!Array.isArray(deaths)) return false
  return deaths.some((death: { queue?: unknown } | null) => String(death?.queue ?? '').startsWith(prefix))
}

function nameOf(level: number): string {
  return `${prefix}${2 ** level}`
}

function topologyOf(level: number): Topology {
  const name = nameOf(level)
  return {
    exchanges: [{ name, type: 'fanout', durable: true }],
    queues: [
      {
        name,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: {
          'x-queue-type': 'quorum',
          'x-overflow': 'reject-publish',
          'x-message-ttl': 2 ** level,
          'x-dead-letter-exchange': '',
          'x-dead-letter-strategy': 'at-least-once',
        },
      },
    ],
    bindings: [{ from: name, to: { queue: name }, routingKey: '' }],
  }
}
