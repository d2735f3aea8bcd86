import type { ErrorMatcher } from './host.js'

/**
 * True when `error` is an instance of one of the classes, or passes one of the tests, in `matchers`; Python's `except`
 * with a tuple of classes. A test that throws counts as false.
 */
export function matchesAny(error: unknown, matchers: readonly ErrorMatcher[]): boolean {
  return matchers.some((matcher) => {
    if (isClass(matcher)) return error instanceof matcher
    try {
      return matcher(error)
    } catch {
      return false
    }
  })
}

type ErrorClass = abstract new (...args: never[]) => unknown

/** A class, native (`TypeError`), written with `class`, or an old-style constructor that inherits from `Error`. */
function isClass(matcher: ErrorMatcher): matcher is ErrorClass {
  const prototype: unknown = (matcher as ErrorClass).prototype
  if (prototype === undefined || prototype === null) return false
  return (
    matcher === (Error as ErrorMatcher) ||
    prototype instanceof Error ||
    /^class\b/.test(Function.prototype.toString.call(matcher))
  )
}
