/**
 * One request, from reserved to settled (`celery/worker/request.py`).
 *
 * Rule 1: the broker is told at most once (surface ACK-030); what its connection took with it, the next one tells where
 * the broker still waits for it (estate.ts). Rule 2: an early ack happens when the task starts, not
 * when it arrives, so what waits in the worker is never lost (WRK-042). Rule 3: a late ack happens after the result is
 * stored. Rule 4: nothing here throws or rejects; an acknowledgement that fails is logged once (WRK-043).
 */
import type { Clock } from '../clock.js'
import { DeliveryLostError } from '../errors.js'
import type { Host, RunnableTask, TaskOptions } from '../execution/host.js'
import type { Outcome } from '../execution/outcome.js'
import type { Courier, TaskRequest } from '../execution/request.js'
import { type Logger, wouldLog } from '../logger.js'
import type { Execution, Pool, RunWatcher, TimeLimits } from '../pool/pool.js'
import type { Seated } from '../seats.js'
import type { AckWatcher, Delivery, Handover, LateSettling, ResultPlace } from '../transport/transport.js'
import type { Candidate, Discard } from './admission.js'
import { type Arrival, taskRequestFrom } from './arrival.js'
import type { Endings } from './endings.js'
import type { Errands } from './errands.js'
import type { Estate, Orphan } from './estate.js'
import { handedOver } from './handed-over.js'
import { momentMs } from './moment.js'
import { isOver, nextState, type RequestEvent, type RequestState } from './request-state.js'
import { lostRejectText, redeliveryText, settlementFor } from './settlement.js'

/** What one request needs from its worker, and whom it tells. */
export interface Desk {
  readonly host: Host
  readonly clock: Clock
  readonly logger: Logger
  readonly errands: Errands
  readonly endings: Endings
  readonly estate: Estate
  /** `celery@host`. */
  readonly nodeName: string
  /** Seconds; the worker's own defaults, `--time-limit` and `--soft-time-limit`. */
  readonly timeLimit: number | undefined
  readonly softTimeLimit: number | undefined
  /** Limits that were set while the worker ran, by task; they stand in place of the task's own (surface CTL-046). */
  readonly changedLimits: ReadonlyMap<string, Pick<TaskOptions, 'softTimeLimit' | 'timeLimit'>>
  onAccepted(request: Request): void
  /** The broker has answered an ack or a reject. */
  onAcknowledged(): void
  /** Nothing is left to do for it. */
  onSettled(request: Request): void
}

/** Why a running request was cut short. */
export type Cancellation = 'shutdown' | 'connection loss'

/** One task message that this worker holds. */
export class Request implements Candidate, RunWatcher, Orphan, AckWatcher, Courier, Seated {
  /** In the ledger. */
  seat = -1
  /** Another one after a loss, when the next connection has taken the message over. */
  delivery: Delivery
  readonly taskRequest: TaskRequest
  readonly runnable: RunnableTask
  readonly eta: number | undefined
  readonly expires: number | undefined
  /** Epoch milliseconds; undefined until it starts. */
  startedAt: number | undefined
  /** Process that runs it. */
  pid: number | undefined
  private readonly desk: Desk
  private current: RequestState = 'received'
  private told = false
  private execution: Execution | undefined
  private cancellation: Cancellation | undefined
  /** Settles when RETRY is stored for one that was cancelled after a loss. */
  private retryStored: Promise<void> | undefined
  private isRevoked = false
  /** Its connection is gone: the broker delivers the message again, unless it was acknowledged before. */
  private isLost = false
  /** Settles, without rejecting, when it is known whether it was handed over. */
  private handing: Promise<boolean> | undefined
  /** What follows from it is sent. */
  private isHandedOver = false
  /** Acts on its behalf that have not ended: acknowledgements, stored cancellations and the like. */
  private acts = 0
  /** Nothing more is begun for it: it leaves the ledger with the last of its acts. */
  private isClosing = false
  private freeSlot: (() => void) | undefined

  /** Throws `InvalidTaskError` when eta or expires cannot be read. */
  constructor(arrival: Arrival, desk: Desk) {
    const { delivery, message, task } = arrival
    this.desk = desk
    this.delivery = delivery
    this.runnable = task
    this.eta = momentMs(message.eta, 'ETA')
    this.expires = momentMs(message.expires, 'expires')
    this.taskRequest = taskRequestFrom(arrival, desk.nodeName, this)
  }

  get id(): string {
    return this.taskRequest.message.id
  }

  /** The task's registered name. */
  get task(): string {
    return this.taskRequest.message.task
  }

