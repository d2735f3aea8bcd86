/** The `as_tuple` form of results and groups (`celery/result.py`, wire-format 8.2, surface RES-018). */
import { DecodeError } from './errors.js'
import { describe } from './mapping.js'

/** A result, or a group of results, with where it came from. */
export interface ResultTree {
  readonly id: string
  readonly parent?: ResultTree
  /** Present for groups only; empty for a group of nothing. */
  readonly children?: readonly ResultTree[]
}

/** Deepest nesting read: a long chain has as many parents as steps. */
const MAX_DEPTH = 1000

/** `[[id, parent], null]` of a task. */
export function resultTuple(id: string, parent: unknown = null): unknown {
  return [[id, parent ?? null], null]
}

/** `[[id, parent], [child, ...]]` of a group. */
export function groupTuple(id: string, children: readonly unknown[], parent: unknown = null): unknown {
  return [[id, parent ?? null], children]
}

/** The tuple form of a tree. */
export function resultTreeToTuple(tree: ResultTree): unknown {
  const parent = tree.parent === undefined ? null : resultTreeToTuple(tree.parent)
  return tree.children === undefined
    ? resultTuple(tree.id, parent)
    : groupTuple(tree.id, tree.children.map(resultTreeToTuple), parent)
}

/** Reads a tuple form; a bare id in place of `[id, parent]` is accepted. Throws `DecodeError`. */
export function parseResultTree(tuple: unknown): ResultTree {
  return parse(tuple, 0)
}

function parse(tuple: unknown, depth: number): ResultTree {
  if (depth > MAX_DEPTH) throw new DecodeError(`A result is nested deeper than ${MAX_DEPTH} levels.`)
  if (!Array.isArray(tuple) || tuple.length !== 2) {
    throw new DecodeError(`A result is ${describe(tuple)}, not [[id, parent], children].`)
  }
  const [own, nodes] = tuple as [unknown, unknown]
  if (Array.isArray(own) && own.length !== 2) {
    throw new DecodeError(`The head of a result is ${describe(own)}, not [id, parent].`)
  }
  const [id, parent] = (Array.isArray(own) ? own : [own, null]) as [unknown, unknown]
  if (typeof id !== 'string') throw new DecodeError(`The id of a result is ${describe(id)}, not text.`)
  const hasParent = parent !== null && parent !== undefined && parent !== ''
  if (nodes !== null && nodes !== undefined && !Array.isArray(nodes)) {
    throw new DecodeError(`The children of a result are ${describe(nodes)}, not a list.`)
  }
  return {
    id,
    ...(hasParent ? { parent: parse(parent, depth + 1) } : {}),
    ...(Array.isArray(nodes) ? { children: nodes.map((node: unknown) => parse(node, depth + 1)) } : {}),
  }
}
