import { describe, expect, it } from 'vitest'
import { Ignore, Reject } from '../errors.js'
import { openTransport } from '../transport/open.js'
import type { Delivery, Transport } from '../transport/transport.js'
import { gate, Trial, until } from './trial.test.setup.js'
import type { Worker } from './worker.js'
import type { WorkerOptions } from './worker-options.js'

const late = { acksLate: true }

/** A trial that also notes what its workers tell the broker of each delivery. */
class WatchedTrial extends Trial {
  readonly told: { readonly id: string; readonly task: string; readonly said: string[] }[] = []
  /** Called before the broker is told. */
  beforeSettling: (id: string) => Promise<void> = async () => {}

  override started(options: WorkerOptions = {}): Promise<Worker> {
    return super.started({ openTransport: (url) => this.watched(url), ...options })
  }

  /** What was said of each delivery of a task, in the order they came: `[['requeue'], ['ack']]`. */
  said(task: string): string[][] {
    return this.told.filter((one) => one.task === task).map(({ said }) => said)
  }

  private watched(url: string): Transport {
    return {
      connect: async (asked, how) => {
        const connection = await openTransport(url).connect(asked, how)
        const consume = connection.consume.bind(connection)
        connection.consume = (queues, options) =>
          consume(queues, {
            ...options,
            onDeliveries: (deliveries) =>
              options.onDeliveries(options.noAck ? deliveries : deliveries.map((one) => this.noting(one))),
          })
        return connection
      },
    }
  }

  private noting(delivery: Delivery): Delivery {
    const { envelope, queue, address, redelivered } = delivery
    const id = String(envelope.headers['id'])
    const said: string[] = []
    this.told.push({ id, task: String(envelope.headers['task']), said })
    const note = async (what: string, settle: () => Promise<void> | undefined): Promise<void> => {
      said.push(what)
      await this.beforeSettling(id)
      await settle()
    }
    return {
      envelope,
      queue,
      address,
      redelivered,
      ack: () => note('ack', () => delivery.ack()),
      reject: (how) => note(how.requeue ? 'requeue' : 'drop', () => delivery.reject(how)),
      release: () => note('release', () => delivery.release?.()),
    }
  }
}

/** What the broker still has of the only message, once the worker has nothing to do with it any more. */
async function left(trial: Trial): Promise<number> {
  const [worker] = trial['workers']
  await until('the worker holds nothing', () => worker?.ledger.size === 0)
  await worker?.stop()
  return trial.waiting()
}

