import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCodec } from '../../protocol/serializers.js'
import { systemClock } from '../clock.js'
import { silentLogger } from '../logger.js'
import { describeBackend, metaOf } from './backend.conformance.js'
import type { ResultBackend } from './backend.js'
import { FilesystemResultStore } from './filesystem.js'
import { KeyValueBackend } from './key-value.js'
import { openBackend } from './open.js'

const codec = createCodec()
const run = promisify(execFile)

describeBackend('file://', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-results-'))
  return {
    open: (options) => openBackend(`file://${folder}`, options),
    raw: (key) => readFile(join(folder, key)).catch(() => undefined),
    putRaw: (key, bytes) => writeFile(join(folder, key), bytes),
    age: async (seconds) => {
      for (const name of await readdir(folder)) {
        const then = statSync(join(folder, name)).mtimeMs / 1000 - seconds
        await utimes(join(folder, name), then, then)
      }
    },
    close: () => rm(folder, { recursive: true, force: true }),
  }
})

describe('file results', () => {
  let folder: string
  let backend: ResultBackend
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'celeriac-results-'))
    backend = openBackend(`file://${folder}/deep/results`, { codec })
  })
  afterEach(async () => {
    await backend.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('RES-037 are one file for each key, in a folder that is made when it is missing', async () => {
    await backend.store(metaOf('a', 'SUCCESS', 1))
    await backend.storeGroup('g', [['g', null], []])
    expect(readdirSync(join(folder, 'deep/results')).sort()).toEqual([
      'celery-task-meta-a',
      'celery-taskset-meta-g',
    ])
  })

  it('survive that somebody removes the folder', async () => {
    await backend.store(metaOf('a', 'SUCCESS', 1))
    rmSync(join(folder, 'deep'), { recursive: true })
    expect(await backend.fetch('a')).toBeUndefined()
    await backend.store(metaOf('b', 'SUCCESS', 2))
    expect((await backend.fetch('b'))?.result).toBe(2)
  })

  it('say at the first use that the folder does not work, and work once it is put right', async () => {
    const path = join(folder, 'file')
    writeFileSync(path, '')
    const broken = openBackend(`file://${path}`, { codec })
    await expect(broken.fetch('a')).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringContaining(path),
    })
    rmSync(path)
    mkdirSync(path)
    expect(await broken.fetch('a')).toBeUndefined()
    await broken.close()
  })

  it.each(['../../../etc/x', 'a/b', 'a\\b', 'a\0b', 'x'.repeat(300)])(
    'refuse the id %j, which would leave the folder',
    async (id) => {
      await expect(backend.store(metaOf(id, 'SUCCESS'))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await expect(backend.fetch(id)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    },
  )

  it('have the asked-for mode', async () => {
    const own = openBackend(`file://${folder}/own`, { codec, fileMode: 0o600 })
    await own.store(metaOf('a', 'SUCCESS', 1))
    expect(statSync(join(folder, 'own/celery-task-meta-a')).mode & 0o777).toBe(0o600)
    await own.close()
  })

  it('clean up temporary files that a dead process left, but not young ones or strangers', async () => {
    await backend.store(metaOf('a', 'SUCCESS', 1))
    const inside = (name: string): string => join(folder, 'deep/results', name)
    for (const name of ['.celeriac-dead', '.celeriac-young', 'README']) writeFileSync(inside(name), 'x')
    await utimes(inside('.celeriac-dead'), 1, 1)
    await utimes(inside('README'), 1, 1)
    expect(await backend.cleanup()).toBe(0)
    expect(readdirSync(join(folder, 'deep/results')).sort()).toEqual([
      '.celeriac-young',
      'README',
      'celery-task-meta-a',
    ])
  })

  it('wait for the other half of a result that is written in place, as Python writes', async () => {
    await backend.store(metaOf('a', 'STARTED'))
    const file = openSync(join(folder, 'deep/results/celery-task-meta-a'), 'w')
    expect(await backend.fetch('a')).toBeUndefined()
    writeSync(file, '{"status": "SUCCESS", "resu')
    const reading = backend.fetch('a')
    const waiting = backend
      .watch(['a'], { signal: new AbortController().signal })
      [Symbol.asyncIterator]()
      .next()
    setTimeout(() => {
      writeSync(file, 'lt": 7, "traceback": null, "children": [], "task_id": "a"}')
      closeSync(file)
    }, 30)
    expect(await reading).toMatchObject({ state: 'SUCCESS', result: 7 })
    expect((await waiting).value).toMatchObject({ state: 'SUCCESS', result: 7 })
  })

  it('are noticed far sooner than the next look when another process stores them', async () => {
    const controller = new AbortController()
    await backend.store(metaOf('warm', 'SUCCESS'))
    const watch = backend.watch(['a'], { signal: controller.signal, interval: 15 })
    const first = watch[Symbol.asyncIterator]().next()
    const other = openBackend(`file://${folder}/deep/results`, { codec })
    // The folder is watched from some moment on; storing until it is noticed needs no knowledge of when.
    let noticed = false
    const end = first.then(() => {
      noticed = true
    })
    const startedAt = Date.now()
    for (let step = 0; !noticed && Date.now() - startedAt < 10_000; step++) {
      await other.store(
        metaOf('a', 'FAILURE', { type: 'E', module: undefined, args: [step], traceback: undefined }),
      )
    }
    await end
    expect(Date.now() - startedAt).toBeLessThan(10_000)
    controller.abort()
    await other.close()
  })

  it('of many writers in several processes are whole, and a SUCCESS among them stays', async () => {
    const script = `
      import { openBackend } from ${JSON.stringify(resolve(import.meta.dirname, 'open.ts'))}
      import { createCodec } from ${JSON.stringify(resolve(import.meta.dirname, '../../protocol/serializers.ts'))}
      const [, who] = process.argv
      const backend = openBackend(${JSON.stringify(`file://${folder}/deep/results`)}, { codec: createCodec() })
      const base = { traceback: undefined, children: undefined, dateDone: undefined }
      for (let n = 0; n < 60; n++) {
        await backend.store({ ...base, taskId: 'shared', state: 'STEP', result: { who, pad: 'x'.repeat(20000) } })
        const seen = await backend.fetch('shared')
        if (seen === undefined || seen.result.pad.length !== 20000) throw new Error('torn')
        await backend.store({ ...base, taskId: 'kept', state: 'STEP', result: who })
        await backend.store({ ...base, taskId: who + n, state: 'SUCCESS', result: n })
      }
      await backend.close()
    `
    await backend.store(metaOf('kept', 'SUCCESS', 'mine'))
    const ids = ['p', 'q', 'r'].flatMap((who) => Array.from({ length: 60 }, (_, n) => `${who}${n}`))
    const waiting = (async () => {
      let count = 0
      for await (const _ of backend.watch(ids, { signal: AbortSignal.timeout(60_000) })) count++
      return count
    })()
    waiting.catch(() => {})
    await Promise.all(
      ['p', 'q', 'r'].map((who) =>
        run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, who], {
          cwd: resolve(import.meta.dirname, '../..'),
          timeout: 60_000,
        }),
      ),
    )
    expect(await waiting).toBe(180)
    expect(await backend.fetch('shared')).toMatchObject({ state: 'STEP' })
    expect((await backend.fetch('kept'))?.result).toBe('mine')
    expect(readdirSync(join(folder, 'deep/results')).filter((name) => name.startsWith('.'))).toEqual([])
  }, 90_000)
})

/** A real folder whose first operations fail as a busy disk would. */
class BusyStore extends FilesystemResultStore {
  failures: number
  readonly #code: string

  constructor(folder: string, failures: number, code: string) {
    const clock = systemClock()
    super(folder, { clock, expires: null, fileMode: 0o666, logger: silentLogger, uuid: randomUUID })
    this.failures = failures
    this.#code = code
  }

  override async get(key: string): Promise<Uint8Array | undefined> {
    if (this.failures-- > 0) throw Object.assign(new Error('the disk is busy'), { code: this.#code })
    return super.get(key)
  }
}

describe('a store that fails', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'celeriac-busy-'))
  })
  afterEach(() => {
    chmodSync(folder, 0o755)
    rmSync(folder, { recursive: true, force: true })
  })
  const options = { codec, alwaysRetry: true, baseSleepMs: 1, maxSleepMs: 2 }

  it('RES-040 is tried again with always_retry, until it works', async () => {
    const store = new BusyStore(folder, 3, 'EBUSY')
    const backend = new KeyValueBackend(store, options)
    await backend.store(metaOf('a', 'SUCCESS', 1))
    expect((await backend.fetch('a'))?.result).toBe(1)
    expect(store.failures).toBeLessThan(0)
    await backend.close()
  })

  it('RES-040 waits at most min(max, base * 2^n), with full jitter', async () => {
    const waits: number[] = []
    const clock = {
      ...systemClock(),
      after: (ms: number, callback: () => void) => {
        waits.push(ms)
        queueMicrotask(callback)
        return () => {}
      },
    }
    const backend = new KeyValueBackend(new BusyStore(folder, 5, 'EIO'), {
      ...options,
      clock,
      random: () => 0,
      baseSleepMs: 10,
      maxSleepMs: 100,
    })
    await backend.fetch('a')
    expect(waits).toEqual([20, 40, 80, 100, 100])
    await backend.close()
  })

  it('RES-040 gives up after max_retries, and at once without always_retry or for an error that stays', async () => {
    const expected = {
      code: 'BACKEND_UNAVAILABLE',
      retriable: true,
      message: expect.stringContaining(`file://${folder}`),
    }
    const limited = new KeyValueBackend(new BusyStore(folder, 9, 'EBUSY'), { ...options, maxRetries: 2 })
    await expect(limited.fetch('a')).rejects.toMatchObject(expected)
    const once = new BusyStore(folder, 9, 'EBUSY')
    await expect(new KeyValueBackend(once, { codec }).fetch('a')).rejects.toMatchObject(expected)
    expect(once.failures).toBe(8)
    const denied = new BusyStore(folder, 9, 'EACCES')
    await expect(new KeyValueBackend(denied, options).fetch('a')).rejects.toMatchObject(expected)
    expect(denied.failures).toBe(8)
  })

  it('closing ends the tries', async () => {
    const backend = new KeyValueBackend(new BusyStore(folder, 1e9, 'EBUSY'), {
      ...options,
      baseSleepMs: 60_000,
      maxSleepMs: 60_000,
      random: () => 0,
    })
    const reading = backend.fetch('a')
    reading.catch(() => {})
    await backend.close()
    await expect(reading).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })
})
