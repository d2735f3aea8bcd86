import { randomUUID } from 'node:crypto'
import type { ChordCounter, ResultBackend } from '../backend/backend.js'
import type { Freezing } from './freeze.js'
import type { Host } from './host.js'
import type { RunGate } from './run-gate.js'

/** What sending needs. */
export interface Applier {
  send: Host['send']
  sendMany: Host['sendMany']
  /** Present when the backend counts chord parts; otherwise `celery.chord_unlock` is sent. */
  readonly chords?: ChordCounter | undefined
  /** Saves the shape of a chord's header whose values are to arrive as lists (surface CNV-109). */
  readonly storeGroup?: ResultBackend['storeGroup']
  readonly newId?: (() => string) | undefined
  /** `task_allow_error_cb_on_chord_header`; default false. */
  readonly errbacksOnChordHeader?: boolean | undefined
  /** `interval`, `countdown` and `max_retries` of the `celery.chord_unlock` that is sent. */
  readonly unlock?: Readonly<Record<string, unknown>>
  /** What is done for a run goes through this: its gate. */
  readonly effect?: <T>(act: () => Promise<T>) => Promise<T>
}

/** Sends through `host`, and through the gate of the run that it is done for, where there is one. */
export function applierOf(host: Host, gate?: RunGate): Applier {
  const effect = <T>(act: () => Promise<T>): Promise<T> => (gate === undefined ? act() : gate.effect(act))
  return {
    send: (signature, options) => effect(() => host.send(signature, options)),
    sendMany: (signatures, options) => effect(() => host.sendMany(signatures, options)),
    chords: host.backend.chords,
    storeGroup: (id, tuple) => host.backend.storeGroup(id, tuple),
    newId: host.newId,
    errbacksOnChordHeader: host.execution.errbacksOnChordHeader,
    effect,
  }
}

/** Ids and rules for what is frozen before it is sent. */
export function freezingOf({
  newId = randomUUID,
  errbacksOnChordHeader,
}: Omit<Freezing, 'newId'> & {
  readonly newId?: (() => string) | undefined
}): Freezing {
  return { newId, errbacksOnChordHeader }
}
