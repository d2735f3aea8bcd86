/**
 * What running a task means (`trace_task` in `celery/app/trace.py`; surface 2.3).
 *
 * Rule 1: the order is Celery's. Callbacks and the next chain step are sent before the result is stored, so that the
 * stored result knows its children.
 * Rule 2: whatever the task throws ends in an outcome; `execute` never rejects.
 * Rule 3: an error of a later step (a hook, the result store) is an internal error: FAILURE is stored with it, over the
 * earlier state where the store allows it.
 * Rule 4: a run that was given up (its gate is closed) stops at its next step and has no further effect.
 */
import { EncodeError } from '../../protocol/errors.js'
import type { RemoteError } from '../../protocol/remote-error.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import { Reject, TaskNotRegisteredError } from '../errors.js'
import { runInContext } from './context.js'
import { findEarlierSuccess, rememberSuccess } from './deduplicate.js'
import { type Ending, runBody } from './ending.js'
import { matchesAny } from './error-matcher.js'
import {
  countChordPart,
  endChord,
  handOverFollowUps,
  sendFollowUps,
  spreadFailure,
  wereSent,
} from './follow-up.js'
import type { Host } from './host.js'
import type { Outcome } from './outcome.js'
import { beginsQuickly, type OutcomeWatcher, runQuickly, type Steps, successOf } from './quick-run.js'
import type { TaskRequest } from './request.js'
import { Run, type RunOptions } from './run.js'
import { RunAbandoned } from './run-gate.js'
import { isSecondCopy, mayBeCopied } from './second-copy.js'
import { humanizeWhen } from './verdict-text.js'

/** Runs one message through its task and everything around it; never rejects. */
export function execute(request: TaskRequest, host: Host, options: RunOptions = {}): Promise<Outcome> {
  return new Promise((onOutcome) => executeFor(request, host, options, { onOutcome }))
}

/** `execute` for one who is called: at once where nothing had to be waited for. */
export function executeFor(
  request: TaskRequest,
  host: Host,
  options: RunOptions,
  watcher: OutcomeWatcher,
): void {
  const task = host.task(request.message.task)
  if (task === undefined || host.wrapsRuns || !beginsQuickly(task, host, request)) {
    void executeWrapped(request, host, options).then((outcome) => watcher.onOutcome(outcome))
    return
  }
  const run = new Run(task, host, request, options)
  runInContext(run.self, () => runQuickly(run, inSteps, watcher))
}

function executeWrapped(request: TaskRequest, host: Host, options: RunOptions): Promise<Outcome> {
  let outcome: Outcome | undefined
  const ended = (traced: Traced): Outcome => {
    outcome = traced.outcome
    return outcome
  }
  const broken = (error: unknown): Outcome => {
    // An interceptor threw. If the task ran, what it did stands.
    host.logger.error({ err: error, task_id: request.message.id }, 'An interceptor around the task raised')
    return outcome ?? { kind: 'failed', error: remoteErrorFrom(error), expected: false, isUnstored: true }
  }
  try {
    return host.around(request, () => trace(request, host, options).then(ended)).catch(broken)
  } catch (error) {
    return Promise.resolve(broken(error))
  }
}

/** Everything that is known of a run that has ended; `apply()` needs more of it than a worker. */
export interface Traced {
  readonly outcome: Outcome
  /** SUCCESS, FAILURE, RETRY, IGNORED or REJECTED; undefined when the body did not get to end. */
  readonly state: string | undefined
  /** The return value as it is, or the error. */
  readonly retval: unknown
}

/** Like `execute`, without interceptors. With `propagate`, what the body throws is thrown (surface TST-004). */
export function trace(
  request: TaskRequest,
  host: Host,
  options: RunOptions & { readonly propagate?: boolean } = {},
): Promise<Traced> {
  const task = host.task(request.message.task)
  if (task === undefined) return Promise.resolve(unregistered(request, host))
  const run = new Run(task, host, request, options)
  return runInContext(run.self, () => traceRun(run, options.propagate ?? false))
}

async function traceRun(run: Run, propagate: boolean): Promise<Traced> {
  try {
    // Most runs have nothing to do in most steps, and each await costs: it is left out where nothing is awaited.
    const earlier = run.request.deliveryInfo.redelivered ? await findEarlierSuccess(run) : undefined
    if (earlier !== undefined) return { outcome: earlier, state: undefined, retval: undefined }
    if (mayBeCopied(run) && (await isSecondCopy(run)))
      return { outcome: ignored, state: undefined, retval: undefined }
  } catch (error) {
    return afterError(run, error, undefined)
  }
  return traceSteps(run, async () => {
    run.gate.check()
    if (run.host.signals.taskPrerun.hasReceivers) await announceStart(run)
    if (run.task.options.trackStarted) await storeStarted(run)
    const begun = runBody(run)
    const ending = begun instanceof Promise ? await begun : begun
    if (propagate && (ending.kind === 'failed' || ending.kind === 'retried')) throw new Propagated(ending)
    return ending
  })
}

