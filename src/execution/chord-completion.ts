/**
 * The end of a chord's header: its body starts with the list of values, or fails (`on_chord_part_return` and
 * `chord_error_from_stack` in `celery/backends/`; surface CNV-105 to CNV-114).
 *
 * Rule 1: one part that failed fails the body, and with it everybody who waits for it.
 */
import { isRemoteError, type RemoteError, remoteErrorRepr } from '../../protocol/remote-error.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { ResultMeta, TaskState } from '../../protocol/result-meta.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import type { ResultRequest } from '../backend/backend.js'
import type { Applier } from './applier.js'
import { applySignature } from './apply-signature.js'
import { callErrbacks } from './errbacks.js'
import { groupMembers } from './freeze.js'
import type { Host } from './host.js'
import { directRequestInfo } from './request-info.js'
import { stepRecord } from './result-record.js'
import { RunAbandoned } from './run-gate.js'
import { distinct, isRecord, listOption, readShape, type Shape, writeShape } from './signature-shape.js'

/** Starts `body` with the results of all `parts`, in header order; a failed part fails it instead. */
export async function completeChord(
  host: Host,
  applier: Applier,
  body: SignatureData,
  parts: readonly ResultMeta[],
): Promise<void> {
  const failed = parts.find((part) => part.state !== 'SUCCESS')
  if (failed === undefined) {
    await startBody(
      host,
      applier,
      body,
      parts.map((part) => part.result),
    )
    return
  }
  const cause = isRemoteError(failed.result) ? failed.result : remoteErrorFrom(failed.result)
  await failChord(host, applier, body, `Dependency ${failed.taskId} raised ${remoteErrorRepr(cause)}`, cause)
}

/** Sends the body; when that fails the body fails with `Callback error: ...`. */
export async function startBody(
  host: Host,
  applier: Applier,
  body: SignatureData,
  values: readonly unknown[],
): Promise<void> {
  try {
    await applySignature(applier, body, { args: [values] })
  } catch (error) {
    if (error instanceof RunAbandoned) throw error
    const cause = remoteErrorFrom(error)
    host.logger.error({ err: error }, `Chord ${String(readShape(body).options['group_id'])} raised`)
    await failChord(host, applier, body, `Callback error: ${remoteErrorRepr(cause)}`, cause)
  }
}

/** Fails a body that will never run: its errbacks are called, and FAILURE stored where somebody waits. */
export async function failChord(
  host: Host,
  applier: Applier,
  body: SignatureData,
  reason: string,
  cause: RemoteError,
): Promise<void> {
  const shape = readShape(body)
  const chordError: RemoteError = {
    type: 'ChordError',
    module: 'celery.exceptions',
    args: [reason],
    traceback: cause.traceback,
  }
  // A body that is a group has nobody who waits for it as a whole: its members get the error itself.
  const isGroup = shape.subtaskType === 'group'
  const error = isGroup ? cause : chordError
  const inherited = listOption(shape.options['link_error'])
  for (const waiting of awaited(shape)) {
    try {
      await tellErrbacks(host, applier, waiting, inherited, error)
    } finally {
      await endUnrun(host, applier, waiting, 'FAILURE', error)
    }
  }
  const id = shape.options['task_id']
  if (isGroup && typeof id === 'string') {
    await effectOf(applier, () =>
      host.backend.store(endingOf(host, shape, id, 'FAILURE', error), whoWaits(shape, id)),
    )
  }
  for (const step of listOption(shape.options['chain'])) await failUnrun(host, applier, step, error)
}

/** Every task of `data`, none of which will run now, ends as failed; its errbacks are not called (surface CNV-054). `stores` false: only its chord is told. */
export async function failUnrun(
  host: Host,
  applier: Applier,
  data: unknown,
  error: RemoteError,
  stores = true,
): Promise<void> {
  for (const shape of awaitedOf(data)) await endUnrun(host, applier, shape, 'FAILURE', error, stores)
}

/**
 * Those tasks of `data` that a chord counts end as revoked: what comes after a revoked step stays as it is in Celery
 * (surface CNV-056), but a chord would wait for them for ever.
 */
export async function revokeUnrunParts(
  host: Host,
  applier: Applier,
  data: unknown,
  error: RemoteError,
): Promise<void> {
  for (const shape of awaitedOf(data)) {
    if (isRecord(shape.options['chord'])) await endUnrun(host, applier, shape, 'REVOKED', error)
  }
}

