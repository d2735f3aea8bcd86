import { InvalidArgumentError } from '../errors.js'

/** Python keyword arguments given as the last argument of `delay`, `s` or `si`; made by `kw`. */
export class Kw<out K extends object = Readonly<Record<string, unknown>>> {
  readonly values: K

  constructor(values: K) {
    this.values = values
  }
}

/**
 * Says that what follows are keyword arguments: `resize.delay('a.png', kw({ width: 100 }))` is Python's
 * `resize.delay('a.png', width=100)`. Only as the last argument of `delay`, `s` and `si` (surface PYO-017).
 */
export function kw<const K extends object>(values: K): Kw<K> {
  return new Kw(values)
}

/** The positional and keyword arguments of a call that may end in `kw(...)`. Throws `InvalidArgumentError` for one elsewhere. */
export function splitArguments(given: readonly unknown[]): {
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
} {
  const last = given.at(-1)
  for (let at = 0; at < given.length - 1; at += 1) {
    if (!(given[at] instanceof Kw)) continue
    throw new InvalidArgumentError('kw(...) must be the last argument, and there can be only one')
  }
  if (!(last instanceof Kw)) return { args: given, kwargs: {} }
  return { args: given.slice(0, -1), kwargs: { ...last.values } }
}
