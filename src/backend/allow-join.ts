/**
 * Whether waiting for a result is allowed here (`celery/result.py` assert_will_not_block, surface RES-046, RES-077).
 *
 * Rule 1: inside a running task it is not: the worker that waits may hold the very slot that the result needs.
 * Rule 2: the answer belongs to the async context, not to the process, so tasks that share a loop do not mix.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { SyncSubtaskError } from '../errors.js'
import type { ResultContext } from './result-context.js'

/** Holds no state of its own, each async context does. */
const isJoinAllowed = new AsyncLocalStorage<boolean>()

/** Runs `fn` with waiting for results allowed, even inside a task; Celery's `allow_join_result`. */
export function allowJoinResult<T>(fn: () => T): T {
  return isJoinAllowed.run(true, fn)
}

/** Runs `fn` with waiting for results refused, as inside a task; Celery's `denied_join_result`. */
export function denyJoinResult<T>(fn: () => T): T {
  return isJoinAllowed.run(false, fn)
}

/** Throws `SyncSubtaskError` where waiting could block the worker. */
export function assertWillNotBlock(context: Pick<ResultContext, 'insideTask'>): void {
  const isAllowed = isJoinAllowed.getStore() ?? !context.insideTask()
  if (isAllowed) return
  throw new SyncSubtaskError(
    'Never call result.get() within a task! Link a callback or use a chord instead, ' +
      'or wrap the call in allowJoinResult(). ' +
      'See https://docs.celeryq.dev/en/latest/userguide/tasks.html#avoid-launching-synchronous-subtasks',
  )
}
