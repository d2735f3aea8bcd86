/** The tree of results that a task's result leads to (`celery/result.py` iterdeps, collect, get_leaf, build_graph). */
import { TaskError } from '../errors.js'
import type { AnyResult, GetOptions } from './any-result.js'
import { ResultGraph } from './result-graph.js'

/** A tree was read while part of it was not ready, so its children are not known yet (Celery's `IncompleteStream`). */
export class IncompleteStreamError extends TaskError {
  override readonly code = 'INCOMPLETE_STREAM'
}

/**
 * Breadth first, as pairs of a parent and a node; the root has no parent. Throws `IncompleteStreamError` behind a node
 * that is not ready, unless `intermediate` is true.
 */
export async function* iterateDependencies(
  root: AnyResult,
  { intermediate = false }: { readonly intermediate?: boolean } = {},
): AsyncGenerator<readonly [parent: AnyResult | undefined, node: AnyResult], void, undefined> {
  const queue: (readonly [AnyResult | undefined, AnyResult])[] = [[undefined, root]]
  for (let pair = queue.shift(); pair !== undefined; pair = queue.shift()) {
    yield pair
    const [, node] = pair
    if (await node.ready()) {
      for (const child of (await node.children()) ?? []) queue.push([node, child])
    } else if (!intermediate) {
      throw new IncompleteStreamError(
        String(node),
        `${String(node)} is not ready, so what it sent is not known yet. Wait for it, or pass intermediate: true.`,
      )
    }
  }
}

/** Waits for each result of the tree, and yields it with its value. */
export async function* collectValues(
  root: AnyResult,
  options: GetOptions & { readonly intermediate?: boolean } = {},
): AsyncGenerator<readonly [result: AnyResult, value: unknown], void, undefined> {
  for await (const [, node] of iterateDependencies(root, options)) yield [node, await node.get(options)]
}

/** The value of the last result of the tree. */
export async function leafValue(root: AnyResult, options: GetOptions = {}): Promise<unknown> {
  let value: unknown
  for await (const [, node] of iterateDependencies(root)) value = await node.get(options)
  return value
}

/** The tree as a graph. */
export async function graphOf(
  root: AnyResult,
  options: { readonly intermediate?: boolean } = {},
): Promise<ResultGraph> {
  const graph = new ResultGraph(String(root))
  for await (const [parent, node] of iterateDependencies(root, options)) {
    graph.addNode(node)
    if (parent !== undefined) graph.addEdge(parent, node)
  }
  return graph
}
