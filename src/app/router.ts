import type { SendOptions } from '../canvas/send-options.js'

/** Where a route sends: the name of a queue, or options that lose to those of the call. camelCase or Celery's names. */
export type RouteValue = string | SendOptions | Readonly<Record<string, unknown>>

/** Decides by itself: options, the name of a queue, or null and undefined for "not mine" (surface PUB-045). */
export type RouteFunction = (
  name: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  options: SendOptions,
) => RouteValue | null | undefined

/** The older form of a `RouteFunction`. */
export interface RouteObject {
  routeForTask(
    name: string,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): RouteValue | null | undefined
}

/** Routes by task name: exact names come before patterns; a name with `*` is a shell pattern (surface PUB-043). */
export type RouteMap =
  | Readonly<Record<string, RouteValue>>
  | ReadonlyMap<string | RegExp, RouteValue>
  | readonly (readonly [string | RegExp, RouteValue])[]

/** One router of `task_routes`. */
export type Route = RouteMap | RouteFunction | RouteObject

/** The `task_routes` setting: one router, or a list of them, of which the first that answers wins (surface PUB-042). */
export type RoutesSetting = Route | readonly Route[]
