/** How the arguments of a task appear in the types of `delay`, `s`, `si` and `applyAsync`; nothing here runs. */
import type { Kw } from './kw.js'

/** Any arguments. */
export type Arguments = readonly unknown[]

/** Any keyword arguments. */
export type AnyKwargs = Readonly<Record<string, unknown>>

/** A list of arguments, or as many of its first ones as one likes: the others come by keyword. */
export type Prefix<A extends Arguments> = number extends A['length']
  ? A
  : A extends readonly []
    ? []
    : A extends readonly [infer First, ...infer Rest]
      ? [] | [First, ...Prefix<Rest>]
      : A extends readonly [(infer First)?, ...infer Rest]
        ? [] | [First, ...Prefix<Rest>]
        : A

/** A list of arguments, or as many of its last ones as one likes: whoever applies the signature prepends the others. */
export type Suffix<A extends Arguments> = number extends A['length']
  ? A
  : A extends readonly []
    ? []
    : A extends readonly [unknown?, ...infer Rest]
      ? A | Suffix<Rest>
      : A

/** What is left of `A` when its last arguments `G` are given; any first ones where some may be left out. */
export type Without<A extends Arguments, G extends Arguments> = number extends A['length']
  ? A
  : A extends Required<A>
    ? BeforeLast<A, G>
    : Prefix<A>

type BeforeLast<A extends Arguments, G extends Arguments> = G extends readonly [unknown, ...infer Rest]
  ? A extends readonly [...infer Before, unknown]
    ? BeforeLast<Before, Rest>
    : []
  : A

/** The arguments of a call: all of them, or the first ones and the others by `kw(...)`. */
export type CallArguments<A extends Arguments, K extends object> = A | [...Prefix<A>, Kw<K>]

/** Keyword arguments by the names of `params`, each of the type of the argument in its place. */
export type KwargsOf<P extends readonly string[], A extends Arguments> = number extends P['length']
  ? AnyKwargs
  : {
      readonly [I in Exclude<keyof P, keyof (readonly unknown[])> as ParameterName<P[I]>]?: I extends keyof A
        ? A[I]
        : unknown
    }

/** The name without the mark of a parameter that may be left out (`'size?'`). */
export type ParameterName<N> = N extends `${infer Name}?` ? Name : N & string