  /** The name shown in logs and counts: `shadow` where it is set (WRK-034). */
  get name(): string {
    return this.taskRequest.message.shadow || this.taskRequest.message.task
  }

  get stamps(): Readonly<Record<string, unknown>> {
    return this.taskRequest.message.stamps
  }

  get state(): RequestState {
    return this.current
  }

  /** True once the broker was told. */
  get isAcknowledged(): boolean {
    return this.told
  }

  get isActive(): boolean {
    return this.current === 'running' || this.current === 'orphaned'
  }

  /** The message's limits where they are not zero, else the task's, else the worker's (WRK-049). */
  get limits(): TimeLimits {
    const { message } = this.taskRequest
    const options = this.desk.changedLimits.get(this.task) ?? this.runnable.options
    return {
      soft: message.softTimeLimit || options.softTimeLimit || this.desk.softTimeLimit || undefined,
      hard: message.timeLimit || options.timeLimit || this.desk.timeLimit || undefined,
    }
  }

  /** Moves on by the table; false where the event has no meaning any more. */
  move(event: RequestEvent): boolean {
    const next = nextState(this.current, event)
    if (next === undefined) return false
    this.current = next
    return true
  }

  /** Hands the task to the pool; `freeSlot` is called once its slot is free. */
  start(pool: Pool, freeSlot: () => void): void {
    this.move('start')
    this.startedAt = this.desk.clock.now()
    this.freeSlot = freeSlot
    this.execution = pool.run(this.taskRequest, this.limits, this)
  }

  /** Drops a request that must not run: stores REVOKED, acknowledges, tells (WRK-035, ACK-023, ACK-024). */
  discard(reason: Discard): void {
    if (!this.move('discard')) return
    this.desk.logger.info(
      { id: this.id, name: this.name },
      `Discarding revoked task: ${this.name}[${this.id}]`,
    )
    this.begin(this.announceRevoked(reason, false, undefined))
    this.close()
  }

  /** Gives an unstarted request back to the broker, in front of what waits. */
  giveBack(): void {
    if (this.isActive || !this.move('return')) return
    this.handBack('give back', 'return')
    this.close()
  }

  /** Whether the broker can keep it until it is due. */
  get canPark(): boolean {
    return this.delivery.park !== undefined
  }

  /** Leaves it with the broker until shortly before it is due (epoch milliseconds); nothing of it stays here. */
  park(untilMs: number): void {
    if (this.isActive || !this.move('return')) return
    const { desk } = this
    if (wouldLog(desk.logger, 'debug')) {
      desk.logger.debug(
        { id: this.id, name: this.name, eta: this.taskRequest.message.eta },
        `Task ${this.name}[${this.id}] waits with the broker: more than enough wait here.`,
      )
    }
    this.handBack('park', 'undo', () => this.delivery.park?.(untilMs) ?? Promise.resolve())
    this.close()
  }

  /** Revokes a running request: its run is stopped, REVOKED is stored (ACK-025). */
  terminate(signal: NodeJS.Signals): boolean {
    if (!this.isActive || this.cancellation !== undefined) return false
    if (this.handing !== undefined) {
      // Nothing is left to revoke when what follows from it is sent.
      this.begin(this.handing.then((isDone) => isDone || this.terminate(signal)))
      return true
    }
    this.isRevoked = true
    this.execution?.terminate(signal)
    return true
  }

  /** The connection that brought it is gone: it cannot be acknowledged there any more (WRK-089, WRK-090). */
  loseConnection(): void {
    const isRunningOn = this.isActive || isOver(this.current)
    if (this.move('lose connection')) this.isLost = true
    // What was settled before the loss just goes on; a late-acked request may have ended and be storing its result yet.
    if (isRunningOn) {
      if (!this.told) this.desk.estate.leaveRunning(this)
      return
    }
    this.desk.estate.leave(this.delivery)
    this.desk.onSettled(this)
  }

  /** `Orphan`: the next connection holds its message now, and settles it as its own. */
  adopt(delivery: Delivery): void {
    this.delivery = delivery
    if (this.move('regain connection')) this.isLost = false
  }

  /** `Orphan`: its message went to others while there was no connection. */
  abandon(): void {
    // It is gone because it was handed over, or that is found out.
    if (this.handing !== undefined) return
    this.desk.logger.warn(
      { id: this.id, name: this.name },
      `Task ${this.name}[${this.id}] runs on, but its message went back to its queue or to another consumer ` +
        'while its connection was lost: it may run twice.',
    )
  }

  /** Drops it, before it started, when its delivery may belong to somebody else by now; false when it is still ours. */
  dropUnheld(): boolean {
    const isHeld = this.delivery.isHeld?.() ?? true
    if (!isHeld) this.loseConnection()
    return !isHeld
  }

