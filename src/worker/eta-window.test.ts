import { describe, expect, it } from 'vitest'
import { silentLogger } from '../logger.js'
import { FakeClock } from '../testing/fake-clock.js'
import { EtaWindow, etaWindowSize, type Parkable } from './eta-window.js'
import { Prefetch } from './prefetch.js'
import { Timer } from './timer.js'

class Waiting implements Parkable {
  readonly name: string
  readonly canPark: boolean
  parkedUntil: number | undefined

  constructor(name: string, canPark = true) {
    this.name = name
    this.canPark = canPark
  }

  park(untilMs: number): void {
    this.parkedUntil = untilMs
  }
}

function setUp(size: number, multiplier = 4) {
  const clock = new FakeClock(0)
  const apply = async (): Promise<void> => {}
  const parts = { concurrency: 1, multiplier, etaTaskLimit: undefined, logger: silentLogger, apply }
  const prefetch = new Prefetch(parts)
  const due: string[] = []
  const reach: number[] = []
  const window = new EtaWindow<Waiting>({
    clock,
    timer: new Timer(clock),
    prefetch,
    size,
    takeParked: (dueBeforeMs) => void reach.push(dueBeforeMs),
    onDue: ({ name }) => void due.push(name),
  })
  const all: Waiting[] = []
  const hold = (name: string, until: number, canPark = true): Waiting => {
    const waiting = new Waiting(name, canPark)
    all.push(waiting)
    window.hold(waiting, until)
    return waiting
  }
  const parked = (): string[] =>
    all.filter(({ parkedUntil }) => parkedUntil !== undefined).map(({ name }) => name)
  return { clock, prefetch, due, reach, window, hold, parked }
}

describe('EtaWindow', () => {
  it('WRK-019 holds the soonest, parks the one that is due last, and never changes the prefetch count for that', async () => {
    const { clock, prefetch, due, hold, parked } = setUp(3)
    hold('c', 30_000)
    hold('a', 10_000)
    hold('e', 50_000)
    expect(prefetch.value).toBe(7)
    hold('b', 20_000)
    expect(parked()).toEqual(['e'])
    hold('d', 40_000)
    expect(parked()).toEqual(['e', 'd'])
    expect(prefetch.value).toBe(7)
    await clock.advance(60_000)
    expect(due).toEqual(['a', 'b', 'c'])
    expect(prefetch.value).toBe(4)
    expect(clock.pending).toBe(0)
  })

  it('parks until the time of the task, and says beforehand what it will not take', () => {
    const { window, hold } = setUp(1)
    hold('a', 10_000)
    const later = new Waiting('b')
    expect(window.refuses(later, 9_000)).toBe(false)
    expect(window.refuses(later, 10_000)).toBe(true)
    window.hold(later, 10_000)
    expect(later.parkedUntil).toBe(10_000)
  })

  it('WRK-019 keeps what is due too soon to be parked, in a place of the prefetch window', async () => {
    const { clock, prefetch, due, hold, parked } = setUp(1)
    hold('a', 500)
    hold('b', 900)
    expect(parked()).toEqual([])
    expect(prefetch.value).toBe(5)
    hold('far', 2_000)
    expect(parked()).toEqual(['far'])
    await clock.advance(1_000)
    expect(due).toEqual(['a', 'b'])
    expect(prefetch.value).toBe(4)
  })

  it('WRK-019 holds any number that its broker cannot keep', async () => {
    const { clock, prefetch, due, hold, reach, parked } = setUp(2)
    for (const name of ['a', 'b', 'c', 'd']) hold(name, 5_000, false)
    expect(parked()).toEqual([])
    expect(prefetch.value).toBe(8)
    expect(reach).toEqual([])
    await clock.advance(5_000)
    expect(due).toEqual(['a', 'b', 'c', 'd'])
    expect(prefetch.value).toBe(4)
  })

  it('wants nothing that is due after all it holds while it is nearly full, and everything once there is room', async () => {
    const { clock, hold, reach } = setUp(16)
    for (let at = 13; at > 0; at -= 1) hold(`${at}`, at * 10_000)
    expect(reach).toEqual([])
    hold('14', 140_000)
    hold('15', 150_000)
    hold('16', 160_000)
    expect(reach).toEqual([140_000])
    for (const name of ['a', 'b', 'c']) hold(name, 5_000)
    // What was furthest away is parked, so it reaches less far.
    expect(reach).toEqual([140_000, 130_000])
    await clock.advance(25_000)
    expect(reach).toHaveLength(2)
    await clock.advance(5_000)
    expect(reach).toEqual([140_000, 130_000, Number.POSITIVE_INFINITY])
  })

  it('forgets all without calling anybody', async () => {
    const { clock, due, hold, window } = setUp(2)
    hold('a', 1_000)
    hold('b', 2_000)
    window.clear()
    await clock.advance(10_000)
    expect(due).toEqual([])
    expect(clock.pending).toBe(0)
  })

  it('CFG-201 is of 1000, or leaves the rest of worker_eta_task_limit to what is fetched besides', () => {
    const growing = { maximum: 8, spare: Number.POSITIVE_INFINITY }
    expect([null, 100, 4, 1].map((limit) => etaWindowSize(limit, growing))).toEqual([1000, 92, 1, 0])
    expect([null, 100, 4, 1].map((limit) => etaWindowSize(limit, { ...growing, spare: 3 }))).toEqual([
      3, 3, 1, 0,
    ])
    const { hold, parked, reach } = setUp(0)
    hold('a', 900)
    hold('b', 2_000)
    expect(parked()).toEqual(['b'])
    expect(reach).toEqual([])
  })
})
