/**
 * The end of a chord's header: its body starts with the list of values, or fails (`on_chord_part_return` and
 * `chord_error_from_stack` in `celery/backends/`; surface CNV-105 to CNV-114).
 *
 * Rule 1: one part that failed fails the body, and with it everybody who waits for it.
 */
import { DecodeError } from '../../protocol/errors.js'
import { isRemoteError, type RemoteError, remoteErrorRepr } from '../../protocol/remote-error.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { ResultMeta, TaskState } from '../../protocol/result-meta.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import type { HeaderPart, ResultRequest } from '../backend/backend.js'
import { signatureFromData } from '../canvas/algebra.js'
import { Chain } from '../canvas/chain.js'
import { Chord } from '../canvas/chord.js'
import { Group } from '../canvas/group.js'
import type { Member } from '../canvas/members.js'
import type { Linkable } from '../canvas/send-options.js'
import type { WireCall } from '../canvas/signature.js'
import { signatureDataOf, type WireOptions } from '../canvas/wire-options.js'
import type { Handover } from '../transport/transport.js'
import type { Applier } from './applier.js'
import { applySignature, planSignatures } from './apply-signature.js'
import { callErrbacks } from './errbacks.js'
import type { Host } from './host.js'
import { directRequestInfo } from './request-info.js'
import { stepRecord } from './result-record.js'
import { RunAbandoned } from './run-gate.js'

/**
 * Starts `body` with the results of all `parts`, in header order; a failed part fails it instead. True when that has
 * deleted `counters`, too.
 */
export async function completeChord(
  host: Host,
  applier: Applier,
  body: SignatureData,
  parts: readonly HeaderPart[],
  counters?: Handover['deletes'],
): Promise<boolean> {
  const failed = parts.find((part) => part.state !== 'SUCCESS')
  if (failed === undefined) {
    const values = parts.map((part) => part.result)
    return startBody(host, applier, body, values, counters)
  }
  const cause = isRemoteError(failed.result) ? failed.result : remoteErrorFrom(failed.result)
  const what = failed.isJoined ? 'Join error:' : `Dependency ${failed.taskId} raised`
  await failChord(host, applier, body, `${what} ${remoteErrorRepr(cause)}`, cause)
  return false
}

/** Sends the body; when that fails the body fails with `Callback error: ...`. */
export async function startBody(
  host: Host,
  applier: Applier,
  body: SignatureData,
  values: readonly unknown[],
  counters?: Handover['deletes'],
): Promise<boolean> {
  const call: WireCall = { args: [values] }
  try {
    if (applier.handOver !== undefined) {
      const outbox = await planSignatures(applier, [{ signature: body, call }])
      if (await applier.handOver(outbox, counters)) return counters !== undefined
    }
    await applySignature(applier, body, call)
  } catch (error) {
    if (error instanceof RunAbandoned) throw error
    const cause = remoteErrorFrom(error)
    host.logger.error(
      { err: error },
      `Chord ${String((body['options'] as WireOptions | undefined)?.['group_id'])} raised`,
    )
    await failChord(host, applier, body, `Callback error: ${remoteErrorRepr(cause)}`, cause)
  }
  return false
}

/** Fails a body that will never run: its errbacks are called, and FAILURE stored where somebody waits. */
export async function failChord(
  host: Host,
  applier: Applier,
  body: SignatureData,
  reason: string,
  cause: RemoteError,
): Promise<void> {
  const whole = signatureFromData(host, body)
  const chordError: RemoteError = {
    type: 'ChordError',
    module: 'celery.exceptions',
    args: [reason],
    traceback: cause.traceback,
  }
  // A body that is a group has nobody who waits for it as a whole: its members get the error itself.
  const isGroup = whole instanceof Group
  const error = isGroup ? cause : chordError
  try {
    for (const telling of tellings(host, whole)) await tellErrbacks(host, applier, telling, error)
  } finally {
    for (const waiting of awaited(whole)) await endUnrun(host, applier, waiting, 'FAILURE', error)
  }
  const { id } = whole
  if (isGroup && id !== undefined) {
    const record = endingOf(host, whole, id, 'FAILURE', error)
    await applier.effect(() => host.backend.store(record, whoWaits(whole, id)))
  }
  for (const step of listOf(whole.options['chain'])) await failUnrun(host, applier, step, error)
}

/** Every task of `data`, none of which will run now, ends as failed; its errbacks are not called (surface CNV-054). `stores` false: only its chord is told. */
export async function failUnrun(
  host: Host,
  applier: Applier,
  data: unknown,
  error: RemoteError,
  stores = true,
): Promise<void> {
  for (const unrun of awaitedOf(host, data)) await endUnrun(host, applier, unrun, 'FAILURE', error, stores)
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
  for (const unrun of awaitedOf(host, data)) {
    if (chordOf(unrun) !== undefined) await endUnrun(host, applier, unrun, 'REVOKED', error)
  }
}

/** Errbacks, and the task that they are told of. */
interface Telling {
  readonly unrun: Member
  readonly id: string | undefined
  readonly errbacks: readonly Linkable[]
}

/**
 * Whose errbacks are called for a body that will not run. Those of a chain are called once, with the id of its result
 * (CNV-113); of its steps only the first has failed, as it would have by itself (CNV-054).
 */
