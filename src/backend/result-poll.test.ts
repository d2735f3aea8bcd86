import { setImmediate as tick } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { metaOf } from './backend.conformance.js'
import { ResultPoll } from './result-poll.js'

/** Time that passes only when the next timer is let fire; keeps the moments at which timers fired. */
class SteppedClock {
  readonly fired: number[] = []
  #now = 0
  readonly #timers = new Map<object, { readonly at: number; readonly callback: () => void }>()

  now = (): number => this.#now
  monotonic = (): number => this.#now
  after = (ms: number, callback: () => void): (() => void) => {
    const key = {}
    this.#timers.set(key, { at: this.#now + ms, callback })
    return () => this.#timers.delete(key)
  }

  get waiting(): number {
    return this.#timers.size
  }

  async step(): Promise<void> {
    const [first] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)
    if (first === undefined) return
    const [key, { at, callback }] = first
    this.#timers.delete(key)
    this.#now = Math.max(this.#now, at)
    this.fired.push(this.#now)
    callback()
    await tick()
  }
}

function setUp(): {
  clock: SteppedClock
  reads: (readonly string[])[]
  poll: ResultPoll
  stored: Map<string, Uint8Array>
  change: (id: string) => void
} {
  const clock = new SteppedClock()
  const reads: (readonly string[])[] = []
  const stored = new Map<string, Uint8Array>()
  let listener: ((id: string) => void) | undefined
  const poll = new ResultPoll(
    {
      read: async (ids) => {
        reads.push([...ids])
        return new Map(
          ids.flatMap((id) => (stored.has(id) ? [[id, stored.get(id) as Uint8Array] as const] : [])),
        )
      },
      decode: async (id, bytes) => ({ meta: metaOf(id, Buffer.from(bytes).toString()), bytes }),
      listen: (changed) => {
        listener = changed
        return () => {
          listener = undefined
        }
      },
    },
    clock,
  )
  return { clock, reads, poll, stored, change: (id) => listener?.(id) }
}

function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

describe('ResultPoll', () => {
  it('RES-054 shows those who wait for a task what is about to be forgotten, without waiting for the next look', async () => {
    const { clock, poll, reads, stored } = setUp()
    const next = poll.watch(['a'], { signal: new AbortController().signal }).next()
    await clock.step()
    expect(reads).toEqual([['a']])
    await poll.settle('nobody waits for this one')
    await poll.settle('a')
    stored.set('a', Buffer.from('SUCCESS'))
    await poll.settle('a')
    expect(reads).toEqual([['a'], ['a'], ['a']])
    expect((await next).value?.state).toBe('SUCCESS')
  })

  it('RES-027 looks at a young wait sooner, and never less often than every half second', async () => {
    const { clock, poll } = setUp()
    const controller = new AbortController()
    const next = poll.watch(['a'], { signal: controller.signal }).next()
    for (let step = 0; step < 10; step++) await clock.step()
    expect(clock.fired).toEqual([0, 10, 30, 70, 150, 310, 630, 1130, 1630, 2130])
    controller.abort()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(clock.waiting).toBe(0)
  })

  it('RES-027 tells states in the order of their writing, also when one was caught half-written', async () => {
    const clock = new SteppedClock()
    const slow = { look: gate(), again: gate() }
    let looks = 0
    const poll = new ResultPoll(
      {
        read: async (ids) => {
          looks += 1
          const bytes = Buffer.from(looks === 1 ? 'TORN' : 'OLD')
          if (looks > 1) await slow.look.opened
          return new Map(ids.map((id) => [id, bytes]))
        },
        decode: async (id, bytes) => {
          const text = Buffer.from(bytes).toString()
          if (text !== 'TORN') return { meta: metaOf(id, text), bytes }
          await slow.again.opened
          return { meta: metaOf(id, 'NEW'), bytes: Buffer.from('NEW') }
        },
        listen: () => () => {},
      },
      clock,
    )
    const controller = new AbortController()
    const states: string[] = []
    const watching = (async () => {
      for await (const meta of poll.watch(['a'], { signal: controller.signal, every: true }))
        states.push(meta.state)
    })()
    for (let step = 0; step < 3; step++) await clock.step()
    slow.again.open()
    await tick()
    slow.look.open()
    await tick()
    expect(states).toEqual(['NEW'])
    controller.abort()
    await watching
  })

  it('keeps to a given interval', async () => {
    const { clock, poll } = setUp()
    const controller = new AbortController()
    const next = poll.watch(['a'], { signal: controller.signal, interval: 2 }).next()
    for (let step = 0; step < 4; step++) await clock.step()
    expect(clock.fired).toEqual([0, 2000, 4000, 6000])
    controller.abort()
    await next
  })

  it('RES-027 reads what several waits want once, and looks at once at what is told to have changed', async () => {
    const { clock, poll, reads, stored, change } = setUp()
    const { signal } = new AbortController()
    const waits = [['a', 'b'], ['b', 'c'], ['b']].map((ids) =>
      poll.watch(ids, { signal, interval: 60 }).next(),
    )
    await clock.step()
    expect(reads).toEqual([['a', 'b', 'c']])
    stored.set('b', Buffer.from('SUCCESS'))
    change('b')
    change('stranger')
    await clock.step()
    expect(reads[1]).toEqual(['b'])
    expect(clock.fired).toEqual([0, 0])
    for (const { value } of await Promise.all(waits))
      expect(value).toMatchObject({ taskId: 'b', state: 'SUCCESS' })
  })
})
