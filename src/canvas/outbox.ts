/**
 * What a canvas is about to send. It is planned in one go, without waiting, and sent in one batch
 * (`celery/canvas.py` sends message by message).
 *
 * Rule 1: nothing is sent before everything was planned: a canvas that cannot be sent sends no part of itself.
 * Rule 2: what the backend must know (sizes and shapes of chord headers) is written before the first message.
 */
import type { AnyResult } from '../backend/any-result.js'
import type { Call, SignatureApp } from './signature-app.js'

/** Collects calls; `send` sends them. */
export class Outbox {
  readonly calls: Call[] = []
  /** Writes that must be done before the first message goes out. */
  readonly before: (() => Promise<void>)[] = []
  /** Results that become children of the task that is running here. */
  readonly trail: AnyResult[] = []

  /** Sends all, in order. Throws what the backend and the publisher do. */
  async send(app: SignatureApp, signal?: AbortSignal): Promise<void> {
    await Promise.all(this.before.map((write) => write()))
    if (this.calls.length > 0) {
      await app.dispatchMany(
        signal === undefined
          ? this.calls
          : this.calls.map((call) => ({ ...call, options: { ...call.options, signal } })),
      )
    }
    for (const result of this.trail) app.addTrail(result)
  }
}
