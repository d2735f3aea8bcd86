/**
 * A JavaScript stack as text where Python people look for a traceback: headed and ended as theirs, frames turned so
 * that the most recent call is last, causes first. The frames keep V8's own form, with file, line and column.
 */

/** Deepest chain of causes shown. */
const MAX_CAUSES = 10
/** Longest text kept, in UTF-16 units: a stack is read by people, and stored for every failure. */
const MAX_LENGTH = 65_536

const CAUSED = '\n\nThe above exception was the direct cause of the following exception:\n\n'

/** The traceback of an error and its causes; a remote error's own traceback comes before ours. Never throws for errors. */
export function tracebackText(error: Error): string {
  const parts: string[] = []
  const seen = new Set<unknown>()
  let current: unknown = error
  while (current instanceof Error && !seen.has(current) && parts.length < MAX_CAUSES) {
    seen.add(current)
    parts.unshift(oneTraceback(current))
    const remote = (current as { readonly traceback?: unknown }).traceback
    if (typeof remote === 'string' && remote !== '') {
      parts.unshift(remote.trimEnd())
      break
    }
    current = current.cause
  }
  if (current !== undefined && current !== null && !(current instanceof Error) && parts.length < MAX_CAUSES) {
    parts.unshift(String(current))
  }
  if (parts.length === 0) parts.push(oneTraceback(error))
  const text = `${parts.join(CAUSED)}\n`
  // the end says what happened, so the beginning is what goes
  return text.length <= MAX_LENGTH ? text : `...\n${text.slice(-MAX_LENGTH)}`
}

function oneTraceback(error: Error): string {
  const stack = typeof error.stack === 'string' ? error.stack : ''
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line))
  const said = `${error.name}${error.message === '' ? '' : `: ${error.message}`}`
  return ['Traceback (most recent call last):', ...frames.reverse(), said].join('\n')
}
