import { DecodeError } from '../../protocol/errors.js'
import type { AnyResult } from './any-result.js'

/** Makes results of the parts of a tuple. */
export interface ResultMaker {
  task(id: string, parent: AnyResult | undefined): AnyResult
  group(id: string, results: readonly AnyResult[], parent: AnyResult | undefined): AnyResult
}

/** Deeper trees are somebody's mistake or malice; Python's own recursion ends at about this depth. */
const MAX_DEPTH = 500

/**
 * Builds the result that a tuple describes (`celery/result.py` result_from_tuple, surface RES-018, RES-078). A bare id
 * in place of `[id, parent]` is accepted, and so is a result object. Throws `DecodeError` for anything else.
 */
export function buildResult(tuple: unknown, make: ResultMaker, depth = 0): AnyResult {
  if (isResult(tuple)) return tuple
  if (depth > MAX_DEPTH) throw new DecodeError(`A result tuple is nested more than ${MAX_DEPTH} deep.`)
  if (!Array.isArray(tuple) || tuple.length !== 2) throw unreadable(tuple)
  const [head, nodes]: unknown[] = tuple
  const [id, parentTuple]: unknown[] = Array.isArray(head) ? head : [head]
  if (typeof id !== 'string' || id === '') throw unreadable(tuple)
  const parent = isNothing(parentTuple) ? undefined : buildResult(parentTuple, make, depth + 1)
  if (isNothing(nodes)) return make.task(id, parent)
  if (!Array.isArray(nodes)) throw unreadable(tuple)
  return make.group(
    id,
    nodes.map((node: unknown) => buildResult(node, make, depth + 1)),
    parent,
  )
}

/** Whether a value is a result object already. */
export function isResult(value: unknown): value is AnyResult {
  return (
    typeof value === 'object' && value !== null && 'asTuple' in value && typeof value.asTuple === 'function'
  )
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined
}

function unreadable(tuple: unknown): DecodeError {
  const text = JSON.stringify(tuple, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  return new DecodeError(
    `Not a result tuple: ${(text ?? String(tuple)).slice(0, 200)}. It should be [[id, parent], null] or [[id, parent], children].`,
  )
}
