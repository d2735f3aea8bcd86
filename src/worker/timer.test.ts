import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../clock.js'
import { Timer } from './timer.js'

describe('Timer', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('calls what is due in the order of its time, then of its arrival', () => {
    const timer = new Timer(systemClock())
    const start = Date.now()
    const called: string[] = []
    for (const [name, ms] of [
      ['c', 300],
      ['a', 100],
      ['d', 300],
      ['b', 200],
    ] as const) {
      timer.at(start + ms, () => called.push(`${name}@${Date.now() - start}`))
    }
    vi.advanceTimersByTime(1000)
    expect(called).toEqual(['a@100', 'b@200', 'c@300', 'd@300'])
    expect(timer.size).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('keeps heap order under random load and random cancels', () => {
    const timer = new Timer(systemClock())
    const start = Date.now()
    let seed = 42
    const random = (): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      return seed / 2 ** 31
    }
    const called: number[] = []
    const expected: number[] = []
    for (let i = 0; i < 3000; i += 1) {
      const at = start + Math.floor(random() * 10_000)
      const cancel = timer.at(at, () => called.push(at))
      if (random() < 0.6) cancel()
      else expected.push(at)
    }
    expect(timer.size).toBe(expected.length)
    vi.advanceTimersByTime(10_001)
    expect(called).toEqual(expected.sort((a, b) => a - b))
  })

  it('WRK-039 calls at once for the past', () => {
    const called = vi.fn()
    new Timer(systemClock()).at(Date.now() - 60_000, called)
    vi.advanceTimersByTime(1)
    expect(called).toHaveBeenCalledOnce()
  })

  it('reaches an ETA beyond 2^31 ms, and not before', () => {
    const called = vi.fn()
    const days = 40 * 86_400_000
    new Timer(systemClock()).at(Date.now() + days, called)
    vi.advanceTimersByTime(days - 1)
    expect(called).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(called).toHaveBeenCalledOnce()
  })

  it('follows the wall clock when it is set forward', () => {
    const called = vi.fn()
    new Timer(systemClock()).at(Date.now() + 3_600_000, called)
    vi.setSystemTime(Date.now() + 3_600_000)
    vi.advanceTimersByTime(60_000)
    expect(called).toHaveBeenCalledOnce()
  })

  it('runs one timer of the machine, and none when all is cancelled', () => {
    const timer = new Timer(systemClock())
    const cancels = [1, 2, 3].map((n) => timer.at(Date.now() + n * 1000, () => {}))
    expect(vi.getTimerCount()).toBe(1)
    for (const cancel of cancels) cancel()
    expect(vi.getTimerCount()).toBe(0)
  })
})
