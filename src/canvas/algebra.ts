/**
 * Signatures put together (`__or__` of the classes in `celery/canvas.py`; surface 9.2), and made of their data again.
 *
 * Rule 1: the operands stay as they are; only what this file has made is changed in place, or shared as long as nobody
 * looks at it, so that a chain of n steps is put together in n steps, also one by one.
 */
import type { SignatureData } from '../../protocol/signature-data.js'
import { Tuple } from '../../protocol/values.js'
import { InvalidArgumentError } from '../errors.js'
import { Chain } from './chain.js'
import { Chord } from './chord.js'
import { Group, isHollow } from './group.js'
import { Chunks, Mapped } from './mapping.js'
import { type Member, Members } from './members.js'
import { Signature } from './signature.js'
import type { Algebra, SignatureApp } from './signature-app.js'

/** `join` and `rebuild` for signatures. */
export const algebra: Algebra = {
  join: (left, right) => joinAll([checked(left), checked(right)]),
  rebuild: signatureFromData,
}

/** `first | second | third ...`; what Celery's `chain(...)` of several makes (surface CNV-035). */
export function joinAll(signatures: readonly Member[]): Member {
  const made = new Set<Member>()
  const [first, ...others] = signatures
  if (first === undefined) throw new InvalidArgumentError('There is nothing to put together')
  return others.reduce((left, right) => join(left, right, made), first)
}

/** As `chain(...)` does: joined to a chain without steps. */
export function chainOf(app: SignatureApp, signatures: readonly Member[]): Member {
  const empty = new Chain(app, [])
  const made = new Set<Member>([empty])
  return signatures.reduce<Member>((left, right) => join(left, right, made), empty)
}

function join(left: Member, right: Member, made: Set<Member>): Member {
  if (left instanceof Chain) return joinChain(left, right, made)
  // Celery 5.6 gives a chord with nothing for a body, which nobody could wait for (surface CNV-030).
  if (left instanceof Group && isHollow(right)) return left
  if (left instanceof Group) return mine(new Chord(left.app, left.memberList, right), made)
  if (left instanceof Chord && !(right instanceof Chain)) {
    const step = right instanceof Group ? right.unrolled() : right
    if (!(step instanceof Group)) return withLonger(left, step, made)
  }
  if (right instanceof Chain) return mine(new Chain(left.app, [left, ...right.unchained()]), made)
  return mine(new Chain(left.app, [left, right instanceof Group ? right.unrolled() : right]), made)
}

function joinChain(left: Chain, right: Member, made: Set<Member>): Member {
  if (right instanceof Chain) {
    return right.unchained().reduce<Member>((all, step) => join(all, step, made), left)
  }
  const { last } = left
  if (right instanceof Group) {
    const step = right.unrolled()
    if (!(step instanceof Group)) return join(left, step, made)
    if (last === undefined) return step
    return last instanceof Chord ? withLonger(plain(left, made), step, made) : appended(left, step, made)
  }
  if (last !== undefined && isHollow(last)) {
    // Nothing would run there, and nothing would follow it (surface CNV-040).
    const chain = own(left, made)
    chain.tasks.pop()
    return join(chain, right, made)
  }
  if (last instanceof Group) {
    const chain = own(left, made)
    const chord = mine(new Chord(left.app, (chain.tasks.pop() as Group).memberList, right), made)
    const before = chain.tasks.at(-1)
    if (!(before instanceof Chord)) chain.tasks.push(chord)
    else chain.tasks.splice(-1, 1, withLonger(before, chord, made))
    return chain
  }
  if (last instanceof Chord && !(right instanceof Chord)) return withLonger(left, right, made)
  return appended(left, right, made)
}

/** `left | step`, where `step` goes into the body of the chord that `left` is, or ends in. */
function withLonger(left: Member, step: Member, made: Set<Member>): Member {
  const longer = own(left, made)
  const chord =
    longer instanceof Chain ? own(longer.tasks.at(-1) as Chord, made) : (longer as Member as Chord)
  chord.withBody(join(chord.body, step, made))
  if (longer instanceof Chain) longer.tasks.splice(-1, 1, chord)
  return longer
}

/** The chain with its callbacks on its last step and its errbacks on each, not on what follows. */
function plain(chain: Chain, made: Set<Member>): Chain {
  const { link, link_error: linkError } = chain.options
  return link === undefined && linkError === undefined
    ? chain
    : mine(new Chain(chain.app, chain.unchained()), made)
}

function appended(left: Chain, step: Member, made: Set<Member>): Chain {
  if (!made.has(left) || left.isShared) return mine(left.extended(step), made)
  // The last one was given by somebody; from now on it is a part of this chain.
  const last = left.tasks.pop()
  if (last !== undefined) left.tasks.push(own(last, made))
  left.tasks.push(step)
  return left
}

