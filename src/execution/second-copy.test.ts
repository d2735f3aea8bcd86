import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { noRedis, type RedisServer, skipNote } from '../../interop-tests/redis-server.js'
import { createCodec } from '../../protocol/serializers.js'
import type { ResultBackend } from '../backend/backend.js'
import { openBackend } from '../backend/open.js'
import { useRedis } from '../transport/redis-rig.conformance.js'
import { execute } from './execute.js'
import type { Courier, TaskRequest } from './request.js'
import { TestHost, testRequest } from './test-host.conformance.js'

describe.skipIf(noRedis)(`second copies of a message${skipNote(noRedis)}`, () => {
  let server: RedisServer
  let backend: ResultBackend
  let host: TestHost
  let runs: number

  useRedis((rig) => {
    ;({ server } = rig)
  })
  beforeEach(() => {
    backend = openBackend(server.url, { codec: createCodec() })
    host = new TestHost()
    Object.assign(host, { backend })
    runs = 0
    host.define(
      't',
      () => {
        runs += 1
      },
      { acksLate: true },
    )
  })
  afterEach(() => backend.close())

  /** A message that a task has sent, over a broker that cannot do all in one step. */
  const message = (mark?: string, change: Partial<TaskRequest['message']> = {}): TaskRequest => {
    const request = testRequest('t', [])
    const properties = mark === undefined ? {} : { messageId: mark }
    return {
      ...request,
      message: { ...request.message, parentId: 'parent', properties, ...change },
      courier: { handsOver: () => false, handOver: async () => false },
    }
  }
  const run = (mark?: string, change: Partial<TaskRequest['message']> = {}) =>
    execute(message(mark, change), host)

  it('CNV-119 the copy that begins later is dropped, the first one is run as often as it comes', async () => {
    await run()
    expect(await run('mark')).toEqual({ kind: 'ignored' })
    expect(runs).toBe(1)
    // Its worker died, and it comes again.
    await run()
    expect(runs).toBe(2)
    await run('mark')
    expect(runs).toBe(2)
  })

  it('CNV-119 whichever begins first is the one, though it is the copy', async () => {
    await run('mark')
    expect(await run()).toEqual({ kind: 'ignored' })
    expect(await run('another')).toEqual({ kind: 'ignored' })
    await run('mark')
    expect(runs).toBe(2)
  })

  it('a retry, and what replaces a task under its id, are no copies', async () => {
    await run()
    await run('mark', { retries: 1 })
    await run('mark', { replacedTaskNesting: 1 })
    expect(runs).toBe(3)
  })

  it('nobody is asked about a task that a client has sent, or that is acknowledged at its start', async () => {
    await run()
    await run('mark', { parentId: undefined })
    host.define('t', () => {
      runs += 1
    })
    await run('mark')
    expect(runs).toBe(3)
  })

  it('CNV-119 is asked about unless its sender could do all in one step, with the result where that is kept', async () => {
    const inOneStep = async (handsOver: Courier['handsOver'], copy: string) => {
      const courier = { handsOver, handOver: async () => false }
      await execute({ ...message(copy), courier }, host)
      return runs
    }
    expect(await inOneStep(() => true, 'a')).toBe(1)
    expect(await inOneStep(() => true, 'b')).toBe(2)
    // The results are kept by another server than the messages.
    const withoutResult: Courier['handsOver'] = (place) => place === undefined
    expect(await inOneStep(withoutResult, 'c')).toBe(3)
    expect(await inOneStep(withoutResult, 'd')).toBe(3)
  })

  it('a store that cannot tell stops nothing', async () => {
    await run()
    const firstCopy = async (): Promise<string> => Promise.reject(new Error('away'))
    Object.assign(backend, { firstCopy })
    await run('mark')
    expect(runs).toBe(2)
    expect(host.lines.map(({ text }) => text)).toContainEqual(expect.stringContaining('Cannot tell whether'))
  })

  it('a run that comes again marks what it sends, since that may be a second copy', async () => {
    const chain = [
      { task: 'next', args: [], kwargs: {}, options: { task_id: 'n' }, subtask_type: null, immutable: false },
    ]
    const properties: unknown[] = []
    const dispatchMany: TestHost['dispatchMany'] = async (calls) => {
      properties.push(...calls.map(({ options }) => options.properties))
      return []
    }
    Object.assign(host, { dispatchMany })
    await execute(testRequest('t', [], { body: { chain } }), host)
    await backend.forget('t-1')
    await execute(testRequest('t', [], { redelivered: true, body: { chain } }), host)
    expect(properties).toEqual([undefined, { message_id: expect.any(String) }])
  })
})
