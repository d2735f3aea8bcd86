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

  it('CNV-110 RES-036 count the parts of chords for all backends that share them, in order, each place once', async () => {
    const memory = new MemoryResults()
    const codec = createCodec()
    const [one, two] = [0, 0].map(() => openBackend('cache+memory://', { codec, memory, expires: 60 }))
    const error = { type: 'ValueError', module: 'builtins', args: ['late'], traceback: undefined }
    const pending = async () => {
      const found: unknown[] = []
      const listed = two?.chords?.pending?.({})
      if (listed !== undefined)
        for await (const { groupId, waitingFor, missing } of listed)
          found.push([groupId, waitingFor, missing])
      return found
    }
    await one?.chords?.begin('g', 3)
    expect(await two?.chords?.partDone('g', 2, metaOf('c', 'SUCCESS', 3))).toBeUndefined()
    expect(await one?.chords?.partDone('g', 0, metaOf('a', 'FAILURE', error))).toBeUndefined()
    expect(await pending()).toEqual([['g', 1, [1]]])
    // Run again, with a success this time.
    expect(await one?.chords?.partDone('g', 0, metaOf('a', 'SUCCESS', 1))).toBeUndefined()
    await one?.chords?.grow?.('g')
    expect(
      await one?.chords?.partDone('g', Number.POSITIVE_INFINITY, metaOf('d', 'SUCCESS', 4)),
    ).toBeUndefined()
    const parts = await two?.chords?.partDone('g', 1, metaOf('b', 'SUCCESS', 2))
    expect(parts?.map(({ result }) => result)).toEqual([1, 2, 3, 4])
    await one?.chords?.end?.('g')
    expect(await pending()).toEqual([])
    await Promise.all([one?.close(), two?.close()])
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
