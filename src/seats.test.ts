import { describe, expect, it } from 'vitest'
import { type Seated, Seats } from './seats.js'

class Guest implements Seated {
  seat = -1
  readonly name: number
  constructor(name: number) {
    this.name = name
  }
}

describe('Seats', () => {
  it('holds what a Set would, in the order of coming, whatever comes and goes', () => {
    const seats = new Seats<Guest>()
    const model = new Set<Guest>()
    const guests = Array.from({ length: 40 }, (_, name) => new Guest(name))
    let seed = 7
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      return Math.floor((seed / 2 ** 31) * below)
    }
    for (let step = 0; step < 5000; step++) {
      const guest = guests[random(guests.length)] as Guest
      if (random(2) === 0) {
        seats.add(guest)
        model.add(guest)
      } else expect(seats.delete(guest)).toBe(model.delete(guest))
      expect(seats.has(guest)).toBe(model.has(guest))
      expect(seats.size).toBe(model.size)
      if (step % 100 === 0) expect(seats.all()).toEqual([...model])
    }
    seats.clear()
    expect([seats.size, seats.all().length, seats.has(guests[0] as Guest)]).toEqual([0, 0, false])
  })

  it('does not take the seat of another for that of its own', () => {
    const [here, there] = [new Seats<Guest>(), new Seats<Guest>()]
    const [first, second] = [new Guest(1), new Guest(2)]
    here.add(first)
    there.add(second)
    expect([here.has(second), here.delete(second), here.size]).toEqual([false, false, 1])
  })
})
