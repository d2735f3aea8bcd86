/**
 * What a finished run starts (`_dispatch_callbacks_and_chain` in `celery/app/trace.py`, `mark_as_failure` and
 * `_call_task_errbacks` in `celery/backends/base.py`).
 *
 * Rule 1: everything that is sent from here has this task as its parent and its root as root, and is among its children.
 * Rule 2: the chain, the chord and the errbacks are told once. A step that was sent on is not failed afterwards, and a
 * part is not counted twice, when a hook or the result store fails later (Celery tells them again).
 * Rule 3: a run of a message that came again sends nothing that is known to have succeeded already, and nothing at all
 * where the first run is known to have sent it.
 * Rule 4: a failure is stored for every remaining step of the chain, so that nobody waits for one of them for ever.
 */
import type { RemoteError } from '../../protocol/remote-error.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import type { HeaderPart } from '../backend/backend.js'
import type { Linkable } from '../canvas/send-options.js'
import type { WireCall } from '../canvas/signature.js'
import type { WireOptions } from '../canvas/wire-options.js'
import type { SealedResult } from '../transport/transport.js'
import { type Applier, applierOf } from './applier.js'
import { applySignature, groupOf, planSignatures } from './apply-signature.js'
import { countPart, endHeader, failUnrun, revokeUnrunParts } from './chord-completion.js'
import { callErrbacks } from './errbacks.js'
import { endsInOneStep, handOver } from './hand-over.js'
import type { Host, RunnableTask } from './host.js'
import type { TaskRequest } from './request.js'
import { Run } from './run.js'

/** Sends the callbacks, then the next step of the chain with the rest of it (surface TSK-070, TSK-071). */
export async function sendFollowUps(run: Run, value: unknown): Promise<void> {
  for (const { signature, call } of followUps(run, value))
    await applySignature(applierFor(run), signature, call)
  run.state.told.chain = true
}

/**
 * Sends them, stores the success and acknowledges the message, all in one step; false where that must be done step by step,
 * and nothing was done.
 */
export async function handOverFollowUps(run: Run, value: unknown): Promise<boolean> {
  const { host, request, state, storesResult } = run
  const hasResult = storesResult && host.backend.enabled && run.id !== ''
  if (request.body.chord !== undefined || !endsInOneStep(run, hasResult)) return false
  if (hasResult && host.backend.place === undefined) return false
  const planned = planSignatures(applierFor(run), followUps(run, value))
  const outbox = planned instanceof Promise ? await planned : planned
  const result = (): SealedResult | undefined => host.backend.seal?.(run.record('SUCCESS', value))
  const isDone = await handOver(run, outbox, { isLast: true, ...(hasResult ? { result } : {}) })
  state.told.chain ||= isDone
  return isDone
}

/**
 * True where a run of the same message has sent its callbacks and its next step: it has stored its success, which comes
 * after them in both languages, and its children are those.
 */
export async function wereSent(run: Run): Promise<boolean> {
  const { backend } = run.host
  if (!run.storesResult || run.id === '') return false
  if (!backend.enabled || backend.kind === 'rpc') return false
  try {
    const meta = await backend.fetch(run.id)
    const { state, children = [] } = meta ?? {}
    return state === 'SUCCESS' && children.length > 0 && hasNext(children, run.request.body.chain.at(-1))
  } catch {
    return false
  }
}

/** Whether the next step, where it is a task, is among the children: a task of the same id may have succeeded before. */
function hasNext(children: readonly unknown[], next: Linkable | undefined): boolean {
  const { subtask_type: type, options } = (next ?? {}) as Partial<SignatureData>
  const id = (options as WireOptions | undefined)?.['task_id']
  if (type || typeof id !== 'string') return true
  return children.some((child) => Array.isArray(child) && Array.isArray(child[0]) && child[0][0] === id)
}

