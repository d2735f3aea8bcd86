import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { appZone, ZonedTime } from './zoned-time.js'

describe('times in the zone of the app', () => {
  const winter = Date.UTC(2026, 0, 15, 12, 30, 0, 250)
  const summer = Date.UTC(2026, 6, 15, 12, 30)

  it('PUB-003 are written with the offset that the zone has at that moment', () => {
    expect(new ZonedTime('UTC').iso(winter)).toBe('2026-01-15T12:30:00.250000+00:00')
    expect(new ZonedTime('Europe/Oslo').iso(winter)).toBe('2026-01-15T13:30:00.250000+01:00')
    expect(new ZonedTime('Europe/Oslo').iso(summer)).toBe('2026-07-15T14:30:00+02:00')
    expect(new ZonedTime('America/St_Johns').iso(winter)).toBe('2026-01-15T09:00:00.250000-03:30')
    expect(new ZonedTime('Asia/Kathmandu').iso(winter)).toBe('2026-01-15T18:15:00.250000+05:45')
  })

  it('follow the clock through the hours around a change', () => {
    const oslo = new ZonedTime('Europe/Oslo')
    const change = Date.UTC(2026, 2, 29, 1)
    expect(oslo.iso(change - 1000)).toBe('2026-03-29T01:59:59+01:00')
    expect(oslo.iso(change)).toBe('2026-03-29T03:00:00+02:00')
    expect(oslo.offsetSeconds(Date.UTC(1900, 0, 1))).toBe(3600)
    expect(new ZonedTime('Europe/Oslo').iso(-1)).toBe('1970-01-01T00:59:59.999000+01:00')
  })

  it('CFG-007 CFG-016 CFG-019 are UTC by default, and local without enable_utc', () => {
    const local = (): string => 'Asia/Tokyo'
    expect(appZone({ timezone: null, enableUtc: true }, local)).toBe('UTC')
    expect(appZone({ timezone: null, enableUtc: false }, local)).toBe('Asia/Tokyo')
    expect(appZone({ timezone: 'Europe/Oslo', enableUtc: false }, local)).toBe('Europe/Oslo')
  })

  it('need a zone that exists', () => {
    expect(() => new ZonedTime('Europe/Nowhere')).toThrow(ConfigError)
  })
})
