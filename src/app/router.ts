import type { SendOptions } from '../canvas/send-options.js'
import { optionsFromWire } from '../canvas/wire-options.js'
import { ConfigError } from '../errors.js'

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

/** Where tasks go by `task_routes` (`celery/app/routes.py`). Pure. */
export class Router {
  /** True when routes look at nothing but the name of a task, and give the same each time. */
  readonly isByName: boolean
  private readonly routers: readonly Lookup[]
  private readonly defaultQueue: string

  /** Throws `ConfigError` for a router of no known form. */
  constructor(routes: RoutesSetting | null, defaultQueue: string) {
    const list = routes === null ? [] : listOf(routes)
    this.isByName = list.every((route) => typeof route === 'object' && !isRouteObject(route))
    this.routers = list.map(lookupOf)
    this.defaultQueue = defaultQueue
  }

  /**
   * The options with what the first router that answers adds to them; the default queue when none names a place.
   * Options that are there win over the route (surface PUB-039 to PUB-041).
   */
  route(
    name: string,
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
    options: SendOptions,
  ): SendOptions {
    const given = present(options)
    for (const lookup of this.routers) {
      const found = lookup(name, args, kwargs, given)
      if (found === null || found === undefined) continue
      const route = optionsOf(found)
      if (Object.keys(route).length > 0) return { ...route, ...given }
      break
    }
    if (given.queue === undefined) given.queue = this.defaultQueue
    return given
  }
}

type Lookup = RouteFunction

function listOf(routes: RoutesSetting): readonly Route[] {
  // a bare list of pairs is one router; Celery wants it wrapped in another list, and then both read the same
  return Array.isArray(routes) && !routes.every(isPair) ? (routes as readonly Route[]) : [routes as Route]
}

function isPair(value: unknown): boolean {
  return (
    Array.isArray(value) && value.length === 2 && (typeof value[0] === 'string' || value[0] instanceof RegExp)
  )
}

function lookupOf(route: Route): Lookup {
  if (typeof route === 'function') return route
  if (typeof route !== 'object' || route === null) {
    throw new ConfigError(
      `task_routes has a router that is ${JSON.stringify(route)}: a name of a Python function cannot be followed ` +
        'here. Give the routes themselves, or a function (name, args, kwargs, options) => ({ queue }).',
    )
  }
  if (isRouteObject(route)) return (name, args, kwargs) => route.routeForTask(name, args, kwargs)
  return mapLookup(route as RouteMap)
}

function isRouteObject(route: object): route is RouteObject {
  return 'routeForTask' in route && typeof route.routeForTask === 'function'
}

function mapLookup(map: RouteMap): Lookup {
  const pairs: readonly (readonly [string | RegExp, RouteValue])[] =
    map instanceof Map
      ? [...(map as ReadonlyMap<string | RegExp, RouteValue>)]
      : Array.isArray(map)
        ? map
        : Object.entries(map)
  const exact = new Map<string, RouteValue>()
  const patterns: [RegExp, RouteValue][] = []
  for (const [key, value] of pairs) {
    if (key instanceof RegExp) patterns.push([atStart(key), value])
    else if (key.includes('*')) patterns.push([shellPattern(key), value])
    else exact.set(key, value)
  }
  return (name) => exact.get(name) ?? patterns.find(([pattern]) => pattern.test(name))?.[1]
}

/** Python's `re.match`: the match must begin where the name begins. */
function atStart(pattern: RegExp): RegExp {
  return new RegExp(`^(?:${pattern.source})`, pattern.flags.replace(/[gmy]/g, ''))
}

/** Python's `fnmatch.translate`: `*`, `?`, `[seq]`, `[!seq]`; all of the name must match. */
export function shellPattern(pattern: string): RegExp {
  const source = pattern.replace(
    /\[(!?)(\]?[^\]]*)\]|[\s\S]/g,
    (char, not: string, set: string | undefined) => {
      if (char === '*') return '[\\s\\S]*'
      if (char === '?') return '[\\s\\S]'
      if (set) return `[${not ? '^' : ''}${set.replace(/[\\\]^[]/g, '\\$&')}]`
      return char.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
    },
  )
  return new RegExp(`^${source}$`)
}

/** Options of a route in our names. Celery's names are taken too; what no option is called becomes a property. */
function optionsOf(route: RouteValue): SendOptions {
  if (typeof route === 'string') return { queue: route }
  const ours = Object.entries(route).filter(([key]) => isOurs(key))
  const wire = Object.entries(route).filter(([key]) => !isOurs(key))
  return present({ ...optionsFromWire(Object.fromEntries(wire)), ...Object.fromEntries(ours) })
}

function isOurs(key: string): boolean {
  return /^[a-z]+[A-Z]/.test(key) || key === 'properties' || key === 'stamps' || key === 'signal'
}

/**
 * A copy without what is undefined or null: neither counts as given (Celery's `lpmerge`). An empty queue name is none,
 * as in Celery; an empty exchange is the default one.
 */
function present(options: SendOptions): { -readonly [K in keyof SendOptions]: SendOptions[K] } {
  const given: Record<string, unknown> = {}
  for (const name in options) {
    const value: unknown = options[name as keyof SendOptions]
    if (value === undefined || value === null || (name === 'queue' && value === '')) continue
    given[name] = value
  }
  return given
}
