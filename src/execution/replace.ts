/**
 * What a running task may put in its own place, or add to its chord (`Task.replace` and `Task.add_to_chord` in
 * `celery/app/task.py`; surface CNV-126 to CNV-131, TSK-093).
 *
 * Rule 1: what comes in the place of a task keeps its id, its callbacks, its chord and the rest of its chain, so that
 * nobody who waits can tell. Rule 2: the signatures given stay as they are; what is changed is made of their data.
 */
import type { SignatureData } from '../../protocol/signature-data.js'
import { Tuple } from '../../protocol/values.js'
import { joinAll, signatureFromData } from '../canvas/algebra.js'
import { Chain, toBeWaitedFor } from '../canvas/chain.js'
import { Group } from '../canvas/group.js'
import type { Member } from '../canvas/members.js'
import { Signature } from '../canvas/signature.js'
import type { SignatureApp } from '../canvas/signature-app.js'
import type { WireOptions } from '../canvas/wire-options.js'
import { RemoteTaskError } from '../errors.js'
import type { TaskRequest } from './request.js'

/**
 * The signature to send in the place of the task of `request`. Throws `ImproperlyConfigured`, as Python knows it, for
 * one that is part of a chord already and for an empty chain.
 */
export function replacement(request: TaskRequest, given: SignatureData, app: SignatureApp): Member {
  const { message, body } = request
  const whole = signatureFromData(app, given)
  if ('chord' in whole.options) {
    throw improper(message.id, 'A signature replacing a task must not be part of a chord')
  }
  if (whole instanceof Chain && whole.tasks.length === 0) {
    throw improper(message.id, 'Cannot replace with an empty chain')
  }
  // A group is one task with the list of its values (surface CNV-127).
  const own = whole instanceof Group ? joinAll([whole, accumulate(app)]) : whole
  if (own instanceof Chain) own.tasks.splice(0, own.tasks.length, ...toBeWaitedFor(own.tasks))
  for (const callback of body.callbacks) own.link(callback)
  for (const errback of body.errbacks) own.linkError(errback)
  if (own instanceof Chain) linkLast(own)
  own.freeze({ taskId: message.id })
  // All steps of a chain say how deep they are nested (surface CNV-128).
  const nesting = { replaced_task_nesting: message.replacedTaskNesting + 1 }
  own.setWire(
    known({
      chord: body.chord,
      group_id: message.groupId,
      group_index: message.groupIndex,
      root_id: message.rootId,
      ...nesting,
    }),
  )
  if (own instanceof Chain) for (const step of own.tasks) step.setWire(nesting)
  const rest = [...body.chain].reverse().map((step) => signatureFromData(app, step).setWire(nesting))
  return rest.length === 0 ? own : joinAll([own, ...rest])
}

/** The signature to send as a further part of the chord of `request`, frozen. Throws `ValueError` outside a chord. */
export function chordAddition(
  request: TaskRequest,
  given: SignatureData,
  app: SignatureApp,
): { readonly groupId: string; readonly signature: Member } {
  const { message, body } = request
  if (body.chord === undefined || message.groupId === undefined) {
    const text = 'Current task is not member of any chord'
    const error = { type: 'ValueError', module: 'builtins', args: [text], traceback: undefined }
    throw new RemoteTaskError(message.id, error, text)
  }
  const signature = signatureFromData(app, given).setWire(
    known({
      group_id: message.groupId,
      group_index: message.groupIndex,
      chord: body.chord,
      root_id: message.rootId,
    }),
  )
  signature.freeze()
  return { groupId: message.groupId, signature }
}

function accumulate(app: SignatureApp): Member {
  return new Signature(app, { task: 'celery.accumulate', args: Tuple.from([]), kwargs: { index: 0 } })
}

/** Callbacks are called with the value of the last step, also when further steps follow it. */
function linkLast(chain: Chain): void {
  const { link, ...others } = chain.options
  for (const callback of listOf(link)) chain.tasks.at(-1)?.link(callback)
  chain.setWire({ ...others, link: [] })
}

function listOf(value: unknown): readonly SignatureData[] {
  if (value === undefined || value === null) return []
  return (Array.isArray(value) ? value : [value]) as readonly SignatureData[]
}

function known(options: WireOptions): WireOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function improper(taskId: string, text: string): RemoteTaskError {
  const error = {
    type: 'ImproperlyConfigured',
    module: 'celery.exceptions',
    args: [text],
    traceback: undefined,
  }
  return new RemoteTaskError(taskId, error, text)
}
