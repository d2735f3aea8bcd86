/**
 * The replies to one command (`kombu/pidbox.py` Mailbox._collect; surface CTL-012).
 *
 * Rule 1: it waits `timeoutMs` after each reply, for silence, or until `limit` replies; and never longer than
 * `mostMs` in all, whoever goes on talking.
 * Rule 2: a reply that cannot be read, is too old or has another ticket is not counted.
 */
import { type ControlReply, decodeControlReply } from '../../protocol/control.js'
import type { BodyPolicy } from '../../protocol/task-message.js'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { Delivery } from '../transport/transport.js'

/** What a worker answered, by its node name; one name in each, as in Celery. */
export type ControlAnswer = Readonly<Record<string, unknown>>

/** How to collect. */
export interface CollectOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly policy: BodyPolicy
  readonly ticket: string
  /** Milliseconds of silence after which nobody else is expected. */
  readonly timeoutMs: number
  /** Milliseconds in all. */
  readonly mostMs: number
  /** undefined or 0: no limit. */
  readonly limit: number | undefined
  /** Told of each reply, before its answer counts: the clock of the sender goes on from there. */
  onReply(reply: ControlReply): void
}

/** Takes deliveries of a reply queue until it has heard enough. */
export class ReplyCollector {
  /** The answers in the order they came; resolves after `start`, never rejects. */
  readonly answers: Promise<readonly ControlAnswer[]>
  private readonly options: CollectOptions
  private readonly heard: ControlAnswer[] = []
  private readonly resolve: (answers: readonly ControlAnswer[]) => void
  private stopSilence = (): void => {}
  private stopAll = (): void => {}
  private isStarted = false

  constructor(options: CollectOptions) {
    this.options = options
    let resolve = (_: readonly ControlAnswer[]): void => {}
    this.answers = new Promise((settle) => {
      resolve = settle
    })
    this.resolve = resolve
  }

  /** The command is on its way: from now on silence counts. */
  start(): void {
    const { clock, mostMs } = this.options
    this.isStarted = true
    this.stopAll = clock.after(mostMs, () => this.end())
    this.listen()
    this.endWhenEnough()
  }

  /** Takes what came. Never throws. */
  receive(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.receiveOne(delivery)
  }

  /** Waits for nobody else. Safe twice. */
  end(): void {
    this.stopSilence()
    this.stopAll()
    this.resolve([...this.heard])
  }

  private receiveOne(delivery: Delivery): void {
    const { policy, logger, ticket, clock, onReply } = this.options
    let reply: ControlReply
    try {
      reply = decodeControlReply(delivery.envelope, policy)
    } catch (error) {
      logger.warn({ err: error }, 'A reply to a remote control command cannot be read; it is dropped.')
      return
    }
    onReply(reply)
    if (reply.expires !== undefined && clock.now() > reply.expires * 1000) return
    if ((reply.ticket ?? ticket) !== ticket) return
    this.heard.push(reply.replies)
    if (!this.isStarted) return
    this.listen()
    this.endWhenEnough()
  }

  private listen(): void {
    this.stopSilence()
    this.stopSilence = this.options.clock.after(this.options.timeoutMs, () => this.end())
  }

  private endWhenEnough(): void {
    const { limit } = this.options
    if (limit && this.heard.length >= limit) this.end()
  }
}
