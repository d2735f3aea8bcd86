import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DecodeError } from './errors.js'
import {
  compareIso,
  epochMsToIso,
  formatIsoDateTime,
  formatOffset,
  isoToEpochMs,
  parseIsoDateTime,
  parseIsoTime,
} from './iso-time.js'

describe('ISO times as Python has them', () => {
  it.each([
    ['2030-01-02T03:04:05.678901-05:30', '2030-01-02T03:04:05.678901-05:30'],
    ['2030-01-02T03:04:05Z', '2030-01-02T03:04:05+00:00'],
    ['2030-01-02 03:04:05.123', '2030-01-02T03:04:05.123000'],
    ['2030-01-02T03:04:05,1234567', '2030-01-02T03:04:05.123456'],
    ['20300102T030405+0200', '2030-01-02T03:04:05+02:00'],
    ['2030-01-02T03:04:05+01:02:03', '2030-01-02T03:04:05+01:02:03'],
    ['2030-01-02', '2030-01-02T00:00:00'],
    ['2030-01', '2030-01-01T00:00:00'],
    ['2030', '2030-01-01T00:00:00'],
    ['2030-W01-2', '2030-01-01T00:00:00'],
    ['2030-366', undefined],
    ['2030-032', '2030-02-01T00:00:00'],
    ['2030-12-31T24:00', '2031-01-01T00:00:00'],
    ['2030-12-31T24:01', undefined],
    ['2030-02-29T00:00:00', undefined],
    ['2030-01-02T03:04:05+24:00', undefined],
    ['now', undefined],
    ['', undefined],
  ])('reads %s as isoparse does', (text, expected) => {
    if (expected === undefined) expect(() => parseIsoDateTime(text)).toThrow(DecodeError)
    else expect(formatIsoDateTime(parseIsoDateTime(text))).toBe(expected)
  })

  it('takes a naive time for UTC, or for the zone it is told', () => {
    expect(isoToEpochMs('1970-01-01T01:00:00')).toBe(3_600_000)
    expect(isoToEpochMs('1970-01-01T01:00:00', 3600)).toBe(0)
    expect(isoToEpochMs('1970-01-01T01:00:00+01:00', 7200)).toBe(0)
  })

  it('orders times down to the microsecond', () => {
    expect(compareIso('2030-01-01T00:00:00.000001', '2030-01-01T00:00:00.000002')).toBeLessThan(0)
    expect(compareIso('2030-01-01T01:00:00+01:00', '2030-01-01T00:00:00Z')).toBe(0)
  })

  it('writes offsets with seconds only where there are any', () => {
    expect([0, -19800, 3723, undefined].map((offset) => formatOffset(offset))).toEqual([
      '+00:00',
      '-05:30',
      '+01:02:03',
      '',
    ])
    expect(parseIsoTime('03:04:05.5-00:30')).toMatchObject({ microsecond: 500_000, offsetSeconds: -1800 })
  })

  it('round-trips every millisecond of Python years in any zone', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -62_135_000_000_000, max: 253_402_000_000_000 }),
        fc.integer({ min: -1439, max: 1439 }),
        (epochMs, minutes) => {
          fc.pre(
            epochMs + minutes * 60_000 > -62_135_596_800_000 &&
              epochMs + minutes * 60_000 < 253_402_300_800_000,
          )
          expect(isoToEpochMs(epochMsToIso(epochMs, minutes * 60))).toBe(epochMs)
        },
      ),
    )
  })

  it('throws nothing but a DecodeError for any text', () => {
    const texts = fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{0,8}[-T: W+Z.,0-9]{0,30}$/))
    fc.assert(
      fc.property(texts, (text) => {
        try {
          formatIsoDateTime(parseIsoDateTime(text))
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
