/**
 * Errors that no task caught: a promise that nobody awaited, an exception in a timer or in an event handler.
 *
 * Node ends the process for them, and with it every other task that runs there; those acknowledged early would be lost.
 * A Python worker outlives an exception in a thread or greenlet of a task, and so does this one: it says so, loudly,
 * and goes on. The task itself is not ended: if it waits for what failed, its time limit ends it.
 */
import { currentTask } from '../execution/context.js'
import type { Logger } from '../logger.js'

/** The part of `process` that is used here. */
export interface ErrorSource {
  on(event: 'unhandledRejection' | 'uncaughtException', handler: (error: unknown) => void): unknown
  off(event: 'unhandledRejection' | 'uncaughtException', handler: (error: unknown) => void): unknown
}

/** A stream the worker writes to. */
export interface WrittenStream {
  on(event: 'error', handler: (error: Error) => void): unknown
  off(event: 'error', handler: (error: Error) => void): unknown
}

/**
 * Logs errors that nothing caught, with the task where Node still knows it, until `dispose` is called. `written` are
 * the streams that the log may go to: when their reader is gone, telling of that would fail again, without an end.
 */
export function logStrayErrors(
  process: ErrorSource,
  logger: Logger,
  written: readonly WrittenStream[] = [],
): { dispose(): void } {
  const tell = (what: string, error: unknown): void => {
    const task = currentTask()
    const where = task === undefined ? '' : ` in task ${task.name}[${task.request.id}]`
    logger.fatal(
      { err: error, ...(task === undefined ? {} : { task_id: task.request.id, task_name: task.name }) },
      `${what}${where}: ${textOf(error)}. The worker goes on; await it, or catch it, in the task.`,
    )
  }
  const onRejection = (error: unknown): void => tell('Nobody awaited a promise that was rejected', error)
  const onException = (error: unknown): void => tell('Nothing caught an error', error)
  process.on('unhandledRejection', onRejection)
  process.on('uncaughtException', onException)
  const ignore = (): void => {}
  for (const stream of written) stream.on('error', ignore)
  return {
    dispose() {
      for (const stream of written) stream.off('error', ignore)
      process.off('unhandledRejection', onRejection)
      process.off('uncaughtException', onException)
    },
  }
}

/** Of anything that can be thrown. */
function textOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  } catch {
    return 'an error that cannot be read'
  }
}
