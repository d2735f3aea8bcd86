/** `chain`, `group` and `chord` as one writes them (`celery/canvas.py`; surface 9.2 to 9.5). */
import type { AnyResult } from '../backend/any-result.js'
import type { AsyncResult } from '../backend/async-result.js'
import { InvalidArgumentError } from '../errors.js'
import { chainOf, membersOf } from './algebra.js'
import type { Arguments } from './call-types.js'
import type {
  AnySignature,
  ArgsOf,
  ArgsOfAll,
  ArgsOfFirst,
  FitsChain,
  HandleOf,
  HandleOfLast,
  HeaderArgs,
  HeaderValues,
  Members as MembersOf,
  ResultOf,
  ResultOfLast,
  ResultsOf,
  Takes,
} from './canvas-types.js'
import { Chain } from './chain.js'
import { Chord } from './chord.js'
import { Group } from './group.js'
import { type Member, Members } from './members.js'
import { Signature } from './signature.js'
import type { SignatureApp } from './signature-app.js'
import { unboundApp } from './unbound-app.js'

/**
 * One task after the other: `chain(add.s(2, 3), add.s(4))` adds 4 to the sum of 2 and 3. Each step takes the result of
 * the one before as its first argument. A group that something follows becomes a chord, so what comes back need not be
 * a `Chain` (surface CNV-035). Throws `InvalidArgumentError` for a step that is no signature.
 */
export function chain<const S extends readonly AnySignature[]>(
  ...steps: [...S] & FitsChain<S>
): Signature<ArgsOfFirst<S>, ResultOfLast<S, undefined>, HandleOfLast<S, AsyncResult<undefined>>>
export function chain<S extends AnySignature>(
  steps: Iterable<S>,
): Signature<ArgsOf<S>, ResultOf<S>, HandleOf<S>>
export function chain(...given: readonly unknown[]): Member {
  const [only] = given
  if (given.length === 1 && only instanceof Signature) {
    const step: Member = only
    return new Chain(step.app, [step])
  }
  const steps = membersIn(given.length === 1 && isIterable(only) ? [...only] : given)
  return chainOf(appOf(steps), steps)
}

/**
 * Tasks side by side; its result is the list of their results, in order. Takes signatures, or one iterable of them,
 * which is read while it is sent (surface CNV-060). Nested groups are taken apart. Throws `InvalidArgumentError` for a
 * member that is no signature.
 */
export function group<const S extends readonly AnySignature[]>(...tasks: S): Group<ArgsOfAll<S>, ResultsOf<S>>
export function group<const S extends readonly AnySignature[]>(tasks: S): Group<ArgsOfAll<S>, ResultsOf<S>>
export function group<S extends AnySignature>(
  tasks: Iterable<S> | AsyncIterable<S>,
): Group<ArgsOf<S>, ResultOf<S>[]>
export function group(...given: readonly unknown[]): Group {
  const [only] = given
  if (given.length !== 1) return groupOf(new Members(membersIn(given)))
  if (only instanceof Group) return groupOf(only.memberList)
  if (only instanceof Signature) return groupOf(new Members([(only as Member).cloneWire({})]))
  return groupOf(sourceOf(only))
}

/**
 * A header of tasks side by side, and a body that takes the list of their results: `chord([add.s(1, 1), add.s(2, 2)],
 * xsum.s())`. The header may be a list, a group, any iterable (read while it is sent), or one signature; a chain stands
 * for its steps there, as in Celery (surface CNV-077). Throws `InvalidArgumentError` for what is no signature.
 */
export function chord<const T extends MembersOf | AnySignature, const B extends AnySignature>(
  header: T,
  body: B & Takes<B, HeaderValues<T>>,
): Chord<HeaderArgs<T>, ResultOf<B>, HandleOf<B>>
export function chord(header: unknown, body: unknown): Chord<Arguments, unknown, AnyResult> {
  if (!(body instanceof Signature)) {
    throw new InvalidArgumentError('The body of a chord is a signature, such as xsum.s()')
  }
  const members = header instanceof Signature ? membersOf(header as Member) : sourceOf(header)
  return new Chord((body as Member).app, members, body as Member)
}

/** A group that belongs to the app of its members. */
function groupOf(members: Members): Group {
  return new Group(members.first?.app ?? unboundApp(), members)
}

function sourceOf(given: unknown): Members {
  if (Array.isArray(given)) return new Members(membersIn(given))
  if (isIterable(given)) return new Members(checkedOneByOne(given))
  if (typeof given === 'object' && given !== null && Symbol.asyncIterator in given) {
    return new Members(checkedAsTheyCome(given as AsyncIterable<unknown>))
  }
  throw new InvalidArgumentError('The tasks of a group or chord are signatures, or an iterable of them')
}

function* checkedOneByOne(given: Iterable<unknown>): Generator<Member> {
  for (const one of given) yield memberOf(one)
}

async function* checkedAsTheyCome(given: AsyncIterable<unknown>): AsyncGenerator<Member> {
  for await (const one of given) yield memberOf(one)
}

function membersIn(given: readonly unknown[]): Member[] {
  return given.map(memberOf)
}

function memberOf(one: unknown): Member {
  if (one instanceof Signature) return one as Member
  throw new InvalidArgumentError(
    `A canvas is made of signatures, such as add.s(2, 3), not of ${one === null ? 'null' : `a ${typeof one}`}`,
  )
}

function appOf(members: readonly Member[]): SignatureApp {
  return members[0]?.app ?? unboundApp()
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return (
    typeof value === 'object' && value !== null && Symbol.iterator in value && !(value instanceof Signature)
  )
}
