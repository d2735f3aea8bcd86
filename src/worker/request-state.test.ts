import { describe, expect, it } from 'vitest'
import { isOver, nextState, type RequestEvent, type RequestState } from './request-state.js'

const walk = (...events: readonly RequestEvent[]): RequestState | undefined =>
  events.reduce<RequestState | undefined>((state, event) => state && nextState(state, event), 'received')

describe('the states of a request', () => {
  it.each([
    [['reserve', 'start', 'finish'], 'settled'],
    [['wait', 'reserve', 'start', 'finish'], 'settled'],
    [['wait', 'throttle', 'reserve', 'discard'], 'settled'],
    [['discard'], 'settled'],
    [['wait', 'lose connection'], 'dropped'],
    [['throttle', 'lose connection'], 'dropped'],
    [['reserve', 'lose connection'], 'dropped'],
    [['reserve', 'start', 'lose connection'], 'orphaned'],
    [['reserve', 'start', 'lose connection', 'finish'], 'settled'],
    [['wait', 'return'], 'returned'],
    [['reserve', 'start', 'return'], 'returned'],
  ] as const)('%j leads to %s', (events, expected) => {
    expect(walk(...events)).toBe(expected)
  })

  it('has no way back from an end', () => {
    for (const end of ['settled', 'dropped', 'returned'] as const) {
      expect(isOver(end)).toBe(true)
      expect(nextState(end, 'start')).toBeUndefined()
      expect(nextState(end, 'finish')).toBeUndefined()
    }
  })

  it('cannot start what was not reserved, nor twice', () => {
    expect(walk('start')).toBeUndefined()
    expect(walk('wait', 'start')).toBeUndefined()
    expect(walk('reserve', 'start', 'start')).toBeUndefined()
  })
})
