/** The log lines of a run, word for word Celery's (`celery/app/trace.py`; surface TSK-073), with the facts as fields. */
import { saferepr } from '../../protocol/python-repr.js'
import { type RemoteError, remoteErrorRepr } from '../../protocol/remote-error.js'
import type { Reject, Retry } from '../errors.js'
import { type Logger, wouldLog } from '../logger.js'
import type { TaskRequest } from './request.js'
import { rejectText } from './verdict-text.js'

/** Writes what happened to one request. */
export class RunLog {
  private readonly logger: Logger
  private readonly request: TaskRequest

  constructor(logger: Logger, request: TaskRequest) {
    this.logger = logger
    this.request = request
  }

  /** `seconds` is the run time, `resultRepr` Python's repr of the value. */
  succeeded(seconds: number, resultRepr: string): void {
    if (!wouldLog(this.logger, 'info')) return
    this.logger.info(
      this.fields({ runtime: seconds, return_value: resultRepr }),
      `${this.head} succeeded in ${seconds}s: ${resultRepr}`,
    )
  }

  retried(retry: Retry): void {
    this.logger.info(this.fields({ exc: retry.message }), `${this.head} retry: ${retry.message}`)
  }

  /** Expected errors (the task's `throws`) are news, not alarms: no traceback. */
  failed(error: RemoteError, cause: unknown, expected: boolean): void {
    const exc = remoteErrorRepr(error)
    if (expected) this.logger.info(this.fields({ exc }), `${this.head} raised expected: ${exc}`)
    else this.logger.error(this.fields({ exc, err: cause }), `${this.head} raised unexpected: ${exc}`)
  }

  internalError(error: RemoteError, cause: unknown): void {
    const exc = remoteErrorRepr(error)
    this.logger.fatal(this.fields({ exc, err: cause }), `${this.head} INTERNAL ERROR: ${exc}`)
  }

  ignored(): void {
    this.logger.info(this.fields({}), `${this.head} ignored`)
  }

  rejected(reject: Reject): void {
    const exc = rejectText(reject)
    this.logger.warn(this.fields({ exc, err: reject }), `${this.head} ${exc}`)
  }

  completedBefore(): void {
    this.logger.info(this.fields({}), `${this.head} Task already completed successfully.`)
  }

  private get head(): string {
    const { message } = this.request
    return `Task ${message.shadow || message.task}[${message.id}]`
  }

  private fields(more: Readonly<Record<string, unknown>>): object {
    const { message, body, hostname } = this.request
    return {
      task_id: message.id,
      task_name: message.shadow || message.task,
      hostname,
      args: message.argsRepr || saferepr(body.args, { asTuple: true }),
      kwargs: message.kwargsRepr || saferepr(body.kwargs),
      ...more,
    }
  }
}
