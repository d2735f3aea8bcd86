import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Celery } from './celery.js'

describe('a worker on the filesystem broker', () => {
  let folder: string
  let app: Celery

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'celeriac-worker-'))
    app = new Celery('shop', {
      brokerUrl: `filesystem://${folder}/broker`,
      resultBackend: `file://${folder}/results`,
    })
  })
  afterEach(async () => {
    await app.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('starts after a send to a queue whose name the broker refused', async () => {
    const add = app.task('t.add', (x: number, y: number) => x + y)
    await expect(app.sendTask('t.add', { args: [1, 2], queue: 'a/b' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    await using worker = app.worker({ concurrency: 1 })
    await worker.start()
    const result = await add.delay(1, 2)
    expect(await result.get({ timeout: 10 })).toBe(3)
  })

  it('does not start when its results could not be kept, and leaves the messages alone', async () => {
    await app.sendTask('t.add', { args: [1, 2] })
    writeFileSync(join(folder, 'file'), '')
    const settings = {
      brokerUrl: `filesystem://${folder}/broker`,
      resultBackend: `file://${folder}/file/results`,
    }
    await using other = new Celery('shop', settings)
    const worker = other.worker({ concurrency: 1 })
    await expect(worker.start()).rejects.toMatchObject({ code: 'CONFIG' })
    expect(await worker.stopped).toMatchObject({ code: 1, reason: 'gave up' })
    expect(readdirSync(join(folder, 'broker')).filter((name) => name.endsWith('.msg'))).toHaveLength(1)
  })

  it('PUB-040 takes an empty queue name for none, as Celery does, in a call and in a task', async () => {
    const mul = app.task('t.mul', { queue: '' }, (x: number, y: number) => x * y)
    const results = [await mul.delay(2, 3), await app.sendTask('t.mul', { args: [2, 3], queue: '' })]
    await using worker = app.worker({ concurrency: 1 })
    await worker.start()
    for (const result of results) expect(await result.get({ timeout: 10 })).toBe(6)
  })

  it('PUB-002 refuses an id that is no text before anything is sent', async () => {
    const sent = app.sendTask('t.add', { args: [1, 2], taskId: 5 as unknown as string })
    await expect(sent).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(existsSync(join(folder, 'broker')) ? readdirSync(join(folder, 'broker')) : []).toEqual([])
  })

  /** Puts a message of `id` on the queue that is JSON, but no envelope. */
  function putDamaged(id: string, nth = 0): void {
    const envelope = {
      body: 'not base64 !',
      'content-type': 'application/json',
      'content-encoding': 'utf-8',
      headers: { task: 't.add', id },
      properties: { body_encoding: 'base64' },
    }
    writeFileSync(
      join(folder, 'broker', `${1 + nth}_00000000-0000-4000-8000-000000000000.celery.msg`),
      JSON.stringify(envelope),
    )
  }

  it('WRK-031 leaves what is known of a task alone when what comes of its id is no envelope', async () => {
    const states = ['STARTED', 'RETRY', 'FAILURE']
    const known = states.map((state) => ({
      taskId: `known-${state}`,
      state,
      result: { type: 'ValueError', module: 'builtins', args: ['the first'], traceback: undefined },
      traceback: undefined,
      children: [],
      dateDone: undefined,
    }))
    for (const meta of known) await app.backend.store(meta)
    const stored = () => Promise.all(known.map(({ taskId }) => app.backend.fetch(taskId)))
    const before = await stored()
    await using worker = app.worker({ concurrency: 1 })
    await worker.start()
    for (const [index, { taskId }] of known.entries()) putDamaged(taskId, index)
    putDamaged('lost-1', known.length)
    // The oldest is set aside first.
    await expect(app.asyncResult('lost-1').get({ timeout: 10 })).rejects.toThrow()
    await worker.stop()
    expect(await stored()).toEqual(before)
  })

  it('WRK-031 tells the caller of a message that is no envelope, where its id can be read', async () => {
    await using worker = app.worker({ concurrency: 1 })
    await worker.start()
    putDamaged('lost-1')
    await expect(app.asyncResult('lost-1').get({ timeout: 10 })).rejects.toMatchObject({
      excType: 'DecodeError',
    })
  })
})
