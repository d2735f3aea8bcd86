import { describe, expect, it } from 'vitest'
import type { Fact } from './oracle.js'
import { judge } from './verdict.js'

const at = (when: number, what: Fact['what'], about: Partial<Fact> = {}): Fact => ({
  at: when,
  what,
  ...about,
})
const sent = (id: string): Fact[] => [at(0, 'sending', { id }), at(1, 'sent', { id })]
const ran = (id: string, who: string, start: number, end?: number): Fact[] => [
  at(start, 'start', { id, who }),
  at(start + 1, 'effect', { id, who }),
  ...(end === undefined ? [] : [at(end, 'end', { id, who })]),
]

describe('the judge of loss trials', () => {
  it('finds nothing wrong with a task that ran once', () => {
    expect(judge([...sent('a'), ...ran('a', 'w1', 10, 20)])).toEqual({
      sent: 1,
      refused: 0,
      lost: [],
      afterDeath: 0,
      beforeAck: 0,
      afterAbsence: 0,
      begunLate: 0,
      duplicates: [],
      ghosts: [],
    })
  })

  it('calls a task lost when its publish returned and its effect was never seen', () => {
    const facts = [
      ...sent('a'),
      at(5, 'start', { id: 'a', who: 'w1' }),
      at(6, 'gone', { who: 'w1', sudden: true }),
    ]
    expect(judge(facts).lost).toEqual(['a'])
  })

  it('does not miss a task whose publish was refused', () => {
    expect(judge([at(0, 'sending', { id: 'a' }), at(1, 'refused', { id: 'a' })])).toMatchObject({
      sent: 0,
      refused: 1,
      lost: [],
    })
  })

  it('excuses a second effect by the death of the first process, also right after the end of the body', () => {
    const died = at(30, 'gone', { who: 'w1', sudden: true })
    const facts = [...sent('a'), ...ran('a', 'w1', 10), ...sent('b'), ...ran('b', 'w1', 10, 29), died]
    const verdict = judge([...facts, ...ran('a', 'w2', 40, 50), ...ran('b', 'w2', 40, 50)])
    expect(verdict).toMatchObject({ afterDeath: 1, beforeAck: 1, duplicates: [] })
  })

  it('accuses a second effect while the first process lives, or long after the end, or after an orderly exit', () => {
    const lives = judge([...sent('a'), ...ran('a', 'w1', 10, 90), ...ran('a', 'w2', 40, 50)])
    expect(lives.duplicates).toEqual(['a'])
    const late = judge([
      ...sent('a'),
      ...ran('a', 'w1', 10, 20),
      at(5000, 'gone', { who: 'w1', sudden: true }),
      ...ran('a', 'w2', 6000, 6010),
    ])
    expect(late.duplicates).toEqual(['a'])
    const orderly = judge([
      ...sent('a'),
      ...ran('a', 'w1', 10, 20),
      at(30, 'gone', { who: 'w1', sudden: false }),
      ...ran('a', 'w2', 60, 70),
    ])
    expect(orderly.duplicates).toEqual(['a'])
  })

  it('excuses a second effect when the first worker was away while it held the task', () => {
    const facts = [
      ...sent('a'),
      ...ran('a', 'w1', 10),
      at(20, 'away', { who: 'w1' }),
      ...ran('a', 'w2', 40, 50),
    ]
    expect(
      judge([...facts, at(60, 'back', { who: 'w1' }), at(70, 'end', { id: 'a', who: 'w1' })]),
    ).toMatchObject({
      afterAbsence: 1,
      duplicates: [],
    })
  })

  it('counts apart what a worker that was away began although another had begun it', () => {
    const facts = [
      ...sent('a'),
      at(10, 'away', { who: 'w1' }),
      ...ran('a', 'w2', 40, 50),
      ...ran('a', 'w1', 60, 70),
      at(80, 'back', { who: 'w1' }),
    ]
    expect(judge(facts)).toMatchObject({ begunLate: 1, afterAbsence: 0, duplicates: [] })
  })

  it('calls a run a ghost when nobody sent it, or when its process had ended', () => {
    const unsent = ran('x', 'w1', 10, 20)
    const undead = [...sent('y'), at(5, 'gone', { who: 'w0', sudden: true }), ...ran('y', 'w0', 10, 20)]
    expect(judge([...unsent, ...undead]).ghosts).toEqual(['x', 'y'])
  })
})
