import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { exponentialDelayMs, jittered, linearDelayMs } from './backoff.js'

describe('backoff', () => {
  it('grows by steps as kombu does for the default publish retry policy (0, 0.2, 0.2 s)', () => {
    const policy = { startMs: 0, stepMs: 200, maxMs: 200 }
    expect([0, 1, 2, 3].map((attempt) => linearDelayMs(attempt, policy))).toEqual([0, 200, 200, 200])
  })

  it('counts the maximum from the start, and repeats the last whole step that fits', () => {
    const policy = { startMs: 1000, stepMs: 400, maxMs: 1000 }
    expect([0, 1, 2, 3, 9].map((attempt) => linearDelayMs(attempt, policy))).toEqual([
      1000, 1400, 1800, 1800, 1800,
    ])
    expect(linearDelayMs(7, { startMs: 50, stepMs: 0, maxMs: 1000 })).toBe(50)
  })

  it('doubles up to the maximum', () => {
    const policy = { firstMs: 100, maxMs: 1000 }
    expect([0, 1, 2, 3, 4, 5000].map((attempt) => exponentialDelayMs(attempt, policy))).toEqual([
      100, 200, 400, 800, 1000, 1000,
    ])
  })

  it('takes away at most its share when it jitters', () => {
    expect(jittered(1000, () => 0.5)).toBe(500)
    expect(jittered(1000, () => 0.5, 0.2)).toBe(900)
    expect(jittered(1000, () => 0.999, 0)).toBe(1000)
  })

  it('never waits a negative, infinite or undefined time', () => {
    const number = fc.double()
    fc.assert(
      fc.property(
        number,
        number,
        number,
        number,
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (a, b, c, d, r) => {
          for (const ms of [
            linearDelayMs(a, { startMs: b, stepMs: c, maxMs: d }),
            exponentialDelayMs(a, { firstMs: b, maxMs: c, factor: d }),
            jittered(a, () => r, b),
          ]) {
            expect(Number.isFinite(ms) && ms >= 0).toBe(true)
          }
        },
      ),
    )
  })
})
