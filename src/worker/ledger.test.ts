import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../clock.js'
import { silentLogger } from '../logger.js'
import { Errands } from './errands.js'
import { gate, Trial, until } from './trial.test.setup.js'

describe('Ledger', () => {
  it('WRK-107 finds what is held by its id, and shows it by its state', async () => {
    await using trial = new Trial()
    const running = gate()
    trial.app.task('t.wait', () => running.opened)
    const ids = [await trial.send('t.wait'), await trial.send('t.wait')]
    const { ledger } = await trial.started({ concurrency: 1 })
    await until('both are held', () => ledger.size === 2)
    expect(ledger.active().map((request) => request.id)).toEqual([ids[0]])
    expect(ledger.in('reserved').map((request) => request.id)).toEqual([ids[1]])
    expect(ledger.find(ids[1] as string)?.task).toBe('t.wait')
    expect(ledger.find('another')).toBeUndefined()
    running.open()
    expect(await ledger.whenEmpty(Date.now() + 8000)).toBe(true)
  })

  it('stops waiting at the deadline, and when told to', async () => {
    await using trial = new Trial()
    trial.app.task('t.wait', { acksLate: true }, () => new Promise(() => {}))
    await trial.send('t.wait')
    const { ledger } = await trial.started()
    await until('it is held', () => ledger.size === 1)
    expect(await ledger.whenEmpty(Date.now() - 1)).toBe(false)
    expect(await ledger.whenEmpty(Date.now() + 20)).toBe(false)
    const enough = new AbortController()
    const waiting = ledger.whenEmpty(Number.POSITIVE_INFINITY, enough.signal)
    enough.abort()
    expect(await waiting).toBe(false)
  })
})

describe('Errands', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('waits for what was started, and for what that starts', async () => {
    const errands = new Errands(silentLogger)
    let done = 0
    const first = async (): Promise<void> => {
      await Promise.resolve()
      done += 1
      errands.run(
        'second',
        Promise.resolve().then(() => {
          done += 1
        }),
      )
    }
    errands.run('first', first())
    await errands.settled(systemClock(), 1000)
    expect(done).toBe(2)
    expect(errands.size).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('logs what fails, and gives up on what hangs', async () => {
    const lines: string[] = []
    const log = (_fields: object, text = ''): void => void lines.push(text)
    const errands = new Errands({ ...silentLogger, error: log, warn: log })
    errands.run('A failing errand', Promise.reject(new Error('no')))
    errands.run('A hanging errand', new Promise(() => {}))
    const settled = errands.settled(systemClock(), 1000)
    await vi.advanceTimersByTimeAsync(1001)
    await settled
    expect(lines).toEqual(['A failing errand failed.', 'Not waiting any longer for 1 errands.'])
  })
})
