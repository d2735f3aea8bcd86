import { describe, expect, it } from 'vitest'
import { InvalidTaskError } from '../../protocol/errors.js'
import { momentMs } from './moment.js'

describe('moments', () => {
  it.each([
    ['2026-01-02T03:04:05.123456', 1767323045123.456],
    ['2026-01-02T03:04:05+00:00', 1767323045000],
    ['2026-01-02T03:04:05Z', 1767323045000],
    ['2026-01-02 03:04:05.123Z', 1767323045123],
    ['2026-01-02T03:04:05+05:30', 1767303245000],
    ['2026-01-02', 1767312000000],
    ['9999-12-31T23:59:59', 253402300799000],
  ])('WRK-037 reads %s as Celery 5.6.3 does, naive as UTC', (text, expected) => {
    expect(momentMs(text, 'ETA')).toBe(expected)
  })

  it('has none for nothing', () => {
    expect(momentMs(undefined, 'ETA')).toBeUndefined()
    expect(momentMs('', 'expires')).toBeUndefined()
  })

  it('WRK-031 names the value that cannot be read', () => {
    expect(() => momentMs('soon', 'ETA')).toThrow(InvalidTaskError)
    expect(() => momentMs('soon', 'expires')).toThrow('invalid expires value "soon"')
  })
})