  /** True for a late-acked request whose broker will deliver it again. */
  get willBeRedelivered(): boolean {
    return this.isLost && !this.told
  }

  /**
   * Cuts a running request short without losing it.
   *
   * Late-acked and unsettled: the broker gets it back (the intent of ACK-027; Celery loses it on Redis). Already
   * acknowledged: Celery stores RETRY and publishes nothing, so the task is lost while it seems to be retried
   * (ACK-026); here its message is really sent again, and only then is RETRY stored. After a connection loss the
   * broker redelivers by itself and RETRY is stored, as in Celery (ACK-028).
   */
  cancel(why: Cancellation): void {
    if (!this.isActive || this.cancellation !== undefined) return
    this.cancellation = why
    this.execution?.terminate('SIGTERM')
    if (this.handing !== undefined) this.begin(this.cancelHanding(this.handing))
    else if (this.isHandedOver) return
    else if (this.told) this.begin(this.desk.endings.sentAgain(this.taskRequest, this.runnable))
    else if (this.isLost) {
      this.retryStored = this.desk.endings.cancelled(this.taskRequest, this.runnable)
      this.begin(this.retryStored)
    } else this.handBack('give back', 'return')
  }

  /** What follows from its success may be on its way; then nothing is left to cancel. */
  private async cancelHanding(handing: Promise<boolean>): Promise<void> {
    if (await handing) return
    if (this.told) await this.desk.endings.sentAgain(this.taskRequest, this.runnable)
    else await this.handBack('give back', 'return')
  }

  /** `Courier`. */
  handsOver(place: ResultPlace | undefined): boolean {
    return this.delivery.handsOver?.(place) === true
  }

  /** `Courier`. */
  async handOver(what: Handover): Promise<boolean> {
    if (this.isLost || this.cancellation !== undefined || this.delivery.handOver === undefined) return false
    // An early acknowledgement that still waits for the end of this turn shares the step.
    const wasEarly = this.told && this.delivery.withdrawAck?.() === true
    if (wasEarly) {
      this.told = false
      this.acts -= 1
    }
    // Without a result nobody could find out whether it was done, when the answer is lost.
    const acks = !this.told
    if (!acks && what.result === undefined) return false
    this.handing = handedOver(this, what, acks, this.desk)
    this.acts += 1
    this.isHandedOver = await this.handing
    this.handing = undefined
    if (this.isHandedOver && acks) {
      this.told = true
      this.desk.onAcknowledged()
    } else if (wasEarly && this.cancellation === undefined) this.acknowledge()
    this.endAct()
    return this.isHandedOver
  }

  /** `RunWatcher`: the pool is about to start it. */
  onAccepted(pid: number): void {
    this.pid = pid
    this.desk.onAccepted(this)
    const { logger } = this.desk
    if (wouldLog(logger, 'debug'))
      logger.debug({ id: this.id, pid }, `Task accepted: ${this.name}[${this.id}] pid:${pid}`)
    if (!this.runnable.options.acksLate) this.acknowledge()
  }

  /** `RunWatcher`: its run has ended. */
  onEnded(outcome: Outcome): void {
    this.freeSlot?.()
    // A pool that stopped before its time gave the run up: the task is not to blame.
    if (outcome.kind === 'terminated' && !this.isRevoked) this.cancel('shutdown')
    if (this.cancellation !== undefined) {
      this.move(this.told ? 'return' : 'finish')
      // Whoever runs it again stores after us, not before.
      if (this.retryStored !== undefined)
        this.begin(this.retryStored.then(() => this.handBack('give back', 'return')))
      this.close()
      return
    }
    this.move('finish')
    if (outcome.kind === 'succeeded') this.settleAfter(outcome)
    // Rule 3 holds for what the run could not store itself, too.
    else this.begin(this.recordEnding(outcome).then(() => this.settleAfter(outcome)))
    this.close()
  }

  private settleAfter(outcome: Outcome): void {
    // An early-acked request is settled at its start; this settles one that ended before its pool said that it began.
    const how = this.runnable.options.acksLate ? settlementFor(outcome, this.runnable.options) : 'ack'
    if (outcome.kind === 'rejected' && outcome.requeue && how === 'ack')
      this.desk.logger.warn({ id: this.id, name: this.name }, lostRejectText(this))
    if (how === 'ack') this.acknowledge()
    else this.settle(how)
  }

