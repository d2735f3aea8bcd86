/**
 * Of two copies of one message, one is run. A worker that dies between sending what follows from its task and acknowledging
 * the task's own message has it run again, and what follows sent again, where the broker cannot do both in one step
 * (hand-over.ts). The sender of the second copy knows that it may be one, and marks it (`message_id`, which Celery leaves
 * empty); whoever begins a copy says so where results are kept.
 *
 * Rule 1: a copy is dropped only when another copy has begun: that one is with its broker until it is acknowledged, so
 *         nothing is lost. One that comes again itself has the mark it had, and is run.
 * Rule 2: what was sent twice on purpose, under one id and without a mark, is run twice, as in Celery.
 * Rule 3: only late-acknowledged tasks that another task has sent are asked about, and a store that is away stops nothing:
 *         twice is better than never.
 */
import type { Run } from './run.js'

/** Whether there may be two of them, and somebody who can tell. */
export function mayBeCopied({ task, host, request }: Pick<Run, 'task' | 'host' | 'request'>): boolean {
  const { courier, message, isEager } = request
  if (!task.options.acksLate || isEager || courier === undefined) return false
  const { enabled, place, firstCopy } = host.backend
  // Its sender had a result to store, as a rule, and that where this one's is kept.
  if ((place !== undefined || !enabled) && courier.handsOver(place)) return false
  return Boolean(message.parentId) && message.id !== '' && firstCopy !== undefined
}

/** True when another copy has begun, so that this one is to be acknowledged and forgotten. */
export async function isSecondCopy({ host, request }: Run): Promise<boolean> {
  const { id, task, retries, replacedTaskNesting, properties } = request.message
  const own = properties.messageId ?? ''
  try {
    // A retry, and what replaces a task, have its id.
    const first = await host.backend.firstCopy?.(`${id}.${retries}.${replacedTaskNesting}`, own)
    if (first === undefined || first === own) return false
  } catch (error) {
    host.logger.warn(
      { err: error, task_id: id },
      `Cannot tell whether another copy of ${task}[${id}] has begun; running it`,
    )
    return false
  }
  host.logger.info(
    { task_id: id, task_name: task },
    `Task ${task}[${id}] came twice, since a worker died that had sent it; the other copy has begun, this one is dropped.`,
  )
  return true
}