describe('acknowledgement', () => {
  it('ACK-001 WRK-042 TSK-015 acknowledges an early task when it starts, not when it arrives', async () => {
    await using trial = new WatchedTrial()
    const first = gate()
    trial.app.task('t.wait', () => first.opened)
    const ids = [await trial.send('t.wait'), await trial.send('t.wait')]
    const worker = await trial.started({ concurrency: 1 })
    await until('the first runs', () => worker.ledger.active()[0]?.isAcknowledged)
    expect(worker.ledger.find(ids[1] as string)).toMatchObject({ state: 'reserved', isAcknowledged: false })
    first.open()
    expect(await left(trial)).toBe(0)
    expect(await trial.state(ids[0] as string)).toBe('SUCCESS')
    expect(trial.said('t.wait')).toEqual([['ack'], ['ack']])
  })

  it('ACK-002 TSK-015 acknowledges a late task after its result was stored', async () => {
    await using trial = new WatchedTrial()
    const states: (string | undefined)[] = []
    trial.beforeSettling = async (id) => void states.push(await trial.state(id))
    trial.app.task('t.ok', late, () => new Promise<number>((resolve) => setImmediate(resolve, 7)))
    const id = await trial.send('t.ok')
    await trial.started()
    await until('it succeeded', async () => (await trial.state(id)) === 'SUCCESS')
    expect(await left(trial)).toBe(0)
    expect(trial.said('t.ok')).toEqual([['ack']])
    expect(states).toEqual(['SUCCESS'])
  })

  it('WRK-043 logs an acknowledgement that fails, once, and works on', async () => {
    await using trial = new WatchedTrial()
    trial.app.task('t.early', () => 1)
    trial.app.task('t.late', { acksLate: true }, () => 2)
    const ids = [await trial.send('t.early'), await trial.send('t.late')]
    trial.beforeSettling = async (id) => {
      if (ids.includes(id)) throw new Error('cut off')
    }
    await trial.started({ concurrency: 1 })
    for (const id of ids) await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    const after = await trial.send('t.late')
    await until('the next one ran', async () => (await trial.state(after)) === 'SUCCESS')
    await until('both are logged', () => trial.logged(/^Couldn't ack/).length >= 2)
    expect(trial.logged(/^Couldn't ack/).map(({ text }) => text)).toEqual([
      `Couldn't ack t.early[${ids[0]}]: the broker may deliver it again.`,
      `Couldn't ack t.late[${ids[1]}]: the broker may deliver it again.`,
    ])
  })

  it('ACK-003 ACK-004 acknowledges a task that failed, early and late', async () => {
    await using trial = new WatchedTrial()
    trial.app.task('t.early', () => {
      throw new RangeError('no')
    })
    trial.app.task('t.late', late, () => {
      throw new RangeError('no')
    })
    const ids = [await trial.send('t.early'), await trial.send('t.late')]
    await trial.started()
    for (const id of ids) await until('it failed', async () => (await trial.state(id)) === 'FAILURE')
    expect(await left(trial)).toBe(0)
    expect([...trial.said('t.early'), ...trial.said('t.late')]).toEqual([['ack'], ['ack']])
  })

  it('ACK-005 TSK-016 drops the message of a late task that failed, without acks_on_failure', async () => {
    await using trial = new WatchedTrial()
    let runs = 0
    trial.app.task('t.late', { ...late, acksOnFailureOrTimeout: false }, () => {
      runs += 1
      throw new RangeError('no')
    })
    const id = await trial.send('t.late')
    await trial.started()
    await until('it failed', async () => (await trial.state(id)) === 'FAILURE')
    expect(await left(trial)).toBe(0)
    expect(runs).toBe(1)
    expect(trial.said('t.late')).toEqual([['drop']])
  })

  it.each([
    ['acks_on_failure alone', { acksOnFailure: false }, 'drop'],
    [
      'acks_on_failure over the option for both',
      { acksOnFailure: true, acksOnFailureOrTimeout: false },
      'ack',
    ],
    ['acks_on_timeout not at all', { acksOnTimeout: false }, 'ack'],
  ])('TSK-017 what becomes of a late task that failed is decided by %s', async (_what, options, said) => {
    await using trial = new WatchedTrial()
    trial.app.task('t.late', { ...late, ...options }, () => {
      throw new RangeError('no')
    })
    const id = await trial.send('t.late')
    await trial.started()
    await until('it failed', async () => (await trial.state(id)) === 'FAILURE')
    expect(await left(trial)).toBe(0)
    expect(trial.said('t.late')).toEqual([[said]])
  })

  it('ACK-006 TSK-105 acknowledges an ignored task and stores nothing', async () => {
    await using trial = new WatchedTrial()
    for (const [name, acksLate] of [
      ['t.early', false],
      ['t.late', true],
    ] as const) {
      trial.app.task(name, { acksLate }, () => {
        throw new Ignore()
      })
      const id = await trial.send(name)
      const worker = await trial.started()
      await until('it ran', () => worker.ledger.totals.get(name) === 1 && worker.ledger.size === 0)
      await worker.stop()
      expect(await trial.state(id)).toBeUndefined()
      expect(trial.said(name)).toEqual([['ack']])
    }
    expect(await trial.waiting()).toBe(0)
  })

  it('ACK-008 drops a rejected late message', async () => {
    await using trial = new WatchedTrial()
    trial.app.task('t.reject', late, () => {
      throw new Reject('no')
    })
    const id = await trial.send('t.reject')
    const worker = await trial.started()
    await until('it ran', () => worker.ledger.totals.get('t.reject') === 1)
    expect(await left(trial)).toBe(0)
    expect(await trial.state(id)).toBeUndefined()
    expect(trial.said('t.reject')).toEqual([['drop']])
  })

  it('ACK-007 ACK-009 can put nothing back once an early task has started, and says so', async () => {
    await using trial = new WatchedTrial()
    trial.app.task('t.reject', () => {
      throw new Reject('later', true)
    })
    await trial.send('t.reject')
    const worker = await trial.started()
    await until('it ran', () => worker.ledger.totals.get('t.reject') === 1)
    expect(await left(trial)).toBe(0)
    expect(trial.logged(/asked to be requeued, but its message was acknowledged/, 'warn')).toHaveLength(1)
    expect(trial.said('t.reject')).toEqual([['ack']])
  })

  it('ACK-010 runs a late message again, marked redelivered, when it is rejected with requeue', async () => {
    await using trial = new WatchedTrial()
    const redelivered: boolean[] = []
    trial.app.task('t.reject', { ...late, bind: true }, (self) => {
      redelivered.push(self.request.deliveryInfo.redelivered)
      if (redelivered.length < 2) throw new Reject('later', true)
      return 'done'
    })
    const id = await trial.send('t.reject')
    await trial.started()
    await until('it succeeded', async () => (await trial.state(id)) === 'SUCCESS')
    expect(redelivered).toEqual([false, true])
    expect(await left(trial)).toBe(0)
    expect(trial.said('t.reject')).toEqual([['requeue'], ['ack']])
  })

  it('ACK-011 ACK-012 TSK-107 acknowledges a retried message; the next one is already there', async () => {
    await using trial = new WatchedTrial()
    for (const acksLate of [false, true]) {
      const name = `t.retry.${acksLate}`
      const retries: number[] = []
      trial.app.task(name, { acksLate, bind: true, maxRetries: 3 }, (self) => {
        retries.push(self.request.retries)
        if (retries.length < 3) return self.retry({ countdown: 0 })
        return 'done'
      })
      const id = await trial.send(name)
      const worker = await trial.started()
      await until('it succeeded', async () => (await trial.state(id)) === 'SUCCESS')
      expect(retries).toEqual([0, 1, 2])
      await until('all is settled', () => worker.ledger.size === 0)
      await worker.stop()
      expect(await trial.waiting()).toBe(0)
      expect(trial.said(name)).toEqual([['ack'], ['ack'], ['ack']])
    }
  })

  it('ACK-013 ACK-014 WRK-051 acknowledges at the hard limit and frees the slot', async () => {
    await using trial = new WatchedTrial()
    const never = gate()
    for (const [name, acksLate] of [
      ['t.early', false],
      ['t.late', true],
    ] as const) {
      trial.app.task(name, { acksLate, timeLimit: 0.05 }, () => never.opened)
    }
    trial.app.task('t.ok', () => 1)
    const ids = [await trial.send('t.early'), await trial.send('t.late')]
    const after = await trial.send('t.ok')
    await trial.started({ concurrency: 1 })
    for (const id of ids) await until('it failed', async () => (await trial.state(id)) === 'FAILURE')
    expect((await trial.meta(ids[0] as string))?.result).toMatchObject({
      type: 'TimeLimitExceeded',
      args: [0.05],
    })
    await until('the next one ran', async () => (await trial.state(after)) === 'SUCCESS')
    expect(await left(trial)).toBe(0)
    expect([...trial.said('t.early'), ...trial.said('t.late')]).toEqual([['ack'], ['ack']])
    never.open()
  })

  it('ACK-015 TSK-016 TSK-017 puts a late message back at the hard limit without acks_on_timeout, FAILURE stored first', async () => {
    await using trial = new WatchedTrial()
    let runs = 0
    const states: (string | undefined)[] = []
    const never = gate()
    trial.app.task('t.late', { ...late, timeLimit: 0.05, acksOnTimeout: false, bind: true }, async (self) => {
      runs += 1
      if (runs === 1) return never.opened
      states.push(await trial.state(self.request.id))
    })
    await trial.send('t.late')
    await trial.started()
    await until('it ran again', () => states.length === 1)
    expect(states).toEqual(['FAILURE'])
    expect(await left(trial)).toBe(0)
    expect(trial.said('t.late')).toEqual([['requeue'], ['ack']])
    never.open()
  })

  it('ACK-023 WRK-035 SIG-011 TSK-108 drops a task that was revoked while it waited: REVOKED, acknowledged, told', async () => {
    await using trial = new WatchedTrial()
    const told: unknown[] = []
    trial.app.signals.taskRevoked.connect(({ terminated, expired, signum }) =>
      told.push({ terminated, expired, signum }),
    )
    let ran = 0
    trial.app.task('t.eta', () => {
      ran += 1
    })
    const worker = await trial.started()
    const id = await trial.send('t.eta', { headers: { eta: new Date(Date.now() + 150).toISOString() } })
    await until('it waits', () => worker.ledger.find(id)?.state === 'waiting')
    expect(worker.revoke(id)).toBe(true)
    await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
    expect((await trial.meta(id))?.result).toMatchObject({ type: 'TaskRevokedError', args: ['revoked'] })
    expect(await left(trial)).toBe(0)
    expect(ran).toBe(0)
    expect(trial.said('t.eta')).toEqual([['ack']])
    expect(told).toEqual([{ terminated: false, expired: false, signum: undefined }])
    expect(trial.logged(new RegExp(`^Discarding revoked task: t\\.eta\\[${id}\\]$`), 'info')).toHaveLength(1)
  })

  it('ACK-024 WRK-037 TSK-108 stores REVOKED with "expired" for a task that came too late', async () => {
    await using trial = new WatchedTrial()
    const told: unknown[] = []
    trial.app.signals.taskRevoked.connect(({ expired }) => told.push(expired))
    trial.app.task('t.late', () => 1)
    const id = await trial.send('t.late', { headers: { expires: '2020-01-01T00:00:00' } })
    await trial.started()
    await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
    expect((await trial.meta(id))?.result).toMatchObject({ args: ['expired'] })
    expect(await left(trial)).toBe(0)
    expect(told).toEqual([true])
    expect(trial.said('t.late')).toEqual([['ack']])
  })

  it('ACK-025 TSK-108 stops a running task that is revoked with terminate, late or early', async () => {
    await using trial = new WatchedTrial()
    for (const [name, acksLate] of [
      ['t.early', false],
      ['t.late', true],
    ] as const) {
      const aborted = gate()
      const begun = gate()
      trial.app.task(name, { acksLate, bind: true }, (self) => {
        begun.open()
        self.signal.addEventListener('abort', () => aborted.open())
        return aborted.opened
      })
      const id = await trial.send(name)
      const worker = await trial.started()
      await begun.opened
      worker.revoke(id, { terminate: true, signal: 'SIGKILL' })
      await aborted.opened
      await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
      expect((await trial.meta(id))?.result).toMatchObject({ args: ['terminated'] })
      await until('all is settled', () => worker.ledger.size === 0)
      await worker.stop()
      expect(trial.said(name)).toEqual([['ack']])
    }
    expect(await trial.waiting()).toBe(0)
  })

  it('ACK-030 settles each delivery once, however its task ends', async () => {
    await using trial = new WatchedTrial()
    const never = gate()
    const kinds = ['ok', 'fail', 'ignore', 'drop', 'requeue', 'retry', 'slow', 'kill', 'cold']
    const names: string[] = []
    for (const [suffix, acksLate] of [
      ['early', false],
      ['late', true],
    ] as const) {
      const options = { acksLate, bind: true } as const
      for (const kind of kinds) names.push(`t.${kind}.${suffix}`)
      trial.app.task(`t.ok.${suffix}`, options, () => 1)
      trial.app.task(`t.fail.${suffix}`, options, () => {
        throw new RangeError('no')
      })
      trial.app.task(`t.ignore.${suffix}`, options, () => {
        throw new Ignore()
      })
      trial.app.task(`t.drop.${suffix}`, options, () => {
        throw new Reject('no')
      })
      trial.app.task(`t.requeue.${suffix}`, options, (self) => {
        if (!self.request.deliveryInfo.redelivered) throw new Reject('later', true)
      })
      trial.app.task(`t.retry.${suffix}`, { ...options, maxRetries: 1 }, (self) => {
        return self.request.retries === 0 ? self.retry({ countdown: 0 }) : undefined
      })
      trial.app.task(`t.slow.${suffix}`, { ...options, timeLimit: 0.05 }, () => never.opened)
      trial.app.task(`t.kill.${suffix}`, options, () => never.opened)
      trial.app.task(`t.cold.${suffix}`, options, () => never.opened)
    }
    const ids = new Map<string, string>()
    for (const name of names) ids.set(name, await trial.send(name))
    const worker = await trial.started({ concurrency: 20 })
    for (const name of ['t.kill.early', 't.kill.late']) {
      const id = ids.get(name) as string
      await until('it runs', () => worker.ledger.find(id)?.state === 'running')
      worker.revoke(id, { terminate: true, signal: 'SIGKILL' })
    }
    // One delivery of each, and another of what was rejected late or retried.
    const deliveries = 18 + 1 + 2
    const isLeft = (): boolean => trial.told.length === deliveries && worker.ledger.size === 2
    await until('only what the shutdown must end is left', isLeft)
    await worker.stop({ how: 'cold' })
    // The early one was sent again by the shutdown, the late one went back: nobody took them since.
    expect(await trial.waiting()).toBe(2)
    const wrong = trial.told.filter(({ said }) => said.length !== 1)
    expect(wrong).toEqual([])
    expect(trial.told).toHaveLength(deliveries)
    expect(trial.logged(/Couldn't/)).toEqual([])
    never.open()
  })
})
