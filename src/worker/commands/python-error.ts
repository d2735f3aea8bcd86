import { pyRepr } from '../../../protocol/python-repr.js'

/** An error that a command reports by the name of a Python class. */
export class PythonError extends Error {
  /** `excType` as Python names it, `KeyError`. */
  constructor(excType: string, message: string) {
    super(message)
    this.name = excType
  }
}

/** `repr(exc)` as Python's workers report it: `KeyError('nope')` (surface CTL-010). */
export function errorRepr(error: unknown): string {
  if (!(error instanceof Error)) return pyRepr(String(error))
  return `${error.name}(${pyRepr(error.message)})`
}
