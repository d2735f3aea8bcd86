import { epochMsToIso } from '../../protocol/iso-time.js'

/** ISO text of the present: many tasks end in one millisecond. */
export class DateTexts {
  private nowMs = Number.NaN
  private text = ''

  /** The text of a moment in epoch milliseconds. */
  of(nowMs: number): string {
    if (nowMs !== this.nowMs) {
      this.nowMs = nowMs
      this.text = epochMsToIso(nowMs)
    }
    return this.text
  }
}
