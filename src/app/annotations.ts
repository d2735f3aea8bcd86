/**
 * `task_annotations`: options of tasks changed from the settings (`celery/app/annotations.py`, `Task.annotate`;
 * surface TSK-030).
 *
 * Rule 1: of all annotations the first that names the task is applied, then the first for `*`: as in Celery, what `*`
 * says wins over what the name says.
 * Rule 2: `@name` wraps what is there (`run`, or a handler) where `name` replaces it; wrapping twice wraps the original.
 */
import { ConfigError } from '../errors.js'
import type { TaskParts } from './task-options.js'

/** What to change: options by our names or Celery's, handlers, `run`; `@x` wraps. */
export type Annotation = Readonly<Record<string, unknown>>

/** An annotation object, as Celery's classes with `annotate` and `annotate_any`. */
export interface Annotator {
  annotate?(task: { readonly name: string }): Annotation | undefined
  annotateAny?(): Annotation | undefined
}

/** One entry of the setting: changes by task name or `*`, a function, or an object with methods. */
export type AnnotationEntry =
  | Readonly<Record<string, Annotation>>
  | Annotator
  | ((task: { readonly name: string }) => Annotation | undefined)

const handlerNames: ReadonlySet<string> = new Set([
  'beforeStart',
  'onSuccess',
  'onFailure',
  'onRetry',
  'afterReturn',
])

/** The parts of a task with the annotations of the setting applied. Throws `ConfigError` for names that no task has. */
export function annotated(name: string, parts: TaskParts, setting: unknown): TaskParts {
  const entries = (Array.isArray(setting) ? setting : setting ? [setting] : []) as readonly AnnotationEntry[]
  const byName = firstOf(entries, (entry) => annotate(entry, name))
  const byStar = firstOf(entries, annotateAny)
  return [byName, byStar].reduce<TaskParts>(
    (done, one) => (one === undefined ? done : change(name, done, one)),
    parts,
  )
}

function annotate(entry: AnnotationEntry, name: string): Annotation | undefined {
  if (typeof entry === 'function') return entry({ name })
  if (isAnnotator(entry)) return entry.annotate?.({ name })
  return Object.hasOwn(entry, name) ? (entry as Record<string, Annotation>)[name] : undefined
}

function annotateAny(entry: AnnotationEntry): Annotation | undefined {
  if (typeof entry === 'function') return undefined
  if (isAnnotator(entry)) return entry.annotateAny?.()
  return Object.hasOwn(entry, '*') ? (entry as Record<string, Annotation>)['*'] : undefined
}

function isAnnotator(entry: object): entry is Annotator {
  const { annotate: forOne, annotateAny: forAny } = entry as Annotator
  return typeof forOne === 'function' || typeof forAny === 'function'
}

function firstOf<T, R>(items: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}

function change(name: string, parts: TaskParts, annotation: Annotation): TaskParts {
  return Object.entries(annotation).reduce((done, [key, value]) => changeOne(name, done, key, value), parts)
}

function changeOne(taskName: string, parts: TaskParts, key: string, value: unknown): TaskParts {
  const isWrap = key.startsWith('@')
  const member = camelCase(isWrap ? key.slice(1) : key)
  const replaced = <T>(before: T): T => (isWrap ? (value as (original: T) => T)(before) : (value as T))
  if (isWrap && typeof value !== 'function') {
    throw new ConfigError(`task_annotations for ${taskName}: ${key} must be a function that wraps ${member}`)
  }
  if (member === 'run' || member === 'call') return { ...parts, run: replaced(parts.run) }
  if (handlerNames.has(member)) {
    const before = parts.handlers[member as keyof typeof parts.handlers]
    return { ...parts, handlers: { ...parts.handlers, [member]: replaced(before) } }
  }
  if (member === 'typing' || member === 'errbackStyle') return { ...parts, [member]: value }
  if (member in parts.options && !isWrap) return { ...parts, options: { ...parts.options, [member]: value } }
  throw new ConfigError(`task_annotations for ${taskName}: tasks have no option ${JSON.stringify(key)}`)
}

function camelCase(key: string): string {
  return key.replace(/^_+|_+$/g, '').replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
