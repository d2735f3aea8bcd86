import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { Router, type RoutesSetting, shellPattern } from './router.js'

function routed(routes: RoutesSetting | null, name: string, options = {}): unknown {
  return new Router(routes, 'celery').route(name, [1], { a: 2 }, options)
}

describe('routing', () => {
  it('PUB-040 sends to the default queue, or to the queue that was asked for', () => {
    expect(routed(null, 'a')).toEqual({ queue: 'celery' })
    expect(routed(null, 'a', { queue: 'q' })).toEqual({ queue: 'q' })
    expect(routed({ other: 'x' }, 'a', { priority: 3 })).toEqual({ priority: 3, queue: 'celery' })
  })

  it('PUB-039 lets options win over the route, where they are given', () => {
    const routes = { a: { queue: 'routed', priority: 1, timeLimit: 9 } }
    expect(routed(routes, 'a', { priority: 5, timeLimit: null })).toEqual({
      queue: 'routed',
      priority: 5,
      timeLimit: 9,
    })
    expect(routed(routes, 'a', { queue: 'asked' })).toMatchObject({ queue: 'asked', priority: 1 })
  })

  it('PUB-041 leaves the queue open when a route names an exchange alone', () => {
    expect(routed({ a: { exchange: 'media', routing_key: 'x' } }, 'a')).toEqual({
      exchange: 'media',
      routingKey: 'x',
    })
  })

  it('PUB-042 PUB-045 asks the first router first and stops at the first answer', () => {
    const asked: string[] = []
    const routes: RoutesSetting = [
      (name) => {
        asked.push(name)
        return name === 'a' ? null : undefined
      },
      { routeForTask: (name, args, kwargs) => (name === 'a' ? { queue: `q${args[0]}${kwargs.a}` } : null) },
      () => 'last',
    ]
    expect(routed(routes, 'a')).toEqual({ queue: 'q12' })
    expect(routed(routes, 'b')).toEqual({ queue: 'last' })
    expect(asked).toEqual(['a', 'b'])
    expect(
      routed((_name, _args, _kwargs, options) => ({ queue: `p${options.priority}` }), 'a', { priority: 3 }),
    ).toEqual({
      queue: 'p3',
      priority: 3,
    })
  })

  it('PUB-042 reads pairs bare or in a list, and maps', () => {
    const pairs: [string | RegExp, string][] = [
      ['a', 'exact'],
      [/b\.(x|y)/, 'pattern'],
    ]
    for (const routes of [pairs, [pairs], new Map(pairs), [new Map(pairs)]] as RoutesSetting[]) {
      expect(routed(routes, 'a')).toEqual({ queue: 'exact' })
      expect(routed(routes, 'b.x.more')).toEqual({ queue: 'pattern' })
      expect(routed(routes, 'not.b.x')).toEqual({ queue: 'celery' })
    }
  })

  it('PUB-043 tries exact names before patterns, and patterns in their order', () => {
    const routes = { 'feed.*': 'feeds', '*.import': 'imports', 'feed.import': 'exact', 'odd?': 'literal' }
    expect(routed(routes, 'feed.import')).toEqual({ queue: 'exact' })
    expect(routed(routes, 'feed.export')).toEqual({ queue: 'feeds' })
    expect(routed(routes, 'shop.import')).toEqual({ queue: 'imports' })
    expect(routed(routes, 'oddx')).toEqual({ queue: 'celery' })
  })

  it('PUB-043 matches shell patterns as fnmatch does', () => {
    expect(shellPattern('a.*').test('a.b.c\nd')).toBe(true)
    expect(shellPattern('a.*').test('xa.b')).toBe(false)
    expect(shellPattern('a[0-9]?*').test('a1b')).toBe(true)
    expect(shellPattern('a[!0-9]*').test('a1')).toBe(false)
    expect(shellPattern('a[!0-9]*').test('ab')).toBe(true)
    expect(shellPattern('(a+)$*').test('(a+)$x')).toBe(true)
    expect(shellPattern('a[*').test('a[b')).toBe(true)
  })

  it('PUB-044 takes a queue name or options, in our names or in those of Celery', () => {
    expect(routed({ a: 'q' }, 'a')).toEqual({ queue: 'q' })
    expect(
      routed({ a: { queue: 'q', routing_key: 'k', exchange_type: 'topic', MessageGroupId: 'g' } }, 'a'),
    ).toEqual({
      queue: 'q',
      routingKey: 'k',
      exchangeType: 'topic',
      properties: { MessageGroupId: 'g' },
    })
    expect(routed({ a: { queue: 'q', routingKey: 'k' } }, 'a')).toEqual({ queue: 'q', routingKey: 'k' })
    expect(routed({ a: {} }, 'a')).toEqual({ queue: 'celery' })
  })

  it('PUB-042 refuses the path of a Python function, which cannot be followed', () => {
    expect(() => routed(['shop.routers.Router'] as unknown as RoutesSetting, 'a')).toThrow(ConfigError)
  })
})
