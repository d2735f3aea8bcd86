import { describe, expect, it } from 'vitest'
import type { Outcome } from '../execution/outcome.js'
import { type AckPolicy, settlementFor } from './settlement.js'

const error = { type: 'ValueError', module: 'builtins', args: [], traceback: undefined }
const celery: AckPolicy = {
  acksOnFailureOrTimeout: true,
  acksOnFailure: null,
  acksOnTimeout: null,
  rejectOnWorkerLost: false,
}
const outcomes = {
  succeeded: { kind: 'succeeded', resultRepr: '1', seconds: 1 },
  failed: { kind: 'failed', error, expected: false },
  retried: { kind: 'retried', error, when: 'in 1s' },
  ignored: { kind: 'ignored' },
  rejected: { kind: 'rejected', requeue: false, error },
  requeued: { kind: 'rejected', requeue: true, error },
  timedOut: { kind: 'timed-out', seconds: 3 },
  terminated: { kind: 'terminated', signal: 'SIGTERM' },
  lost: { kind: 'lost', exitCode: 9 },
} satisfies Record<string, Outcome>

describe('settlement of a late-acked delivery', () => {
  it.each([
    ['ACK-002 success', outcomes.succeeded, {}, 'ack'],
    ['ACK-004 exception', outcomes.failed, {}, 'ack'],
    ['ACK-005 exception without acks_on_failure', outcomes.failed, { acksOnFailureOrTimeout: false }, 'drop'],
    ['ACK-005 exception, the specific option wins', outcomes.failed, { acksOnFailure: false }, 'drop'],
    ['ACK-006 Ignore', outcomes.ignored, { acksOnFailureOrTimeout: false }, 'ack'],
    ['ACK-008 Reject', outcomes.rejected, {}, 'drop'],
    ['ACK-010 Reject with requeue', outcomes.requeued, {}, 'requeue'],
    ['ACK-012 Retry', outcomes.retried, { acksOnFailureOrTimeout: false }, 'ack'],
    ['ACK-014 hard limit', outcomes.timedOut, {}, 'ack'],
    [
      'ACK-015 hard limit without acks_on_timeout',
      outcomes.timedOut,
      { acksOnFailureOrTimeout: false },
      'requeue',
    ],
    ['ACK-015 hard limit, the specific option wins', outcomes.timedOut, { acksOnTimeout: false }, 'requeue'],
    ['ACK-018 lost', outcomes.lost, {}, 'ack'],
    ['ACK-019 lost with reject_on_worker_lost', outcomes.lost, { rejectOnWorkerLost: true }, 'requeue'],
    ['ACK-020 lost without acks_on_failure', outcomes.lost, { acksOnFailureOrTimeout: false }, 'drop'],
    ['ACK-025 terminated', outcomes.terminated, { acksOnFailureOrTimeout: false }, 'ack'],
  ] as const)('%s', (_name, outcome, change, expected) => {
    expect(settlementFor(outcome, { ...celery, ...change })).toBe(expected)
  })
})
