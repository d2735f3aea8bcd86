import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { DecodeError, InvalidTaskError } from './errors.js'
import { encodeRemoteError } from './remote-error.js'
import { remoteErrorFrom } from './remote-error-from.js'

class PaymentRefused extends TypeError {}

function thrownBy(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

function named(error: unknown): string {
  const { module, type } = remoteErrorFrom(error)
  return `${module}.${type}`
}

describe('JavaScript errors in Python', () => {
  it.each([
    [new Error('x'), 'builtins.Exception'],
    [new TypeError('x'), 'builtins.TypeError'],
    [new RangeError('x'), 'builtins.ValueError'],
    [new SyntaxError('x'), 'builtins.SyntaxError'],
    [new ReferenceError('x'), 'builtins.NameError'],
    [new URIError('x'), 'builtins.ValueError'],
    [new InvalidTaskError('x'), 'celery.exceptions.InvalidTaskError'],
    [new DecodeError('x'), 'kombu.exceptions.DecodeError'],
    [new PaymentRefused('x'), 'celeriac.PaymentRefused'],
    [new AggregateError([], 'x'), 'celeriac.AggregateError'],
    [new DOMException('x', 'TimeoutError'), 'builtins.TimeoutError'],
    [new DOMException('x', 'AbortError'), 'celeriac.AbortError'],
  ])('RES-013 %s becomes %s', (error, name) => {
    expect(named(error)).toBe(name)
    expect(remoteErrorFrom(error).args).toEqual(['x'])
  })

  it('names a plain error by its own name, and a module of the app', () => {
    const error = Object.assign(new Error('x'), { name: 'OutOfStock' })
    expect(named(error)).toBe('celeriac.OutOfStock')
    expect(remoteErrorFrom(error, { module: 'shop' }).module).toBe('shop')
  })

  it('makes system errors their OSError classes, with errno and message', async () => {
    const missing = thrownBy(() => readFileSync('/no/such/file'))
    expect(named(missing)).toBe('builtins.FileNotFoundError')
    expect(remoteErrorFrom(missing).args[0]).toBe(2)
    expect(named(thrownBy(() => readFileSync('/')))).toBe('builtins.IsADirectoryError')
    const refused = await new Promise((resolve) => connect(1, '127.0.0.1').once('error', resolve))
    expect(named(refused)).toBe('builtins.ConnectionRefusedError')
  })

  it('takes the constant code and name of our own errors, not their message', () => {
    class SoftTimeLimitExceeded extends Error {
      readonly code = 'SOFT_TIME_LIMIT_EXCEEDED'
      readonly limit = 5
    }
    class TaskNotRegisteredError extends Error {
      readonly code = 'TASK_NOT_REGISTERED'
      readonly taskName = 'nope.nope'
    }
    expect(named(new SoftTimeLimitExceeded())).toBe('billiard.exceptions.SoftTimeLimitExceeded')
    expect(remoteErrorFrom(new SoftTimeLimitExceeded()).args).toEqual([5])
    expect(named(new TaskNotRegisteredError('x'))).toBe('celery.exceptions.NotRegistered')
    expect(remoteErrorFrom(new TaskNotRegisteredError('x')).args).toEqual(['nope.nope'])
    expect(named(Object.assign(new PaymentRefused('x'), { code: 'CHORD' }))).toBe('celeriac.PaymentRefused')
  })

  it('keeps type, module and arguments of an error that came from another worker', () => {
    const error = Object.assign(new Error('boom'), {
      excType: 'Outer.Custom',
      excModule: 'shop',
      args: ['boom', 42],
      traceback: 'there\n',
    })
    const { type, module, args, traceback } = remoteErrorFrom(error)
    expect({ type, module, args }).toEqual({ type: 'Outer.Custom', module: 'shop', args: ['boom', 42] })
    expect(traceback).toMatch(/^there\n\nThe above exception was the direct cause[\s\S]*Error: boom\n$/)
  })

  it('RES-012 writes a traceback with the most recent call last, after its causes', () => {
    const error = new TypeError('outer', { cause: new RangeError('inner') })
    const { traceback = '' } = remoteErrorFrom(error)
    expect(traceback.startsWith('Traceback (most recent call last):\n')).toBe(true)
    expect(traceback.indexOf('RangeError: inner')).toBeLessThan(traceback.indexOf('The above exception'))
    expect(traceback.endsWith('TypeError: outer\n')).toBe(true)
    const frames = traceback.split('\n').filter((line) => line.startsWith('    at '))
    expect(frames.at(-1)).toContain('remote-error-from.test.ts')
  })

  it('ends for causes that go in a circle', () => {
    const error = new Error('round')
    error.cause = error
    expect(remoteErrorFrom(error).traceback).toMatch(/Error: round\n$/)
  })

  it('takes anything that can be thrown', () => {
    expect(remoteErrorFrom('text')).toMatchObject({ type: 'Exception', args: ['text'] })
    expect(remoteErrorFrom(undefined)).toMatchObject({ type: 'Exception', args: ['undefined was thrown'] })
    const hostile = new Proxy(
      {},
      {
        get: () => {
          throw new Error('no')
        },
        getPrototypeOf: () => {
          throw new Error('no')
        },
      },
    )
    expect(remoteErrorFrom(hostile)).toMatchObject({ type: 'Exception' })
  })

  it('writes text where a library put something else into name or message', () => {
    const odd = Object.assign(new Error('x'), { name: 5, message: { field: 'taken' } })
    expect(remoteErrorFrom(odd)).toMatchObject({ type: 'Exception', args: ["{'field': 'taken'}"] })
    class Odd extends Error {}
    const none = Object.assign(new Odd('x'), { message: undefined })
    expect(remoteErrorFrom(none)).toMatchObject({ type: 'Odd', args: [''] })
  })

  it('RES-013 replaces an argument that cannot be stored by its repr', () => {
    const stored = encodeRemoteError(
      { type: 'E', module: 'm', args: ['ok', () => 1], traceback: undefined },
      (value) => JSON.stringify(value)?.includes('null') === false,
    )
    expect(stored).toMatchObject({ exc_type: 'E', exc_module: 'm' })
    expect((stored['exc_message'] as unknown[])[0]).toBe('ok')
    expect(typeof (stored['exc_message'] as unknown[])[1]).toBe('string')
  })
})
