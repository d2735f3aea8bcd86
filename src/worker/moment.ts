/** Moments of task messages as epoch milliseconds (`celery/worker/request.py`, `utils/time.py` maybe_make_aware). Pure. */
import { InvalidTaskError } from '../../protocol/errors.js'
import { isoToEpochMs, parseIsoDateTime } from '../../protocol/iso-time.js'

/**
 * Epoch milliseconds of `text`, microseconds kept as a fraction; undefined for none. A time without an offset is UTC,
 * whatever `timezone` says: `maybe_make_aware` takes naive times as UTC first. (Seen with Celery 5.6.3: the zone
 * changes how the moment is shown, not when it is.) Throws `InvalidTaskError` naming `what`.
 */
export function momentMs(text: string | undefined, what: 'ETA' | 'expires'): number | undefined {
  if (text === undefined || text === '') return undefined
  try {
    const parts = parseIsoDateTime(text)
    return isoToEpochMs(parts) + (parts.microsecond % 1000) / 1000
  } catch (error) {
    throw new InvalidTaskError(`invalid ${what} value ${JSON.stringify(text)}: ${String(error)}`, {
      cause: error,
    })
  }
}
