import { constants } from 'node:os'
import { PythonError } from './python-error.js'

/**
 * The signal that a command names: `SIGTERM`, `TERM` or its number (`celery/platforms.py` Signals.signum). Nothing at
 * all is SIGTERM. Throws `PythonError` for one that this machine has not.
 */
export function signalName(given: unknown): NodeJS.Signals {
  if (given === null || given === undefined || given === '' || given === 0) return 'SIGTERM'
  const known = Object.entries(constants.signals)
  if (typeof given === 'number') {
    const found = known.find(([, number]) => number === given)
    if (found !== undefined) return found[0] as NodeJS.Signals
    throw new PythonError('ValueError', `${given} is not a valid Signals`)
  }
  if (typeof given !== 'string' || given !== given.toUpperCase()) {
    throw new PythonError('TypeError', 'signal name must be uppercase string.')
  }
  const name = given.startsWith('SIG') ? given : `SIG${given}`
  if (known.some(([one]) => one === name)) return name as NodeJS.Signals
  throw new PythonError('AttributeError', `module 'signal' has no attribute '${name}'`)
}
