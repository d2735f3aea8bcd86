/**
 * Sends what a signature describes, whatever it is, for a run (`apply_async` as `celery/app/trace.py` and the backends
 * call it). What that means is told by the classes of `canvas/`; here it only passes the gate of the run.
 */
import type { ResultMeta } from '../../protocol/result-meta.js'
import type { AnyResult } from '../backend/any-result.js'
import { signatureFromData } from '../canvas/algebra.js'
import { Group } from '../canvas/group.js'
import { Members } from '../canvas/members.js'
import { Outbox } from '../canvas/outbox.js'
import type { Linkable } from '../canvas/send-options.js'
import type { WireCall } from '../canvas/signature.js'
import type { Call, SignatureApp } from '../canvas/signature-app.js'
import type { Applier } from './applier.js'

/**
 * Applies a signature, or its data; of a canvas that cannot be sent no part is sent. Resolves to what can be waited for:
 * `undefined` for an empty chain, which sends nothing. Throws `InvalidArgumentError` for one that cannot be read, and
 * what sending throws.
 */
export async function applySignature(
  applier: Applier,
  signature: Linkable,
  call: WireCall,
): Promise<AnyResult | undefined> {
  const [result] = await applySignatures(applier, [signature], call)
  return result
}

/** `applySignature` for several, with the same call, in one batch. */
export async function applySignatures(
  { app, effect, isAgain }: Applier,
  signatures: readonly Linkable[],
  call: WireCall,
): Promise<readonly (AnyResult | undefined)[]> {
  const members = signatures.map((data) => signatureFromData(app, data))
  if (app.canvas.alwaysEager) {
    const results: AnyResult[] = []
    for (const member of members) results.push(await effect(() => member.applyWire(call)))
    return results
  }
  const outbox = new Outbox()
  const results = members.map((member) => member.plan(call, outbox))
  await (isAgain ? await withoutEnded(outbox, app) : outbox).send(app, { effect })
  return results
}

/** What `applySignature` would send for each, in one outbox; not for an app that runs its tasks at once. */
export function planSignatures(
  { app, isAgain }: Applier,
  signatures: readonly { readonly signature: Linkable; readonly call: WireCall }[],
): Outbox | Promise<Outbox> {
  const outbox = new Outbox()
  for (const { signature, call } of signatures) signatureFromData(app, signature).plan(call, outbox)
  return isAgain ? withoutEnded(outbox, app) : outbox
}

/**
 * Without the tasks that have succeeded: their ids are those of the signatures, so another run has sent them, and its
 * worker died before it acknowledged its own message (surface CNV-119). The tasks that were sent stay children of this
 * one. What is left may be a second copy, and says so (second-copy.ts). Where the store cannot tell, all are sent: twice is
 * better than never.
 */
async function withoutEnded(outbox: Outbox, app: SignatureApp): Promise<Outbox> {
  const ids = outbox.calls.flatMap(({ options }) => options.taskId ?? [])
  if (ids.length === 0 || !app.backend.enabled || app.backend.kind === 'rpc') return outbox
  let metas: ReadonlyMap<string, ResultMeta>
  try {
    metas = await app.backend.fetchMany(ids)
  } catch {
    return outbox
  }
  const left = new Outbox()
  for (const call of outbox.calls) {
    const { taskId, addToParent } = call.options
    if (metas.get(taskId ?? '')?.state !== 'SUCCESS') left.calls.push(copyOf(call, app.newId()))
    else if (addToParent !== false) left.trail.push(app.asyncResult(taskId ?? ''))
  }
  left.trail.push(...outbox.trail)
  // Of a chord that has ended nothing is counted anew.
  if (left.calls.length > 0) left.before.push(...outbox.before)
  return left
}

function copyOf(call: Call, mark: string): Call {
  const { options } = call
  if (options.taskId === undefined) return call
  return { ...call, options: { ...options, properties: { ...options.properties, message_id: mark } } }
}

/** These signatures as a group. */
export function groupOf(app: SignatureApp, signatures: readonly Linkable[]): Group {
  return new Group(app, new Members(signatures.map((one) => signatureFromData(app, one))))
}
