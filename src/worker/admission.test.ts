import { describe, expect, it } from 'vitest'
import { type AdmissionRules, admit, type Candidate, discardReason } from './admission.js'

const now = 1_767_323_045_000
const candidate: Candidate = { id: 'a', task: 't', eta: undefined, expires: undefined, stamps: {} }
const rules: AdmissionRules = { knows: () => true, isRevoked: () => false, isThrottled: () => false }

describe('admission', () => {
  it('runs a task that nothing holds back', () => {
    expect(admit(candidate, now, rules)).toEqual({ kind: 'run' })
  })

  it('WRK-030 refuses an unknown task before anything else', () => {
    const unknown = { ...rules, knows: () => false, isRevoked: () => true }
    expect(admit({ ...candidate, eta: now + 1 }, now, unknown)).toEqual({
      kind: 'refuse',
      reason: 'unknown task',
    })
  })

  it('WRK-033 WRK-036 looks at expiry and revocation before the ETA', () => {
    const waiting = { ...candidate, eta: now + 10_000 }
    expect(admit({ ...waiting, expires: now - 1 }, now, rules)).toEqual({
      kind: 'discard',
      reason: 'expired',
    })
    const revoked = { ...rules, isRevoked: () => true }
    expect(admit(waiting, now, revoked)).toEqual({ kind: 'discard', reason: 'revoked' })
  })

  it('WRK-037 lets a task run at the very moment of its expiry, and not a microsecond later', () => {
    expect(admit({ ...candidate, expires: now }, now, rules)).toEqual({ kind: 'run' })
    expect(discardReason({ ...candidate, expires: now - 0.001 }, now, rules)).toBe('expired')
  })

  it('WRK-038 has one answer also for a moment that Python cannot convert, which Celery rejects and yet schedules', () => {
    const [first, last] = [Date.UTC(0, 0, 1), Date.UTC(9999, 11, 31, 23, 59, 59) + 86_400_000]
    expect(admit({ ...candidate, eta: first }, now, rules)).toEqual({ kind: 'run' })
    expect(admit({ ...candidate, eta: last }, now, rules)).toEqual({ kind: 'wait', until: last })
  })

  it('WRK-039 runs a task whose ETA has come', () => {
    expect(admit({ ...candidate, eta: now }, now, rules)).toEqual({ kind: 'run' })
    expect(admit({ ...candidate, eta: now + 0.001 }, now, rules)).toEqual({
      kind: 'wait',
      until: now + 0.001,
    })
  })

  it('WRK-040 waits for the ETA first and for a token then', () => {
    const throttled = { ...rules, isThrottled: () => true }
    expect(admit({ ...candidate, eta: now + 5 }, now, throttled)).toEqual({ kind: 'wait', until: now + 5 })
    expect(admit({ ...candidate, eta: now + 5 }, now + 5, throttled)).toEqual({ kind: 'throttle' })
  })
})
