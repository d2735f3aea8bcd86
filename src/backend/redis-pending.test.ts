import { tmpdir } from 'node:os'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noRedis, RedisServer, skipNote } from '../../interop-tests/redis-server.js'
import { createCodec } from '../../protocol/serializers.js'
import { Celery, NotSupportedError } from '../index.js'
import { metaOf } from './backend.conformance.js'
import type { ChordCounter } from './backend.js'
import type { BackendOptions } from './backend-options.js'
import { openBackend } from './open.js'
import type { PendingChord, PendingOptions } from './pending-chord.js'

describe.skipIf(noRedis)(`chords that wait, in Redis${skipNote(noRedis)}`, () => {
  let server: RedisServer
  let client: Redis
  const closing: { close(): Promise<void> }[] = []
  beforeAll(async () => {
    server = await RedisServer.start()
    client = server.client()
  })
  afterAll(async () => {
    await Promise.all(closing.map((each) => each.close()))
    client?.disconnect()
    await server?.close()
  })

  async function fresh(options: Partial<BackendOptions> = {}): Promise<Required<ChordCounter>> {
    await client.flushall()
    const backend = openBackend(server.url, { codec: createCodec(), ...options })
    closing.push(backend)
    return backend.chords as Required<ChordCounter>
  }
  async function listed(
    chords: Required<ChordCounter>,
    options: PendingOptions = {},
  ): Promise<PendingChord[]> {
    const found: PendingChord[] = []
    for await (const chord of chords.pending(options)) found.push(chord)
    return found.sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
  }
  const done = (id: string, state = 'SUCCESS') => metaOf(id, state, state === 'SUCCESS' ? 'FAILURE' : null)

  it('CNV-102 CNV-104 tells which places of which headers are empty', async () => {
    const chords = await fresh({ expires: 100 })
    await chords.begin('untouched', 2)
    await chords.begin('half', 4)
    await chords.partDone('half', 2, done('c'))
    await chords.partDone('half', 0, done('a', 'FAILURE'))
    await chords.begin('grown', 1)
    await chords.grow('grown')
    await chords.partDone('grown', 0, done('g'))
    const found = await listed(chords)
    expect(found.map(({ quietFor, expiresIn, ...chord }) => chord)).toEqual([
      { groupId: 'grown', size: 1, added: 1, counted: 1, failed: 0, waitingFor: 1, missing: [] },
      { groupId: 'half', size: 4, added: 0, counted: 2, failed: 1, waitingFor: 2, missing: [1, 3] },
      { groupId: 'untouched', size: 2, added: 0, counted: 0, failed: 0, waitingFor: 2, missing: [0, 1] },
    ])
    await client.expire('celery-taskset-meta-untouched.s', 60)
    const [quiet] = (await listed(chords)).slice(-1)
    expect(quiet?.expiresIn).toBeGreaterThan(50)
    expect((quiet?.expiresIn ?? 0) + (quiet?.quietFor ?? 0)).toBeCloseTo(100)
  })

  it('CNV-102 CNV-105 leaves out what has ended, and shows a header that is all there without its body', async () => {
    const chords = await fresh()
    for (const id of ['sent', 'unsent', 'failed']) await chords.begin(id, 1)
    await chords.partDone('sent', 0, done('a'))
    await chords.end('sent')
    await chords.partDone('unsent', 0, done('b'))
    await chords.partDone('failed', 0, done('c', 'REVOKED'))
    expect(await listed(chords)).toMatchObject([{ groupId: 'unsent', waitingFor: 0, missing: [], failed: 0 }])
  })

  it('CNV-102 shows a header of which the size was never told', async () => {
    const chords = await fresh({ expires: null })
    await chords.partDone('cut', 3, done('a'))
    expect(await listed(chords)).toEqual([
      {
        groupId: 'cut',
        size: undefined,
        added: 0,
        counted: 1,
        failed: 0,
        waitingFor: undefined,
        missing: [],
        quietFor: undefined,
        expiresIn: undefined,
      },
    ])
  })

  it('RES-028 CNV-104 counts unordered parts, which have no places, and those of other serializers', async () => {
    const unordered = await fresh({ transportOptions: { result_chord_ordered: false } })
    await unordered.begin('list', 3)
    await unordered.partDone('list', 0, done('a'))
    expect(await listed(unordered)).toMatchObject([{ counted: 1, failed: 0, waitingFor: 2, missing: [] }])
    const packed = await fresh({ serializer: 'msgpack' })
    await packed.begin('packed', 3)
    await packed.partDone('packed', 1, done('a'))
    await packed.partDone('packed', 2, done('b', 'FAILURE'))
    expect(await listed(packed)).toMatchObject([{ counted: 2, failed: 1, missing: [0] }])
  })

  it('CFG-119 looks only under its own global_keyprefix, letter for letter', async () => {
    const chords = await fresh({ transportOptions: { global_keyprefix: 'a[*]?' } })
    await chords.begin('mine', 1)
    await client.set('aXXXcelery-taskset-meta-other.s', '1')
    await client.set('celery-taskset-meta-other.s', '1')
    expect((await listed(chords)).map(({ groupId }) => groupId)).toEqual(['mine'])
  })

  it('goes through a large store in pages, gives each chord once, no more than asked for, and writes nothing', async () => {
    const chords = await fresh()
    const fill = client.pipeline()
    for (let n = 0; n < 3000; n++) fill.set(`celery-task-meta-${n}`, 'x')
    for (let n = 0; n < 1200; n++) fill.set(`celery-taskset-meta-c${n}.s`, '150')
    for (let n = 0; n < 250; n++)
      fill.zadd('celery-taskset-meta-c7.j', n % 125, `[1, "${n}", "SUCCESS", null]`)
    await fill.exec()
    const before = await client.info('commandstats')
    const found = await listed(chords)
    expect(new Set(found.map(({ groupId }) => groupId)).size).toBe(1200)
    expect(found).toHaveLength(1200)
    expect(found.find(({ groupId }) => groupId === 'c7')?.counted).toBe(250)
    expect(await listed(chords, { limit: 10 })).toHaveLength(10)
    const after = await client.info('commandstats')
    expect(calls(after, 'scan')).toBeGreaterThan(calls(before, 'scan') + 5)
    for (const command of ['keys', 'set', 'del', 'expire', 'zadd']) {
      expect(calls(after, command), command).toBe(calls(before, command))
    }
  })

  it('ends with the reason of its signal, also while the server is silent', async () => {
    const chords = await fresh()
    await chords.begin('waiting', 1)
    await listed(chords)
    const ended = new AbortController()
    ended.abort(new Error('enough'))
    await expect(listed(chords, { signal: ended.signal })).rejects.toThrow('enough')
    process.kill(server.pid ?? 0, 'SIGSTOP')
    try {
      const signal = AbortSignal.timeout(50)
      await expect(listed(chords, { signal })).rejects.toMatchObject({ name: 'TimeoutError' })
    } finally {
      process.kill(server.pid ?? 0, 'SIGCONT')
    }
  })

  it('app.chords.pending lists them; other results count nothing, and say so', async () => {
    const chords = await fresh()
    await chords.begin('waiting', 1)
    await using app = new Celery('shop', { resultBackend: server.url })
    const found: string[] = []
    for await (const { groupId } of app.chords.pending()) found.push(groupId)
    expect(found).toEqual(['waiting'])
    await using other = new Celery('shop', { resultBackend: `file://${tmpdir()}` })
    expect(() => other.chords.pending()).toThrow(NotSupportedError)
  })
})

function calls(stats: string, command: string): number {
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}
