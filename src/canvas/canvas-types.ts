/**
 * What fits together: the types of chains, groups and chords. Nothing here runs.
 *
 * Rule 1: a step takes the result of the one before it as its first argument, and needs no other.
 * Rule 2: a result of type `unknown` (a remote task whose types were not given) fits everywhere, and so does a list of
 * them.
 * Rule 3: what follows a group, and the body of a chord, takes the list of its results. A group of one that stands in a
 * chain is its member (surface CNV-021).
 */
import type { SignatureData } from '../../protocol/signature-data.js'
import type { AnyResult } from '../backend/any-result.js'
import type { AsyncResult } from '../backend/async-result.js'
import type { Arguments } from './call-types.js'

/** Names what a signature takes and gives; there is no such property when it runs. */
export declare const io: unique symbol

/** Anything that can be a step: `A` are the arguments it still takes, `R` its result, `H` what one waits with. */
export interface Step<out A, out R, out H> {
  readonly [io]?: { readonly args: A; readonly result: R; readonly handle: H }
  toSignatureData(): SignatureData
}

/** Any step. */
export type AnySignature = Step<Arguments, unknown, unknown>

type Io<S> = S extends { readonly [io]?: infer T } ? NonNullable<T> : never
/** The arguments that a signature still takes. */
export type ArgsOf<S> = Io<S> extends { readonly args: infer A extends Arguments } ? A : Arguments
/** The result of a signature. */
export type ResultOf<S> = Io<S> extends { readonly result: infer R } ? R : unknown
/** What one waits with for a signature. */
export type HandleOf<S> = Io<S> extends { readonly handle: infer H extends AnyResult } ? H : AnyResult

/** What stands in the place of a step that does not fit, so that the compiler shows why. */
export interface DoesNotTake<R> {
  readonly 'this step does not take the result before it': R
}

/** `S` where it takes a result of type `R`. */
export type Takes<S, R> = [Known<R>] extends ArgsOf<S> ? S : DoesNotTake<R>

/** What is not known fits everywhere. */
type Known<R> = unknown extends R
  ? never
  : R extends readonly unknown[]
    ? { [I in keyof R]: unknown extends R[I] ? never : R[I] }
    : R

type StepResult<S> = S extends GroupLike<readonly [infer One]> ? One : ResultOf<S>
type StepHandle<S> = S extends GroupLike<readonly [infer One]> ? AsyncResult<One> : HandleOf<S>

/** The steps `S`, each of which takes the result of the one before; the first one takes `R`. */
export type Fits<S extends readonly unknown[], R> = S extends readonly [infer First, ...infer Rest]
  ? [Takes<First, R>, ...Fits<Rest, StepResult<First>>]
  : S

/** The steps `S` of a chain, whose first one may take anything. */
export type FitsChain<S extends readonly unknown[]> = S extends readonly [infer First, ...infer Rest]
  ? [First, ...Fits<Rest, StepResult<First>>]
  : S

/** The arguments of the first step. */
export type ArgsOfFirst<S extends readonly unknown[]> = S extends readonly [infer First, ...unknown[]]
  ? ArgsOf<First>
  : ArgsOf<S[number]>

/** The result of the last step, or `Otherwise` where there is none. */
export type ResultOfLast<S extends readonly unknown[], Otherwise> = S extends readonly []
  ? Otherwise
  : S extends readonly [...unknown[], infer Last]
    ? StepResult<Last>
    : ResultOf<S[number]>

/** What one waits with for the last step, or `Otherwise` where there is none. */
export type HandleOfLast<S extends readonly unknown[], Otherwise extends AnyResult> = S extends readonly []
  ? Otherwise
  : S extends readonly [...unknown[], infer Last]
    ? StepHandle<Last>
    : HandleOf<S[number]>

/** The arguments that all of `S` take. */
export type ArgsOfAll<S extends readonly unknown[]> = (
  S[number] extends infer One
    ? One extends unknown
      ? (args: ArgsOf<One>) => void
      : never
    : never
) extends (args: infer A extends Arguments) => void
  ? A
  : Arguments

/** Marks a group, whose members stand for themselves in a group around it. */
export interface GroupLike<T extends readonly unknown[]> {
  readonly isGroup: true
  readonly [io]?: { readonly result: T }
}

/** The results of the members `S`; a group among them is taken apart (surface CNV-066). */
export type ResultsOf<S extends readonly unknown[]> = number extends S['length']
  ? ResultOfMember<S[number]>[]
  : S extends readonly [infer First, ...infer Rest]
    ? First extends GroupLike<infer T>
      ? [...T, ...ResultsOf<Rest>]
      : [ResultOf<First>, ...ResultsOf<Rest>]
    : []

type ResultOfMember<S> = S extends GroupLike<infer T> ? T[number] : ResultOf<S>

/** What a group or the header of a chord may be made of. */
export type Members = readonly AnySignature[] | Iterable<AnySignature> | AsyncIterable<AnySignature>

/** The values that a header gives to the body; nested groups come out reversed, so their places are not told apart. */
export type HeaderValues<T> =
  T extends GroupLike<infer V>
    ? V
    : T extends readonly AnySignature[]
      ? [Extract<T[number], GroupLike<readonly unknown[]>>] extends [never]
        ? ResultsOf<T>
        : ResultOfMember<T[number]>[]
      : T extends AnySignature
        ? [ResultOf<T>]
        : T extends Iterable<infer One> | AsyncIterable<infer One>
          ? ResultOfMember<One>[]
          : never

/** The arguments that a header takes. */
export type HeaderArgs<T> = T extends readonly unknown[]
  ? ArgsOfAll<T>
  : T extends AnySignature
    ? ArgsOf<T>
    : T extends Iterable<infer One> | AsyncIterable<infer One>
      ? ArgsOf<One>
      : Arguments
