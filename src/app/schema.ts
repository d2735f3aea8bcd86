/**
 * Validation of arguments and results by any library that follows the Standard Schema (zod, valibot, arktype).
 * The interface is that of https://standardschema.dev, version 1, copied so that nothing has to be installed.
 */
import { ValidationError } from '../errors.js'

/** A schema of any library: the one property `~standard` is all that is asked of it. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaVerdict<Output> | Promise<SchemaVerdict<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** What a schema answers: the value, perhaps changed, or what is wrong with it. */
export type SchemaVerdict<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

/** One thing that is wrong, and where. */
export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** The value as the schema gives it back. Throws `ValidationError`; `what` says which value of which task it is. */
export function validate<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
  what: string,
): Output | Promise<Output> {
  const verdict = schema['~standard'].validate(value)
  if (verdict instanceof Promise) return verdict.then((one) => checked(one, what))
  return checked(verdict, what)
}

function checked<Output>(verdict: SchemaVerdict<Output>, what: string): Output {
  if (verdict.issues === undefined) return verdict.value
  const issues = verdict.issues.map((issue) => ({ path: pathOf(issue), message: issue.message }))
  const text = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
  throw new ValidationError(`${what} not valid: ${text}`, issues)
}

function pathOf(issue: SchemaIssue): string {
  return (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
}
