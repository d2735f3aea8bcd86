/**
 * What a worker takes in: from which queues, and how on each connection (`celery/worker/consumer/consumer.py`, tasks.py).
 *
 * Rule 1: a consumer and a prefetch count live as long as one connection, and are made anew for the next (`receive`); what
 * must survive a loss comes in with the parts.
 * Rule 2: after a loss, what waited is the broker's again. What runs goes on, or is cancelled where the setting says so.
 */
import type { Accept } from '../../protocol/serializers.js'
import { type TaskQueue, workerDirectQueue } from '../app/queues.js'
import type { Capabilities, Topology } from '../transport/transport.js'
import { Consumer, type ConsumerOptions } from './consumer.js'
import { etaWindowSize } from './eta-window.js'
import { Prefetch } from './prefetch.js'
import type { Receiver, Wishes } from './session.js'
import { workerTopology } from './topology.js'
import type { WorkerApp } from './worker-app.js'
import type { WorkerOptions } from './worker-options.js'

/** What outlives each connection. */
export interface IntakeParts
  extends Omit<ConsumerOptions, 'codec' | 'accept' | 'prefetch' | 'etaWindowSize' | 'takeParked'> {
  readonly app: WorkerApp
  readonly options: Pick<WorkerOptions, 'queues' | 'excludeQueues' | 'prefetchMultiplier'>
  readonly concurrency: number
  /** True once the worker was told to stop: a new connection takes nothing then. */
  isStopping(): boolean
}

/** The receiving side of one worker. */
export class Intake {
  private readonly parts: IntakeParts
  private readonly accept: Accept
  /** The queue of this worker alone, with `worker_direct`. */
  private readonly direct: TaskQueue | undefined
  private current: { readonly consumer: Consumer; readonly prefetch: Prefetch } | undefined

  constructor(parts: IntakeParts) {
    const { conf, codec } = parts.app
    this.parts = parts
    this.accept = codec.accepting(conf.acceptContent)
    this.direct = conf.workerDirect ? workerDirectQueue(parts.desk.nodeName) : undefined
  }

  /** Of the latest connection. */
  get consumer(): Consumer | undefined {
    return this.current?.consumer
  }

  /** Of the latest connection. */
  get prefetch(): Prefetch | undefined {
    return this.current?.prefetch
  }

  /**
   * The queues to begin with. The choice is this worker's own: another worker of the same app starts again from all declared
   * queues. Throws `QueueNotFoundError`.
   */
  chosenQueues(): readonly string[] {
    const { queues } = this.parts.app
    const { queues: chosen = [], excludeQueues = [] } = this.parts.options
    queues.select(chosen)
    const names = chosen.length > 0 ? chosen.map((name) => queues.get(name).name) : [...queues.all.keys()]
    const kept = names.filter((name) => !excludeQueues.includes(name))
    return this.direct === undefined ? kept : [...kept, this.direct.name]
  }

  /** These queues, in full. */
  queues(names: readonly string[]): readonly TaskQueue[] {
    return names.map((name) => this.queue(name))
  }

  /** What must exist before they are consumed. Throws `ConfigError`. */
  topology(names: readonly string[]): Topology {
    return workerTopology(this.parts.app, this.queues(names), this.parts.logger)
  }

  /** Makes the receiving end of a new connection (`SessionOptions.receive`). */
  receive(wishes: Wishes, isRestart: boolean, { livePrefetch }: Capabilities): Receiver {
    const { parts, accept } = this
    const { conf, codec, queues } = parts.app
    const isStatic = !livePrefetch || (conf.workerDetectQuorumQueues && queues.hasQuorum)
    const prefetch = this.makePrefetch(wishes, isRestart, isStatic)
    const consumer = new Consumer({
      ...parts,
      codec,
      accept,
      prefetch,
      etaWindowSize: etaWindowSize(conf.workerEtaTaskLimit, prefetch),
      takeParked: (due) => wishes.takeParked(due),
    })
    this.current = { consumer, prefetch }
    if (parts.isStopping()) consumer.quiet()
    if (isStatic) parts.logger.info({}, 'Global QoS is disabled. Prefetch count in now static.')
    return {
      prefetch: prefetch.wireValue,
      globalPrefetch: !isStatic,
      consumerArguments: (queue) => this.queue(queue).consumerArguments,
      onDeliveries: (deliveries) => consumer.receive(deliveries),
      onUnreadable: (report) => parts.refusals.setAside(report),
    }
  }

  /** The connection is gone, and everything that came from it (WRK-089 to 091). */
  lose(): void {
    const { app, ledger, throttle, dispatcher, logger } = this.parts
    this.consumer?.abandon()
    throttle.clear()
    dispatcher.clear()
    const running = ledger.active()
    for (const request of ledger.all()) request.loseConnection()
    if (!app.conf.workerCancelLongRunningTasksOnConnectionLoss) return
    for (const request of running.filter((one) => one.willBeRedelivered)) {
      logger.warn(
        { id: request.id },
        `Task ${request.name}[${request.id}] cannot be acknowledged after a connection loss since late ` +
          'acknowledgement is enabled for it.\nTerminating it instead.\n',
      )
      request.cancel('connection loss')
    }
  }

  private queue(name: string): TaskQueue {
    return name === this.direct?.name ? this.direct : this.parts.app.queues.get(name)
  }

  private makePrefetch(wishes: Wishes, isRestart: boolean, isStatic: boolean): Prefetch {
    const { app, concurrency, ledger, logger, options } = this.parts
    const { conf } = app
    const isReduced = isRestart && conf.workerEnablePrefetchCountReduction
    return new Prefetch(
      {
        concurrency,
        multiplier: options.prefetchMultiplier ?? conf.workerPrefetchMultiplier,
        etaTaskLimit: conf.workerEtaTaskLimit ?? undefined,
        isStatic,
        logger,
        apply: (count: number) => wishes.setPrefetch(count),
      },
      ledger.active().length,
      isReduced,
    )
  }
}
