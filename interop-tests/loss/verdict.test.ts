import { describe, expect, it } from 'vitest'
import type { Fact } from './oracle.js'
import { judge, type Verdict } from './verdict.js'

const at = (when: number, what: Fact['what'], about: Partial<Fact> = {}): Fact => ({
  at: when,
  what,
  ...about,
})
const sent = (id: string): Fact[] => [at(0, 'sending', { id }), at(1, 'sent', { id })]
const ran = (id: string, who: string, start: number, end?: number, acked?: number): Fact[] => [
  at(start, 'start', { id, who }),
  at(start + 1, 'effect', { id, who }),
  ...(end === undefined ? [] : [at(end, 'end', { id, who })]),
  ...(acked === undefined ? [] : [at(acked, 'acked', { id, who })]),
]
/** The facts in the order in which they happened; a lease lasts 1000. */
const verdict = (...facts: readonly Fact[]): Verdict =>
  judge(
    facts.toSorted((a, b) => a.at - b.at),
    { leaseMs: 1000 },
  )
const w1 = { who: 'w1' }
const a1 = { id: 'a', who: 'w1' }

describe('the judge of loss trials', () => {
  it('finds nothing wrong with a task that ran once', () => {
    expect(verdict(...sent('a'), ...ran('a', 'w1', 10, 20, 21))).toEqual({
      sent: 1,
      refused: 0,
      lost: [],
      afterDeath: 0,
      beforeAck: 0,
      afterAbsence: 0,
      late: [],
      afterCause: 0,
      afterRepeat: 0,
      early: [],
      duplicates: [],
      ghosts: [],
    })
  })

  it('calls a task lost when its publish returned and its effect was never seen', () => {
    const died = [at(5, 'start', a1), at(6, 'doomed', w1), at(7, 'gone', { who: 'w1', sudden: true })]
    expect(verdict(...sent('a'), ...died).lost).toEqual(['a'])
  })

  describe('when a publish was tried again', () => {
    const repeated = [
      at(0, 'sending', { id: 'a' }),
      at(100, 'repeated', { id: 'a' }),
      at(200, 'sent', { id: 'a' }),
    ]
    const copy = ran('a', 'w2', 300, 310, 311)

    it('excuses a copy of what had been acknowledged before its end', () => {
      expect(verdict(...repeated, ...ran('a', 'w1', 10, 20, 199), ...copy)).toMatchObject({
        afterRepeat: 1,
        duplicates: [],
      })
    })

    it('accuses a copy of what was acknowledged later, or never', () => {
      expect(verdict(...repeated, ...ran('a', 'w1', 10, 20, 201), ...copy).duplicates).toEqual(['a'])
      expect(verdict(...repeated, ...ran('a', 'w1', 10, 20), ...copy).duplicates).toEqual(['a'])
    })

    it('accuses a second run that began before it was tried again', () => {
      expect(
        verdict(...repeated, ...ran('a', 'w1', 10, 20, 21), ...ran('a', 'w2', 90, 95, 96)).duplicates,
      ).toEqual(['a'])
    })
  })

  it('does not miss a task whose publish was refused', () => {
    expect(verdict(at(0, 'sending', { id: 'a' }), at(1, 'refused', { id: 'a' }))).toMatchObject({
      sent: 0,
      refused: 1,
      lost: [],
    })
  })

  describe('when the first process was killed', () => {
    const killed = [at(5000, 'doomed', w1), at(5010, 'gone', { who: 'w1', sudden: true })]
    const again = ran('a', 'w2', 6000, 6010, 6011)

    it('excuses a second effect when the body ran, or had ended and no acknowledgement was answered', () => {
      expect(verdict(...sent('a'), ...ran('a', 'w1', 4900), ...killed, ...again)).toMatchObject({
        afterDeath: 1,
        duplicates: [],
      })
      // However long it had ended: the oracle saw no answer.
      expect(verdict(...sent('a'), ...ran('a', 'w1', 10, 20), ...killed, ...again)).toMatchObject({
        beforeAck: 1,
        duplicates: [],
      })
    })

    it('accuses it when the acknowledgement was answered, however shortly before', () => {
      const found = verdict(...sent('a'), ...ran('a', 'w1', 4900, 4998, 4999), ...killed, ...again)
      expect(found.duplicates).toEqual(['a'])
    })

    it('accuses it when the acknowledgement was refused, or the connection lost, before the death', () => {
      for (const what of ['unacked', 'lost'] as const) {
        const before = at(4999, what, what === 'lost' ? w1 : a1)
        const found = verdict(...sent('a'), ...ran('a', 'w1', 4900, 4998), before, ...killed, ...again)
        expect(found.duplicates).toEqual(['a'])
      }
    })

    it('excuses it where nothing answers acknowledgements and one was just sent, and accuses it when it had its time', () => {
      const overAmqp = (ackedAt: number): Verdict =>
        judge(
          [...sent('a'), ...ran('a', 'w1', 4000, ackedAt - 1, ackedAt), ...killed, ...again].toSorted(
            (a, b) => a.at - b.at,
          ),
          { leaseMs: 1000, ackMs: 500 },
        )
      expect(overAmqp(4600)).toMatchObject({ beforeAck: 1, duplicates: [] })
      expect(overAmqp(4400)).toMatchObject({ beforeAck: 0, duplicates: ['a'] })
    })

    it('accuses it when the second run began before the death', () => {
      const found = verdict(
        ...sent('a'),
        ...ran('a', 'w1', 10),
        ...killed,
        ...ran('a', 'w2', 4999, 5500, 5501),
      )
      expect(found.duplicates).toEqual(['a'])
    })
  })

  it('accuses a second effect while the first process lives, or after its orderly end', () => {
    const lives = verdict(...sent('a'), ...ran('a', 'w1', 10, 90, 91), ...ran('a', 'w2', 40, 50, 51))
    expect(lives.duplicates).toEqual(['a'])
    const orderly = at(30, 'gone', { who: 'w1', sudden: false })
    const found = verdict(...sent('a'), ...ran('a', 'w1', 10, 20), orderly, ...ran('a', 'w2', 60, 70, 71))
    expect(found.duplicates).toEqual(['a'])
  })

  it('accuses the second of three effects although the process of the third had died', () => {
    const died = [at(100, 'doomed', { who: 'w2' }), at(101, 'gone', { who: 'w2', sudden: true })]
    const runs = [...ran('a', 'w1', 10, 20, 21), ...ran('a', 'w2', 90), ...ran('a', 'w3', 200, 210, 211)]
    expect(verdict(...sent('a'), ...runs, ...died).duplicates).toEqual(['a'])
  })

  describe('when the first worker was away', () => {
    const away = [at(1000, 'away', w1), at(4000, 'back', w1)]
    const again = ran('a', 'w2', 3000, 3010, 3011)

    it('excuses a second effect when it was paused or cut off while the body ran', () => {
      const first = [...ran('a', 'w1', 990, 4010), at(4020, 'unacked', a1)]
      expect(verdict(...sent('a'), ...first, ...away, ...again)).toMatchObject({
        afterAbsence: 1,
        duplicates: [],
        late: [],
      })
    })

    it('excuses it when that was between the end of the body and the answer to the acknowledgement', () => {
      for (const answer of [at(4020, 'unacked', a1), at(4020, 'lost', w1)]) {
        const first = [...ran('a', 'w1', 900, 999), answer]
        expect(verdict(...sent('a'), ...first, ...away, ...again)).toMatchObject({
          afterAbsence: 1,
          duplicates: [],
        })
      }
    })

    it('excuses it by a connection that was reset in an instant', () => {
      const reset = [at(1000, 'away', w1), at(1000, 'back', w1), at(1003, 'lost', w1)]
      const found = verdict(...sent('a'), ...ran('a', 'w1', 900, 1100), ...reset, ...again)
      expect(found).toMatchObject({ afterAbsence: 1, duplicates: [] })
    })

    it('accuses it when the acknowledgement was answered or refused before', () => {
      for (const what of ['acked', 'unacked'] as const) {
        const first = [...ran('a', 'w1', 900, 990), at(999, what, a1)]
        expect(verdict(...sent('a'), ...first, ...away, ...again).duplicates).toEqual(['a'])
      }
    })

    it('accuses it when the connection had been lost before, or the second run had begun before', () => {
      const lostBefore = [...ran('a', 'w1', 900, 4010), at(950, 'lost', w1)]
      expect(verdict(...sent('a'), ...lostBefore, ...away, ...again).duplicates).toEqual(['a'])
      const early = [...ran('a', 'w1', 900, 4010), ...ran('a', 'w2', 950, 960, 961)]
      expect(verdict(...sent('a'), ...early, ...away).duplicates).toEqual(['a'])
    })

    it('accuses it when the first run began after the worker was back', () => {
      const found = verdict(
        ...sent('a'),
        ...away,
        ...ran('a', 'w1', 4100, 4200),
        ...ran('a', 'w2', 4300, 4310, 4311),
      )
      expect(found.duplicates).toEqual(['a'])
    })

    it('calls a run late that began when the worker was back, and others had begun the task', () => {
      const found = verdict(...sent('a'), ...away, ...again, ...ran('a', 'w1', 4001, 4100))
      expect(found).toMatchObject({ late: ['a'], afterAbsence: 0, duplicates: [] })
    })

    it('calls a run late that began while the worker was away and its lease had run out', () => {
      const found = verdict(...sent('a'), ...away, ...ran('a', 'w1', 2100, 2200), ...again)
      expect(found).toMatchObject({ late: ['a'], afterAbsence: 0, duplicates: [] })
      const within = verdict(...sent('a'), ...away, ...ran('a', 'w1', 1900, 2050), ...again)
      expect(within).toMatchObject({ late: [], afterAbsence: 1 })
    })
  })

  it('excuses the end of a body that was told to give up, and accuses a run that ended before that', () => {
    const cold = [at(100, 'doomed', w1), at(105, 'lost', w1), at(120, 'gone', { who: 'w1', sudden: true })]
    const again = ran('a', 'w2', 110, 130, 131)
    expect(verdict(...sent('a'), ...ran('a', 'w1', 50, 115), ...cold, ...again)).toMatchObject({
      beforeAck: 1,
      duplicates: [],
    })
    const acked = verdict(...sent('a'), ...ran('a', 'w1', 50, 90, 91), ...cold, ...again)
    expect(acked.duplicates).toEqual(['a'])
  })

  it('tells two runs of one task in one process apart', () => {
    const reset = [at(20, 'away', w1), at(20, 'back', w1), at(22, 'lost', w1)]
    const facts = [
      at(10, 'start', a1),
      at(30, 'start', a1),
      at(40, 'effect', a1),
      at(50, 'end', a1),
      at(60, 'effect', a1),
      at(70, 'end', a1),
      at(71, 'acked', a1),
    ]
    expect(verdict(...sent('a'), ...reset, ...facts)).toMatchObject({ afterAbsence: 1, duplicates: [] })
  })

  it('calls a run a ghost when nobody sent it, or when its process had ended', () => {
    const unsent = ran('x', 'w1', 10, 20, 21)
    const undead = [...sent('y'), at(5, 'gone', { who: 'w0', sudden: true }), ...ran('y', 'w0', 10, 20, 21)]
    expect(verdict(...unsent, ...undead).ghosts).toEqual(['x', 'y'])
  })

  describe('a task that another one sends', () => {
    const step: Fact[] = [at(0, 'sending', { id: 'b', after: ['a'] }), at(1, 'sent', { id: 'b' })]
    const killed = [at(22, 'doomed', w1), at(23, 'gone', { who: 'w1', sudden: true })]
    const twice = [...ran('b', 'w2', 30, 40, 41), ...ran('b', 'w3', 50, 60, 61)]

    it('may run again when that one came to its end again', () => {
      const again = ran('a', 'w2', 30, 45, 46)
      const found = verdict(...sent('a'), ...step, ...ran('a', 'w1', 10, 20), ...killed, ...again, ...twice)
      expect(found).toMatchObject({ beforeAck: 1, afterCause: 1, duplicates: [], early: [] })
    })

    it('may not where sending it and acknowledging are one step', () => {
      const again = ran('a', 'w2', 30, 45, 46)
      const facts = [...sent('a'), ...step, ...ran('a', 'w1', 10, 20), ...killed, ...again, ...twice]
      const found = judge(
        facts.toSorted((one, other) => one.at - other.at),
        { leaseMs: 1000, isOneStep: true },
      )
      expect(found).toMatchObject({ beforeAck: 1, afterCause: 0, duplicates: ['b'] })
    })

    it('has no excuse when that one ended once, nor for more runs than that', () => {
      const once = verdict(...sent('a'), ...step, ...ran('a', 'w1', 10, 20, 21), ...twice)
      expect(once).toMatchObject({ afterCause: 0, duplicates: ['b'] })
      const again = [...ran('a', 'w1', 10, 20), ...killed, ...ran('a', 'w2', 30, 45, 46)]
      const thrice = verdict(...sent('a'), ...step, ...again, ...twice, ...ran('b', 'w4', 70, 80, 81))
      expect(thrice.duplicates).toEqual(['b'])
    })

    it('may die at work and begin again with each of its messages', () => {
      const again = [...ran('a', 'w1', 10, 20), ...killed, ...ran('a', 'w2', 30, 45, 46)]
      const died = [at(66, 'doomed', { who: 'w4' }), at(67, 'gone', { who: 'w4', sudden: true })]
      const found = verdict(
        ...sent('a'),
        ...step,
        ...again,
        ...ran('b', 'w2', 50, 60, 61),
        ...ran('b', 'w4', 62),
        ...died,
        ...ran('b', 'w5', 70, 80, 81),
      )
      expect(found).toMatchObject({ afterCause: 2, duplicates: [] })
    })

    it('must not begin before that one has had its effect', () => {
      const found = verdict(...sent('a'), ...step, ...ran('b', 'w2', 5, 8, 9), ...ran('a', 'w1', 10, 20, 21))
      expect(found.early).toEqual(['b'])
    })
  })
})
