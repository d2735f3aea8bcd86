/** What every pool promises (`pool.ts`), wherever it runs its tasks. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Clock } from '../clock.js'
import type { Host } from '../execution/host.js'
import type { Outcome } from '../execution/outcome.js'
import type { TaskRequest } from '../execution/request.js'
import { sig, TestHost, testRequest } from '../execution/test-host.conformance.js'
import type { Execution, Pool, TimeLimits } from './pool.js'

/** Makes a pool of `size` slots on `host`. */
export type MakePool = (host: Host, size: number) => Pool

const noLimits = { soft: undefined, hard: undefined }

/** One run, seen through promises: `accepted` is undefined for one that ended before it started. */
export interface WatchedRun extends Execution {
  readonly accepted: Promise<{ readonly pid: number } | undefined>
  readonly outcome: Promise<Outcome>
}

/** Runs `request` in `pool`. */
export function watched(pool: Pool, request: TaskRequest, limits: TimeLimits = noLimits): WatchedRun {
  let accept: (value: { readonly pid: number } | undefined) => void = () => {}
  let end: (outcome: Outcome) => void = () => {}
  const accepted = new Promise<{ readonly pid: number } | undefined>((resolve) => {
    accept = resolve
  })
  const outcome = new Promise<Outcome>((resolve) => {
    end = resolve
  })
  const execution = pool.run(request, limits, {
    onAccepted: (pid) => accept({ pid }),
    onEnded: (ended) => {
      accept(undefined)
      end(ended)
    },
  })
  return { accepted, outcome, terminate: (signal) => execution.terminate(signal) }
}

/** Runs the suite; `clock` makes the clock of each test's host. */
export function poolConformance(name: string, make: MakePool, clock: () => Clock): void {
  describe(`${name} keeps a pool’s promises`, () => {
    const pools: Pool[] = []
    const open = async (host: TestHost, size = 2): Promise<Pool> => {
      const pool = make(host, size)
      pools.push(pool)
      await pool.start()
      return pool
    }
    afterEach(async () => {
      for (const pool of pools.splice(0)) await pool.stop(0)
    })

    it('WRK-042 accepts before the body starts, with the pid that runs it', async () => {
      const host = new TestHost({ clock: clock() })
      host.define('t', () => 5)
      const pool = await open(host)
      let pid = 0
      const outcome = await new Promise<Outcome>((resolve) => {
        pool.run(testRequest('t'), noLimits, {
          onAccepted: (runs) => {
            pid = runs
            host.events.push('accepted')
          },
          onEnded: resolve,
        })
      })
      expect(outcome).toMatchObject({ kind: 'succeeded', resultRepr: '5' })
      expect(pid).toBeGreaterThan(0)
      expect(host.events.slice(0, 2)).toEqual(['accepted', 'body'])
    })

    it('gives the outcome of a task that throws, and never rejects', async () => {
      const host = new TestHost({ clock: clock() })
      host.define('t', () => {
        throw new TypeError('x')
      })
      const { outcome } = watched(await open(host), testRequest('t'))
      expect(await outcome).toMatchObject({ kind: 'failed', error: { type: 'TypeError' } })
    })

    it('runs several at once', async () => {
      const host = new TestHost({ clock: clock() })
      const pool = await open(host)
      let release: () => void = () => {}
      const gate = new Promise<void>((resolve) => {
        release = resolve
      })
      host.define('waits', () => gate)
      host.define('frees', () => release())
      const first = watched(pool, testRequest('waits'))
      const second = watched(pool, testRequest('frees'))
      expect(await second.outcome).toMatchObject({ kind: 'succeeded' })
      expect(await first.outcome).toMatchObject({ kind: 'succeeded' })
    })

    it('terminate aborts the signal, ends the outcome at once, and nothing the body does later counts', async () => {
      const host = new TestHost({ clock: clock() })
      const pool = await open(host)
      let goOn: () => void = () => {}
      const later = new Promise<void>((resolve) => {
        goOn = resolve
      })
      let aborted = false
      host.define('t', async (self) => {
        self.signal.addEventListener('abort', () => {
          aborted = true
        })
        await later
        await self.updateState({ state: 'LATE' }).catch(() => host.events.push('refused'))
        return 5
      })
      const execution = watched(pool, testRequest('t', [], { body: { callbacks: [sig('cb')] } }))
      await execution.accepted
      await expect.poll(() => host.events.includes('body')).toBe(true)
      execution.terminate('SIGTERM')
      execution.terminate('SIGKILL')
      expect(await execution.outcome).toEqual({ kind: 'terminated', signal: 'SIGTERM' })
      expect(aborted).toBe(true)
      goOn()
      await expect.poll(() => host.events).toContain('refused')
      await expect.poll(() => pool.leaked).toBe(0)
      expect(host.stored).toEqual([])
      expect(host.sent).toEqual([])
    })

    it('ended before it started: accepted is undefined and the body never runs', async () => {
      const host = new TestHost({ clock: clock() })
      host.define('t', () => 5)
      const execution = watched(await open(host), testRequest('t'))
      execution.terminate('SIGTERM')
      expect(await execution.accepted).toBeUndefined()
      expect(await execution.outcome).toEqual({ kind: 'terminated', signal: 'SIGTERM' })
      expect(host.events).toEqual([])
    })

    it('stop waits for what runs, and refuses what comes after', async () => {
      const host = new TestHost({ clock: clock() })
      const pool = await open(host)
      let release: () => void = () => {}
      host.define(
        't',
        () =>
          new Promise<void>((resolve) => {
            release = resolve
          }),
      )
      const execution = watched(pool, testRequest('t'))
      await expect.poll(() => host.events.includes('body')).toBe(true)
      const stopped = pool.stop(Number.POSITIVE_INFINITY)
      release()
      await stopped
      expect(await execution.outcome).toMatchObject({ kind: 'succeeded' })
      const refused = watched(pool, testRequest('t'))
      expect(await refused.accepted).toBeUndefined()
      expect(await refused.outcome).toMatchObject({ kind: 'terminated' })
    })

    it('stop gives up what still runs at its deadline', async () => {
      const host = new TestHost({ clock: clock() })
      const pool = await open(host)
      host.define('t', () => new Promise(() => {}))
      const execution = watched(pool, testRequest('t'))
      await expect.poll(() => host.events.includes('body')).toBe(true)
      await pool.stop(0)
      expect(await execution.outcome).toMatchObject({ kind: 'terminated' })
    })

    it('resizes, never below one', async () => {
      const pool = await open(new TestHost({ clock: clock() }), 3)
      expect(pool.size).toBe(3)
      await pool.resize(5)
      expect(pool.size).toBe(5)
      await pool.resize(0)
      expect(pool.size).toBe(1)
    })

    it('starts and stops any number of times, at the same time', async () => {
      const pool = await open(new TestHost({ clock: clock() }))
      await stress(pool)
      expect(pool.info?.()).toMatchObject({ running: 0, leaked: 0 })
    })
  })
}

/** Starts and stops a service many times, also concurrently; it must survive, and be stopped at the end. */
export async function stress(service: Pick<Pool, 'start' | 'stop'>, times = 50): Promise<void> {
  await service.stop(0)
  for (let round = 0; round < times; round++) {
    await Promise.all([service.start(), service.stop(0), service.start(), service.stop(0)])
  }
  await service.stop(0)
}
