import { PROPAGATE_STATES, READY_STATES } from '../../protocol/task-state.js'
import type { AnyResult } from './any-result.js'
import type { ResultBackend } from './backend.js'
import { toTaskError } from './task-error.js'

/**
 * Looks whether a parent of a result has failed, since the task will then never run (`_maybe_reraise_parent_error` in
 * `celery/result.py`; surface RES-047). Looks now and then: who waits for a chord would otherwise be sent the result of
 * every part of it.
 */
export class ParentErrors {
  readonly #backend: ResultBackend
  readonly #parents: readonly string[]
  /** Those that may fail yet. */
  #open: readonly string[]

  /** `parents`: the oldest first; a group stands for its members. */
  constructor(backend: ResultBackend, parent: AnyResult | undefined) {
    this.#backend = backend
    this.#parents = tasksOf(parent).map(String)
    this.#open = this.#parents
  }

  /** Of all parents. */
  get ids(): readonly string[] {
    return this.#parents
  }

  /** Throws the error of the oldest one that has failed, and what the store throws. */
  async look(): Promise<void> {
    if (this.#open.length === 0) return
    const metas = await this.#backend.fetchMany(this.#open)
    for (const id of this.#open) {
      const meta = metas.get(id)
      if (meta !== undefined && PROPAGATE_STATES.has(meta.state)) throw toTaskError(meta)
    }
    if (metas.size > 0) this.#open = this.#open.filter((id) => !READY_STATES.has(metas.get(id)?.state ?? ''))
  }

  /** `look` beside a wait for the result itself, which finds out when the store is away for good. */
  async lookAside(): Promise<void> {
    try {
      await this.look()
    } catch (error) {
      if (!isRetriable(error)) throw error
    }
  }
}

function tasksOf(parent: AnyResult | undefined): readonly AnyResult[] {
  const generations: (readonly AnyResult[])[] = []
  for (let node = parent; node !== undefined; node = node.parent) generations.push(membersOf(node))
  return generations.reverse().flat()
}

function membersOf(result: AnyResult): readonly AnyResult[] {
  return result.results === undefined ? [result] : result.results.flatMap(membersOf)
}

function isRetriable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'retriable' in error && error.retriable === true
}