  /** What the run could not say or store itself. */
  private async recordEnding(outcome: Outcome): Promise<void> {
    const { endings } = this.desk
    const { taskRequest, runnable } = this
    switch (outcome.kind) {
      case 'failed':
        // The run could not store it; the parent tries once more, as in Celery (ACK-029).
        if (outcome.isUnstored) await endings.failed(taskRequest, runnable, outcome.error)
        return
      case 'lost':
        if (this.requeuesWhenLost) return
        return endings.lost(taskRequest, runnable, outcome.exitCode)
      case 'terminated':
        return this.announceRevoked('terminated', true, outcome.signal)
      default:
        return
    }
  }

  private get requeuesWhenLost(): boolean {
    return this.runnable.options.acksLate && this.runnable.options.rejectOnWorkerLost
  }

  private async announceRevoked(
    reason: Discard | 'terminated',
    terminated: boolean,
    signum: string | undefined,
  ): Promise<void> {
    const { endings, host, errands } = this.desk
    await endings.revoked(this.taskRequest, this.runnable, reason)
    await this.settle('ack')
    const { taskRevoked } = host.signals
    if (!taskRevoked.hasReceivers) return
    const payload = { request: this, terminated, signum, expired: reason === 'expired' }
    errands.run('The signal task_revoked', taskRevoked.send(this.runnable, payload))
  }

  /** `settle('ack')` where nobody waits for the answer: every task comes through here. */
  private acknowledge(): void {
    const { delivery } = this
    if (this.isLost || delivery.ackFor === undefined) {
      this.settle('ack')
      return
    }
    if (this.told) return
    this.told = true
    this.acts += 1
    delivery.ackFor(this)
  }

  /** `AckWatcher`. */
  onAcknowledged(): void {
    this.answered('ack')
  }

  /** `AckWatcher`. */
  onUnacknowledged(error: Error): void {
    this.refused('ack', 'ack', error)
  }

  /** Tells the broker, once; resolves when it has answered. */
  private settle(how: 'ack' | 'requeue' | 'drop'): Promise<void> | undefined {
    const { delivery } = this
    return this.tell('ack', how, () =>
      how === 'ack' ? delivery.ack() : delivery.reject({ requeue: how === 'requeue' }),
    )
  }

  private handBack(
    what: string,
    how: 'undo' | 'return',
    act = () => this.release(),
  ): Promise<void> | undefined {
    return this.tell(what, how, act)
  }

  private release(): Promise<void> {
    const { delivery } = this
    return delivery.release?.() ?? delivery.reject({ requeue: true })
  }

  /** `how` is what the next connection does instead when its own is lost. */
  private tell(what: string, how: LateSettling, act: () => Promise<void>): Promise<void> | undefined {
    if (this.told) return undefined
    const { isLost } = this
    const telling = isLost ? this.desk.estate.settle(this, how) : act()
    if (telling === undefined) return undefined
    this.told = true
    this.acts += 1
    return telling.then(
      () => this.answered(what),
      (error: unknown) => (isLost ? this.unsettled(what, error) : this.refused(what, how, error)),
    )
  }

  /** An answer that was lost with the connection is asked for again through the next one; not so a refusal. */
  private refused(what: string, how: LateSettling, error: unknown): Promise<void> | undefined {
    const isUnanswered = error instanceof DeliveryLostError && error.cause !== undefined
    const again = isUnanswered ? this.desk.estate.settle(this, how, true) : undefined
    if (again === undefined) {
      this.unsettled(what, error)
      return undefined
    }
    return again.then(
      () => this.answered(what),
      (reason: unknown) => this.unsettled(what, reason),
    )
  }

  private answered(what: string): void {
    if (what === 'ack') this.desk.onAcknowledged()
    this.endAct()
  }

  private unsettled(what: string, error: unknown): void {
    this.desk.logger.error(
      { err: error, id: this.id, name: this.name },
      `Couldn't ${what} ${this.name}[${this.id}]: the broker may deliver it again.`,
    )
    this.answered(what)
  }

  /** Owns what takes longer than an answer of the broker. */
  private begin(act: Promise<unknown>): void {
    this.acts += 1
    const owned = act.finally(() => this.endAct())
    this.desk.errands.run(() => `The end of task ${this.name}[${this.id}]`, owned)
  }

  private endAct(): void {
    this.acts -= 1
    this.leaveLedger()
  }

  private close(): void {
    this.isClosing = true
    this.leaveLedger()
  }

  /** The request leaves the ledger when all that ends it has ended: only then may a session close. */
  private leaveLedger(): void {
    if (!this.isClosing || this.acts > 0) return
    const { desk, id, name, startedAt, cancellation } = this
    const isSaid = startedAt === undefined || cancellation !== undefined
    if (this.willBeRedelivered && !isSaid) desk.logger.warn({ id, name }, redeliveryText(this))
    desk.onSettled(this)
  }
}
