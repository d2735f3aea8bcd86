/**
 * Deliveries in, requests out (`celery/worker/consumer/consumer.py` create_task_handler, `worker/strategy.py`).
 *
 * Rule 1: no message stops it, whatever is in it; each gets a verdict. Rule 2: the order for a good message is
 * Celery's: log, expired or revoked, signal, ETA, rate limit, pool (surface WRK-033). Rule 3: a batch is handled in
 * one go, without waiting for anything; the broker is told of a new prefetch count once per batch. Rule 4: what is
 * left with the broker until it is due (eta-window.ts) was not received; it will be, by whoever keeps it then.
 */
import type { Accept, Codec } from '../../protocol/serializers.js'
import { readTask } from '../../protocol/task-message.js'
import { type Logger, wouldLog } from '../logger.js'
import type { Delivery } from '../transport/transport.js'
import { type Admission, type AdmissionRules, admit } from './admission.js'
import type { Dispatcher } from './dispatcher.js'
import { EtaWindow } from './eta-window.js'
import type { Ledger } from './ledger.js'
import type { Prefetch } from './prefetch.js'
import { idOf, type Refusals } from './refusals.js'
import { type Desk, Request } from './request.js'
import type { Throttle } from './throttle.js'
import type { Timer } from './timer.js'

/** What a `Consumer` needs; all but `prefetch` outlives the connection. */
export interface ConsumerOptions {
  readonly desk: Desk
  readonly ledger: Ledger
  readonly dispatcher: Dispatcher
  readonly throttle: Throttle
  readonly timer: Timer
  readonly refusals: Refusals
  readonly rules: AdmissionRules
  readonly codec: Codec
  readonly accept: Accept
  readonly logger: Logger
  readonly prefetch: Prefetch
  /** Most requests that wait for their ETA here while the broker can keep the rest (eta-window.ts). */
  readonly etaWindowSize: number
  /** `Subscription.takeParked`. */
  takeParked(dueBeforeMs: number): void
  /** The sender of task_received. */
  readonly sender: unknown
}

/** The receiving end of one session. */
export class Consumer {
  private readonly options: ConsumerOptions
  private readonly waiting: EtaWindow<Request>
  private mode: 'taking' | 'holding' | 'returning' | 'abandoned' = 'taking'

  constructor(options: ConsumerOptions) {
    this.options = options
    const { prefetch, timer, desk, etaWindowSize } = options
    this.waiting = new EtaWindow({
      clock: desk.clock,
      timer,
      prefetch,
      size: etaWindowSize,
      takeParked: (dueBeforeMs) => options.takeParked(dueBeforeMs),
      onDue: (request) => {
        this.decide(request, this.verdict(request), false)
        this.flushPrefetch()
      },
    })
  }

  /** Takes a batch, oldest first. Never throws. */
  receive(deliveries: readonly Delivery[]): void {
    if (this.mode === 'abandoned') return
    for (const delivery of deliveries) this.receiveOne(delivery)
    this.flushPrefetch()
  }

  /**
   * Takes nothing more. While the subscription is being cancelled, what still comes is only held: given back at once
   * it would come again, and out of order. After `returnAll` a straggler goes back as it comes.
   */
  quiet(): void {
    this.mode = 'holding'
    this.forgetWaits()
  }

  /**
   * Gives everything that has not started back to the broker, and with `isCold` cuts short what runs, all in the order it
   * came: what goes back together keeps the order of these calls.
   */
  returnAll(isCold: boolean): void {
    this.mode = 'returning'
    for (const request of this.options.ledger.all()) {
      if (isCold) request.cancel('shutdown')
      request.giveBack()
    }
  }

  /** Its connection is lost: what still comes from it is the broker's. */
  abandon(): void {
    this.mode = 'abandoned'
    this.forgetWaits()
  }

  /** Stops waiting for ETAs; whoever calls this has settled or dropped the requests. */
  forgetWaits(): void {
    this.waiting.clear()
  }

