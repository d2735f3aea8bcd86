/**
 * The end of a chord's header: its body starts with the list of values, or fails (`on_chord_part_return` and
 * `chord_error_from_stack` in `celery/backends/`; surface CNV-105 to CNV-114).
 *
 * Rule 1: one part that failed fails the body, and with it everybody who waits for it.
 */
import { isRemoteError, type RemoteError, remoteErrorRepr } from '../../protocol/remote-error.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { type Applier, applySignature } from './apply-signature.js'
import { callErrbacks } from './errbacks.js'
import { groupMembers } from './freeze.js'
import type { Host } from './host.js'
import { directRequestInfo } from './request-info.js'
import { stepRecord } from './result-record.js'
import { RunAbandoned } from './run-gate.js'
import { isRecord, listOption, readShape, type Shape, writeShape } from './signature-shape.js'

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
  const error = shape.subtaskType === 'group' ? cause : chordError
  const inherited = listOption(shape.options['link_error'])
  for (const waiting of awaited(shape)) await failOne(host, applier, waiting, inherited, error)
}

async function failOne(
  host: Host,
  applier: Applier,
  shape: Shape,
  inherited: readonly unknown[],
  error: RemoteError,
): Promise<void> {
  const id = shape.options['task_id']
  if (typeof id !== 'string' || id === '') return
  const errbacks = new Set([...listOption(shape.options['link_error']), ...inherited])
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
  try {
    await callErrbacks(host, applier, { request, errbacks: [...errbacks].filter(isRecord), error })
  } finally {
    const record = stepRecord(writeShape(shape), id, {
      state: 'FAILURE',
      result: error,
      traceback: error.traceback,
      children: [],
      nowMs: host.clock.now(),
      extended: host.execution.resultExtended,
    })
    await host.backend.store(record)
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
