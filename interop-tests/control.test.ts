import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Celery, TaskRevokedError } from '../src/index.js'
import type { Worker } from '../src/worker/index.js'
import { type Driver, type PythonWorker, Shop } from './harness.js'
import { eventually, nodeApp, nodeTasks } from './node-app.js'

type Replies = readonly Readonly<Record<string, unknown>>[]

const answersOf = (replies: Replies): Record<string, unknown> => Object.assign({}, ...replies)

describe('remote control over filesystem://, with real Celery on the other side', () => {
  let shop: Shop
  let app: Celery
  let worker: Worker
  let python: Driver
  let pythonWorker: PythonWorker
  const seen: string[] = []
  const broadcast = (command: string, args: object = {}, options: object = {}): Promise<Replies | null> =>
    python.do('broadcast', { command, arguments: args, reply: true, timeout: 5, ...options })

  /** The rows of an exchange's binding table: `[routing_key, pattern, queue]`. */
  const table = (exchange: string): string[][] =>
    JSON.parse(readFileSync(join(shop.folder, 'broker', 'control', `${exchange}.exchange`), 'utf8'))
  const filesOf = (queue: string): string[] =>
    readdirSync(join(shop.folder, 'broker')).filter((file) => file.endsWith(`.${queue}.msg`))

  beforeAll(async () => {
    shop = new Shop()
    app = nodeApp(shop)
    nodeTasks(app, seen)
    worker = app.worker({ queues: ['node'], concurrency: 4, hostname: 'node@test' })
    await worker.start()
    python = await shop.client()
    pythonWorker = await shop.startPythonWorker({ queues: ['celery'] })
  })
  afterAll(async () => {
    await worker?.stop()
    await app?.close()
    await shop?.close()
  })

  it('CTL-001 CTL-004 CTL-007 CTL-008 Python app.control.ping gets our reply beside that of its own worker', async () => {
    const replies = await python.do<Replies>('ping', { timeout: 5, limit: 2 })
    const answers = answersOf(replies)
    expect(answers['node@test']).toEqual({ ok: 'pong' })
    expect(Object.values(answers)).toEqual([{ ok: 'pong' }, { ok: 'pong' }])
  })

  it('CTL-006 Python reaches us by destination and by pattern', async () => {
    expect(await python.do('ping', { timeout: 5, destination: ['node@test'] })).toEqual([
      { 'node@test': { ok: 'pong' } },
    ])
    const byGlob = await broadcast('ping', {}, { pattern: 'node@*', matcher: 'glob', limit: 1 })
    expect(byGlob).toEqual([{ 'node@test': { ok: 'pong' } }])
    const byRegex = await broadcast('ping', {}, { pattern: 'nod.@', matcher: 'pcre', limit: 1 })
    expect(byRegex).toEqual([{ 'node@test': { ok: 'pong' } }])
  })

  it('CTL-010 CTL-040 CTL-045 CTL-046 answers every command, right and wrong, in the words of the Python worker', async () => {
    const commands: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
      ['nope', {}],
      ['revoke', {}],
      ['revoke', { task_id: 'same-1' }],
      ['revoke', { task_id: [] }],
      ['revoke', { task_id: 'same-2', terminate: true }],
      ['revoke', { task_id: 'same-3', terminate: true, signal: 'SIGNOPE' }],
      ['revoke', { task_id: 'same-4', terminate: true, signal: 'sigterm' }],
      ['terminate', { task_id: 'same-5' }],
      ['terminate', { task_id: ['same-6'], signal: 'KILL' }],
      ['rate_limit', {}],
      ['rate_limit', { task_name: 'nobody.knows', rate_limit: '1/s' }],
      ['rate_limit', { task_name: 'celery.chain', rate_limit: '10/m' }],
      ['rate_limit', { task_name: 'celery.chain', rate_limit: 'abc/s' }],
      ['rate_limit', { task_name: 'celery.chain', rate_limit: "it's/s" }],
      ['rate_limit', { task_name: 'celery.chain', rate_limit: '1/x' }],
      ['rate_limit', { task_name: 'celery.chain', rate_limit: '/m' }],
      ['rate_limit', { task_name: 'celery.chain', rate_limit: '1/m/s' }],
      ['rate_limit', { task_name: 'celery.chain', rate_limit: 0 }],
      ['time_limit', { task_name: 'celery.chain', soft: 5, hard: 10.5 }],
      ['time_limit', { task_name: 'celery.chain' }],
      ['time_limit', {}],
      ['time_limit', { task_name: 'nobody.knows', soft: 1 }],
    ]
    // All at once: each has a reply queue of its own.
    const replies = await Promise.all(
      commands.map(([command, args]) =>
        app.control.broadcast(command, args, { reply: true, timeout: 10, limit: 2 }),
      ),
    )
    const wrong = commands.flatMap(([command, args], index) => {
      const { 'node@test': ours, ...others } = answersOf(replies[index] ?? [])
      const [theirs] = Object.values(others)
      const isSame = ours !== undefined && JSON.stringify(ours) === JSON.stringify(theirs)
      return isSame ? [] : [{ command, args, ours, theirs }]
    })
    expect(wrong).toEqual([])
  })

  it('CTL-012 app.control.ping of Node parses the replies of both workers', async () => {
    const answers = answersOf(await app.control.ping({ timeout: 5, limit: 2 }))
    expect(answers['node@test']).toEqual({ ok: 'pong' })
    const name = Object.keys(answers).find((one) => one.startsWith('py')) ?? expect.fail('no Python worker')
    expect(answers[name]).toEqual({ ok: 'pong' })
    expect(await app.control.ping({ timeout: 5, destination: [name] })).toEqual([{ [name]: { ok: 'pong' } }])
    const unknown = await app.control.broadcast('nope', {}, { reply: true, timeout: 5, destination: [name] })
    expect(unknown).toEqual([{ [name]: { error: "KeyError('nope')" } }])
  })

  it('CTL-040 RES-006 a revoke from Python stores REVOKED at once, and the ETA task never runs', async () => {
    const id = await python.send('node.quiet', ['revoked-eta'], {}, { countdown: 3 })
    await eventually('we hold it', () => worker.ledger.find(id)?.state === 'waiting')
    await python.do('revoke', { id })
    await eventually('REVOKED is stored', async () => (await python.meta(id))['status'] === 'REVOKED')
    expect(worker.ledger.find(id)?.state).toBe('waiting')
    await eventually('it is settled', () => worker.ledger.find(id) === undefined)
    expect(seen).not.toContain('revoked-eta')
    expect((await python.get(id)).error).toMatchObject({
      type: 'TaskRevokedError',
      module: 'celery.exceptions',
      args: ['revoked'],
    })
  })

  it('CTL-042 ACK-025 a revoke with terminate from Python aborts our running task, and Python reads REVOKED', async () => {
    const id = await python.send('node.sleep', [60])
    await eventually('it runs', () => worker.ledger.find(id)?.isAcknowledged === true)
    const reply = await broadcast('revoke', { task_id: id, terminate: true }, { destination: ['node@test'] })
    expect(reply).toEqual([{ 'node@test': { ok: `terminate: ${id}` } }])
    const { error } = await python.get(id)
    expect(error).toMatchObject({ type: 'TaskRevokedError' })
    await eventually('it is settled', () => worker.ledger.find(id) === undefined)
    expect((await python.meta(id))['result']).toContain('terminated')
  })

  it('RES-055 a revoke from Node reaches a Python worker: its ETA task never runs', async () => {
    const result = await app.sendTask('py.add', { args: [1, 2], countdown: 5 })
    await pythonWorker.saw(new RegExp(`${result.id}\\] received`))
    await result.revoke({ wait: true, timeout: 2 })
    expect(await result.state()).toBe('REVOKED')
    await pythonWorker.saw(new RegExp(`Discarding revoked task: py\\.add\\[${result.id}\\]`))
    await expect(result.get({ timeout: 10 })).rejects.toThrow(TaskRevokedError)
  })

  it('CTL-045 CTL-046 limits set from Node are accepted by a Python worker', async () => {
    const [name = ''] = Object.keys(answersOf(await app.control.ping({ timeout: 5, limit: 2 }))).filter(
      (one) => one.startsWith('py'),
    )
    const options = { reply: true, timeout: 5, destination: [name] }
    expect(await app.control.rateLimit('py.add', '100/s', options)).toEqual([
      { [name]: { ok: 'new rate limit set successfully' } },
    ])
    expect(await app.control.timeLimit('py.add', { soft: 5, hard: 10 }, options)).toEqual([
      { [name]: { ok: 'time limits set successfully' } },
    ])
  })

  it('CTL-007 leaves no reply queue of ours behind, in the folder or in the binding table that Python reads', async () => {
    const before = table('reply.celery.pidbox').length
    await app.control.ping({ timeout: 5, limit: 2 })
    expect(table('reply.celery.pidbox')).toHaveLength(before)
    expect(readdirSync(join(shop.folder, 'broker')).filter((file) => file.includes('reply'))).toEqual([])
  })

  it('a worker that stopped in order leaves no mailbox: Python writes no more commands to it', async () => {
    const other = app.worker({ queues: ['node'], concurrency: 1, hostname: 'gone@test' })
    await other.start()
    const queues = (): string[] => table('celery.pidbox').map(([, , queue]) => queue ?? '')
    expect(queues()).toContain('gone@test.celery.pidbox')
    await other.stop()
    expect(queues()).not.toContain('gone@test.celery.pidbox')
    expect(queues()).toContain('node@test.celery.pidbox')
    const answers = answersOf(await python.do<Replies>('ping', { timeout: 5, limit: 2 }))
    expect(Object.keys(answers)).toHaveLength(2)
    expect(filesOf('gone@test.celery.pidbox')).toEqual([])
  })

  it('sets aside what is no message in its mailbox, answers what is no command, and goes on', async () => {
    const name = `1_${randomUUID()}.node@test.celery.pidbox.msg`
    writeFileSync(join(shop.folder, 'broker', name), 'no envelope at all')
    const odd = await broadcast('revoke', { task_id: { a: 1 } }, { destination: ['node@test'] })
    expect(odd).toEqual([{ 'node@test': { error: expect.stringContaining('TypeError(') } }])
    expect(await python.do('ping', { timeout: 5, destination: ['node@test'] })).toHaveLength(1)
    await eventually('it is set aside', () =>
      readdirSync(join(shop.folder, 'broker', '.celeriac', 'unreadable')).includes(name),
    )
    const id = await python.send('node.add', [2, 3])
    expect((await python.get(id)).ok?.value).toBe(5)
  })

  it('CTL-011 CTL-053 WRK-083 a shutdown from Python stops our worker warm', async () => {
    await python.do('broadcast', { command: 'shutdown', destination: ['node@test'] })
    expect(await worker.stopped).toMatchObject({ code: 0, reason: 'stopped' })
    const answers = answersOf(await app.control.ping({ timeout: 2 }))
    expect(Object.keys(answers)).not.toContain('node@test')
    expect(Object.keys(answers)).toHaveLength(1)
  })

  it('CTL-053 a shutdown from Node stops a Python worker', async () => {
    await app.control.shutdown()
    await eventually('it has ended', () => pythonWorker.child.exitCode !== null)
    expect(pythonWorker.log).toContain('Got shutdown from remote')
    expect(pythonWorker.child.exitCode).toBe(0)
  })
})
