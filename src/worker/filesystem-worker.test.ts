import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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

  it('WRK-031 tells the caller of a message that is no envelope, where its id can be read', async () => {
    await using worker = app.worker({ concurrency: 1 })
    await worker.start()
    const envelope = {
      body: 'not base64 !',
      'content-type': 'application/json',
      'content-encoding': 'utf-8',
      headers: { task: 't.add', id: 'lost-1' },
      properties: { body_encoding: 'base64' },
    }
    writeFileSync(
      join(folder, 'broker', '1_00000000-0000-4000-8000-000000000000.celery.msg'),
      JSON.stringify(envelope),
    )
    await expect(app.asyncResult('lost-1').get({ timeout: 10 })).rejects.toMatchObject({
      excType: 'DecodeError',
    })
  })
})
