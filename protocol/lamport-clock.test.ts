import { expect, it } from 'vitest'
import { LamportClock } from './lamport-clock.js'

it('EVT-008 goes past what it receives, and is not stopped by counts that are none', () => {
  const clock = new LamportClock(5)
  expect(clock.adjust(9)).toBe(10)
  for (const bad of [null, undefined, 'x', Number.NaN, Infinity, -3, 2 ** 60, 1.5]) clock.adjust(bad)
  expect(clock.value).toBe(18)
  expect(clock.forward()).toBe(19)
  expect(new LamportClock(Number.NaN).value).toBe(0)
})
