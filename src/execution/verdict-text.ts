/** Celery's words for what ends a run without failing it (`Retry` and `Reject` in `celery/exceptions.py`). */
import { remoteErrorRepr } from '../../protocol/remote-error.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { Reject } from '../errors.js'

/** `in 3s`, or `at 2026-11-20T10:00:00.000+00:00` (`Retry.humanize`). */
export function humanizeWhen(when: number | Date | string | undefined): string {
  if (typeof when === 'number') return `in ${when}s`
  return `at ${when instanceof Date ? when.toISOString().replace('Z', '+00:00') : String(when)}`
}

/** The text of a `Retry` (surface TSK-087); `exc` may be missing. */
export function retryMessage(when: number | Date | string | undefined, exc: unknown): string {
  const text = `Retry ${humanizeWhen(when)}`
  return exc === undefined || exc === null ? text : `${text}: ${remoteErrorRepr(remoteErrorFrom(exc))}`
}

/** `reject requeue=False: reason`, as Python shows a `Reject`. */
export function rejectText(error: Reject): string {
  const { reason } = error
  const why = reason instanceof Error ? reason.message : (reason ?? 'None')
  return `reject requeue=${error.requeue ? 'True' : 'False'}: ${String(why)}`
}
