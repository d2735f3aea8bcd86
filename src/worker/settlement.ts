/** What the broker is told when a run has ended (`Request.on_failure` and `on_timeout`; surface 2.7). Pure. */
import type { TaskOptions } from '../execution/host.js'
import type { Outcome } from '../execution/outcome.js'

/** ack: done. requeue: again, later. drop: rejected without requeue, dead-lettered where the broker does that. */
export type Settlement = 'ack' | 'requeue' | 'drop'

/** The options of a task that decide its settlement. */
export type AckPolicy = Pick<
  TaskOptions,
  'acksOnFailureOrTimeout' | 'acksOnFailure' | 'acksOnTimeout' | 'rejectOnWorkerLost'
>

/** Celery's rules for a late-acked delivery. (An early-acked one was settled when it started.) */
export function settlementFor(outcome: Outcome, policy: AckPolicy): Settlement {
  const acksOnFailure = policy.acksOnFailure ?? policy.acksOnFailureOrTimeout
  const acksOnTimeout = policy.acksOnTimeout ?? policy.acksOnFailureOrTimeout
  switch (outcome.kind) {
    case 'succeeded':
    case 'retried':
    case 'ignored':
    case 'terminated':
      return 'ack'
    case 'rejected':
      return outcome.requeue ? 'requeue' : 'drop'
    case 'failed':
      return acksOnFailure ? 'ack' : 'drop'
    case 'timed-out':
      return acksOnTimeout ? 'ack' : 'requeue'
    case 'lost':
      return policy.rejectOnWorkerLost ? 'requeue' : acksOnFailure ? 'ack' : 'drop'
  }
}

/** Celery loses such a task without a word (ACK-009): it was acknowledged at its start. We say so. */
export function lostRejectText({ name, id }: { readonly name: string; readonly id: string }): string {
  return (
    `Task ${name}[${id}] asked to be requeued, but its message was acknowledged when it started. ` +
    'Set acksLate on the task to let Reject put messages back.'
  )
}

/** Its broker took the message of a late task back with the connection (WRK-090). */
export function redeliveryText({ name, id }: { readonly name: string; readonly id: string }): string {
  return (
    `Task ${name}[${id}] has ended but could not be acknowledged, since its connection was lost meanwhile: the broker ` +
    'delivers it again. What comes back after its end is recognised with worker_deduplicate_successful_tasks.'
  )
}
