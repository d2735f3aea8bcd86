import { describe, expect, it } from 'vitest'
import { SyncSubtaskError } from '../errors.js'
import { EagerResult } from './eager-result.js'

describe('EagerResult', () => {
  it('RES-076 is ready at once and gives its value', async () => {
    const result = new EagerResult<number>('e', 5, 'SUCCESS', { name: 't.add' })
    expect(await result.get()).toBe(5)
    expect([await result.ready(), await result.successful(), await result.failed()]).toEqual([
      true,
      true,
      false,
    ])
    expect([await result.state(), await result.result(), await result.name()]).toEqual([
      'SUCCESS',
      5,
      't.add',
    ])
  })

  it('RES-076 throws the error itself after a failure, and wraps what is no error', async () => {
    const error = new TypeError('boom')
    await expect(new EagerResult('e', error, 'FAILURE').get()).rejects.toBe(error)
    expect(await new EagerResult('e', error, 'FAILURE').get({ propagate: false })).toBe(error)
    await expect(new EagerResult('e', 'gone', 'REVOKED').get()).rejects.toMatchObject({
      code: 'TASK',
      message: 'gone',
    })
    const stored = { type: 'KeyError', module: 'builtins', args: ['k'], traceback: undefined }
    await expect(new EagerResult('e', stored, 'FAILURE').maybeThrow()).rejects.toMatchObject({
      excType: 'KeyError',
    })
  })

  it.each(['IGNORED', 'REJECTED', 'RETRY'])('RES-076 has no value in state %s', async (state) => {
    expect(await new EagerResult('e', 'x', state).get()).toBeUndefined()
  })

  it('RES-076 RES-056 calls onReady callbacks at once', async () => {
    const calls: unknown[] = []
    const result = new EagerResult('e', 5, 'SUCCESS')
    await result.onReady((self) => void calls.push(self))
    const failing = new Error('callback')
    await result.onReady(
      () => Promise.reject(failing),
      (error) => void calls.push(error),
    )
    expect(calls).toEqual([result, failing])
    await expect(result.onReady(() => Promise.reject(failing))).rejects.toBe(failing)
    expect(result.asList()).toEqual(['e'])
  })

  it('RES-076 revoke sets REVOKED, forget does nothing, and waiting inside a task is refused', async () => {
    const result = new EagerResult('e', 5, 'SUCCESS', { context: { insideTask: () => true } })
    await result.forget()
    await expect(result.get()).rejects.toBeInstanceOf(SyncSubtaskError)
    expect(await result.get({ disableSyncSubtasks: false })).toBe(5)
    await result.revoke()
    expect(await result.state()).toBe('REVOKED')
  })
})
