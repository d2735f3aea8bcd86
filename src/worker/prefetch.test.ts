import { describe, expect, it } from 'vitest'
import { silentLogger } from '../logger.js'
import { Prefetch } from './prefetch.js'

function setUp(
  change: { multiplier?: number; concurrency?: number; etaTaskLimit?: number; isStatic?: boolean } = {},
  ...rest: [number?, boolean?]
) {
  const told: number[] = []
  const warnings: string[] = []
  const prefetch = new Prefetch(
    {
      concurrency: change.concurrency ?? 4,
      multiplier: change.multiplier ?? 4,
      etaTaskLimit: change.etaTaskLimit,
      isStatic: change.isStatic ?? false,
      logger: { ...silentLogger, warn: (_fields, text) => void warnings.push(text ?? '') },
      apply: async (count) => void told.push(count),
    },
    ...rest,
  )
  return { prefetch, told, warnings }
}

describe('Prefetch', () => {
  it('WRK-018 starts at concurrency times multiplier; 0 is no limit and stays so', () => {
    expect(setUp().prefetch.wireValue).toBe(16)
    const { prefetch } = setUp({ multiplier: 0 })
    prefetch.increment()
    prefetch.decrement()
    expect(prefetch.value).toBe(0)
    expect(prefetch.isStale).toBe(false)
  })

  it('WRK-019 grows by one for each ETA that waits, and tells the broker once per batch', async () => {
    const { prefetch, told } = setUp()
    for (let i = 0; i < 5; i += 1) prefetch.increment()
    expect(told).toEqual([])
    await prefetch.flush()
    prefetch.decrement()
    prefetch.increment()
    await prefetch.flush()
    expect(told).toEqual([21])
  })

  it('WRK-019 is cut at worker_eta_task_limit, which lowers a higher start too', () => {
    const { prefetch } = setUp({ etaTaskLimit: 10 })
    expect(prefetch.value).toBe(16)
    prefetch.increment()
    expect(prefetch.value).toBe(10)
  })

  it('WRK-022 WRK-025 stays as it is where the broker follows no changes, after a loss too, and leaves room for what can run', () => {
    const { prefetch } = setUp({ isStatic: true }, 3, true)
    expect(prefetch.wireValue).toBe(16)
    expect(prefetch.isReduced).toBe(false)
    prefetch.increment()
    expect(prefetch.isStale).toBe(false)
    prefetch.decrement()
    expect(prefetch.isStale).toBe(false)
    expect(prefetch.spare).toBe(6)
    expect(setUp({ isStatic: true, multiplier: 1 }).prefetch.spare).toBe(0)
    expect(setUp({ isStatic: true, multiplier: 0 }).prefetch.spare).toBe(Number.POSITIVE_INFINITY)
    expect(setUp().prefetch.spare).toBe(Number.POSITIVE_INFINITY)
  })

  it('WRK-020 never goes below 1', () => {
    const { prefetch } = setUp({ concurrency: 1, multiplier: 1 })
    prefetch.decrement()
    prefetch.decrement()
    expect(prefetch.value).toBe(1)
  })

  it('WRK-020 lifts the limit beyond 65535, with a warning', () => {
    const { prefetch, warnings } = setUp({ concurrency: 65_536, multiplier: 1 })
    expect(prefetch.wireValue).toBe(0)
    expect(warnings).toEqual(['QoS: Disabled: prefetch_count exceeds 65535'])
  })

  it('WRK-025 starts lower after a loss by what still runs, and grows back with each ack', () => {
    const { prefetch } = setUp({}, 3, true)
    expect(prefetch.value).toBe(4)
    expect(prefetch.isReduced).toBe(true)
    prefetch.restore()
    prefetch.restore()
    expect(prefetch.value).toBe(12)
    prefetch.restore()
    prefetch.restore()
    expect(prefetch.value).toBe(16)
    expect(prefetch.isReduced).toBe(false)
  })

  it('WRK-025 leaves room for one slot when everything still runs', () => {
    expect(setUp({}, 4, true).prefetch.value).toBe(4)
  })
})