/** `begin` runs the body, `act` does what follows from its end. */
async function traceSteps(
  run: Run,
  begin: () => Ending | Promise<Ending>,
  act: (run: Run, ending: Ending) => Traced | Promise<Traced> = finish,
): Promise<Traced> {
  let ended: Traced | undefined
  try {
    try {
      const begun = begin()
      const ending = begun instanceof Promise ? await begun : begun
      ended = { state: stateOf(ending), retval: retvalOf(ending), outcome: ignored }
      const acting = act(run, ending)
      ended = acting instanceof Promise ? await acting : acting
      if (run.task.handlers.afterReturn !== undefined || run.gate.isClosed) await afterReturn(run, ended)
    } finally {
      if (run.host.signals.taskPostrun.hasReceivers) await announceEnd(run, ended)
    }
    return ended
  } catch (error) {
    return afterError(run, error, ended)
  }
}

/** What a quick run leaves to this file. */
const inSteps: Steps = {
  async finish(run, ending) {
    return outcomeOf(await traceSteps(run, () => ending))
  },
  async fail(run, ending, error) {
    const act = (): Promise<Traced> => {
      if (error instanceof EncodeError) return fail(run, error)
      throw error
    }
    return outcomeOf(await traceSteps(run, () => ending, act))
  },
  async endChord(run, ending, read) {
    const act = async (): Promise<Traced> => {
      run.gate.check()
      await endChord(run, read)
      return succeeded(run, ending.value)
    }
    return outcomeOf(await traceSteps(run, () => ending, act))
  },
}

function outcomeOf({ outcome }: Traced): Outcome {
  return outcome
}

function afterError(run: Run, error: unknown, ended: Traced | undefined): Traced | Promise<Traced> {
  if (error instanceof RunAbandoned) return { outcome: ignored, state: ended?.state, retval: error }
  if (error instanceof Propagated) throw error.cause
  if (error instanceof Reject) return rejected(error)
  return internalError(run, error, ended)
}

// ---- before the body ----

async function announceStart(run: Run): Promise<void> {
  await run.host.signals.taskPrerun.send(run.task, {
    taskId: run.id,
    task: run.task,
    args: run.args,
    kwargs: run.kwargs,
  })
}

/** Only with `track_started`, and only where a result will be stored (surface TSK-059). */
async function storeStarted(run: Run): Promise<void> {
  if (run.request.isEager || !run.task.options.trackStarted || run.ignoresResult) return
  await run.store(run.record('STARTED', { pid: run.pid, hostname: run.request.hostname }))
}

// ---- after the body ----

function finish(run: Run, ending: Ending): Traced | Promise<Traced> {
  run.gate.check()
  switch (ending.kind) {
    case 'returned':
      return succeed(run, ending.value)
    case 'failed':
      return fail(run, ending.error)
    case 'retried':
      return retry(run, ending)
    case 'ignored':
      run.log.ignored()
      return { outcome: { kind: 'ignored' }, state: 'IGNORED', retval: ending.ignore }
    case 'rejected':
      run.log.rejected(ending.reject)
      return rejected(ending.reject)
  }
}

async function succeed(run: Run, value: unknown): Promise<Traced> {
  try {
    const { callbacks, chain, chord } = run.request.body
    const { told } = run.state
    const sends = callbacks.length > 0 || chain.length > 0
    if (!sends || (run.request.deliveryInfo.redelivered && (await wereSent(run)))) told.chain = true
    const isDone = sends && !told.chain && (await handOverFollowUps(run, value))
    if (!told.chain) await sendFollowUps(run, value)
    if (isDone) run.gate.check()
    else if (chord !== undefined) await storeSuccess(run, value)
    else if (run.storesResult) await run.store(run.record('SUCCESS', value))
  } catch (error) {
    if (error instanceof EncodeError) return fail(run, error)
    throw error
  }
  return succeeded(run, value)
}

async function succeeded(run: Run, value: unknown): Promise<Traced> {
  const { seconds } = run
  rememberSuccess(run)
  await announceSuccess(run, value)
  return { outcome: successOf(run, value, seconds), state: 'SUCCESS', retval: value }
}

async function announceSuccess(run: Run, value: unknown): Promise<void> {
  const { onSuccess } = run.task.handlers
  if (onSuccess !== undefined) await onSuccess(run.self, value, run.id, run.args, run.kwargs)
  run.gate.check()
  const { taskSuccess } = run.host.signals
  if (taskSuccess.hasReceivers) await taskSuccess.send(run.task, { result: value })
}

async function storeSuccess(run: Run, value: unknown): Promise<void> {
  const record = run.record('SUCCESS', value)
  if (run.storesResult) await run.store(record)
  await countChordPart(run, record, true)
}

