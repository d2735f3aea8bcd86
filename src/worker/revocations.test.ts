import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../clock.js'
import { Revocations } from './revocations.js'

describe('Revocations', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('CTL-059 keeps at most maxCount ids and forgets the oldest first', () => {
    const { ids } = new Revocations(systemClock(), { maxCount: 3 })
    for (const id of ['a', 'b', 'c', 'a', 'd']) ids.add(id)
    expect(ids.values()).toEqual(['c', 'a', 'd'])
    expect(ids.has('b')).toBe(false)
  })

  it('CTL-059 forgets an id three hours after it was added', () => {
    const revocations = new Revocations(systemClock())
    revocations.ids.add('a')
    vi.advanceTimersByTime(10_799_999)
    expect(revocations.covers({ id: 'a', stamps: {} })).toBe(true)
    vi.advanceTimersByTime(1)
    expect(revocations.covers({ id: 'a', stamps: {} })).toBe(false)
    expect(revocations.ids.size).toBe(0)
  })

  it('WRK-036 covers a task by any value of a revoked stamp', () => {
    const revocations = new Revocations(systemClock())
    revocations.addStamp('tenant', ['acme', 7])
    expect(revocations.covers({ id: 'x', stamps: { tenant: 'acme' } })).toBe(true)
    expect(revocations.covers({ id: 'x', stamps: { tenant: ['other', 7] } })).toBe(true)
    expect(revocations.covers({ id: 'x', stamps: { tenant: 'other' } })).toBe(false)
    expect(revocations.covers({ id: 'x', stamps: { owner: 'acme' } })).toBe(false)
  })
})
