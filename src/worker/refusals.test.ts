import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { Trial, until } from './trial.test.setup.js'

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const triple = json([[], {}, {}])

/** Sends one bad message, then a good one; resolves when the good one has run. */
async function survives(trial: Trial, bad: Parameters<Trial['publish']>[0]): Promise<void> {
  trial.app.task('t.ok', () => 1)
  await trial.publish(bad)
  const id = await trial.send('t.ok')
  const worker = await trial.started()
  await until('the good message ran', async () => (await trial.state(id)) === 'SUCCESS')
  await until('nothing is held', () => worker.ledger.size === 0)
  await worker.stop()
  expect(await trial.waiting()).toBe(0)
}

describe('refusals', () => {
  it('WRK-028 WRK-029 SIG-012 rejects what is no task message, with its bytes in the log', async () => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.signals.taskRejected.connect(({ exc }) => told.push(exc))
    await survives(trial, { body: json({ some: 'thing' }) })
    const [line] = trial.logged(/^Received and deleted unknown message\. {2}Wrong destination\?!\?/, 'warn')
    expect(line?.text).toContain('{\\"some\\":\\"thing\\"}')
    expect(told).toEqual([null])
  })

  it('WRK-030 SIG-013 stores NotRegistered, so that the caller is not left waiting', async () => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.signals.taskUnknown.connect(({ name, id }) => told.push([name, id]))
    await survives(trial, { body: triple, headers: { task: 't.absent', id: 'u-1' } })
    expect(await trial.meta('u-1')).toMatchObject({
      state: 'FAILURE',
      result: { type: 'NotRegistered', module: 'celery.exceptions', args: ['t.absent'] },
    })
    expect(told).toEqual([['t.absent', 'u-1']])
    const [line] = trial.logged(/^Received unregistered task of type t\.absent\./, 'error')
    expect(line?.text).toContain('[[],{},{}]')
  })

  it('CNV-118 fails the rest of the chain of a task that it does not have, and calls its errbacks', async () => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.task('t.eb', (id: string) => void told.push(id))
    const step = {
      task: 't.ok',
      args: [],
      kwargs: {},
      options: { task_id: 'next' },
      subtask_type: null,
      immutable: false,
    }
    const errback = { ...step, task: 't.eb', options: {} }
    const embed = { callbacks: null, errbacks: [errback], chain: [step], chord: null }
    await survives(trial, { body: json([[], {}, embed]), headers: { task: 't.absent', id: 'u-3' } })
    expect(await trial.meta('next')).toMatchObject({
      state: 'FAILURE',
      result: { type: 'NotRegistered', args: ['t.absent'] },
    })
    expect(trial.app.task('t.eb')).toBeDefined()
    expect(told).toEqual(['u-3'])
  })

  it('WRK-030 does the same for a message of protocol 1, and for a task name that is null', async () => {
    await using trial = new Trial()
    await survives(trial, { body: json({ task: 't.absent', id: 'u-1', args: [], kwargs: {} }) })
    expect(await trial.state('u-1')).toBe('FAILURE')
    await using second = new Trial()
    await survives(second, { body: triple, headers: { task: null, id: 'u-2' } })
    expect(await second.meta('u-2')).toMatchObject({ result: { type: 'NotRegistered' } })
  })

  it.each([
    ['a bad eta', { body: triple, headers: { task: 't.ok', id: 'i-1', eta: 'soon' } }],
    ['an eta that is a number', { body: triple, headers: { task: 't.ok', id: 'i-1', eta: 5 } }],
    ['a bad expires', { body: triple, headers: { task: 't.ok', id: 'i-1', expires: 'never' } }],
    ['kwargs that are a list', { body: json([[], [], {}]), headers: { task: 't.ok', id: 'i-1' } }],
    ['kwargs that are null', { body: json([[], null, {}]), headers: { task: 't.ok', id: 'i-1' } }],
    ['a body of two items', { body: json([[], {}]), headers: { task: 't.ok', id: 'i-1' } }],
    ['an empty body', { body: Buffer.from(''), headers: { task: 't.ok', id: 'i-1' } }],
    ['timelimit of one item', { body: triple, headers: { task: 't.ok', id: 'i-1', timelimit: [1] } }],
    [
      'a content type not accepted',
      { contentType: 'application/x-yaml', headers: { task: 't.ok', id: 'i-1' } },
    ],
    ['pickle', { contentType: 'application/x-python-serialize', headers: { task: 't.ok', id: 'i-1' } }],
  ])('WRK-031 rejects %s, and stores why where Celery leaves the caller waiting', async (_what, bad) => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.signals.taskRejected.connect(({ exc }) => told.push(exc))
    await survives(trial, bad)
    expect(trial.logged(/^Received invalid task message: /, 'error')).toHaveLength(1)
    expect(told).toHaveLength(1)
    expect(await trial.state('i-1')).toBe('FAILURE')
  })

  it('TSK-067 tells the caller of a message whose kwargs are no mapping that it was an invalid task', async () => {
    await using trial = new Trial()
    await survives(trial, { body: json([[], [], {}]), headers: { task: 't.ok', id: 'i-1' } })
    expect(await trial.meta('i-1')).toMatchObject({
      state: 'FAILURE',
      result: { type: 'InvalidTaskError', args: [expect.stringContaining('must be a mapping')] },
    })
  })

  it.each([
    ['WRK-031', 'an invalid message', { body: json([[], {}]) }, /^Received invalid task message/],
    ['WRK-032', 'an undecodable message', { body: Buffer.from('[[1, 2') }, /^Can't decode message body/],
  ])('%s leaves what is known of a task alone when %s of its id comes', async (_row, _what, bad, logged) => {
    await using trial = new Trial()
    const known: ResultMeta[] = ['SUCCESS', 'FAILURE', 'REVOKED', 'STARTED', 'RETRY', 'PROGRESS'].map(
      (state) => ({
        taskId: `known-${state}`,
        state,
        result: ['FAILURE', 'REVOKED', 'RETRY'].includes(state)
          ? { type: 'ValueError', module: 'builtins', args: ['the first'], traceback: undefined }
          : 'the first',
        traceback: undefined,
        children: [],
        dateDone: undefined,
      }),
    )
    for (const meta of known) await trial.app.backend.store(meta)
    const before = await Promise.all(known.map(({ taskId }) => trial.meta(taskId)))
    expect(before.map((meta) => meta?.state)).toEqual(known.map(({ state }) => state))
    trial.app.task('t.ok', () => 1)
    for (const { taskId } of known) await trial.publish({ ...bad, headers: { task: 't.ok', id: taskId } })
    await trial.publish({ ...bad, headers: { task: 't.ok', id: 'new' } })
    const worker = await trial.started()
    await until('all are refused', () => trial.logged(logged).length === known.length + 1)
    await worker.stop()
    expect(await Promise.all(known.map(({ taskId }) => trial.meta(taskId)))).toEqual(before)
    expect(await trial.state('new')).toBe('FAILURE')
  })

  it('WRK-031 survives a message without an id', async () => {
    await using trial = new Trial()
    await survives(trial, { body: triple, headers: { task: 't.ok' } })
  })

  it.each([
    ['a body cut short', { body: Buffer.from('[[1, 2'), headers: { task: 't.ok', id: 'd-1' } }],
    [
      'bytes that are no text',
      { body: Buffer.from([0xff, 0xfe, 0x00]), headers: { task: 't.ok', id: 'd-1' } },
    ],
    [
      'broken compression',
      { body: triple, headers: { task: 't.ok', id: 'd-1', compression: 'application/x-gzip' } },
    ],
  ])('WRK-032 acknowledges %s, without a signal', async (_what, bad) => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.signals.taskRejected.connect(({ exc }) => told.push(exc))
    await survives(trial, bad)
    expect(trial.logged(/^Can't decode message body: /, 'fatal')).toHaveLength(1)
    expect(told).toEqual([])
    expect(await trial.meta('d-1')).toMatchObject({ state: 'FAILURE', result: { type: 'DecodeError' } })
  })

  it('WRK-032 acknowledges a body of protocol 1 that cannot be read', async () => {
    await using trial = new Trial()
    await survives(trial, { body: Buffer.from('{"task": '), headers: {} })
    expect(trial.logged(/^Can't decode message body: /, 'fatal')).toHaveLength(1)
  })
})
