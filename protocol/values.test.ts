import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { EncodeError } from './errors.js'
import {
  DateTime,
  date,
  dateToIso,
  datetime,
  decimal,
  FrozenSet,
  float,
  PlainTime,
  TimeDelta,
  Tuple,
  time,
  tuple,
  uuid,
} from './values.js'

describe('values that JavaScript lacks', () => {
  it('PYO-014 keeps microseconds, offset and text of a datetime', () => {
    const value = datetime('2030-01-02T03:04:05.678901-05:30')
    expect([value.iso, value.microsecond, value.offsetSeconds]).toEqual([
      '2030-01-02T03:04:05.678901-05:30',
      678901,
      -19800,
    ])
    expect(value.getTime()).toBe(Date.parse('2030-01-02T08:34:05.678Z'))
    expect(value.parts).toMatchObject({ year: 2030, hour: 3, minute: 4, microsecond: 678901 })
  })

  it('PYO-014 keeps a naive datetime naive, and never sends Z', () => {
    expect(datetime('2030-01-02 03:04:05').iso).toBe('2030-01-02T03:04:05')
    expect(datetime('2030-01-02T03:04:05.6Z').iso).toBe('2030-01-02T03:04:05.600000+00:00')
    expect(dateToIso(new Date('2030-01-02T03:04:05.678Z'))).toBe('2030-01-02T03:04:05.678+00:00')
    expect(dateToIso(new Date('2030-01-02T03:04:05Z'))).toBe('2030-01-02T03:04:05+00:00')
  })

  it('follows the Date half of a datetime when that is set, keeping its offset', () => {
    const value = datetime('2030-01-02T03:04:05.678901+02:00')
    value.setUTCHours(5)
    expect(value.iso).toBe('2030-01-02T07:04:05.678000+02:00')
  })

  it('refuses what Python would refuse, as soon as it is made', () => {
    for (const make of [
      () => datetime('2030-02-30T00:00:00'),
      () => datetime('0000-01-01'),
      () => datetime(new Date(Number.NaN)),
      () => datetime(new Date(Date.UTC(12000, 0))),
      () => date('2029-02-29'),
      () => time('25:00'),
      () => new PlainTime({ hour: 1, minute: 60 }),
      () => decimal('1.1.1'),
      () => uuid('6ba7b810'),
      () => float('2' as unknown as number),
      () => new TimeDelta({ days: 1e9 }),
    ]) {
      expect(make).toThrow(EncodeError)
    }
  })

  it('reads UUIDs with dashes, braces or urn, and decimals as Python does', () => {
    const text = '6ba7b810-9dad-41d1-80b4-00c04fd430c8'
    for (const form of [text, `{${text}}`, `urn:uuid:${text}`, text.replaceAll('-', '').toUpperCase()]) {
      expect(String(uuid(form))).toBe(text)
    }
    expect(['1.10', '1E+5', '-0', 'NaN', '-Infinity', ' 1_000 '].map((text) => decimal(text).text)).toEqual([
      '1.10',
      '1E+5',
      '-0',
      'NaN',
      '-Infinity',
      '1000',
    ])
    expect(Number(decimal('1.5'))).toBe(1.5)
  })

  it('carries timedelta parts over as Python normalises them', () => {
    expect(new TimeDelta({ microseconds: -1 })).toMatchObject({
      days: -1,
      seconds: 86_399,
      microseconds: 999_999,
    })
  })

  it('gives a tuple that is an array, and whose slices are plain arrays', () => {
    const value = tuple(3)
    expect(value).toBeInstanceOf(Tuple)
    expect([...value]).toEqual([3])
    expect(value.map((item) => item + 1)).not.toBeInstanceOf(Tuple)
  })

  it('computes and prints as one expects', () => {
    expect(Number(float(2)) + 1).toBe(3)
    expect(JSON.stringify([float(2), decimal('1.10'), date('2030-01-02'), time('03:04')])).toBe(
      '[2,"1.10","2030-01-02","03:04:00"]',
    )
    expect(inspect([float(2), datetime('2030-01-02T00:00:00')])).toBe(
      '[ Float(2), DateTime(2030-01-02T00:00:00) ]',
    )
    expect(new FrozenSet([1]).has(1)).toBe(true)
    expect(DateTime.fromDate(new Date(5)).iso).toBe('1970-01-01T00:00:00.005000+00:00')
  })
})
