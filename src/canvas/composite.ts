import { allowJoinResult } from '../backend/allow-join.js'
import type { AnyResult } from '../backend/any-result.js'
import { InvalidArgumentError } from '../errors.js'
import type { Arguments } from './call-types.js'
import { Outbox } from './outbox.js'
import { Signature, type SignatureCall, type WireCall, wireCall } from './signature.js'

/** What chains, groups and chords have in common: they are several tasks, sent together (`celery/canvas.py`). */
export abstract class Composite<A extends Arguments, R, H extends AnyResult> extends Signature<A, R, H> {
  /**
   * Sends it; resolves when the broker has every message that can be sent now. With `taskAlwaysEager` it runs here.
   * Throws as `delay` of a task does, and `InvalidArgumentError` for what cannot be sent.
   */
  override applyAsync(call: SignatureCall<A> = {}): Promise<H> {
    return this.app.underWay(this.start(wireCall(call), call.signal))
  }

  override applyWire(call: WireCall, signal?: AbortSignal): Promise<H> {
    return this.app.underWay(this.start(call, signal))
  }

  override get isSingle(): boolean {
    return false
  }

  /** There is no function to call: Python's `chain(...)()` sends, which here is `delay()`. */
  override call(): never {
    throw new InvalidArgumentError(
      `${this.task} has no function of its own: send it with delay() or applyAsync()`,
    )
  }

  private async start(call: WireCall, signal: AbortSignal | undefined): Promise<H> {
    if (this.app.canvas.alwaysEager) {
      await this.load(signal)
      return (await allowJoinResult(() => this.applyEagerly(call))) as H
    }
    return this.publish(call, signal)
  }

  /** Plans all of it and sends it in one batch. */
  protected async publish(call: WireCall, signal: AbortSignal | undefined): Promise<H> {
    await this.load(signal)
    const outbox = new Outbox()
    const result = this.plan(call, outbox)
    await outbox.send(this.app, { signal })
    return result
  }

  abstract override plan(call: WireCall, outbox: Outbox): H
  abstract override applyEagerly(call: WireCall): Promise<AnyResult>
}
