import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../testing/fake-clock.js'
import { gate, Trial, until } from '../trial.test.setup.js'
import { revoke } from './revoke.js'
import { signalName } from './signal-name.js'

describe('revoke', () => {
  it('CTL-042 terminates in bounded time though the result store does not answer', async () => {
    await using trial = new Trial()
    const aborted = gate()
    trial.app.task('t.long', { bind: true }, (self) => {
      self.signal.addEventListener('abort', () => aborted.open())
      return new Promise<never>(() => {})
    })
    const worker = await trial.started()
    const id = await trial.send('t.long')
    await until('it runs', () => worker.ledger.find(id)?.isAcknowledged)
    const clock = new FakeClock()
    // The app, but for a store that takes a result and never says so: a dead network disk.
    const hanging = Object.create(trial.app.backend, {
      enabled: { value: true },
      store: { value: () => new Promise<void>(() => {}) },
    })
    const app = Object.create(trial.app, { clock: { value: clock }, backend: { value: hanging } })
    const context = { app, worker, logger: trial.app.logger }
    const reply = Promise.resolve(revoke.run(context, { task_id: id, terminate: true }))
    await clock.advance(5000)
    expect(await reply).toEqual({ ok: `terminate: ${id}` })
    await aborted.opened
    expect(clock.pending).toBe(0)
  })

  it('CTL-040 stores every id of a long list, and says of which it could not', async () => {
    await using trial = new Trial()
    const worker = trial.worker()
    const ids = Array.from({ length: 120 }, (_, index) => `id-${index}`)
    const failing = Object.create(trial.app.backend, {
      enabled: { value: true },
      store: {
        value: async (meta: { taskId: string }) => {
          if (meta.taskId === 'id-7') throw new Error('no')
          await trial.app.backend.store(meta as never)
        },
      },
    })
    const app = Object.create(trial.app, { backend: { value: failing } })
    await revoke.run({ app, worker, logger: trial.app.logger }, { task_id: ids })
    const states = await Promise.all(ids.map((id) => trial.state(id)))
    expect(states.filter((state) => state === 'REVOKED')).toHaveLength(119)
    expect(trial.logged(/^Failed to mark task id-7 as revoked in backend/, 'warn')).toHaveLength(1)
  })

  it('CTL-042 knows signals by name, short name and number', () => {
    expect([signalName('SIGKILL'), signalName('INT'), signalName(9)]).toEqual([
      'SIGKILL',
      'SIGINT',
      'SIGKILL',
    ])
    expect([signalName(null), signalName(undefined)]).toEqual(['SIGTERM', 'SIGTERM'])
    expect(() => signalName(999)).toThrow('999 is not a valid Signals')
    expect(() => signalName('__proto__')).toThrow('signal name must be uppercase string.')
  })
})
