/**
 * The whole canvases of surface 9.10 and what each gives, as data: built here by `buildRow`, in Python by
 * `interop-tests/canvas/rows_app.py`. Run on TypeScript alone by canvas-rows.test.ts, and with Celery on the other side
 * by interop-tests/canvas-rows.test.ts, where the same canvas run by Celery alone is the judge.
 */
import { expect } from 'vitest'
import type { AnyResult } from '../backend/any-result.js'
import { AsyncResult } from '../backend/async-result.js'
import { chain, chord, group } from '../canvas/build.js'
import type { Signature } from '../canvas/signature.js'
import { RemoteTaskError } from '../errors.js'
import type { Celery } from './celery.js'

/** Whose name a task has; who runs it is another matter. */
export type RowLang = 'py' | 'node'

/** A task of a canvas. */
export interface TaskNode {
  readonly task: string
  readonly args?: readonly unknown[]
  readonly kwargs?: Readonly<Record<string, unknown>>
  /** Ignores what is before it. */
  readonly si?: true
  /** Under this it notes that it ran. */
  readonly tag?: string
  /** By wire names. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Given by `inLanguages` where it does not matter. */
  readonly lang?: RowLang
}

interface Links {
  readonly link?: readonly Node[]
  readonly err?: readonly Node[]
  readonly stamp?: Readonly<Record<string, unknown>>
}

/** A canvas: `pipe` is `a | b`, `list` is `chain([a, b])`; a header that is no list is given as it is. Chunks are their group. */
export type Node = Links &
  (
    | TaskNode
    | { readonly pipe: readonly Node[] }
    | { readonly chain: readonly Node[] }
    | { readonly list: readonly Node[] }
    | { readonly group: readonly Node[] }
    | { readonly header: readonly Node[] | Node; readonly body: Node }
    | { readonly chunks: TaskNode; readonly it: readonly unknown[]; readonly n: number }
  )

/** How a canvas ended for the client that sent it. */
export interface RowAnswer {
  readonly value?: unknown
  /** The type of the error. */
  readonly error?: string
  readonly args?: readonly string[]
  readonly refused?: string
  /** The error that is stored for its last task, where it has one: the client may be told of another one. */
  readonly stored?: readonly unknown[]
  /** `as_tuple` of its result. */
  readonly tree?: unknown
  /** Those of its children. */
  readonly children?: readonly unknown[]
}

/** One canvas. */
export interface Row {
  /** Begins with the ids of the rows that it shows. */
  readonly name: string
  readonly canvas: Node
  readonly call?: Readonly<Record<string, unknown>>
  /** `taskAllowErrorCbOnChordHeader` of the client. */
  readonly flag?: true
  readonly gives?: unknown
  /** The type of the error, or the types that it may have. */
  readonly fails?: string | readonly string[]
  /** The tags that are noted, in any order; default none. `checked` leaves them to `check`. */
  readonly notes?: readonly string[] | 'checked'
  /** What else is to be seen. */
  readonly check?: (answer: RowAnswer, notes: readonly RowNote[]) => void
  /** Why it is not run over RabbitMQ. */
  readonly notOverRabbit?: string
  /** Why Celery alone is not asked. */
  readonly notAsked?: string
  /** Why a client in Python is not asked. */
  readonly notFromPython?: string
}

/** A task noted that it ran. */
export interface RowNote {
  readonly tag: string
  readonly id: string
}

/** A task. */
export const t = (task: string, ...args: unknown[]): TaskNode => ({ task, args })
/** One that ignores what is before it. */
export const si = (task: string, ...args: unknown[]): TaskNode => ({ task, args, si: true })
/** One that notes a tag, and ignores what is before it. */
export const echo = (tag: string): TaskNode => ({ task: 'echo', tag, si: true })
/** `a | b | c`. */
export const pipe = (...steps: Node[]): Node => ({ pipe: steps })
/** `chain(a, b, c)`. */
export const chained = (...steps: Node[]): Node => ({ chain: steps })
/** `group(a, b, c)`. */
export const grouped = (...members: Node[]): Node => ({ group: members })
/** `chord(header, body)`. */
export const chorded = (header: readonly Node[] | Node, body: Node): Node => ({ header, body })
/** `n` of the same. */
export const times = <T>(n: number, one: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => one(i))

/** The same canvas, its tasks in `langs` by turns, its tags after `prefix`. */
export function inLanguages(canvas: Node, langs: readonly RowLang[], prefix = ''): Node {
  let at = 0
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    const walked = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, walk(one)]))
    if (!('task' in walked)) return walked
    const tag = walked['tag'] === undefined ? {} : { tag: `${prefix}${walked['tag']}` }
    return { ...walked, ...tag, lang: walked['lang'] ?? langs[at++ % langs.length] }
  }
  return walk(canvas) as Node
}

