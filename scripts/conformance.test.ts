import { describe, expect, it } from 'vitest'
import { idsIn, surfaceRows, testTitles } from './conformance.js'

describe('the conformance report', () => {
  it('reads rows with their section, and stops at the appendix', () => {
    const rows = surfaceRows(
      '## 3. Publishing\n| ID | x |\n|---|---|\n| PUB-001 | args | TypeError |\n## Appendix\n| PUB-002 | again |',
    )
    expect(rows).toEqual([{ id: 'PUB-001', section: '3. Publishing', text: 'args' }])
  })

  it('finds the ids of a title, ranges included', () => {
    expect(idsIn('ACK-003 ACK-007..009 drops')).toEqual(['ACK-003', 'ACK-007', 'ACK-008', 'ACK-009'])
  })

  it('takes a test that is skipped for no proof', () => {
    const cited = testTitles(
      "it('WRK-001 a', f)\nit.skip('WRK-002 b', f)\nit.each([1])('WRK-003 %s', f)\ndescribe(`WRK-004`, f)",
    )
    expect(cited).toEqual(['WRK-001 a', 'WRK-003 %s', 'WRK-004'])
  })

  it('finds the title after a table, whatever is nested in the table', () => {
    const cited = testTitles(
      [
        "it.each(Object.entries(f(x)))('WRK-001 a', f)",
        "it.each([[':)', () => g(h())], // it's\n ['(', 1]] as const)(\n  'WRK-002 b', f)",
        "describe.skipIf(kind.missing(a(b)))('WRK-003 c', f)",
        "it.each<[string, number]>([f()])('WRK-004 d', f)",
        'it.each`a | b\n$' + "{f(')')} | 1`('WRK-005 e', f)",
        "it.skip.each(f(x))('WRK-006 f', f)",
      ].join('\n'),
    )
    expect(cited).toEqual(['WRK-001 a', 'WRK-002 b', 'WRK-003 c', 'WRK-004 d', 'WRK-005 e'])
  })
})
