import { describe, expect, it } from 'vitest'
import { Ignore, Reject } from '../errors.js'
import { gate, Trial, until } from './trial.test.setup.js'

const late = { acksLate: true }

/** What the broker still has of the only message, once the worker has nothing to do with it any more. */
async function left(trial: Trial): Promise<number> {
  const [worker] = trial['workers']
  await until('the worker holds nothing', () => worker?.ledger.size === 0)
  await worker?.stop()
  return trial.waiting()
}

describe('acknowledgement', () => {
  it('ACK-001 WRK-042 acknowledges an early task when it starts, not when it arrives', async () => {
    await using trial = new Trial()
    const first = gate()
    trial.app.task('t.wait', () => first.opened)
    const ids = [await trial.send('t.wait'), await trial.send('t.wait')]
    const worker = await trial.started({ concurrency: 1 })
    await until('the first runs', () => worker.ledger.active()[0]?.isAcknowledged)
    expect(worker.ledger.find(ids[1] as string)).toMatchObject({ state: 'reserved', isAcknowledged: false })
    first.open()
    expect(await left(trial)).toBe(0)
    expect(await trial.state(ids[0] as string)).toBe('SUCCESS')
  })

  it('ACK-002 acknowledges a late task after its result was stored', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', late, () => 7)
    const id = await trial.send('t.ok')
    const worker = await trial.started()
    let stateAtAck: string | undefined
    worker.ledger.whenEmpty(Number.POSITIVE_INFINITY).then(async () => {
      stateAtAck = await trial.state(id)
    })
    expect(await left(trial)).toBe(0)
    expect(stateAtAck).toBe('SUCCESS')
  })

  it('ACK-003 ACK-004 acknowledges a task that failed, early and late', async () => {
    await using trial = new Trial()
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
  })

  it('ACK-005 drops the message of a late task that failed, without acks_on_failure', async () => {
    await using trial = new Trial()
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
  })

  it('ACK-006 TSK-105 acknowledges an ignored task and stores nothing', async () => {
    await using trial = new Trial()
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
    }
    expect(await trial.waiting()).toBe(0)
  })

  it('ACK-008 drops a rejected late message', async () => {
    await using trial = new Trial()
    trial.app.task('t.reject', late, () => {
      throw new Reject('no')
    })
    const id = await trial.send('t.reject')
    const worker = await trial.started()
    await until('it ran', () => worker.ledger.totals.get('t.reject') === 1)
    expect(await left(trial)).toBe(0)
    expect(await trial.state(id)).toBeUndefined()
  })

  it('ACK-007 ACK-009 can put nothing back once an early task has started, and says so', async () => {
    await using trial = new Trial()
    trial.app.task('t.reject', () => {
      throw new Reject('later', true)
    })
    await trial.send('t.reject')
    const worker = await trial.started()
    await until('it ran', () => worker.ledger.totals.get('t.reject') === 1)
    expect(await left(trial)).toBe(0)
    expect(trial.logged(/asked to be requeued, but its message was acknowledged/, 'warn')).toHaveLength(1)
  })

  it('ACK-010 runs a late message again, marked redelivered, when it is rejected with requeue', async () => {
    await using trial = new Trial()
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
  })

  it('ACK-011 ACK-012 TSK-107 acknowledges a retried message; the next one is already there', async () => {
    await using trial = new Trial()
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
    }
  })

  it('ACK-013 ACK-014 WRK-051 acknowledges at the hard limit and frees the slot', async () => {
    await using trial = new Trial()
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
    never.open()
  })

  it('ACK-015 puts a late message back at the hard limit without acks_on_timeout, FAILURE stored first', async () => {
    await using trial = new Trial()
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
    never.open()
  })

  it('ACK-023 WRK-035 SIG-011 TSK-108 drops a task that was revoked while it waited: REVOKED, acknowledged, told', async () => {
    await using trial = new Trial()
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
    expect(told).toEqual([{ terminated: false, expired: false, signum: undefined }])
    expect(trial.logged(new RegExp(`^Discarding revoked task: t\\.eta\\[${id}\\]$`), 'info')).toHaveLength(1)
  })

  it('ACK-024 WRK-037 TSK-108 stores REVOKED with "expired" for a task that came too late', async () => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.signals.taskRevoked.connect(({ expired }) => told.push(expired))
    trial.app.task('t.late', () => 1)
    const id = await trial.send('t.late', { headers: { expires: '2020-01-01T00:00:00' } })
    await trial.started()
    await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
    expect((await trial.meta(id))?.result).toMatchObject({ args: ['expired'] })
    expect(await left(trial)).toBe(0)
    expect(told).toEqual([true])
  })

  it('ACK-025 TSK-108 stops a running task that is revoked with terminate, late or early', async () => {
    await using trial = new Trial()
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
    }
    expect(await trial.waiting()).toBe(0)
  })

  it('ACK-030 settles a message once, whatever happens to it', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', late, () => 1)
    for (let i = 0; i < 20; i += 1) await trial.send('t.ok')
    const worker = await trial.started()
    await until('all ran', () => worker.ledger.totals.get('t.ok') === 20)
    expect(await left(trial)).toBe(0)
    expect(trial.logged(/Couldn't/)).toEqual([])
  })
})
