/**
 * What several tasks share: options, handlers and methods of their own (Celery's `base=`; surface TSK-003).
 *
 * Rule 1: one instance per task, made when the task is defined; what it keeps is shared by the task's runs, as in
 * Celery.
 * Rule 2: on `self`, what the run provides comes first (`request`, `retry`, ...), then what the base has.
 */
import type { TaskContext } from '../execution/context.js'
import type { TaskHandlers } from '../execution/host.js'
import type { SharedOptions } from './task-options.js'

/**
 * Extend it for tasks that share behaviour, and give the class as `base`:
 *
 * ```ts
 * class Audited extends TaskBase {
 *   override options = { maxRetries: 5 }
 *   override onFailure(self: TaskContext, error: unknown) { this.tell(`${self.name}: ${error}`) }
 *   tell(text: string) { ... }
 * }
 * app.task('shop.pay', { bind: true, base: Audited }, (self, amount: number) => self.tell(`paying ${amount}`))
 * ```
 */
export abstract class TaskBase implements TaskHandlers {
  /** Options of every task with this base; those of the task itself win. */
  declare readonly options?: SharedOptions
  beforeStart?(...given: HandlerArguments<'beforeStart'>): unknown
  onSuccess?(...given: HandlerArguments<'onSuccess'>): unknown
  onFailure?(...given: HandlerArguments<'onFailure'>): unknown
  onRetry?(...given: HandlerArguments<'onRetry'>): unknown
  afterReturn?(...given: HandlerArguments<'afterReturn'>): unknown
}

type HandlerArguments<N extends keyof TaskHandlers> = Parameters<NonNullable<TaskHandlers[N]>>

/** What a bound task sees: its run, and what its base has. */
export type TaskSelf<B extends object> = TaskContext &
  Omit<B, keyof TaskHandlers | 'options' | keyof TaskContext>

/** The context of one run, with the members of the base beside its own. */
export function selfOf<B extends object>(context: TaskContext, base: B): TaskSelf<B> {
  return new Proxy(context, {
    get(run, name, self) {
      if (!(name in run)) return Reflect.get(base, name, self)
      const value: unknown = Reflect.get(run, name, run)
      return typeof value === 'function' ? value.bind(run) : value
    },
    has: (run, name) => name in run || name in base,
    set: (run, name, value) =>
      name in run ? Reflect.set(run, name, value, run) : Reflect.set(base, name, value),
  }) as TaskSelf<B>
}
