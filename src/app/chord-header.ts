/** The results of a chord's header in `as_tuple` form (wire-format 8.2): `[[id, parent], null | [members]]`. */
import type { ResultMeta } from '../../protocol/result-meta.js'

/** Ids of all tasks in these tuples, groups taken apart, in order. */
export function headerLeaves(tuples: readonly unknown[]): readonly string[] {
  return tuples.flatMap((tuple) => {
    const { id, members } = read(tuple)
    return members === undefined ? [id] : headerLeaves(members)
  })
}

/** Their values, in the same order; those of a group as a list. */
export function valuesOf(
  tuples: readonly unknown[],
  metas: ReadonlyMap<string, ResultMeta>,
): readonly unknown[] {
  return tuples.map((tuple) => {
    const { id, members } = read(tuple)
    return members === undefined ? metas.get(id)?.result : valuesOf(members, metas)
  })
}

/** A bare id in the place of the first pair is accepted, as by Celery. */
function read(tuple: unknown): { readonly id: string; readonly members: readonly unknown[] | undefined } {
  if (!Array.isArray(tuple)) return { id: String(tuple), members: undefined }
  const [head, members] = tuple as readonly unknown[]
  const id = Array.isArray(head) ? head[0] : head
  return { id: String(id), members: Array.isArray(members) ? members : undefined }
}
