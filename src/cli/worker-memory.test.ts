import { describe, expect, it } from 'vitest'
import { Celery } from '../worker/celery.js'
import { CommandError } from './command-error.js'
import { memoryOf } from './commands/worker.js'

describe('what a worker remembers', () => {
  it('CFG-008 comes from the variables that Celery reads, and refuses what is no number', () => {
    const env = {
      CELERY_WORKER_REVOKES_MAX: '2',
      CELERY_WORKER_SUCCESSFUL_EXPIRES: '60',
      CELERY_WORKER_REVOKE_EXPIRES: '',
    }
    expect(memoryOf(env)).toEqual({ revokesMax: 2, successfulExpires: 60 })
    expect(() => memoryOf({ CELERY_WORKER_REVOKES_MAX: 'many' })).toThrow(CommandError)
  })

  it('CTL-059 bounds the revoked ids of a worker', async () => {
    await using app = new Celery('shop', { brokerUrl: 'memory://', resultBackend: 'cache+memory://' })
    const worker = app.worker({ concurrency: 1, memory: memoryOf({ CELERY_WORKER_REVOKES_MAX: '1' }) })
    await worker.start()
    worker.revoke('first')
    worker.revoke('second')
    const run = app.task('t.run', () => 'ran')
    const [first, second] = [
      await run.applyAsync({ taskId: 'first' }),
      await run.applyAsync({ taskId: 'second' }),
    ]
    expect(await first.get({ timeout: 10 })).toBe('ran')
    await expect(second.get({ timeout: 10 })).rejects.toMatchObject({ code: 'TASK_REVOKED' })
    await worker.stop()
  })
})
