/**
 * What the worker stores about a task that could not say it itself: revoked, killed, lost, refused
 * (`celery/worker/request.py` on_timeout, _announce_revoked, _announce_cancelled; `consumer.py` on_unknown_task).
 *
 * Rule 1: a result store that is away is logged, and never stops the worker. Rule 2: names on the wire are Python's,
 * so that a Python caller raises the class it knows.
 */
import { epochMsToIso } from '../../protocol/iso-time.js'
import type { RemoteError } from '../../protocol/remote-error.js'
import type { TaskState } from '../../protocol/result-meta.js'
import { RemoteTaskError } from '../errors.js'
import type { Host, RunnableTask } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'
import { ignoresResult } from '../execution/request-info.js'
import { resultRecord } from '../execution/result-record.js'
import type { Logger } from '../logger.js'

/** Tells the rest of a failed task's workflow: the chain after it, its chord, its errbacks. */
export type SpreadFailure = (request: TaskRequest, task: RunnableTask, error: RemoteError) => Promise<void>

/** Stores endings through the app's backend. */
export class Endings {
  private readonly host: Host
  private readonly logger: Logger
  private readonly spread: SpreadFailure

  constructor(host: Host, logger: Logger, spread: SpreadFailure) {
    this.host = host
    this.logger = logger
    this.spread = spread
  }

  /**
   * FAILURE with TimeLimitExceeded; errbacks and chord are told, `on_failure` and the signal are not, as in Celery
   * 5.6 (surface WRK-052).
   */
  async timedOut(request: TaskRequest, task: RunnableTask, seconds: number): Promise<void> {
    const error = remoteError('TimeLimitExceeded', 'billiard.exceptions', [seconds])
    await this.record(request, task, 'FAILURE', error)
    await this.guard(request, () => this.spread(request, task, error))
  }

  /** FAILURE with WorkerLostError, and the signal task_failure (surface ACK-017, SIG-009). */
  async lost(request: TaskRequest, task: RunnableTask, exitCode: number | undefined): Promise<void> {
    const text =
      exitCode === undefined
        ? 'Worker was shut down while the task ran, and the task could not be sent again.'
        : `Worker exited prematurely: exitcode ${exitCode}.`
    const error = remoteError('WorkerLostError', 'billiard.exceptions', [text])
    await this.record(request, task, 'FAILURE', error)
    await this.guard(request, () => this.spread(request, task, error))
    const { taskFailure } = this.host.signals
    if (!taskFailure.hasReceivers) return
    const { args, kwargs } = request.body
    const exception = new RemoteTaskError(request.message.id, error, text)
    await taskFailure.send(task, {
      taskId: request.message.id,
      exception,
      args,
      kwargs,
      traceback: undefined,
    })
  }

  /** REVOKED with `revoked`, `expired` or `terminated` (surface TSK-108). */
  async revoked(request: TaskRequest, task: RunnableTask, reason: string): Promise<void> {
    await this.record(
      request,
      task,
      'REVOKED',
      remoteError('TaskRevokedError', 'celery.exceptions', [reason]),
    )
  }

  /** RETRY, and the signal task_retry: the run was cut short, its message comes again (surface ACK-026, ACK-028). */
  async cancelled(request: TaskRequest, task: RunnableTask): Promise<void> {
    const reason = 'cancelled by Celery'
    await this.record(request, task, 'RETRY', remoteError('Retry', 'celery.exceptions', [reason]))
    const { taskRetry } = this.host.signals
    if (taskRetry.hasReceivers) await taskRetry.send(task, { request, reason, traceback: undefined })
  }

  /** FAILURE for a message that was refused, by its id alone. Rule 1 holds. */
  async refused(taskId: string, error: RemoteError, replyTo?: string, correlationId?: string): Promise<void> {
    const { backend, clock } = this.host
    if (!backend.enabled) return
    try {
      await backend.store(
        {
          taskId,
          state: 'FAILURE',
          result: error,
          traceback: error.traceback,
          children: [],
          dateDone: epochMsToIso(clock.now()),
        },
        { id: taskId, replyTo, correlationId: correlationId ?? taskId },
      )
    } catch (cause) {
      this.logStoreFailure(taskId, cause)
    }
  }

  /** True when nothing is stored about the task, as far as the store can tell. */
  async isUnknown(taskId: string): Promise<boolean> {
    const { backend } = this.host
    if (!backend.enabled) return false
    try {
      const meta = await backend.fetch(taskId)
      return meta === undefined || meta.state === 'PENDING'
    } catch (cause) {
      this.logStoreFailure(taskId, cause)
      return false
    }
  }

  private async record(
    request: TaskRequest,
    task: RunnableTask,
    state: TaskState,
    error: RemoteError,
  ): Promise<void> {
    const { backend, clock, execution } = this.host
    if (!backend.enabled) return
    if (ignoresResult(request, task) && !task.options.storeErrorsEvenIfIgnored) return
    const { id, replyTo, correlationId } = request.message
    const fields = {
      state,
      result: error,
      children: [],
      nowMs: clock.now(),
      extended: execution.resultExtended,
    }
    try {
      await backend.store(resultRecord(request, fields), { id, replyTo, correlationId })
    } catch (cause) {
      this.logStoreFailure(id, cause)
    }
  }

  private async guard(request: TaskRequest, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      const { id, task } = request.message
      this.logger.error(
        { err: error, id },
        `The callbacks of the failed task ${task}[${id}] could not be sent.`,
      )
    }
  }

  private logStoreFailure(taskId: string, error: unknown): void {
    this.logger.error({ err: error, id: taskId }, `The ending of task ${taskId} could not be stored.`)
  }
}

/** An error in its stored form, without a traceback. */
export function remoteError(type: string, module: string, args: readonly unknown[]): RemoteError {
  return { type, module, args, traceback: undefined }
}
