/**
 * What arguments a task takes, and Python's words for those it does not (surface TSK-004, PYO-011).
 *
 * Rule 1: `params` decides where it is given: names in order, a `?` after those that may be left out. A parameter with
 * a default value may be left out, too.
 * Rule 2: without `params` the function's own head is read, for how many arguments it takes and for the names in
 * messages only. Keyword arguments are never mapped by it: a minifier would change the names on the wire.
 * Rule 3: without `params` a missing argument is undefined, as everywhere in JavaScript: the source does not tell `y`
 * from TypeScript's `y?`. Only where keyword arguments came that nothing takes is it refused, because they were meant
 * for it.
 * Rule 4: a head that cannot be read (native or bound functions, `arguments`) takes anything.
 */

/** The parameters of a task's function, `self` left out. */
export interface Parameters {
  /** In order; a parameter without a name of its own (destructuring) is named by its place. */
  readonly names: readonly string[]
  /** How many of the first ones the function wants; see rule 3 for when they must be given. */
  readonly required: number
  /** True when more than those of `names` may be given. */
  readonly isOpen: boolean
  /** True when keyword arguments are mapped to `names`. */
  readonly isNamed: boolean
}

/** Any function. */
export type AnyFunction = (...args: never[]) => unknown

/** What a function takes; `params` as in `TaskDefinition`, `skip` its first parameters (1 for `self`). */
export function parametersOf(
  fn: AnyFunction,
  params: readonly string[] | undefined,
  skip: number,
): Parameters {
  const head = readHead(fn)
  const own = head?.slice(skip) ?? []
  const rest = own.findIndex((parameter) => parameter.isRest)
  const fixed = rest === -1 ? own : own.slice(0, rest)
  if (params === undefined) {
    const names = fixed.map((parameter, index) => parameter.name ?? `arg${index + 1}`)
    return { names, required: requiredOf(fixed), isOpen: head === undefined || rest !== -1, isNamed: false }
  }
  const names = params.map((name) => name.replace(/\?$/, ''))
  const firstOptional = params.findIndex(
    (name, index) => name.endsWith('?') || fixed[index]?.hasDefault === true,
  )
  const required = firstOptional === -1 ? params.length : firstOptional
  return {
    names,
    required: rest === -1 ? required : Math.min(required, rest),
    isOpen: rest >= params.length,
    isNamed: true,
  }
}

/** Positional and keyword arguments as the function takes them, and the keyword arguments that no parameter takes. */
export interface Bound {
  readonly args: readonly unknown[]
  readonly surplus: Readonly<Record<string, unknown>>
}

/**
 * Puts keyword arguments in their places. Throws `TypeError` in Python's words for missing, surplus and doubled
 * arguments; `callName` is the function's name in them.
 */
export function bindArguments(
  callName: string,
  parameters: Parameters,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): Bound {
  const { names, required, isOpen, isNamed } = parameters
  if (args.length > names.length && !isOpen)
    throw new TypeError(surplusText(callName, parameters, args.length))
  // The usual call: every parameter is given, none by its name.
  if (args.length >= required && isEmpty(kwargs)) return { args: [...args], surplus: {} }
  const bound = [...args]
  const surplus: [string, unknown][] = []
  const isGiven = names.map((_, index) => index < args.length)
  for (const [name, value] of Object.entries(kwargs)) {
    const index = isNamed ? names.indexOf(name) : -1
    if (index === -1) {
      surplus.push([name, value])
      continue
    }
    if (index < args.length) throw new TypeError(`${callName}() got multiple values for argument '${name}'`)
    while (bound.length < index) bound.push(undefined)
    bound[index] = value
    isGiven[index] = true
  }
  const mustBeWhole = isNamed || surplus.length > 0
  const missing = names.filter((_, index) => mustBeWhole && index < required && !isGiven[index])
  if (missing.length > 0) throw new TypeError(missingText(callName, missing))
  return { args: bound, surplus: Object.fromEntries(surplus) }
}

function isEmpty(kwargs: Readonly<Record<string, unknown>>): boolean {
  for (const name in kwargs) if (Object.hasOwn(kwargs, name)) return false
  return true
}