/** The canvas that `node` describes. */
export function buildRow(app: Celery, node: Node): Signature {
  const made = unlinked(app, node)
  for (const one of node.link ?? []) made.link(buildRow(app, one))
  for (const one of node.err ?? []) made.linkError(buildRow(app, one))
  if (node.stamp) made.stamp(node.stamp as never)
  return made
}

function unlinked(app: Celery, node: Node): Signature {
  const all = (nodes: readonly Node[]): Signature[] => nodes.map((one) => buildRow(app, one))
  if ('task' in node) return taskOf(app, node)
  if ('pipe' in node) {
    const [first, ...rest] = all(node.pipe)
    return (first as Signature).pipe(...(rest as never[])) as Signature
  }
  // `chain(X)` stays a chain, `chain([X])` is what it makes of the list (surface CNV-035, CNV-036).
  if ('chain' in node) return (chain as (...steps: Signature[]) => Signature)(...all(node.chain))
  if ('list' in node) return chain(all(node.list))
  if ('group' in node) return group(all(node.group)) as unknown as Signature
  if ('chunks' in node) {
    const { chunks, it, n } = node
    return app
      .remote(`${chunks.lang}.${chunks.task}`)
      .chunks(it as never[], n)
      .group() as unknown as Signature
  }
  const header = isList(node.header) ? all(node.header) : buildRow(app, node.header)
  return chord(header, buildRow(app, node.body)) as unknown as Signature
}

function isList(header: readonly Node[] | Node): header is readonly Node[] {
  return Array.isArray(header)
}

function taskOf(
  app: Celery,
  { task, lang, args = [], kwargs = {}, si: isImmutable, tag, options }: TaskNode,
) {
  const made = app.signature(`${lang}.${task}`, {
    args: [...args],
    kwargs: { ...kwargs, ...(tag === undefined ? {} : { tag }) },
    immutable: isImmutable ?? false,
  })
  return options === undefined ? made : made.setWire(options)
}

/** How many notes there are at least when `rows` have ended. */
export function leastNotes(rows: readonly Row[]): number {
  return rows.reduce((sum, { notes = [] }) => sum + (notes === 'checked' ? 1 : notes.length), 0)
}

/** What `answer` and the notes of its tasks must be. Throws what `expect` does. */
export function expectRow(row: Row, answer: RowAnswer | undefined, notes: readonly RowNote[]): void {
  const { error, ...ended } = answer ?? {}
  if (row.fails === undefined) {
    expect(ended, `${row.name}: ${JSON.stringify(answer)}`).toHaveProperty('value')
    if ('gives' in row) expect(ended.value, row.name).toEqual(row.gives)
  } else expect([row.fails].flat(), `${row.name}: ${JSON.stringify(answer)}`).toContain(error)
  const prefix = `${row.name}: `
  const tags = notes.map(({ tag }) => tag.slice(prefix.length))
  if (row.notes !== 'checked') expect([...tags].sort(), row.name).toEqual([...(row.notes ?? [])].sort())
  row.check?.(
    answer ?? {},
    notes.map(({ id }, at) => ({ id, tag: tags[at] as string })),
  )
}

/** Sends a row's canvas from `app` and waits for its end. */
export async function answerOf(
  app: Celery,
  canvas: Node,
  call: Row['call'],
  timeout: number,
): Promise<RowAnswer> {
  let result: AnyResult | undefined
  try {
    result = (await buildRow(app, canvas).applyAsync(call as never)) as AnyResult
  } catch (error) {
    return { refused: String(error) }
  }
  const tree = result.asTuple()
  try {
    const value = await result.get({ timeout, interval: 0.05 })
    const children = (await result.children()) ?? []
    return { value, tree, children: children.map((child) => child.asTuple()) }
  } catch (error) {
    const type = error instanceof RemoteTaskError ? error.excType : (error as Error).constructor.name
    return { error: type, args: [String(error)], tree, ...(await storedError(result)) }
  }
}

/** The client may have been told by a parent, before the last task has failed. */
async function storedError(result: AnyResult): Promise<Pick<RowAnswer, 'stored'>> {
  if (!(result instanceof AsyncResult)) return {}
  const error: unknown = await result.get({ timeout: 10, propagate: false }).catch(() => undefined)
  return error instanceof RemoteTaskError ? { stored: [error.excType, ...error.args] } : {}
}