  /** One ack or reject was answered: after a loss the prefetch count grows back with each (surface WRK-025). */
  onAcknowledged(): void {
    const { prefetch } = this.options
    if (!prefetch.isReduced) return
    prefetch.restore()
    this.flushPrefetch()
  }

  private receiveOne(delivery: Delivery): void {
    const { ledger, refusals, logger } = this.options
    let request: Request
    try {
      const read = this.read(delivery)
      if (read === undefined) return
      request = read
    } catch (error) {
      refusals.unreadable(delivery, error)
      return
    }
    ledger.add(request)
    if (this.mode === 'holding') return
    if (this.mode === 'returning') {
      request.giveBack()
      return
    }
    const verdict = this.verdict(request)
    // It counts as received by whoever keeps it.
    if (verdict.kind === 'wait' && this.waiting.refuses(request, verdict.until)) {
      request.park(verdict.until)
      return
    }
    if (wouldLog(logger, 'info')) this.logReceived(request)
    this.decide(request, verdict, true)
  }

  private logReceived(request: Request): void {
    const { message } = request.taskRequest
    this.options.logger.info(
      {
        id: message.id,
        name: request.name,
        args: message.argsRepr,
        kwargs: message.kwargsRepr,
        eta: message.eta,
      },
      `Task ${request.name}[${message.id}] received`,
    )
  }

  /** A request, or undefined for a task that is not registered (and then refused). Throws `ProtocolError`. */
  private read(delivery: Delivery): Request | undefined {
    const { desk, refusals, codec, accept } = this.options
    const { headers } = delivery.envelope
    // Celery looks the name up before it opens the body (surface WRK-028, WRK-030).
    if (Object.hasOwn(headers, 'task')) {
      const name = headers['task']
      if (typeof name !== 'string' || desk.host.task(name) === undefined) {
        refusals.unknownTask(
          delivery,
          name === null || name === undefined ? 'None' : String(name),
          idOf(delivery),
          readQuietly(delivery, { codec, accept }),
        )
        return undefined
      }
    }
    const { message, body } = readTask(delivery.envelope, { codec, accept })
    const task = desk.host.task(message.task)
    if (task === undefined) {
      refusals.unknownTask(delivery, message.task, message.id, { message, body })
      return undefined
    }
    return new Request({ delivery, message, body, task }, desk)
  }

  /** Asked again when a wait is over. */
  private verdict(request: Request): Admission {
    return admit(request, this.options.desk.clock.now(), this.options.rules)
  }

  private decide(request: Request, verdict: Admission, isNew: boolean): void {
    // Of what is to run the dispatcher asks when it starts it.
    if (verdict.kind !== 'run' && request.dropUnheld()) return
    const { desk, dispatcher, throttle } = this.options
    if (verdict.kind === 'discard') {
      request.discard(verdict.reason)
      return
    }
    if (isNew) {
      const { taskReceived } = desk.host.signals
      if (taskReceived.hasReceivers) {
        desk.errands.run('The signal task_received', taskReceived.send(this.options.sender, { request }))
      }
    }
    switch (verdict.kind) {
      case 'wait':
        if (request.move('wait')) this.waiting.hold(request, verdict.until)
        return
      case 'throttle':
        if (request.move('throttle')) throttle.add(request)
        return
      case 'run':
        throttle.countStart(request.task)
        dispatcher.push(request)
        return
      case 'refuse':
        // Its task was taken out of the registry while it waited.
        request.giveBack()
    }
  }

  private flushPrefetch(): void {
    const { prefetch, desk } = this.options
    if (prefetch.isStale) desk.errands.run('Telling the broker the prefetch count', prefetch.flush())
  }
}

/** What stands in the body of a message that is refused for its header; undefined when it cannot be read. */
function readQuietly(
  delivery: Delivery,
  policy: Parameters<typeof readTask>[1],
): ReturnType<typeof readTask> | undefined {
  try {
    return readTask(delivery.envelope, policy)
  } catch {
    return undefined
  }
}
