/** A chord that Celery sent and one of whose parts nobody runs is found from Node: by the app, and by the command line. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Celery, type PendingChord } from '../src/index.js'
import { pythonPath } from './harness.js'
import { eventually } from './node-app.js'
import { noRedis, RedisServer, skipNote } from './redis-server.js'

const run = promisify(execFile)
const cli = resolve(import.meta.dirname, '..', 'dist', 'src', 'cli', 'main.js')

/** Three parts: one for the worker in Node, one that Celery runs here, and one in a queue without a worker. */
const SEND = `
import json, sys
from celery import Celery, chord
from celery.app.trace import build_tracer
app = Celery('t', broker=sys.argv[1], backend=sys.argv[1])
app.conf.update(result_backend_transport_options=json.loads(sys.argv[2]), result_expires=1000)
@app.task(name='py.add')
def add(x, y):
    return x + y
part = lambda queue: app.signature('node.add', args=(1, 2), queue=queue)
body = app.signature('node.total', queue='nobody')
sent = chord([part('node'), part('nobody'), add.s(3, 4).set(queue='here')], body).apply_async()
with app.connection_for_read() as connection:
    message = connection.SimpleQueue('here').get(timeout=5)
    headers = message.headers
    args, kwargs, embed = message.decode()
    request = {**headers, **embed, 'delivery_info': {}, 'hostname': 'here'}
    build_tracer('py.add', add, app=app)(headers['id'], args, kwargs, request)
    message.ack()
print(json.dumps({'group': headers['group'], 'result': sent.id}))
`

describe.skipIf(noRedis)(`chords that wait for a part${skipNote(noRedis)}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-chords-'))
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(async () => {
    await server?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it.each([{}, { global_keyprefix: 'shop' }])(
    'CNV-102 CNV-104 a chord of Celery is listed from Node with the part that is missing (%o)',
    async (options) => {
      await using app = new Celery('t', {
        brokerUrl: server.url,
        resultBackend: server.url,
        resultBackendTransportOptions: options,
        resultExpires: 1000,
      })
      app.task('node.add', (x: number, y: number) => x + y)
      const worker = app.worker({ queues: ['node'], concurrency: 1 })
      await worker.start()
      try {
        const { stdout } = await run(pythonPath(), ['-c', SEND, server.url, JSON.stringify(options)], {
          env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
          timeout: 60_000,
        })
        const { group } = JSON.parse(stdout) as { readonly group: string }
        const pending = async (): Promise<PendingChord[]> => {
          const found: PendingChord[] = []
          for await (const chord of app.chords.pending()) found.push(chord)
          return found
        }
        await eventually('both parts are counted', async () => (await pending())[0]?.counted === 2)
        const [chord, ...others] = await pending()
        expect(others).toEqual([])
        expect(chord).toMatchObject({
          groupId: group,
          size: 3,
          added: 0,
          failed: 0,
          waitingFor: 1,
          missing: [1],
        })
        expect(chord?.quietFor).toBeLessThan(100)

        const config = join(folder, 'celery.json')
        writeFileSync(
          config,
          JSON.stringify({ result_backend_transport_options: options, result_expires: 1000 }),
        )
        const command = async (...args: string[]): Promise<string> => {
          const given = ['--config', config, '--result-backend', server.url, ...args]
          return (await run(process.execPath, [cli, ...given], { timeout: 60_000 })).stdout
        }
        const text = await command('chords')
        expect(text).toMatch(/^Chord +Ended +Failed +Quiet for +Missing parts\n/)
        expect(text).toMatch(new RegExp(`${group} +2/3 +0 +\\d+ s +1\\n`))
        expect(JSON.parse(await command('--json', 'chords'))).toMatchObject([
          { groupId: group, missing: [1] },
        ])
        expect(await command('chords', '--quiet-for', '100000')).toBe('No chord is waiting.\n')
      } finally {
        await worker.stop()
      }
    },
  )
})
