import { systemClock } from '../clock.js'
import { InvalidArgumentError } from '../errors.js'
import { algebra } from './algebra.js'
import type { SignatureApp } from './signature-app.js'

/**
 * The app of a canvas without a single task: it gives ids, so that an empty group has a result, and refuses the rest.
 * Python takes the process's current app there; here is none.
 */
export function unboundApp(): SignatureApp {
  const refuse = (): never => {
    throw new InvalidArgumentError(
      'There is no task in this canvas, so it belongs to no app, and nothing can be sent',
    )
  }
  return {
    canvas: { alwaysEager: false, errbacksOnChordHeader: false, linksChains: false },
    algebra,
    oid: '',
    newId: () => crypto.randomUUID(),
    insideTask: () => false,
    addTrail: () => {},
    underWay: (sending) => sending,
    placeOf: () => undefined,
    get backend() {
      return refuse()
    },
    clock: systemClock(),
    send: refuse,
    dispatch: refuse,
    dispatchMany: refuse,
    dispatchEagerly: refuse,
    callTask: refuse,
    asyncResult: refuse,
  }
}