async function tellErrbacks(
  host: Host,
  applier: Applier,
  shape: Shape,
  inherited: readonly unknown[],
  error: RemoteError,
): Promise<void> {
  const id = idOf(shape)
  const errbacks = distinct([...listOption(shape.options['link_error']), ...inherited]).filter(isRecord)
  if (id === undefined || errbacks.length === 0) return
  const rootId = shape.options['root_id']
  const request = {
    ...directRequestInfo(
      { name: shape.task, options: { ignoreResult: false } },
      shape.args,
      shape.kwargs,
      '',
    ),
    id,
    rootId: typeof rootId === 'string' ? rootId : id,
  }
  await callErrbacks(host, applier, { request, errbacks, error })
}

/** Stores how a task ended that never ran, and counts it where it is a part of a chord. */
async function endUnrun(
  host: Host,
  applier: Applier,
  shape: Shape,
  state: TaskState,
  error: RemoteError,
  stores = true,
): Promise<void> {
  const id = idOf(shape)
  if (id === undefined) return
  const record = endingOf(host, shape, id, state, error)
  if (stores) await effectOf(applier, () => host.backend.store(record, whoWaits(shape, id)))
  const { chord, group_id: groupId, group_index: index } = shape.options
  if (!isRecord(chord) || typeof groupId !== 'string') return
  await countPart(host, applier, chord, groupId, typeof index === 'number' ? index : Infinity, record)
}

/** Where the results of a task that never ran are sent to (`destination_for` in `celery/backends/rpc.py`). */
function whoWaits({ options }: Shape, id: string): ResultRequest {
  const { reply_to: replyTo, correlation_id: correlationId } = options
  return {
    id,
    replyTo: typeof replyTo === 'string' ? replyTo : undefined,
    correlationId: typeof correlationId === 'string' ? correlationId : id,
  }
}

function endingOf(host: Host, shape: Shape, id: string, state: TaskState, error: RemoteError): ResultMeta {
  return stepRecord(writeShape(shape), id, {
    state,
    result: error,
    traceback: error.traceback,
    children: [],
    nowMs: host.clock.now(),
    extended: host.execution.resultExtended,
  })
}

/** Through the gate of the run that does it, when it is done for one. */
function effectOf<T>({ effect }: Applier, act: () => Promise<T>): Promise<T> {
  return effect === undefined ? act() : effect(act)
}

/**
 * Counts one part of a chord, where the backend counts; the last one sends the body, or fails it. Throws what the
 * backend and sending throw.
 */
export async function countPart(
  host: Host,
  applier: Applier,
  chord: SignatureData,
  groupId: string,
  index: number,
  record: ResultMeta,
): Promise<void> {
  const { chords } = host.backend
  if (chords === undefined) return
  const parts = await effectOf(applier, () => chords.partDone(groupId, index, record))
  if (parts === undefined) return
  await completeChord(host, applier, chord, parts)
  // A failed header's parts stay until they expire: people read them there (surface CNV-106).
  if (chords.end === undefined || parts.some((part) => part.state !== 'SUCCESS')) return
  try {
    await effectOf(applier, async () => chords.end?.(groupId))
  } catch (error) {
    if (error instanceof RunAbandoned) throw error
    // The body was sent; failing this task now would send it again.
    host.logger.warn({ err: error }, `The parts of chord ${groupId} could not be deleted; they expire later`)
  }
}

function idOf(shape: Shape): string | undefined {
  const id = shape.options['task_id']
  return typeof id === 'string' && id !== '' ? id : undefined
}

/** A step that cannot be read has no id, and is passed over: the failure at hand is what must be told. */
function awaitedOf(data: unknown): readonly Shape[] {
  try {
    return awaited(readShape(data))
  } catch {
    return []
  }
}

/** The tasks whose results stand for a signature: itself, all steps of a chain, all members of a group, a body. */
function awaited(shape: Shape): readonly Shape[] {
  switch (shape.subtaskType) {
    case 'group':
      return groupMembers(shape).flatMap(({ member }) => awaited(member))
    case 'chain':
      return listOption(shape.kwargs['tasks']).flatMap((step) => awaited(readShape(step)))
    case 'chord':
      return awaited(readShape(shape.kwargs['body']))
    default:
      return [shape]
  }
}
