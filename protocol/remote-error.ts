/** An error in Celery's stored shape, so that it survives threads, processes and languages (wire-format 8.3). */
export interface RemoteError {
  /** `exc_type`: the qualified class name. */
  readonly type: string
  /** `exc_module`; `undefined` when the store has null or nothing. */
  readonly module: string | undefined
  /** `exc_message`: the constructor's arguments. */
  readonly args: readonly unknown[]
  readonly traceback: string | undefined
}
