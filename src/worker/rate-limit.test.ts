import { describe, expect, it } from 'vitest'
import { InvalidArgumentError } from '../errors.js'
import { fullBucket, parseRate, takeToken, tokenDelayMs } from './rate-limit.js'

describe('rate limits', () => {
  it.each([
    [null, 0],
    [0, 0],
    ['0', 0],
    ['', 0],
    [10, 10],
    ['10', 10],
    ['10/s', 10],
    ['10/', 10],
    ['0.5/s', 0.5],
    ['120/m', 2],
    ['7200/h', 2],
  ])('TSK-007 WRK-045 reads %j as %f starts per second', (rate, expected) => {
    expect(parseRate(rate)).toBe(expected)
  })

  it.each(['fast', '10/d', '/s', '-1/s', Number.NaN])('TSK-007 refuses %j by name', (rate) => {
    expect(() => parseRate(rate)).toThrow(InvalidArgumentError)
  })

  it('WRK-045 starts full, holds one token, and refills at its rate', () => {
    const bucket = takeToken(fullBucket(2, 0), 0)
    expect(bucket).toBeDefined()
    expect(takeToken(bucket!, 0)).toBeUndefined()
    expect(tokenDelayMs(bucket!, 0)).toBe(500)
    expect(tokenDelayMs(bucket!, 499)).toBeCloseTo(1)
    const second = takeToken(bucket!, 500)
    expect(second).toBeDefined()
    // A long pause saves up one token and no more.
    expect(takeToken(takeToken(second!, 60_000)!, 60_000)).toBeUndefined()
  })

  it('finds the token when the announced delay has passed, whatever the rate', () => {
    for (const rate of [3, 7, 0.1, 1 / 3600, 999]) {
      const empty = takeToken(fullBucket(rate, 12.345), 12.345)!
      expect(takeToken(empty, 12.345 + tokenDelayMs(empty, 12.345))).toBeDefined()
    }
  })
})
