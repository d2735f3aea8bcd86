import { describe, expect, it } from 'vitest'
import { DecodeError } from '../../protocol/errors.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import type { ChordCounter } from '../backend/backend.js'
import { BackendUnavailableError, Ignore, Reject } from '../errors.js'
import type { TaskContext } from './context.js'
import { execute, executeFor } from './execute.js'
import type { Outcome } from './outcome.js'
import { RunGate } from './run-gate.js'
import { sig, TestHost, testRequest } from './test-host.conformance.js'

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

/** What comes of counting a part. */
const counts: Readonly<Record<string, (meta: ResultMeta) => readonly ResultMeta[] | undefined>> = {
  'is one of many': () => undefined,
  'is the last one': (meta) => [meta],
  'is the last one, of which one has failed': (meta) => [
    meta,
    { ...meta, taskId: 'other', state: 'FAILURE', result: remoteErrorFrom(new RangeError('other')) },
  ],
  'is the last one, of which one cannot be read': () => {
    throw new DecodeError('no part')
  },
  'cannot be counted': () => {
    throw new BackendUnavailableError('away')
  },
}

/** Counts step by step, and in one step what is stored before. */
function countInto(host: TestHost, count: (meta: ResultMeta) => readonly ResultMeta[] | undefined): void {
  const partDone = async (_groupId: string, _index: number, meta: ResultMeta) => {
    host.events.push(`count ${meta.state}`)
    return count(meta)
  }
  const chords: ChordCounter = {
    begin: async () => {},
    partDone,
    storePart: (groupId, index, meta, watcher) => {
      const counting = host.backend.store(meta).then(() => partDone(groupId, index, meta))
      counting.then(
        (parts) => watcher.onCounted(parts && (async () => parts)),
        (error: unknown) => {
          if (!(error instanceof DecodeError)) return watcher.onUncounted(error)
          watcher.onCounted(() => Promise.reject(error))
        },
      )
    },
    end: async () => void host.events.push('end'),
  }
  Object.assign(host.backend, { chords })
}

/** What is seen of a run from outside. */
async function seen(
  body: Body,
  how: {
    readonly isWrapped: boolean
    readonly ignoreResult: boolean
    readonly isAway: boolean
    readonly count?: string
  },
): Promise<unknown> {
  const host = new TestHost()
  if (how.count !== undefined) countInto(host, counts[how.count] as (typeof counts)[string])
  host.wrapsRuns = how.isWrapped
  const gate = new RunGate()
  host.define('t', (self) => body(self, gate))
  if (how.isAway)
    host.failure.store = ({ state }) =>
      state === 'SUCCESS' ? new BackendUnavailableError('away') : undefined
  const part =
    how.count === undefined
      ? {}
      : {
          message: { groupId: 'g', groupIndex: 0 },
          body: { chord: sig('sum', [], { options: { task_id: 'b' } }) },
        }
  const request = testRequest('t', [], {
    ...part,
    message: { ...part.message, ignoreResult: how.ignoreResult },
  })
  const outcome = await execute(request, host, { gate })
  const { stored, events, resent, lines, sent } = host
  const records = stored.map((meta) => ({ ...meta, traceback: meta.traceback?.split('\n')[0] }))
  const texts = lines.map(({ level, text }) => `${level} ${text}`)
  return JSON.parse(
    JSON.stringify([outcome, records, events, resent.length, texts, sent], (key, value) =>
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

  for (const count of Object.keys(counts)) {
    for (const name of [
      'gives a value',
      'gives a value later',
      'gives what cannot be stored',
      'throws',
      'is given up',
    ]) {
      for (const ignoreResult of [false, true]) {
        it(`CNV-104 ends as one that takes every step when its body ${name} and its part ${count} (ignored: ${ignoreResult})`, async () => {
          const body = bodies[name] as Body
          const quick = await seen(body, { isWrapped: false, ignoreResult, isAway: false, count })
          expect(quick).toEqual(await seen(body, { isWrapped: true, ignoreResult, isAway: false, count }))
        })
      }
    }
  }

  it('CNV-104 is stored and counted in one step, and sends the body when it is the last part', async () => {
    const host = new TestHost()
    countInto(host, (meta) => [meta])
    const { chords } = host.backend
    let steps = 0
    Object.assign(chords as ChordCounter, {
      storePart: (...given: Parameters<NonNullable<ChordCounter['storePart']>>) => {
        steps += 1
        chords
          ?.partDone(given[0], given[1], given[2])
          .then((parts) => given[3].onCounted(async () => parts ?? []))
      },
    })
    host.define('t', () => 5)
    const chord = sig('sum', [], { options: { task_id: 'b' } })
    const request = testRequest('t', [], { message: { groupId: 'g', groupIndex: 0 }, body: { chord } })
    await execute(request, host)
    expect(steps).toBe(1)
    expect(host.sent.map(({ signature }) => [signature['task'], signature['args']])).toEqual([['sum', [[5]]]])
  })

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
