import type { AnyKwargs, Arguments } from '../canvas/call-types.js'
import { TaskNotRegisteredError } from '../errors.js'
import type { CallableTask, Task } from './task.js'

/** A registered task, whatever its arguments. */
export type RegisteredTask = CallableTask<Arguments, unknown, AnyKwargs>

/** The tasks of one app by name (`celery/app/registry.py`). */
export class TaskRegistry implements Iterable<RegisteredTask> {
  private readonly tasks = new Map<string, RegisteredTask>()

  get(name: string): RegisteredTask | undefined {
    return this.tasks.get(name)
  }

  has(name: string): boolean {
    return this.tasks.has(name)
  }

  /** Throws `TaskNotRegisteredError`. */
  require(name: string): RegisteredTask {
    const task = this.tasks.get(name)
    if (task !== undefined) return task
    throw new TaskNotRegisteredError(
      name,
      `Task ${JSON.stringify(name)} is not registered in this app; define it with app.task(), or send it by name`,
    )
  }

  /** Keeps the first task of a name and returns the one that is kept (surface TSK-032). */
  add<T extends Task<never, unknown, never>>(task: T): T {
    const known = this.tasks.get(task.name)
    if (known !== undefined) return known as unknown as T
    this.tasks.set(task.name, task as unknown as RegisteredTask)
    return task
  }

  /** Forgets a task; true if it was there. */
  unregister(name: string): boolean {
    return this.tasks.delete(name)
  }

  /** In the order they were defined. */
  names(): readonly string[] {
    return [...this.tasks.keys()]
  }

  get size(): number {
    return this.tasks.size
  }

  [Symbol.iterator](): IterableIterator<RegisteredTask> {
    return this.tasks.values()
  }
}
