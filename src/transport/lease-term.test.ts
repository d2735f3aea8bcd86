import { describe, expect, it } from 'vitest'
import { isBefore, type LeaseMoment, momentAfter, SharedRenewals } from './lease-term.js'

const at = (ms: number, wall = ms): LeaseMoment => ({ monotonic: ms, wall: 1_000_000 + wall })

describe('isBefore', () => {
  it('judges by whichever clock is further', () => {
    const end = momentAfter(at(0), 100)
    expect(isBefore(at(99), end)).toBe(true)
    expect(isBefore(at(100), end)).toBe(false)
    // The machine slept: only the wall clock went on. And the wall clock was set back while the process was frozen.
    expect(isBefore(at(10, 5000), end)).toBe(false)
    expect(isBefore(at(5000, 10), end)).toBe(false)
  })
})

describe('SharedRenewals', () => {
  it('covers nothing before the first renewal', () => {
    expect(new SharedRenewals().covers(at(100), at(0))).toBe(false)
  })

  it('covers what was held when a chain of renewals began, until the last of them runs out', () => {
    const written = new SharedRenewals()
    const read = new SharedRenewals(written.buffer)
    written.record(at(50), at(60), 50)
    written.record(at(90), at(95), 50)
    expect(read.covers(at(100), at(139))).toBe(true)
    expect(read.covers(at(100), at(140))).toBe(false)
    // Its own lease had run out before the first renewal was answered.
    expect(read.covers(at(55), at(100))).toBe(false)
  })

  it('begins a new chain when a renewal was answered after the one before had run out, by either clock', () => {
    for (const late of [at(200), at(100, 200)]) {
      const renewals = new SharedRenewals()
      renewals.record(at(50), at(60), 50)
      renewals.record(at(99), late, 500)
      expect(renewals.covers(at(90), late)).toBe(false)
      expect(renewals.covers(at(300), momentAfter(late, 1))).toBe(true)
    }
  })
})
