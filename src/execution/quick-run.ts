/**
 * The usual run: nobody is told of it, nothing follows from it, and at most its result is stored and its part of a chord
 * counted.
 *
 * Rule 1: its steps are those of execute.ts, in their order, but for those that have nothing to do; a promise is made
 * only for what is waited for, since they are most of what a small task costs.
 * Rule 2: whatever ends in another way than by a value, or cannot be stored, goes on in execute.ts.
 */
import { saferepr } from '../../protocol/python-repr.js'
import type { HeaderPart, PartWatcher } from '../backend/backend.js'
import { wouldLog } from '../logger.js'
import { runInContext } from './context.js'
import { rememberSuccess } from './deduplicate.js'
import { type Ending, runBody } from './ending.js'
import type { Host, RunnableTask } from './host.js'
import type { Outcome } from './outcome.js'
import type { TaskRequest } from './request.js'
import type { Run } from './run.js'
import { resultRequest } from './running-task.js'
import { mayBeCopied } from './second-copy.js'

/** How a run goes on that is not quick after all; neither rejects. */
export interface Steps {
  /** From the end of the body. */
  finish(run: Run, ending: Ending): Promise<Outcome>
  /** From an error of a step after the body. */
  fail(run: Run, ending: Ending, error: unknown): Promise<Outcome>
  /** From the count of the last part of a chord; `read` gives all parts. */
  endChord(run: Run, ending: Returned, read: () => Promise<readonly HeaderPart[]>): Promise<Outcome>
}

/** Who is told how a run has ended; must not throw. */
export interface OutcomeWatcher {
  onOutcome(outcome: Outcome): void
}

type Returned = Extract<Ending, { kind: 'returned' }>

/** Whether nothing comes before the body of a run. */
export function beginsQuickly(task: RunnableTask, host: Host, request: TaskRequest): boolean {
  return (
    !request.deliveryInfo.redelivered &&
    !task.options.trackStarted &&
    !host.signals.taskPrerun.hasReceivers &&
    !mayBeCopied({ task, host, request })
  )
}

/** Whether a run, should it succeed, has nothing to do after its body but to store its result and count its part. */
function isQuick(task: RunnableTask, { signals }: Host, { body }: TaskRequest): boolean {
  return (
    body.callbacks.length === 0 &&
    body.chain.length === 0 &&
    task.handlers.onSuccess === undefined &&
    task.handlers.afterReturn === undefined &&
    !signals.taskSuccess.hasReceivers &&
    !signals.taskPostrun.hasReceivers
  )
}

/** Runs what begins quickly; never throws. */
export function runQuickly(run: Run, steps: Steps, watcher: OutcomeWatcher): void {
  if (run.gate.isClosed) {
    watcher.onOutcome({ kind: 'ignored' })
    return
  }
  const begun = runBody(run)
  if (!(begun instanceof Promise)) {
    finish(run, begun, steps, watcher)
    return
  }
  begun.then(
    (ending) => finish(run, ending, steps, watcher),
    // A body that was given up ends in no other way than by its error.
    () => watcher.onOutcome({ kind: 'ignored' }),
  )
}

function finish(run: Run, ending: Ending, steps: Steps, watcher: OutcomeWatcher): void {
  // Somebody may have connected to a signal meanwhile.
  const isUsual = ending.kind === 'returned' && !run.gate.isClosed && isQuick(run.task, run.host, run.request)
  const isStored = run.storesResult && run.id !== ''
  if (!isUsual) tell(steps.finish(run, ending), watcher)
  else if (run.request.body.chord !== undefined) {
    const { chords } = run.host.backend
    const { groupId } = run.request.message
    if (!isStored || groupId === undefined || chords?.storePart === undefined)
      tell(steps.finish(run, ending), watcher)
    else storePart(run, ending, steps, watcher, groupId)
  } else if (isStored) store(run, ending, steps, watcher)
  else tell(conclude(run, ending, steps), watcher)
}

function storePart(run: Run, ending: Returned, steps: Steps, watcher: OutcomeWatcher, groupId: string): void {
  const { state, gate, host, request } = run
  state.told.chain = true
  gate.enter()
  try {
    const record = run.record('SUCCESS', ending.value)
    const index = request.message.groupIndex ?? Infinity
    host.backend.chords?.storePart?.(groupId, index, record, new PartEnd(run, ending, steps, watcher))
  } catch (error) {
    gate.leave()
    tell(steps.fail(run, ending, error), watcher)
  }
}

/** What comes after a part. Its caller is in no run's context. */
class PartEnd implements PartWatcher {
  private readonly run: Run
  private readonly ending: Returned
  private readonly steps: Steps
  private readonly watcher: OutcomeWatcher

  constructor(run: Run, ending: Returned, steps: Steps, watcher: OutcomeWatcher) {
    this.run = run
    this.ending = ending
    this.steps = steps
    this.watcher = watcher
  }

  onCounted(read?: () => Promise<readonly HeaderPart[]>): void {
    const { run, ending, steps, watcher } = this
    run.gate.leave()
    if (read === undefined) {
      run.state.told.chord = true
      tell(conclude(run, ending, steps), watcher)
    } else runInContext(run.self, () => tell(steps.endChord(run, ending, read), watcher))
  }

  onUncounted(error: unknown): void {
    const { run, ending, steps, watcher } = this
    run.gate.leave()
    runInContext(run.self, () => tell(steps.fail(run, ending, error), watcher))
  }
}

function store(run: Run, ending: Returned, steps: Steps, watcher: OutcomeWatcher): void {
  run.state.told.chain = true
  let storing: Promise<void>
  try {
    const record = run.record('SUCCESS', ending.value)
    storing = run.host.backend.store(record, resultRequest(run.request))
  } catch (error) {
    tell(steps.fail(run, ending, error), watcher)
    return
  }
  // As `run.store`, without its promises.
  run.gate.enter()
  storing.then(
    () => {
      run.gate.leave()
      tell(conclude(run, ending, steps), watcher)
    },
    (error: unknown) => {
      run.gate.leave()
      tell(steps.fail(run, ending, error), watcher)
    },
  )
}

function conclude(run: Run, ending: Returned, steps: Steps): Outcome | Promise<Outcome> {
  try {
    run.gate.check()
    const { seconds } = run
    rememberSuccess(run)
    return successOf(run, ending.value, seconds)
  } catch (error) {
    return runInContext(run.self, () => steps.fail(run, ending, error))
  }
}

function tell(outcome: Outcome | Promise<Outcome>, watcher: OutcomeWatcher): void {
  if (outcome instanceof Promise) void outcome.then((known) => watcher.onOutcome(known))
  else watcher.onOutcome(outcome)
}

/** The very end of a success. */
export function successOf(run: Run, value: unknown, seconds: number): Outcome {
  const resultRepr = saferepr(value, { maxlen: run.task.options.resultReprMaxsize })
  if (wouldLog(run.host.logger, 'info')) run.log.succeeded(seconds, resultRepr)
  return { kind: 'succeeded', resultRepr, seconds }
}
