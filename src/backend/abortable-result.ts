import type { AnyResult } from './any-result.js'
import { AsyncResult } from './async-result.js'
import type { ResultContext } from './result-context.js'

const ABORTED = 'ABORTED'

/**
 * A result whose task can be asked to end (`celery/contrib/abortable.py`, surface TST-021): `abort()` stores the state
 * ABORTED, and the task looks with `self.isAborted()`. Needs a result store that both can reach.
 */
export class AbortableAsyncResult<R = unknown> extends AsyncResult<R> {
  private readonly context: ResultContext

  constructor(id: string, context: ResultContext, options: { readonly parent?: AnyResult | undefined } = {}) {
    super(id, context, options)
    this.context = context
  }

  /** Stores ABORTED in the place of what is stored. The task decides when, and whether, it looks. */
  async abort(): Promise<void> {
    const nothing = { traceback: undefined, children: undefined, dateDone: undefined }
    await this.context.backend.store({ taskId: this.id, state: ABORTED, result: null, ...nothing })
  }

  /** Whether the task was asked to end; false again once it has stored how it ended. */
  async isAborted(): Promise<boolean> {
    return (await this.state()) === ABORTED
  }
}
