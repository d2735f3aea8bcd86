import type { ResultBackend } from '../backend/backend.js'
import type { PendingChord, PendingOptions } from '../backend/pending-chord.js'
import { NotSupportedError } from '../errors.js'

/** The chords of an app that are under way: `app.chords`. */
export class Chords {
  readonly #backend: () => ResultBackend

  constructor(backend: () => ResultBackend) {
    this.#backend = backend
  }

  /**
   * The chords whose body has not been sent, whichever language sent them, with the parts that are missing, in no order.
   * Reads the counters in Redis page by page; changes nothing. Throws `NotSupportedError` with other results, where
   * `celery.chord_unlock` waits for the parts and nothing is counted, `BackendUnavailableError`, and the signal's reason.
   */
  pending(options: PendingOptions = {}): AsyncIterable<PendingChord> {
    const { chords, displayUrl } = this.#backend()
    if (chords?.pending !== undefined) return chords.pending(options)
    throw new NotSupportedError(
      `The result backend ${displayUrl} does not count the parts of chords, so the pending ones cannot be listed; ` +
        'Redis does (resultBackend redis://).',
    )
  }
}
