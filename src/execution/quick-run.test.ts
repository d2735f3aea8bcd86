import { describe, expect, it } from 'vitest'
import { BackendUnavailableError, Ignore, Reject } from '../errors.js'
import type { TaskContext } from './context.js'
import { execute, executeFor } from './execute.js'
import type { Outcome } from './outcome.js'
import { RunGate } from './run-gate.js'
import { TestHost, testRequest } from './test-host.conformance.js'

type Body = (self: TaskContext, gate: RunGate) => unknown

const bodies: Readonly<Record<string, Body>> = {
  'gives a value': () => 5,
  'gives nothing': () => undefined,
  'gives a value later': async () => ({ deep: [1, null, 'é'] }),
  'gives what cannot be stored': () => ({ no: () => 1 }),
  'gives what cannot be made a tuple': () => ({
    asTuple: () => {
      throw new Error('no tuple')
    },
  }),
  throws: () => {
    throw new RangeError('too far')
  },
  rejects: async () => {
    throw new TypeError('later')
  },
  ignores: () => {
    throw new Ignore('not now')
  },
  'is rejected': async () => {
    throw new Reject('bad', true)
  },
  retries: (self) => self.retry({ countdown: 3 }),
  'forgets its retry': (self) => void self.retry({ countdown: 3 }),
  'tells a state first': async (self) => {
    await self.updateState({ state: 'HALF', meta: 1 })
    return 2
  },
  'is given up': async (_self, gate) => {
    gate.close('a test')
    return 1
  },
}

/** What is seen of a run from outside. */
async function seen(
  body: Body,
  how: { readonly isWrapped: boolean; readonly ignoreResult: boolean; readonly isAway: boolean },
): Promise<unknown> {
  const host = new TestHost()
  host.wrapsRuns = how.isWrapped
  const gate = new RunGate()
  host.define('t', (self) => body(self, gate))
  if (how.isAway)
    host.failure.store = ({ state }) =>
      state === 'SUCCESS' ? new BackendUnavailableError('away') : undefined
  const request = testRequest('t', [], { message: { ignoreResult: how.ignoreResult } })
  const outcome = await execute(request, host, { gate })
  const { stored, events, resent, lines } = host
  const records = stored.map((meta) => ({ ...meta, traceback: meta.traceback?.split('\n')[0] }))
  const texts = lines.map(({ level, text }) => `${level} ${text}`)
  return JSON.parse(
    JSON.stringify([outcome, records, events, resent.length, texts], (key, value) =>
      key === 'traceback' || key === 'seconds' ? typeof value : value,
    ),
  )
}

describe('a run that nobody listens to and nothing follows from', () => {
  for (const [name, body] of Object.entries(bodies)) {
    for (const ignoreResult of [false, true]) {
      for (const isAway of [false, true]) {
        const where = `${ignoreResult ? 'ignored' : 'stored'}, the result store ${isAway ? 'away' : 'there'}`
        it(`ends as one that takes every step when its body ${name} (${where})`, async () => {
          const quick = await seen(body, { isWrapped: false, ignoreResult, isAway })
          const full = await seen(body, { isWrapped: true, ignoreResult, isAway })
          expect(quick).toEqual(full)
        })
      }
    }
  }

  it('has its outcome at once when it waits for nothing', () => {
    const host = new TestHost()
    host.define('t', () => 5)
    let outcome: Outcome | undefined
    const onOutcome = (known: Outcome): void => {
      outcome = known
    }
    executeFor(testRequest('t', [], { message: { ignoreResult: true } }), host, {}, { onOutcome })
    expect(outcome).toMatchObject({ kind: 'succeeded', resultRepr: '5' })
  })

  it('tells a receiver that has connected while the body ran', async () => {
    const host = new TestHost()
    host.define('t', () => {
      host.signals.taskPostrun.connect(({ state }) => void host.events.push(`postrun ${state}`))
      return 5
    })
    await execute(testRequest('t'), host)
    expect(host.events).toEqual(['body', 'store SUCCESS', 'postrun SUCCESS'])
  })
})
