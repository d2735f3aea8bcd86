/** State names of `celery/states.py`; custom ones are any other string. */
export type TaskState =
  | 'PENDING'
  | 'RECEIVED'
  | 'STARTED'
  | 'SUCCESS'
  | 'FAILURE'
  | 'RETRY'
  | 'REVOKED'
  | 'REJECTED'
  | 'IGNORED'
  | (string & {})

/** What a result store keeps for one task, in our spelling (wire-format 8.2). */
export interface ResultMeta {
  readonly taskId: string
  /** `status` on the wire. */
  readonly state: TaskState
  /** The value; for FAILURE, RETRY and REVOKED a `RemoteError`; for custom states the meta given to `updateState`. */
  readonly result: unknown
  readonly traceback: string | undefined
  /** `as_tuple` forms of the results of sub-tasks; `undefined` (null on the wire) when stored outside a task. */
  readonly children: readonly unknown[] | undefined
  /** ISO text, only for ready states. */
  readonly dateDone: string | undefined
  readonly groupId?: string
  readonly parentId?: string
  /** name, args, kwargs, worker, retries, queue, stamped_headers and stamps (wire names), with `result_extended`. */
  readonly extended?: Readonly<Record<string, unknown>>
}
