import { describe, expect, it } from 'vitest'
import {
  commaList,
  isoOrSeconds,
  isoTime,
  jsonArray,
  jsonObject,
  logLevel,
  seconds,
  wholeNumber,
} from './option-values.js'

describe('CLI-007 option values', () => {
  it('reads JSON of the asked kind only, with typed values and exact integers', () => {
    expect(jsonArray('[1, "a", null]')).toEqual([1, 'a', null])
    expect(jsonArray('[9007199254740993]')).toEqual([9007199254740993n])
    const [when] = jsonArray('[{"__type__": "datetime", "__value__": "2026-01-02T03:04:05+00:00"}]')
    expect(when).toBeInstanceOf(Date)
    expect(jsonObject('{"a": 1}')).toEqual({ a: 1 })
    expect(() => jsonArray('{"a": 1}')).toThrow('not a JSON array: {"a": 1}')
    expect(() => jsonObject('[1]')).toThrow('not a JSON object: [1]')
    expect(() => jsonObject('null')).toThrow('not a JSON object')
    expect(() => jsonArray('[1')).toThrow('not JSON: [1')
  })

  it('reads times: ISO 8601 as text, seconds as a number', () => {
    expect(isoTime('2026-01-02T03:04:05Z')).toBe('2026-01-02T03:04:05Z')
    expect(isoTime('2026-01-02 03:04:05.123456+02:00')).toBe('2026-01-02 03:04:05.123456+02:00')
    expect(() => isoTime('tomorrow')).toThrow('not an ISO 8601 time: tomorrow')
    expect(() => isoTime('2026-13-02')).toThrow('not an ISO 8601 time')
    expect(isoOrSeconds('1.5')).toBe(1.5)
    expect(isoOrSeconds('2026-01-02')).toBe('2026-01-02')
    expect(seconds('0.5')).toBe(0.5)
    for (const bad of ['', ' ', '-1', 'x', 'Infinity']) expect(() => seconds(bad)).toThrow('not a number')
  })

  it('reads lists without blanks, and whole numbers from a least one', () => {
    expect(commaList(' a, b,,c ')).toEqual(['a', 'b', 'c'])
    expect(wholeNumber(1)('3')).toBe(3)
    for (const bad of ['0', '1.5', 'x', '']) {
      expect(() => wholeNumber(1)(bad)).toThrow('not a whole number from 1')
    }
  })

  it("reads log levels in any case, and Python's numbers of them", () => {
    expect(logLevel('info')).toBe('INFO')
    expect(logLevel('Critical')).toBe('CRITICAL')
    expect(logLevel('10')).toBe('DEBUG')
    expect(logLevel('30')).toBe('WARNING')
    for (const bad of ['loud', '15', 'constructor']) expect(() => logLevel(bad)).toThrow('not a log level')
  })
})
