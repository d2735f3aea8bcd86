/**
 * What Celery makes of a canvas, in a few rules: the value it gives, or the errors one of which the caller gets.
 *
 * Rule 1: a step of a chain is given the value before it; an immutable one nothing. A group gives the list of its
 * members' values, and a canvas behind it is given that list. Rule 2: a failed step ends its chain, a failed member its
 * group, once all others are done. Rule 3: the caller gets the error of the task that failed itself, whichever of them.
 */
import { createHash } from 'node:crypto'
import type { Answer } from './rig.js'
import type { Spec, TaskSpec } from './spec.js'

/** How a canvas ends. */
export type Ending =
  | { readonly value: unknown; readonly errors?: undefined }
  /** Tags of the tasks that fail. */
  | { readonly value?: undefined; readonly errors: readonly string[] }

/** The ending of `spec`, given these arguments. */
export function endingOf(spec: Spec, given: readonly unknown[] = []): Ending {
  switch (spec.k) {
    case 'task':
      return endingOfTask(spec, given)
    case 'chain': {
      let last: Ending = { value: undefined }
      let args = given
      for (const step of spec.steps) {
        last = endingOf(step, args)
        if (last.errors !== undefined) return last
        args = [last.value]
      }
      return last
    }
    case 'group':
      return together(spec.members, given)
    case 'chord': {
      const header = together(spec.header, given)
      return header.errors === undefined ? endingOf(spec.body, [header.value]) : header
    }
  }
}

function endingOfTask(spec: TaskSpec, given: readonly unknown[]): Ending {
  const args = spec.im ? [] : given
  if (spec.fn === 'fail') return { errors: [spec.tag] }
  if (spec.fn === 'replaced') return endingOf(spec.n as Spec, [])
  return { value: short([spec.tag, ...args]) }
}

function together(members: readonly Spec[], given: readonly unknown[]): Ending {
  const endings = members.map((member) => endingOf(member, given))
  const errors = endings.flatMap((ending) => ending.errors ?? [])
  return errors.length > 0 ? { errors } : { value: endings.map((ending) => ending.value) }
}

/** Whether a client that was given `answer` saw `ending`: a chord that failed says so in its own words, or in those of its header. */
export function isEnding(ending: Ending, answer: Answer): boolean {
  if (ending.errors === undefined) return JSON.stringify(answer.value) === JSON.stringify(ending.value)
  const text = String(answer.args?.[0])
  if (answer.error === 'ValueError') return ending.errors.includes(text)
  // Quotes are escaped once more for each chord that failed because of another.
  const words = text.replaceAll('\\', '')
  return answer.error === 'ChordError' && ending.errors.some((tag) => words.includes(`ValueError('${tag}')`))
}

/** As `short` of canvas_app.py. */
export function short(value: readonly unknown[]): readonly unknown[] {
  const text = JSON.stringify(value)
  return text.length <= 300 ? value : [value[0], createHash('sha1').update(text).digest('hex')]
}