/** As `bindArguments`, and refuses keyword arguments that no parameter takes: the check before a task is sent. */
export function checkArguments(
  callName: string,
  parameters: Parameters,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): void {
  const { surplus } = bindArguments(callName, parameters, args, kwargs)
  const unexpected = Object.keys(surplus)[0]
  if (parameters.isNamed && unexpected !== undefined) {
    throw new TypeError(`${callName}() got an unexpected keyword argument '${unexpected}'`)
  }
}

function missingText(callName: string, missing: readonly string[]): string {
  const quoted = missing.map((name) => `'${name}'`)
  const last = quoted.at(-1)
  const list =
    quoted.length === 1
      ? last
      : quoted.length === 2
        ? `${quoted[0]} and ${last}`
        : `${quoted.slice(0, -1).join(', ')}, and ${last}`
  const noun = quoted.length === 1 ? 'argument' : 'arguments'
  return `${callName}() missing ${quoted.length} required positional ${noun}: ${list}`
}

function surplusText(callName: string, { names, required }: Parameters, given: number): string {
  const most = names.length
  const takes = required < most ? `from ${required} to ${most}` : String(most)
  const noun = required === most && most === 1 ? 'argument' : 'arguments'
  return `${callName}() takes ${takes} positional ${noun} but ${given} ${given === 1 ? 'was' : 'were'} given`
}

interface Parameter {
  readonly name: string | undefined
  readonly hasDefault: boolean
  readonly isRest: boolean
}

function requiredOf(parameters: readonly Parameter[]): number {
  const firstOptional = parameters.findIndex((parameter) => parameter.hasDefault)
  return firstOptional === -1 ? parameters.length : firstOptional
}

/** The parameters in the function's source; undefined when it cannot be read. */
function readHead(fn: AnyFunction): readonly Parameter[] | undefined {
  const source = Function.prototype.toString.call(fn)
  if (source.includes('[native code]')) return undefined
  const single = /^(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u.exec(source)
  if (single !== null) return [{ name: single[1], hasDefault: false, isRest: false }]
  const open = source.indexOf('(')
  if (open === -1) return undefined
  const pieces = splitHead(source, open + 1)
  if (pieces === undefined) return undefined
  const isArrow = /^\s*=>/.test(source.slice(pieces.end))
  if (!isArrow && /\barguments\b/.test(source.slice(pieces.end))) return undefined
  return pieces.parts.map(readParameter)
}

function readParameter(text: string): Parameter {
  const isRest = text.startsWith('...')
  const match = /^([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*(=?)/u.exec(isRest ? text.slice(3).trim() : text)
  const hasDefault = match === null ? /[\]}]\s*=[^=]/.test(text) : match[2] === '='
  return { name: match?.[1], hasDefault: !isRest && hasDefault, isRest }
}

const closing: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' }

/** The texts between the commas of the outermost bracket, comments dropped, and where the bracket ends. */
function splitHead(source: string, start: number): { parts: readonly string[]; end: number } | undefined {
  const parts: string[] = []
  const depth: string[] = []
  let part = ''
  const finish = (): void => {
    if (part.trim() !== '') parts.push(part.trim())
    part = ''
  }
  for (let at = start; at < source.length; at++) {
    const char = source.charAt(at)
    if (char === '/' && /[/*]/.test(source.charAt(at + 1))) {
      const end = source.charAt(at + 1) === '*' ? source.indexOf('*/', at + 2) + 1 : source.indexOf('\n', at)
      if (end <= 0) return undefined
      at = end
      continue
    }
    if (char === '"' || char === "'" || char === '`') {
      const end = endOfText(source, at, char)
      if (end === -1) return undefined
      part += source.slice(at, end + 1)
      at = end
      continue
    }
    const closer = closing[char]
    if (closer !== undefined) depth.push(closer)
    else if (depth.length > 0 && char === depth.at(-1)) depth.pop()
    else if (depth.length === 0 && char === ')') {
      finish()
      return { parts, end: at + 1 }
    } else if (depth.length === 0 && char === ',') {
      finish()
      continue
    }
    part += char
  }
  return undefined
}

function endOfText(source: string, start: number, quote: string): number {
  for (let at = start + 1; at < source.length; at++) {
    if (source.charAt(at) === '\\') at++
    else if (source.charAt(at) === quote) return at
  }
  return -1
}
