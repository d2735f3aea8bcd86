/**
 * What the worker stores about a task that could not say it itself: revoked, lost, cancelled, refused
 * (`celery/worker/request.py` on_failure, _announce_revoked, _announce_cancelled; `consumer.py` on_unknown_task).
 *
 * Rule 1: a result store that is away is logged, and never stops the worker. Rule 2: names on the wire are Python's,
 * so that a Python caller raises the class it knows.
 */
import { epochMsToIso } from '../../protocol/iso-time.js'
import type { RemoteError } from '../../protocol/remote-error.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { RemoteTaskError, Retry } from '../errors.js'
import {
  countChordPart,
  spreadFailure,
  spreadParentFailure,
  spreadRevocation,
} from '../execution/follow-up.js'
import type { Host, RunnableTask } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'

import { Run } from '../execution/run.js'
import type { Logger } from '../logger.js'

/** Stores endings through the app's backend. */
export class Endings {
  private readonly host: Host
  private readonly logger: Logger

  constructor(host: Host, logger: Logger) {
    this.host = host
    this.logger = logger
  }

  /** FAILURE with WorkerLostError, and the signal task_failure (surface ACK-017, SIG-009). */
  async lost(request: TaskRequest, task: RunnableTask, exitCode: number | undefined): Promise<void> {
    const text =
      exitCode === undefined
        ? 'Worker was shut down while the task ran, and the task could not be sent again.'
        : `Worker exited prematurely: exitcode ${exitCode}.`
    const error = remoteError('WorkerLostError', 'billiard.exceptions', [text])
    await this.failed(request, task, error)
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

  /** FAILURE; then the chord, the rest of the chain and the errbacks are told (`mark_as_failure`). */
  async failed(request: TaskRequest, task: RunnableTask, error: RemoteError): Promise<void> {
    const run = new Run(task, this.host, request, {})
    const record = run.record('FAILURE', error, error.traceback)
    await this.store(run, record)
    await this.guard(request, async () => {
      await countChordPart(run, record)
      await spreadFailure(run, error)
    })
  }

  /** REVOKED with `revoked`, `expired` or `terminated`; a chord is told too (surface TSK-108; `mark_as_revoked`). */
  async revoked(request: TaskRequest, task: RunnableTask, reason: string): Promise<void> {
    const run = new Run(task, this.host, request, {})
    const record = run.record('REVOKED', remoteError('TaskRevokedError', 'celery.exceptions', [reason]))
    await this.store(run, record)
    await this.guard(request, () => countChordPart(run, record))
    await this.guard(request, () => spreadRevocation(run, record.result as RemoteError))
  }

  /** NotRegistered was stored for a task that this app does not have: its chord, chain and errbacks are told too. */
  async unknown(request: TaskRequest, error: RemoteError): Promise<void> {
    const known = this.host.task('celery.accumulate')
    if (known === undefined) return
    // Nothing is run, so the options of any task will do.
    const task: RunnableTask = {
      name: request.message.task,
      options: known.options,
      params: undefined,
      handlers: {},
      errbackStyle: 'id',
      run: () => undefined,
    }
    await this.guard(request, () => spreadParentFailure(request, task, error, this.host))
  }

  /** RETRY, on_retry and the signal: the run was cut short, its message comes again (surface ACK-026, ACK-028). */
  async cancelled(request: TaskRequest, task: RunnableTask): Promise<void> {
    const run = new Run(task, this.host, request, {})
    const reason = new Retry('cancelled by Celery', undefined)
    await this.store(run, run.record('RETRY', remoteError('Retry', 'celery.exceptions', [reason.message])))
    await this.guard(request, async () => {
      await task.handlers.onRetry?.(run.self, reason, run.id, run.args, run.kwargs)
      const { taskRetry } = this.host.signals
      if (taskRetry.hasReceivers)
        await taskRetry.send(task, { request: run.self.request, reason, traceback: undefined })
    })
  }

  /** Sends the message of a run that was cut short after its acknowledgement, and stores RETRY; where it cannot be sent, FAILURE. */
  async sentAgain(request: TaskRequest, task: RunnableTask): Promise<void> {
    const { id, retries, shadow } = request.message
    try {
      await this.host.resend(request, { retries, countdown: 0 })
      await this.cancelled(request, task)
    } catch (error) {
      const name = shadow || request.message.task
      this.logger.error(
        { err: error, id, name },
        `Task ${name}[${id}] was cancelled by the shutdown and could not be sent again: send it once more.`,
      )
      await this.lost(request, task, undefined)
    }
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

  private async store(run: Run, record: ResultMeta): Promise<void> {
    if (!run.storesErrors) return
    try {
      await run.store(record)
    } catch (cause) {
      this.logStoreFailure(run.id, cause)
    }
  }

  private async guard(request: TaskRequest, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      const { id, task } = request.message
      this.logger.error(
        { err: error, id },
        `What follows from the end of task ${task}[${id}] could not be done.`,
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
