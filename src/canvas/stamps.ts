/**
 * Stamps: custom headers of every part of a canvas (`StampingVisitor`, `_stamp_headers` and `_merge_dictionaries` in
 * `celery/canvas.py`; surface 9.9).
 *
 * Rule 1: stamps stand beside the other options, each under its name, and `stamped_headers` lists the names.
 * Rule 2: a stamp that is given wins over the visitor's, that over the one that is there; with `append` all are kept, in
 * a list.
 * Rule 3: a callback gets what was given and the visitor's stamps, never those of the task that it is linked to.
 */
import type { SignatureData } from '../../protocol/signature-data.js'
import type { SignatureApp } from './signature-app.js'
import type { WireOptions } from './wire-options.js'

/** Values by the names of stamps; `stamped_headers` may say which of them count. */
export type Stamps = Readonly<Record<string, unknown>>

/** A part of a canvas as a visitor sees it. */
export interface Stampable {
  readonly task: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  /** By wire names. */
  readonly options: WireOptions
  readonly id: string | undefined
  toSignatureData(): SignatureData
}

/** Asked for the stamps of each part of a canvas; what it returns is added to `headers`, the stamps from above. */
export interface StampingVisitor {
  onSignature(signature: Stampable, headers: Stamps): Stamps | undefined
  onGroupStart?(group: Stampable, headers: Stamps): Stamps | undefined
  onGroupEnd?(group: Stampable, headers: Stamps): void
  onChainStart?(chain: Stampable, headers: Stamps): Stamps | undefined
  onChainEnd?(chain: Stampable, headers: Stamps): void
  /** Default: `onGroupStart` with the header. */
  onChordHeaderStart?(chord: Stampable, headers: Stamps): Stamps | undefined
  /** Default: `onGroupEnd` with the header. */
  onChordHeaderEnd?(chord: Stampable, headers: Stamps): void
  onChordBody?(chord: Stampable, headers: Stamps): Stamps | undefined
  onCallback?(callback: Stampable, headers: Stamps): Stamps | undefined
  onErrback?(errback: Stampable, headers: Stamps): Stamps | undefined
}

/** How to stamp. */
export interface StampOptions {
  /** Keep stamps of the same name beside each other in a list. Default false. */
  readonly append?: boolean
  /** Stamps beside those of a visitor. */
  readonly headers?: Stamps
}

/** A part that links can be stamped on. */
interface Linked extends Stampable {
  readonly app: SignatureApp
  setWire(options: WireOptions): unknown
  stampWith(visitor: StampingVisitor | undefined, append: boolean, headers: Stamps): void
}

/** What `stamp` was given, told apart. */
export function stampsOf(
  by: Stamps | StampingVisitor,
  { append = false, headers = {} }: StampOptions,
): { readonly visitor: StampingVisitor | undefined; readonly append: boolean; readonly headers: Stamps } {
  if (isVisitor(by)) return { visitor: by, append, headers }
  return { visitor: undefined, append, headers: { ...by, ...headers } }
}

/**
 * All stamps of one part: those given, the visitor's, and those among `own` options, which is `undefined` where they do
 * not count.
 */
export function mergedStamps(
  own: WireOptions | undefined,
  visitors: Stamps | undefined,
  append: boolean,
  given: Stamps,
): Stamps {
  const headers: Record<string, unknown> = { ...given }
  if (!('stamped_headers' in headers)) headers['stamped_headers'] = Object.keys(headers)
  if (visitors !== undefined) {
    mergeInto(
      headers,
      { ...visitors, stamped_headers: visitors['stamped_headers'] ?? Object.keys(visitors) },
      append,
    )
    headers['stamped_headers'] = namesOf(headers)
  }
  if (own !== undefined) {
    const names = [...new Set([...namesOf(headers), ...namesOf(own)])]
    headers['stamped_headers'] = names
    const listed = Object.entries(own).filter(([name]) => names.includes(name))
    mergeInto(headers, Object.fromEntries(listed), append)
    headers['stamped_headers'] = namesOf(headers)
  }
  return headers
}

/** Stamps the callbacks and errbacks of a part, and theirs. */
export function stampLinks(
  part: Linked,
  visitor: StampingVisitor | undefined,
  append: boolean,
  given: Stamps,
): void {
  for (const option of ['link', 'link_error'] as const) {
    const value = part.options[option]
    if (value === undefined || value === null) continue
    let headers = given
    const links = (Array.isArray(value) ? value : [value]).map((one: unknown) => {
      const link = linkedOf(part.app, one)
      const own =
        visitor === undefined
          ? undefined
          : ((option === 'link' ? visitor.onCallback?.(link, headers) : visitor.onErrback?.(link, headers)) ??
            {})
      headers = mergedStamps(undefined, own, append, headers)
      link.stampWith(visitor, append, headers)
      return link
    })
    part.setWire({ [option]: links })
  }
}

function linkedOf(app: SignatureApp, link: unknown): Linked {
  const isSignature = typeof link === 'object' && link !== null && 'stampWith' in link
  return (isSignature ? link : app.algebra.rebuild(app, link as SignatureData)) as Linked
}

function isVisitor(by: Stamps | StampingVisitor): by is StampingVisitor {
  return typeof by['onSignature'] === 'function'
}

function namesOf(headers: Stamps): readonly string[] {
  const { stamped_headers: names } = headers
  return Array.isArray(names) ? [...new Set(names.map(String))] : []
}

/** Python's `_merge_dictionaries`: what `into` has already stays, and where `append` says so gets the other beside it. */
function mergeInto(into: Record<string, unknown>, from: Stamps, append: boolean): void {
  for (const [name, value] of Object.entries(from)) {
    if (!Object.hasOwn(into, name)) into[name] = value
    else into[name] = merged(into[name], value, append)
  }
}

function merged(before: unknown, value: unknown, append: boolean): unknown {
  if (isPlain(before)) {
    const both = { ...before }
    if (isPlain(value)) mergeInto(both, value, true)
    return both
  }
  if (Array.isArray(before) && Array.isArray(value)) return [...before, ...value]
  if (!append) return before
  const list = before === null || before === undefined ? [] : isIterable(before) ? [...before] : [before]
  return Array.isArray(value) && !Array.isArray(before) ? [...list, ...value] : [...list, value]
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}