function tellings(host: Host, unrun: Member, around: readonly Linkable[] = []): readonly Telling[] {
  const errbacks = [...listOf(unrun.options['link_error']), ...around]
  if (unrun instanceof Group) return unrun.tasks.flatMap((member) => tellings(host, member, errbacks))
  if (unrun instanceof Chord) return tellings(host, unrun.body, errbacks)
  if (!(unrun instanceof Chain)) return [{ unrun, id: unrun.id, errbacks }]
  const last = awaited(unrun).at(-1)
  const [first] = unrun.tasks
  if (last === undefined || first === undefined) return []
  const isTold = (errback: Linkable): boolean =>
    errbacks.some((one) => signatureFromData(host, one).equals(errback))
  const others = tellings(host, first).map((telling) => ({
    ...telling,
    errbacks: telling.errbacks.filter((errback) => !isTold(errback)),
  }))
  return [{ unrun: last, id: unrun.id ?? last.id, errbacks }, ...others]
}

async function tellErrbacks(
  host: Host,
  applier: Applier,
  { unrun, id, errbacks: told }: Telling,
  error: RemoteError,
): Promise<void> {
  // Linked anew, since none is linked twice.
  unrun.setWire({ link_error: [] })
  for (const errback of told) unrun.linkError(errback)
  const errbacks = listOf(unrun.options['link_error'])
  if (!id || errbacks.length === 0) return
  const rootId = unrun.options['root_id']
  const request = {
    ...directRequestInfo(
      { name: unrun.task, options: { ignoreResult: false } },
      unrun.args,
      unrun.kwargs,
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
  unrun: Member,
  state: TaskState,
  error: RemoteError,
  stores = true,
): Promise<void> {
  const { id } = unrun
  if (!id) return
  const record = endingOf(host, unrun, id, state, error)
  if (stores) await applier.effect(() => host.backend.store(record, whoWaits(unrun, id)))
  const { group_id: groupId, group_index: index } = unrun.options
  const chord = chordOf(unrun)
  if (chord === undefined || typeof groupId !== 'string') return
  await countPart(host, applier, chord, groupId, typeof index === 'number' ? index : Infinity, record)
}

/** Where the results of a task that never ran are sent to (`destination_for` in `celery/backends/rpc.py`). */
function whoWaits({ options }: Member, id: string): ResultRequest {
  const { reply_to: replyTo, correlation_id: correlationId } = options
  return {
    id,
    replyTo: typeof replyTo === 'string' ? replyTo : undefined,
    correlationId: typeof correlationId === 'string' ? correlationId : id,
  }
}

function endingOf(host: Host, unrun: Member, id: string, state: TaskState, error: RemoteError): ResultMeta {
  return stepRecord(unrun, id, {
    state,
    result: error,
    traceback: error.traceback,
    children: [],
    nowMs: host.clock.now(),
    extended: host.execution.resultExtended,
  })
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
  return endHeader(host, applier, chord, groupId, () => chords.partDone(groupId, index, record))
}

/** Sends the body of a chord, or fails it, where `counting` gives all its parts. Throws as `countPart` does. */
export async function endHeader(
  host: Host,
  applier: Applier,
  chord: SignatureData,
  groupId: string,
  counting: () => Promise<readonly HeaderPart[] | undefined>,
): Promise<void> {
  const { chords } = host.backend
  let parts: readonly HeaderPart[] | undefined
  try {
    parts = await applier.effect(counting)
  } catch (error) {
    // All parts are there and one cannot be read; nobody will come after this one.
    if (!(error instanceof DecodeError)) throw error
    const cause = remoteErrorFrom(error)
    host.logger.error({ err: error, group_id: groupId }, `Chord ${groupId} raised: ${remoteErrorRepr(cause)}`)
    return failChord(host, applier, chord, `Join error: ${remoteErrorRepr(cause)}`, cause)
  }
  if (parts === undefined) return
  const isEnded = await completeChord(host, applier, chord, parts, chords?.endKeys?.(groupId))
  // A failed header's parts stay until they expire: people read them there (surface CNV-106).
  if (isEnded || chords?.end === undefined || parts.some((part) => part.state !== 'SUCCESS')) return
  try {
    await applier.effect(async () => chords.end?.(groupId))
  } catch (error) {
    if (error instanceof RunAbandoned) throw error
    // The body was sent; failing this task now would send it again.
    host.logger.warn({ err: error }, `The parts of chord ${groupId} could not be deleted; they expire later`)
  }
}

/** A step that cannot be read has no id, and is passed over: the failure at hand is what must be told. */
function awaitedOf(host: Host, data: unknown): readonly Member[] {
  try {
    return awaited(signatureFromData(host, data))
  } catch {
    return []
  }
}

/** The tasks whose results stand for a signature: itself, all steps of a chain, all members of a group, a body. */
function awaited(signature: Member): readonly Member[] {
  if (signature instanceof Group || signature instanceof Chain) return signature.tasks.flatMap(awaited)
  return signature instanceof Chord ? awaited(signature.body) : [signature]
}

/** The body of the chord that it is a part of. */
function chordOf({ options }: Member): SignatureData | undefined {
  const { chord } = options
  return typeof chord === 'object' && chord !== null ? signatureDataOf(chord) : undefined
}

function listOf(value: unknown): readonly Linkable[] {
  if (value === undefined || value === null) return []
  return (Array.isArray(value) ? value : [value]) as readonly Linkable[]
}
