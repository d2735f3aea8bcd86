/**
 * What a canvas is about to send. It is planned in one go, without waiting, and sent in one batch
 * (`celery/canvas.py` sends message by message).
 *
 * Rule 1: nothing is sent before everything was planned: a canvas that cannot be sent sends no part of itself.
 * Rule 2: what the backend must know (sizes and shapes of chord headers) is written before the first message.
 */
import type { AnyResult } from '../backend/any-result.js'
import { orAborted } from '../or-aborted.js'
import type { Call, SignatureApp } from './signature-app.js'

/** How an outbox is sent. */
export interface SendingOptions {
  readonly signal?: AbortSignal | undefined
  /** Everything that is done goes through this; default it is just done. */
  readonly effect?: <T>(act: () => Promise<T>) => Promise<T>
}

/** Collects calls; `send` sends them. */
export class Outbox {
  readonly calls: Call[] = []
  /** Writes that must be done before the first message goes out. */
  readonly before: (() => Promise<void>)[] = []
  /** Results that become children of the task that is running here. */
  readonly trail: AnyResult[] = []

  /** Sends all, in order, each write and the batch through `effect`. Throws what it, the backend and the publisher do. */
  async send(app: SignatureApp, { signal, effect = (act) => act() }: SendingOptions = {}): Promise<void> {
    if (this.before.length > 0) {
      const writes = Promise.all(this.before.map((write) => effect(write)))
      await (signal === undefined ? writes : orAborted(writes, signal))
    }
    if (this.calls.length > 0) {
      const calls =
        signal === undefined
          ? this.calls
          : this.calls.map((call) => ({ ...call, options: { ...call.options, signal } }))
      await effect(() => app.dispatchMany(calls))
    }
    for (const result of this.trail) app.addTrail(result)
  }
}
