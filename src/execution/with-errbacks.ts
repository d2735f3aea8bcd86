import { distinct, listOption, readShape, type Shape, writeShape } from './signature-shape.js'

/** What linking looks at. */
export interface ErrbackLinking {
  /** `task_allow_error_cb_on_chord_header`; default false. */
  readonly errbacksOnChordHeader?: boolean | undefined
}

/**
 * A copy whose errbacks are called for whichever task fails (`link_error` of the classes in `celery/canvas.py`; surface
 * CNV-061, CNV-089): those of a group go to every member, those of a chord to its body, to the chords in its header,
 * and, where the setting says so, to every part of its header. None is linked twice.
 */
export function withErrbacks(shape: Shape, errbacks: readonly unknown[], how: ErrbackLinking): Shape {
  if (errbacks.length === 0) return shape
  const linked = (data: unknown): unknown => writeShape(withErrbacks(readShape(data), errbacks, how))
  if (shape.subtaskType === 'group') {
    const tasks = listOption(shape.kwargs['tasks']).map(linked)
    return { ...shape, kwargs: { ...shape.kwargs, tasks } }
  }
  if (shape.subtaskType !== 'chord') {
    const all = distinct([...listOption(shape.options['link_error']), ...errbacks])
    return { ...shape, options: { ...shape.options, link_error: all } }
  }
  const isTold = (data: unknown): boolean =>
    how.errbacksOnChordHeader === true || readShape(data).subtaskType === 'chord'
  const members = (header: unknown): unknown =>
    listOption(header).map((member) => (isTold(member) ? linked(member) : member))
  const { header, body } = shape.kwargs
  // A list until the chord is frozen, a group from then on.
  const told = Array.isArray(header) ? members(header) : groupWith(readShape(header), members)
  return { ...shape, kwargs: { ...shape.kwargs, header: told, body: linked(body) } }
}

function groupWith(group: Shape, members: (tasks: unknown) => unknown): unknown {
  return writeShape({ ...group, kwargs: { ...group.kwargs, tasks: members(group.kwargs['tasks']) } })
}
