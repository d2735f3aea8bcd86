import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { orAborted } from './or-aborted.js'

describe('orAborted', () => {
  const never = new Promise<string>(() => {})

  it('is the work itself where there is no signal', () => {
    expect(orAborted(never, undefined)).toBe(never)
  })

  it('settles as the work does, and listens to the signal no longer', async () => {
    const { signal } = new AbortController()
    await expect(orAborted(Promise.resolve('done'), signal)).resolves.toBe('done')
    await expect(orAborted(Promise.reject(new Error('bad')), signal)).rejects.toThrow('bad')
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('rejects with the reason as soon as the signal aborts, also when it has', async () => {
    const controller = new AbortController()
    const waiting = orAborted(never, controller.signal)
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(orAborted(never, controller.signal)).rejects.toThrow('enough')
  })

  it('leaves no rejection to nobody when the work fails after that', async () => {
    const controller = new AbortController()
    let fail = (_: Error): void => {}
    const work = new Promise<never>((_resolve, reject) => {
      fail = reject
    })
    const waiting = orAborted(work, controller.signal)
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    // An unhandled rejection would fail the run.
    fail(new Error('late'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })
})
