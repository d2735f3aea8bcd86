/**
 * Celery's signals, typed (surface section 5; `celery/signals.py`, `celery/utils/dispatch/signal.py`).
 *
 * Rule 1: a receiver that throws or rejects is logged and does not stop the others, nor the sender.
 * Rule 2: a signal without receivers costs one property read.
 * Rule 3: receivers may be async; `send` resolves when all have ended.
 */
import type { Logger } from './logger.js'

/** What a receiver is called with: the payload, the sender and the signal's name. */
export type Received<P> = P & { readonly signal: string; readonly sender: unknown }
/** Called when the signal is sent; may be async. */
export type Receiver<P> = (event: Received<P>) => unknown

/** One named signal. */
export class Signal<P extends object> {
  readonly name: string
  private readonly logger: Logger
  private receivers: { receiver: Receiver<P>; sender: unknown; uid: string | undefined }[] = []

  constructor(name: string, logger: Logger) {
    this.name = name
    this.logger = logger
  }

  get hasReceivers(): boolean {
    return this.receivers.length > 0
  }

  /**
   * Calls `receiver` each time the signal is sent; returns the function that disconnects it. With `sender` only for
   * that sender; the same `dispatchUid` connects once.
   */
  connect(
    receiver: Receiver<P>,
    options: { readonly sender?: unknown; readonly dispatchUid?: string } = {},
  ): () => void {
    const entry = { receiver, sender: options.sender, uid: options.dispatchUid }
    const isKnown = this.receivers.some((r) =>
      entry.uid === undefined ? r.receiver === receiver && r.sender === entry.sender : r.uid === entry.uid,
    )
    if (!isKnown) this.receivers = [...this.receivers, entry]
    return () => {
      this.receivers = this.receivers.filter((r) => r !== entry)
    }
  }

  /** Removes a receiver, for every sender; true if it was connected. */
  disconnect(receiver: Receiver<P>): boolean {
    const before = this.receivers.length
    this.receivers = this.receivers.filter((r) => r.receiver !== receiver)
    return this.receivers.length < before
  }

  /** Calls every receiver in the order they were connected, one after the other; resolves with their responses. */
  async send(sender: unknown, payload: P): Promise<readonly (readonly [Receiver<P>, unknown])[]> {
    const responses: (readonly [Receiver<P>, unknown])[] = []
    if (this.receivers.length === 0) return responses
    const event = Object.assign(payload, { signal: this.name, sender })
    for (const { receiver, sender: only } of this.receivers) {
      if (only !== undefined && only !== sender) continue
      try {
        responses.push([receiver, await receiver(event)])
      } catch (error) {
        this.logger.error(
          { err: error, signal: this.name },
          `Signal handler ${receiver.name || '<anonymous>'} raised`,
        )
        responses.push([receiver, error])
      }
    }
    return responses
  }
}

/** A logger that the command line has made, and what it was made with. */
export interface LoggerSetup {
  logger: unknown
  loglevel: string
  logfile: string | undefined
  format: string
  colorize: boolean
}

/** Payloads by signal; names are Celery's in camelCase, the wire objects stay what they are. */
export interface SignalPayloads {
  /** `headers` and `properties` may be changed in place (surface PUB-038); sender: task name. */
  beforeTaskPublish: {
    body: unknown
    exchange: string
    routingKey: string
    headers: Record<string, unknown>
    properties: Record<string, unknown>
    retryPolicy: unknown
  }
  afterTaskPublish: { body: unknown; headers: Record<string, unknown>; exchange: string; routingKey: string }
  taskReceived: { request: unknown }
  taskPrerun: {
    taskId: string
    task: unknown
    args: readonly unknown[]
    kwargs: Readonly<Record<string, unknown>>
  }
  taskPostrun: {
    taskId: string
    task: unknown
    args: readonly unknown[]
    kwargs: Readonly<Record<string, unknown>>
    retval: unknown
    state: string
  }
  taskSuccess: { result: unknown }
  taskRetry: { request: unknown; reason: unknown; traceback: string | undefined }
  taskFailure: {
    taskId: string
    exception: unknown
    args: readonly unknown[]
    kwargs: Readonly<Record<string, unknown>>
    traceback: string | undefined
  }
  taskInternalError: {
    taskId: string
    args: readonly unknown[]
    kwargs: Readonly<Record<string, unknown>>
    request: unknown
    exception: unknown
    traceback: string | undefined
  }
  taskRevoked: { request: unknown; terminated: boolean; signum: string | undefined; expired: boolean }
  taskRejected: { message: unknown; exc: unknown }
  taskUnknown: { message: unknown; exc: unknown; name: string; id: string }
  celerydInit: { instance: unknown; conf: unknown; options: unknown }
  celerydAfterSetup: { instance: unknown; conf: unknown }
  workerInit: object
  workerReady: object
  workerShuttingDown: { sig: string; how: 'Warm' | 'Soft' | 'Cold'; exitcode: number }
  workerShutdown: object
  setupLogging: { loglevel: string; logfile: string | undefined; format: string; colorize: boolean }
  afterSetupLogger: LoggerSetup
  afterSetupTaskLogger: LoggerSetup
  importModules: object
  userPreloadOptions: { app: unknown; options: unknown }
}

/** All signals of one app. */
export type Signals = { readonly [K in keyof SignalPayloads]: Signal<SignalPayloads[K]> }

const names: { readonly [K in keyof SignalPayloads]: string } = {
  beforeTaskPublish: 'before_task_publish',
  afterTaskPublish: 'after_task_publish',
  taskReceived: 'task_received',
  taskPrerun: 'task_prerun',
  taskPostrun: 'task_postrun',
  taskSuccess: 'task_success',
  taskRetry: 'task_retry',
  taskFailure: 'task_failure',
  taskInternalError: 'task_internal_error',
  taskRevoked: 'task_revoked',
  taskRejected: 'task_rejected',
  taskUnknown: 'task_unknown',
  celerydInit: 'celeryd_init',
  celerydAfterSetup: 'celeryd_after_setup',
  workerInit: 'worker_init',
  workerReady: 'worker_ready',
  workerShuttingDown: 'worker_shutting_down',
  workerShutdown: 'worker_shutdown',
  setupLogging: 'setup_logging',
  afterSetupLogger: 'after_setup_logger',
  afterSetupTaskLogger: 'after_setup_task_logger',
  importModules: 'import_modules',
  userPreloadOptions: 'user_preload_options',
}

/** A fresh set of signals, without receivers. */
export function createSignals(logger: Logger): Signals {
  const signals = Object.entries(names).map(([key, name]) => [key, new Signal<object>(name, logger)])
  return Object.fromEntries(signals) as unknown as Signals
}
