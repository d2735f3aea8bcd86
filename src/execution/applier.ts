import type { Outbox } from '../canvas/outbox.js'
import type { SignatureApp } from '../canvas/signature-app.js'
import type { Handover } from '../transport/transport.js'
import type { Host } from './host.js'
import type { RunGate } from './run-gate.js'

/** What sending needs. */
export interface Applier {
  readonly app: SignatureApp
  /** What is done for a run goes through this: its gate. */
  readonly effect: <T>(act: () => Promise<T>) => Promise<T>
  /**
   * True where the same may have been sent before, by a run that ended in the death of its worker: tasks that are known
   * to have succeeded are not sent again.
   */
  readonly isAgain: boolean
  /**
   * Sends, and ends the message of the run in the same step (hand-over.ts): for the last act of a run. False where nothing was
   * done. Absent where nothing is run, or more comes after it.
   */
  readonly handOver?: ((outbox: Outbox, deletes: Handover['deletes']) => Promise<boolean>) | undefined
}

/** Sends through `host`, and through the gate of the run that it is done for, where there is one. */
export function applierOf(host: Host, gate?: RunGate, isAgain = false): Applier {
  return { app: host, effect: gate === undefined ? (act) => act() : (act) => gate.effect(act), isAgain }
}