async function fail(run: Run, cause: unknown, isInternal = false): Promise<Traced> {
  const error = remoteErrorFrom(cause)
  const expected = matchesAny(cause, run.task.options.throws)
  await storeFailure(run, error)
  await run.task.handlers.onFailure?.(run.self, cause, run.id, run.args, run.kwargs)
  run.gate.check()
  await run.host.signals.taskFailure.send(run.task, {
    taskId: run.id,
    exception: cause,
    args: run.args,
    kwargs: run.kwargs,
    traceback: error.traceback,
  })
  if (isInternal) run.log.internalError(error, cause)
  else run.log.failed(error, cause, expected)
  return { outcome: { kind: 'failed', error, expected }, state: 'FAILURE', retval: cause }
}

async function storeFailure(run: Run, error: RemoteError): Promise<void> {
  const record = run.record('FAILURE', error, error.traceback)
  if (run.storesErrors) await run.store(record)
  await countChordPart(run, record)
  await spreadFailure(run, error)
}

async function retry(run: Run, ending: Extract<Ending, { kind: 'retried' }>): Promise<Traced> {
  const { exc, when } = ending.retry
  const error = exc === undefined || exc === null ? undefined : remoteErrorFrom(exc)
  const traceback = error?.traceback ?? ending.retry.stack
  if (run.storesErrors) await run.store(run.record('RETRY', error ?? null, traceback))
  await run.task.handlers.onRetry?.(run.self, exc, run.id, run.args, run.kwargs)
  run.gate.check()
  await run.host.signals.taskRetry.send(run.task, {
    request: run.self.request,
    reason: ending.retry,
    traceback,
  })
  run.log.retried(ending.retry)
  return {
    outcome: { kind: 'retried', error, when: humanizeWhen(when) },
    state: 'RETRY',
    retval: ending.retry,
  }
}

/** Not after a retry, `Ignore` or `Reject` (surface TSK-062, TSK-063). */
async function afterReturn(run: Run, ended: Traced): Promise<void> {
  if (ended.state !== 'SUCCESS' && ended.state !== 'FAILURE') return
  run.gate.check()
  await run.task.handlers.afterReturn?.(run.self, ended.state, ended.retval, run.id, run.args, run.kwargs)
}

/** Always, whatever went wrong before (surface SIG-006); only a run that was given up stays silent. */
async function announceEnd(run: Run, ended: Traced | undefined): Promise<void> {
  const { taskPostrun } = run.host.signals
  if (run.gate.isClosed || !taskPostrun.hasReceivers) return
  await taskPostrun.send(run.task, {
    taskId: run.id,
    task: run.task,
    args: run.args,
    kwargs: run.kwargs,
    retval: ended?.retval,
    state: ended?.state ?? '',
  })
}

// ---- when a step fails ----

/** Outside the body: told by a signal, then stored as a failure as far as the store can be reached (surface ACK-029). */
async function internalError(run: Run, cause: unknown, ended: Traced | undefined): Promise<Traced> {
  const error = remoteErrorFrom(cause)
  await run.host.signals.taskInternalError.send(run.task, {
    taskId: run.id,
    args: run.args,
    kwargs: run.kwargs,
    request: run.self.request,
    exception: cause,
    traceback: error.traceback,
  })
  if (run.request.isEager) throw cause
  try {
    return await fail(run, cause, true)
  } catch (second) {
    if (second instanceof RunAbandoned)
      return { outcome: { kind: 'ignored' }, state: ended?.state, retval: second }
    run.log.internalError(remoteErrorFrom(second), second)
    const outcome: Outcome = { kind: 'failed', error, expected: false, isUnstored: true }
    return { outcome, state: 'FAILURE', retval: cause }
  }
}

function rejected(reject: Reject): Traced {
  const outcome: Outcome = { kind: 'rejected', requeue: reject.requeue, error: remoteErrorFrom(reject) }
  return { outcome, state: 'REJECTED', retval: reject }
}

/** The worker refuses unknown names on receipt; one that gets here means that two processes run different code. */
function unregistered(request: TaskRequest, host: Host): Traced {
  const { task, id } = request.message
  const error = new TaskNotRegisteredError(
    task,
    `Received ${task}[${id}], which is not registered in app ${host.main}. Import the module that defines it.`,
  )
  host.logger.error({ task_id: id, task_name: task }, error.message)
  const outcome: Outcome = { kind: 'rejected', requeue: false, error: remoteErrorFrom(error) }
  return { outcome, state: 'REJECTED', retval: error }
}

const ignored: Outcome = { kind: 'ignored' }

const states = {
  returned: 'SUCCESS',
  failed: 'FAILURE',
  retried: 'RETRY',
  ignored: 'IGNORED',
  rejected: 'REJECTED',
} as const

function stateOf(ending: Ending): string {
  return states[ending.kind]
}

function retvalOf(ending: Ending): unknown {
  switch (ending.kind) {
    case 'returned':
      return ending.value
    case 'failed':
      return ending.error
    case 'retried':
      return ending.retry
    case 'ignored':
      return ending.ignore
    case 'rejected':
      return ending.reject
  }
}

/** Carries the body's error past the handling of internal errors. */
class Propagated extends Error {
  constructor(ending: Extract<Ending, { kind: 'failed' | 'retried' }>) {
    super('propagated', { cause: ending.kind === 'failed' ? ending.error : ending.retry })
  }
}
