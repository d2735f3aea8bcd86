/** How Celery shows signatures (`reprcall` and `remove_repeating_from_task`; surface CNV-018). */
import { pyRepr } from '../../protocol/python-repr.js'

/** `t.add(2, y=3)`; `before` are texts of arguments before the others. */
export function callText(
  task: string,
  before: readonly string[],
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): string {
  const named = Object.entries(kwargs).map(([name, value]) => `${name}=${pyRepr(value)}`)
  return `${task}(${[...before, ...args.map((value) => pyRepr(value)), ...named].join(', ')})`
}

/** The text with the module of the task named once: `t.add(2, 2) | mul(3)`. */
export function namedOnce(task: string, text: string): string {
  const module = `${task.slice(0, Math.max(0, task.lastIndexOf('.')))}.`
  const end = text.indexOf(module) + module.length
  return end < module.length ? text : text.slice(0, end) + text.slice(end).replaceAll(module, '')
}
