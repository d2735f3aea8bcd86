import { describe, expect, it } from 'vitest'
import { FakeClock } from '../testing/fake-clock.js'
import { Deadlines } from './deadlines.js'

describe('bounds of many pieces of work', () => {
  it('calls each at its own time, whatever the order of their lengths', async () => {
    const clock = new FakeClock()
    const deadlines = new Deadlines(clock)
    const late: string[] = []
    deadlines.add(100, () => late.push(`100 at ${clock.monotonic()}`))
    deadlines.add(30, () => late.push(`30 at ${clock.monotonic()}`))
    await clock.advance(10)
    deadlines.add(100, () => late.push(`second 100 at ${clock.monotonic()}`))
    await clock.advance(200)
    expect(late).toEqual(['30 at 30', '100 at 100', 'second 100 at 110'])
    expect(clock.pending).toBe(0)
  })

  it('forgets what was done in time, first or not, and leaves no timer when nothing is under way', async () => {
    const clock = new FakeClock()
    const deadlines = new Deadlines(clock)
    const late: number[] = []
    const done = [1, 2, 3].map((number) => deadlines.add(50, () => late.push(number)))
    expect(clock.pending).toBe(1)
    done[0]?.()
    done[0]?.()
    done[2]?.()
    await clock.advance(60)
    expect(late).toEqual([2])
    done[1]?.()
    deadlines.add(50, () => late.push(4))()
    expect(clock.pending).toBe(0)
    await clock.advance(100)
    expect(late).toEqual([2])
  })

  it('bounds what is added while another bound is called', async () => {
    const clock = new FakeClock()
    const deadlines = new Deadlines(clock)
    const late: number[] = []
    deadlines.add(10, () => deadlines.add(10, () => late.push(clock.monotonic())))
    await clock.advance(30)
    expect(late).toEqual([20])
  })
})
