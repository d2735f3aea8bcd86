import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { silentLogger } from '../logger.js'
import { App } from './app.js'
import type { AppOptions } from './app-options.js'

function appWith(taskAnnotations: NonNullable<AppOptions['taskAnnotations']>): App {
  return new App('shop', { taskAnnotations, env: {}, logger: silentLogger, brokerUrl: 'memory://' })
}

describe('TSK-030 task_annotations', () => {
  it('changes options by task name, in our spelling or in that of Celery', () => {
    const app = appWith({ 't.a': { rate_limit: '10/s', maxRetries: 9 } })
    expect(app.task('t.a', { maxRetries: 1 }, () => 1).options).toMatchObject({
      rateLimit: '10/s',
      maxRetries: 9,
    })
    expect(app.task('t.b', () => 1).options).toMatchObject({ rateLimit: null, maxRetries: 3 })
  })

  it('changes every task with *, which wins over the name, as in Celery', () => {
    const app = appWith({ '*': { rateLimit: '1/s' }, 't.a': { rateLimit: '2/s', maxRetries: 2 } })
    expect(app.task('t.a', () => 1).options).toMatchObject({ rateLimit: '1/s', maxRetries: 2 })
  })

  it('applies the first entry of a list that answers, be it a record, a function or an object', () => {
    const app = appWith([
      ({ name }) => (name === 't.fn' ? { priority: 1 } : undefined),
      {
        annotate: ({ name }) => (name === 't.object' ? { priority: 2 } : undefined),
        annotateAny: () => ({ trail: false }),
      },
      { 't.fn': { priority: 3 }, 't.record': { priority: 4 }, '*': { trail: true } },
    ])
    const priorities = ['t.fn', 't.object', 't.record'].map((name) => app.task(name, () => 1).options)
    expect(priorities).toMatchObject([
      { priority: 1, trail: false },
      { priority: 2, trail: false },
      { priority: 4, trail: false },
    ])
  })

  it('replaces a handler, and wraps the function with @run', async () => {
    const seen: unknown[] = []
    const app = appWith({
      't.a': {
        on_failure: (_self: unknown, error: Error) => seen.push(error.message),
        '@run': (run: (x: number) => number) => (x: number) => {
          if (x < 0) throw new Error('below zero')
          return run(x) + 1
        },
      },
    })
    const double = app.task('t.a', (x: number) => x * 2)
    expect(await (await double.apply({ args: [2] })).get()).toBe(5)
    await double.apply({ args: [-1] })
    expect(seen).toEqual(['below zero'])
  })

  it('refuses names that no task has, and a wrap that is no function', () => {
    expect(() => appWith({ 't.a': { rateLimt: 1 } }).task('t.a', () => 1)).toThrow(ConfigError)
    expect(() => appWith({ 't.a': { '@run': 5 } }).task('t.a', () => 1)).toThrow('must be a function')
  })
})
