/**
 * What a running task may put in its own place, or add to its chord (`Task.replace` and `Task.add_to_chord` in
 * `celery/app/task.py`; surface CNV-126 to CNV-131, TSK-093).
 *
 * Rule 1: what comes in the place of a task keeps its id, its callbacks, its chord and the rest of its chain, so that
 * nobody who waits can tell. Rule 2: nothing is changed in place; the signatures given stay as they are.
 */
import type { SignatureData } from '../../protocol/signature-data.js'
import { Tuple } from '../../protocol/values.js'
import { RemoteTaskError } from '../errors.js'
import { type Freezing, freeze } from './freeze.js'
import type { TaskRequest } from './request.js'
import { distinct, isRecord, listOption, readShape, type Shape, writeShape } from './signature-shape.js'
import { withErrbacks } from './with-errbacks.js'

/**
 * The signature to send in the place of the task of `request`. Throws `ImproperlyConfigured`, as Python knows it, for
 * one that is part of a chord already and for an empty chain.
 */
export function replacement(request: TaskRequest, given: SignatureData, how: Freezing): SignatureData {
  const { message, body } = request
  const shape = readShape(given)
  if ('chord' in shape.options) {
    throw improper(message.id, 'A signature replacing a task must not be part of a chord')
  }
  if (shape.subtaskType === 'chain' && listOption(shape.kwargs['tasks']).length === 0) {
    throw improper(message.id, 'Cannot replace with an empty chain')
  }
  const whole = shape.subtaskType === 'group' ? accumulated(shape) : shape
  const linked = withErrbacks(linkedEnd(whole, body.callbacks), body.errbacks, how)
  const { shape: frozen } = freeze(linked, { id: message.id }, how)
  const nesting = { replaced_task_nesting: message.replacedTaskNesting + 1 }
  const own = withOptions(nested(frozen, nesting), {
    chord: body.chord,
    group_id: message.groupId,
    group_index: message.groupIndex,
    root_id: message.rootId,
    ...nesting,
  })
  if (body.chain.length === 0) return writeShape(own)
  const rest = [...body.chain].reverse().map((step) => writeShape(withOptions(readShape(step), nesting)))
  return chainOf([writeShape(own), ...rest])
}

/** The signature to send as a further part of the chord of `request`, frozen. Throws `ValueError` outside a chord. */
export function chordAddition(
  request: TaskRequest,
  given: SignatureData,
  how: Freezing,
): { readonly groupId: string; readonly data: SignatureData } {
  const { message, body } = request
  if (body.chord === undefined || message.groupId === undefined) {
    const text = 'Current task is not member of any chord'
    const error = { type: 'ValueError', module: 'builtins', args: [text], traceback: undefined }
    throw new RemoteTaskError(message.id, error, text)
  }
  const shape = withOptions(readShape(given), {
    group_id: message.groupId,
    group_index: message.groupIndex,
    chord: body.chord,
    root_id: message.rootId,
  })
  return { groupId: message.groupId, data: writeShape(freeze(shape, {}, how).shape) }
}

/** A group is one task with the list of its values (surface CNV-127). */
function accumulated(group: Shape): Shape {
  const body = {
    task: 'celery.accumulate',
    args: Tuple.from([]),
    kwargs: { index: 0 },
    options: {},
    subtask_type: null,
    immutable: false,
  }
  return {
    task: 'celery.chord',
    args: [],
    kwargs: { kwargs: {}, header: writeShape(group), body },
    options: {},
    subtaskType: 'chord',
    immutable: false,
  }
}

/** Callbacks are called with the value of the last task. */
function linkedEnd(shape: Shape, callbacks: readonly SignatureData[]): Shape {
  if (shape.subtaskType === 'chain') {
    const { link, ...options } = shape.options
    const tasks = listOption(shape.kwargs['tasks'])
    const last = linkedEnd(readShape(tasks.at(-1)), [...listOption(link), ...callbacks].filter(isRecord))
    return {
      ...shape,
      options,
      kwargs: { ...shape.kwargs, tasks: [...tasks.slice(0, -1), writeShape(last)] },
    }
  }
  if (callbacks.length === 0) return shape
  if (shape.subtaskType === 'chord') return withBody(shape, (body) => linkedEnd(body, callbacks))
  if (shape.subtaskType === 'group') {
    // Its members do not know each other's values, so the callback is given none (surface CNV-061).
    const immutable = callbacks.map((callback) => ({ ...callback, immutable: true }))
    return withMembers(shape, (member, index) => (index === 0 ? linkedEnd(member, immutable) : member))
  }
  return added(shape, 'link', callbacks)
}

/** All steps of a chain say how deep they are nested (surface CNV-128). */
function nested(shape: Shape, nesting: Readonly<Record<string, unknown>>): Shape {
  return shape.subtaskType === 'chain' ? withMembers(shape, (step) => withOptions(step, nesting)) : shape
}

function chainOf(tasks: readonly SignatureData[]): SignatureData {
  return {
    task: 'celery.chain',
    args: [],
    kwargs: { tasks },
    options: {},
    subtask_type: 'chain',
    immutable: false,
  }
}

function withBody(shape: Shape, change: (body: Shape) => Shape): Shape {
  return {
    ...shape,
    kwargs: { ...shape.kwargs, body: writeShape(change(readShape(shape.kwargs['body']))) },
  }
}

function withMembers(shape: Shape, change: (member: Shape, index: number) => Shape): Shape {
  const tasks = listOption(shape.kwargs['tasks']).map((one, index) =>
    writeShape(change(readShape(one), index)),
  )
  return { ...shape, kwargs: { ...shape.kwargs, tasks } }
}

function added(shape: Shape, option: 'link' | 'link_error', signatures: readonly unknown[]): Shape {
  const all = distinct([...listOption(shape.options[option]), ...signatures])
  return { ...shape, options: { ...shape.options, [option]: all } }
}

function withOptions(shape: Shape, options: Readonly<Record<string, unknown>>): Shape {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...shape, options: { ...shape.options, ...Object.fromEntries(given) } }
}

function improper(taskId: string, text: string): RemoteTaskError {
  const error = {
    type: 'ImproperlyConfigured',
    module: 'celery.exceptions',
    args: [text],
    traceback: undefined,
  }
  return new RemoteTaskError(taskId, error, text)
}
