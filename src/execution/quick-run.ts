/**
 * The usual run: nobody is told of it, nothing follows from it, and at most its result is stored.
 *
 * Rule 1: its steps are those of execute.ts, in their order, but for those that have nothing to do; a promise is made
 * only for what is waited for, since they are most of what a small task costs.
 * Rule 2: whatever ends in another way than by a value, or cannot be stored, goes on in execute.ts.
 */
import { saferepr } from '../../protocol/python-repr.js'
import { wouldLog } from '../logger.js'
import { rememberSuccess } from './deduplicate.js'
import { type Ending, runBody } from './ending.js'
import type { Host, RunnableTask } from './host.js'
import type { Outcome } from './outcome.js'
import type { TaskRequest } from './request.js'
import type { Run } from './run.js'

/** How a run goes on that is not quick after all; neither rejects. */
export interface Steps {
  /** From the end of the body. */
  finish(run: Run, ending: Ending): Promise<Outcome>
  /** From an error of a step after the body. */
  fail(run: Run, ending: Ending, error: unknown): Promise<Outcome>
}

/** Whether a run, should it succeed, has nothing to do but to store its result. */
export function isQuick(task: RunnableTask, host: Host, { body, deliveryInfo }: TaskRequest): boolean {
  const { signals } = host
  return (
    !deliveryInfo.redelivered &&
    !task.options.trackStarted &&
    body.callbacks.length === 0 &&
    body.chain.length === 0 &&
    body.chord === undefined &&
    task.handlers.onSuccess === undefined &&
    task.handlers.afterReturn === undefined &&
    !signals.taskPrerun.hasReceivers &&
    !signals.taskSuccess.hasReceivers &&
    !signals.taskPostrun.hasReceivers
  )
}

/** Runs what `isQuick`; never throws or rejects. */
export function runQuickly(run: Run, steps: Steps): Outcome | Promise<Outcome> {
  if (run.gate.isClosed) return { kind: 'ignored' }
  const begun = runBody(run)
  if (!(begun instanceof Promise)) return finish(run, begun, steps)
  // A body that was given up ends in no other way than by its error.
  return begun.then(
    (ending) => finish(run, ending, steps),
    () => ({ kind: 'ignored' }),
  )
}

function finish(run: Run, ending: Ending, steps: Steps): Outcome | Promise<Outcome> {
  // Somebody may have connected to a signal meanwhile.
  if (ending.kind !== 'returned' || run.gate.isClosed || !isQuick(run.task, run.host, run.request))
    return steps.finish(run, ending)
  try {
    if (!run.storesResult) return conclude(run, ending.value)
    run.state.told.chain = true
    return run.store(run.record('SUCCESS', ending.value)).then(
      () => {
        try {
          return conclude(run, ending.value)
        } catch (error) {
          return steps.fail(run, ending, error)
        }
      },
      (error: unknown) => steps.fail(run, ending, error),
    )
  } catch (error) {
    return steps.fail(run, ending, error)
  }
}

function conclude(run: Run, value: unknown): Outcome {
  const { seconds } = run
  rememberSuccess(run)
  return succeeded(run, value, seconds)
}

/** The very end of a success. */
export function succeeded(run: Run, value: unknown, seconds: number): Outcome {
  const resultRepr = saferepr(value, { maxlen: run.task.options.resultReprMaxsize })
  if (wouldLog(run.host.logger, 'info')) run.log.succeeded(seconds, resultRepr)
  return { kind: 'succeeded', resultRepr, seconds }
}