/** The signature itself where it was made here, else a copy. */
function own<S extends Member>(signature: S, made: Set<Member>): S {
  return made.has(signature) ? signature : mine(signature.cloneWire({}), made)
}

function mine<S extends Member>(signature: S, made: Set<Member>): S {
  made.add(signature)
  return signature
}

function checked(value: unknown): Member {
  if (value instanceof Signature) return value as Member
  throw new InvalidArgumentError(
    `A signature can be followed by another one only, not by ${value === null ? 'null' : `a ${typeof value}`}: give task.s(...)`,
  )
}

/**
 * A signature from its data, as read from the wire or made by hand, in every form that Celery 4 to 5.6 writes (surface
 * CNV-004, wire-format 2.2). A signature is returned as it is. Throws `InvalidArgumentError` for anything else.
 */
export function signatureFromData(app: SignatureApp, data: unknown): Member {
  if (data instanceof Signature) return data as Member
  if (!isRecord(data)) throw new InvalidArgumentError(`A signature is a mapping, not ${kindOf(data)}`)
  const { task, subtask_type: type } = data
  if (typeof task !== 'string' || task === '') {
    throw new InvalidArgumentError('A signature needs the name of its task under "task"')
  }
  const options = recordOf(data['options'], 'options', task)
  const kwargs = recordOf(data['kwargs'], 'kwargs', task)
  const many = (list: unknown): Member[] => listOf(list, task).map((one) => signatureFromData(app, one))
  switch (type || undefined) {
    case undefined:
      return plainFrom(app, data, task)
    case 'chain':
      return new Chain(app, many(kwargs['tasks']), options)
    case 'group':
      return new Group(app, new Members(many(kwargs['tasks'])), { options })
    case 'chord':
      return chordFrom(app, data, task)
    case 'xmap':
    case 'xstarmap': {
      const of = signatureFromData(app, kwargs['task'])
      const name = type === 'xmap' ? 'celery.map' : 'celery.starmap'
      return new Mapped(app, name, { task: of, it: listOf(kwargs['it'], task), options })
    }
    case 'chunks': {
      const of = signatureFromData(app, kwargs['task'])
      return new Chunks(app, { task: of, it: listOf(kwargs['it'], task), n: Number(kwargs['n']), options })
    }
    default:
      throw new InvalidArgumentError(
        `Signature ${task} has subtask_type ${JSON.stringify(type)}, which Celery does not know`,
      )
  }
}

function plainFrom(app: SignatureApp, data: SignatureData, task: string): Member {
  const { args } = data
  if (task === 'celery.map' || task === 'celery.starmap') {
    const { kwargs, options, immutable } = data as Readonly<Record<string, unknown>>
    const { task: mapped, it } = recordOf(kwargs, 'kwargs', task)
    // It goes where the task in it goes, as the first time (Celery sends a step of this kind by its own name).
    if (immutable === true && isRecord(mapped) && Array.isArray(it)) {
      const parts = { task: signatureFromData(app, mapped), it, options: recordOf(options, 'options', task) }
      return new Mapped(app, task, parts)
    }
  }
  return new Signature(app, {
    task,
    args: listOf(args, task),
    kwargs: recordOf(data['kwargs'], 'kwargs', task),
    options: recordOf(data['options'], 'options', task),
    immutable: Boolean(data['immutable']),
    argsAsTuple: args instanceof Tuple,
  })
}

/** The header is a list, a group, or (from hand-made data) any other signature (surface CNV-077). */
function chordFrom(app: SignatureApp, data: SignatureData, task: string): Chord {
  const { header, body, ...more } = recordOf(data['kwargs'], 'kwargs', task)
  const members = isRecord(header) ? membersOf(signatureFromData(app, header)) : headerList(app, header, task)
  return new Chord(
    app,
    members,
    body === undefined || body === null ? undefined : signatureFromData(app, body),
    {
      args: listOf(data['args'], task),
      kwargs: Object.keys(more).length > 0 ? more : { kwargs: {} },
      options: recordOf(data['options'], 'options', task),
      immutable: Boolean(data['immutable']),
    },
  )
}

function headerList(app: SignatureApp, header: unknown, task: string): Members {
  return new Members(listOf(header, task).map((one) => signatureFromData(app, one)))
}

/** The members of a header that is one signature: a chain's steps run side by side there (surface CNV-077). */
export function membersOf(header: Member): Members {
  if (header instanceof Group) return header.memberList
  return new Members(header instanceof Chain ? [...header.tasks] : [header])
}

function listOf(value: unknown, task: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  throw new InvalidArgumentError(`Signature ${task}: task args must be a list or tuple`)
}

function recordOf(value: unknown, what: string, task: string): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {}
  if (isRecord(value)) return value
  throw new InvalidArgumentError(`Signature ${task}: task ${what} must be a mapping`)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`
}
