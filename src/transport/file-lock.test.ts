import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../clock.js'
import { BrokerUnavailableError } from '../errors.js'
import { BindingTables } from './binding-tables.js'
import { isLocked, withFileLock } from './file-lock.js'

const clock = systemClock()
const searchPath = process.env['PATH']
let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'celeriac-lock-'))
  file = path.join(folder, 'table')
})
afterEach(async () => {
  process.env['PATH'] = searchPath
  await rm(folder, { recursive: true })
})

/** Adds one to the number in the file, with a pause in which another would read the old one. */
async function increment(): Promise<void> {
  await withFileLock(file, 5000, clock, async (handle) => {
    const before = Number(await readFile(file, 'utf8'))
    await new Promise((resolve) => setImmediate(resolve))
    await handle.write(String(before + 1), 0)
  })
}

describe('withFileLock', () => {
  it('keeps writers apart', async () => {
    await Promise.all(Array.from({ length: 12 }, increment))
    expect(await readFile(file, 'utf8')).toBe('12')
  })

  it('keeps writers apart with a lock file where the command flock is missing', async () => {
    process.env['PATH'] = folder
    await Promise.all(Array.from({ length: 12 }, increment))
    expect(await readFile(file, 'utf8')).toBe('12')
  })

  it('is a real flock: it keeps out others, is seen by others, and gives up after its bound', async () => {
    await writeFile(file, '0')
    const other = spawn('flock', ['-x', file, '-c', 'echo locked; read line'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const ended = once(other, 'close')
    await once(other.stdout, 'data')
    expect(await isLocked(file)).toBe(true)
    await expect(withFileLock(file, 100, clock, async () => {})).rejects.toBeInstanceOf(
      BrokerUnavailableError,
    )
    other.stdin.end()
    await ended
    await withFileLock(file, 1000, clock, async () => expect(await isLocked(file)).toBe(true))
    expect(await isLocked(file)).toBe(false)
  })
})

describe('BindingTables', () => {
  const row = (queue: string) => ({ routingKey: 'k', pattern: '', queue })
  const tables = (): BindingTables => new BindingTables(folder, 'scratch', clock)
  const tableFile = (): string => path.join(folder, 'x.exchange')

  it('loses no row when many write at once, and leaves no scratch behind', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `q${index}`)
    await Promise.all(
      names.map((name, index) => new BindingTables(folder, `s${index}`, clock).bind('x', row(name))),
    )
    expect((await tables().rows('x')).map(({ queue }) => queue).toSorted()).toEqual(names.toSorted())
  })

  it('waits for a table that another process is writing', async () => {
    await writeFile(tableFile(), '')
    const reading = tables().rows('x')
    await writeFile(tableFile(), '[["k", "", "q"]]')
    expect(await reading).toEqual([row('q')])
  })

  it('repairs a table that a process left broken when it binds, and says so when it only reads', async () => {
    await writeFile(tableFile(), '[["k", "", ')
    await expect(tables().rows('x')).rejects.toThrow(tableFile())
    await tables().bind('x', row('q'))
    expect(await tables().rows('x')).toEqual([row('q')])
  })

  it('takes a deleted queue out of every table', async () => {
    const ours = tables()
    await ours.bind('x', row('a'))
    await ours.bind('x', row('b'))
    await ours.removeQueue('a')
    await ours.reassert()
    expect(await readFile(tableFile(), 'utf8')).toBe('[["k", "", "b"]]')
  })
})
