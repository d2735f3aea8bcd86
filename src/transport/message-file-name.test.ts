import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareFileNames, MessageFileNames, queueOfFile } from './message-file-name.js'

describe('message file names', () => {
  it('rise as text within the same number of digits, also within one millisecond and when the clock stands', () => {
    const steps = fc.array(fc.integer({ min: 0, max: 900_000 }), { minLength: 2, maxLength: 60 })
    fc.assert(
      fc.property(steps, (advances) => {
        let now = 1_312_697_000_000n
        const names = new MessageFileNames(
          () => now,
          () => crypto.randomUUID(),
        )
        const made = advances.map((advance) => {
          now += BigInt(advance)
          return names.next('celery')
        })
        expect(made.toSorted()).toEqual(made)
        expect(new Set(made).size).toBe(made.length)
        for (const name of made)
          expect(name).toMatch(/^1312\d{3}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.celery\.msg$/)
      }),
    )
  })

  it('round milliseconds as Python does', () => {
    const at = (ns: bigint): number =>
      Number.parseInt(
        new MessageFileNames(
          () => ns,
          () => crypto.randomUUID(),
        ).next('q'),
        10,
      )
    expect(at(1_312_697_400_000n)).toBe(1_312_697)
    expect(at(1_312_697_600_000n)).toBe(1_312_698)
  })

  it('sort by number where the digits get more, which kombu gets wrong', () => {
    expect(['1000_a.q.msg', '999_b.q.msg', '999_a.q.msg'].sort(compareFileNames)).toEqual([
      '999_a.q.msg',
      '999_b.q.msg',
      '1000_a.q.msg',
    ])
  })

  it('name one queue exactly, dots and all', () => {
    expect(queueOfFile('1_b68edf5e-0290-49ac-9f04-ee7e13819a89.celery.msg')).toBe('celery')
    expect(queueOfFile('1_b68edf5e-0290-49ac-9f04-ee7e13819a89.a.celery.msg')).toBe('a.celery')
    for (const none of ['.celeriac', 'control', '1_x.msg', '.q.msg', '1_x..msg', '1_x.q.msg.tmp']) {
      expect(queueOfFile(none)).toBeUndefined()
    }
  })
})
