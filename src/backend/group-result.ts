import type { AnyResult, WaitOptions } from './any-result.js'
import type { ResultBackend } from './backend.js'
import { groupProgress, type ProgressStream, showProgress } from './group-progress.js'
import type { ResultContext } from './result-context.js'
import { ResultSet } from './result-set.js'

/**
 * The results of a group, under the group's id (`celery/result.py` GroupResult, surface RES-073, RES-074). Restoring is
 * `restoreGroup(id, context)`.
 */
export class GroupResult<T extends readonly unknown[] = readonly unknown[]> extends ResultSet<T> {
  override readonly id: string
  override parent: AnyResult | undefined

  constructor(
    id: string,
    results: Iterable<AnyResult>,
    context: ResultContext,
    options: { readonly parent?: AnyResult | undefined } = {},
  ) {
    super(results, context)
    this.id = id
    this.parent = options.parent
  }

  /** Keeps the group in the store, so that any process can restore it by its id. */
  async save(backend: ResultBackend = this.context.backend): Promise<void> {
    await backend.storeGroup(this.id, this.asTuple())
  }

  /** Deletes what `save` kept; the members' results stay. */
  async delete(backend: ResultBackend = this.context.backend): Promise<void> {
    await backend.forgetGroup(this.id)
  }

  /** How many of its tasks have ended, at once and again as each does; see `groupProgress`. */
  progress(options: WaitOptions = {}): ReturnType<typeof groupProgress> {
    return groupProgress(this, this.context, options)
  }

  /** Writes how far it is to `stream`, default stderr, until the last task has ended; see `showProgress`. */
  showProgress(stream?: ProgressStream, options: WaitOptions = {}): Promise<void> {
    return showProgress(this, this.context, stream, options)
  }

  /** By id, members and parent with another group; by id with a text. */
  override equals(other: unknown): boolean {
    if (!(other instanceof GroupResult)) return other === this.id
    const isSameParent =
      this.parent === undefined ? other.parent === undefined : this.parent.equals(other.parent)
    return other.id === this.id && isSameParent && super.equals(other)
  }

  /** The id. */
  override toString(): string {
    return this.id
  }
}
