import type { RemoteError } from '../../protocol/remote-error.js'

/** How one run of a task ended. Ack or reject is decided from this alone (`worker/settlement.ts`). */
export type Outcome =
  | { readonly kind: 'succeeded'; readonly resultRepr: string; readonly seconds: number }
  /** `isUnstored`: the result store did not take the failure; the worker may try once more (surface ACK-029). */
  | {
      readonly kind: 'failed'
      readonly error: RemoteError
      readonly expected: boolean
      readonly isUnstored?: boolean
    }
  /** `error` is undefined when `retry()` was called without an error. `when` is `in 3s`, or `at 2026-...`. */
  | { readonly kind: 'retried'; readonly error: RemoteError | undefined; readonly when: string }
  | { readonly kind: 'ignored' }
  | { readonly kind: 'rejected'; readonly requeue: boolean; readonly error: RemoteError }
  /** The hard limit; the slot is written off. `seconds` is the limit. */
  | { readonly kind: 'timed-out'; readonly seconds: number }
  | { readonly kind: 'terminated'; readonly signal: string }
  | { readonly kind: 'lost'; readonly exitCode: number | undefined }
