import { describe, expect, it } from 'vitest'
import { createCodec } from '../../protocol/serializers.js'
import { systemClock } from '../clock.js'
import { describeBackend, metaOf } from './backend.conformance.js'
import { MemoryResults } from './memory.js'
import { openBackend } from './open.js'

describeBackend('cache+memory://', async () => {
  const memory = new MemoryResults()
  let shiftMs = 0
  return {
    open(options) {
      const clock = options.clock ?? systemClock()
      const shifted = {
        now: () => clock.now() + shiftMs,
        monotonic: () => clock.monotonic(),
        after: (ms: number, callback: () => void) => clock.after(ms, callback),
      }
      return openBackend('cache+memory://', { ...options, clock: shifted, memory })
    },
    raw: async (key) => memory.get(key, Date.now() + shiftMs),
    putRaw: async (key, bytes) => memory.set(key, bytes, Number.POSITIVE_INFINITY, Date.now() + shiftMs),
    age: async (seconds) => {
      shiftMs += seconds * 1000
    },
    close: async () => {},
  }
})

describe('memory results', () => {
  it('RES-036 are private to a backend unless shared', async () => {
    const codec = createCodec()
    const one = openBackend('cache+memory://', { codec })
    const two = openBackend('memory://', { codec })
    await one.store(metaOf('a', 'SUCCESS', 1))
    expect(await two.fetch('a')).toBeUndefined()
    await Promise.all([one.close(), two.close()])
  })

  it('drop the ones stored first when there are too many', () => {
    const results = new MemoryResults(2)
    for (const key of ['a', 'b', 'c']) results.set(key, new Uint8Array(1), Number.POSITIVE_INFINITY, 0)
    expect(results.get('a', 0)).toBeUndefined()
    expect(results.get('c', 0)).toBeDefined()
    expect(results.size).toBe(2)
  })

  it('free what has expired when something else is stored', () => {
    const results = new MemoryResults()
    results.set('a', new Uint8Array(1), 10, 0)
    results.set('b', new Uint8Array(1), 100, 50)
    expect(results.size).toBe(1)
  })
})