function followUps(
  run: Run,
  value: unknown,
): readonly { readonly signature: Linkable; readonly call: WireCall }[] {
  const { callbacks, chain } = run.request.body
  const inherited = inheritance(run)
  const call: WireCall = { args: [value], options: inherited }
  const next = chain.at(-1)
  const last =
    next === undefined
      ? []
      : [{ signature: next, call: { args: [value], options: { ...inherited, chain: chain.slice(0, -1) } } }]
  if (callbacks.length < 2) return [...callbacks.map((signature) => ({ signature, call })), ...last]
  const groups = callbacks.filter((callback) => callback['subtask_type'] === 'group')
  const others = callbacks.filter((callback) => callback['subtask_type'] !== 'group')
  return [
    ...groups.map((signature) => ({ signature, call })),
    ...(others.length > 0 ? [{ signature: groupOf(run.host, others), call }] : []),
    ...last,
  ]
}

/**
 * Counts this run's part of its chord, when it is in one and the backend counts (surface CNV-104); the last part sends
 * the body, or fails it. Without counting `celery.chord_unlock` finds out by itself. `isLast`: nothing comes after it, so
 * that the body may be sent in one step with the acknowledgement.
 */
export async function countChordPart(run: Run, record: ResultMeta, isLast = false): Promise<void> {
  const { chord } = run.request.body
  const { groupId, groupIndex } = run.request.message
  if (chord === undefined || groupId === undefined || run.state.told.chord) return
  const applier = isLast ? lastApplier(run) : applierFor(run)
  await countPart(run.host, applier, chord, groupId, groupIndex ?? Infinity, record)
  run.state.told.chord = true
}

/** What comes after the last part of a chord was stored and counted; `read` gives all of them. */
export async function endChord(run: Run, read: () => Promise<readonly HeaderPart[]>): Promise<void> {
  const { chord } = run.request.body
  const { groupId } = run.request.message
  if (chord === undefined || groupId === undefined || run.state.told.chord) return
  await endHeader(run.host, lastApplier(run), chord, groupId, read)
  run.state.told.chord = true
}

/**
 * After a failure was stored: the same for every remaining step of the chain (surface CNV-054, CNV-055), then the
 * errbacks.
 */
export async function spreadFailure(run: Run, error: RemoteError): Promise<void> {
  const { told } = run.state
  if (!told.chain) {
    const applier = applierOf(run.host, run.gate)
    for (const step of run.request.body.chain)
      await failUnrun(run.host, applier, step, error, run.storesErrors)
  }
  told.chain = true
  if (told.errbacks) return
  told.errbacks = true
  const { errbacks } = run.request.body
  await callErrbacks(run.host, applierOf(run.host, run.gate), {
    request: run.self.request,
    errbacks,
    error,
  })
}

/** After a revocation was stored: a later step of the chain that a chord counts would never come (surface CNV-117). */
export async function spreadRevocation(run: Run, error: RemoteError): Promise<void> {
  const applier = applierOf(run.host, run.gate)
  for (const step of run.request.body.chain) await revokeUnrunParts(run.host, applier, step, error)
}

/**
 * What the worker tells the rest of the workflow about a task whose run could not (lost, given up): its chord part is
 * counted, the failure spread. The caller stores the failure of the task itself. Throws what the backend or broker do.
 */
export async function spreadParentFailure(
  request: TaskRequest,
  task: RunnableTask,
  error: RemoteError,
  host: Host,
): Promise<void> {
  const run = new Run(task, host, request, {})
  await countChordPart(run, run.record('FAILURE', error, error.traceback))
  await spreadFailure(run, error)
}

/** A message that came again may have been run by a worker that died when it had sent what comes next. */
function applierFor({ host, gate, request }: Run): Applier {
  return applierOf(host, gate, request.deliveryInfo.redelivered && !request.isEager)
}

/** For the last act of a run. An early acknowledgement went out while the part was counted: none is left to share a step. */
function lastApplier(run: Run): Applier {
  if (!run.task.options.acksLate || !endsInOneStep(run, true)) return applierFor(run)
  return {
    ...applierFor(run),
    handOver: (outbox, deletes) => handOver(run, outbox, { isLast: true, deletes }),
  }
}

function inheritance(run: Run): Readonly<Record<string, unknown>> {
  return {
    parent_id: run.id,
    root_id: run.request.message.rootId || run.id,
    priority: run.inheritedPriority,
  }
}
