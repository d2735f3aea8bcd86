import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './node-app.js'

const root = resolve(import.meta.dirname, '..')
const cli = join(root, 'dist', 'src', 'cli', 'main.js')

/** The lines of the README's tour run as they stand, against a worker started from the command line. */
describe('examples/shop', () => {
  let folder: string
  let worker: ChildProcess
  let log = ''

  beforeAll(async () => {
    // Inside the repository, so that the example finds the package by its name.
    mkdirSync(join(root, 'var'), { recursive: true })
    folder = mkdtempSync(join(root, 'var', 'tour-'))
    cpSync(join(root, 'examples', 'shop'), folder, { recursive: true })
    worker = spawn(process.execPath, [cli, '-A', 'app.ts', 'worker', '-l', 'INFO', '--log-format', 'text'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [worker.stdout, worker.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        log += chunk
      })
    }
    await eventually('the worker is ready', () => /ready\./.test(log))
  })
  afterAll(async () => {
    if (worker?.exitCode === null) {
      const gone = once(worker, 'exit')
      worker.kill('SIGTERM')
      await gone
    }
    rmSync(folder, { recursive: true, force: true })
  })

  it('runs to its end, starts its own worker and stops it', async () => {
    const client = spawn(process.execPath, ['--import', 'tsx', 'tour.ts'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    for (const stream of [client.stdout, client.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        text += chunk
      })
    }
    const [code] = (await once(client, 'close')) as [number]
    expect(code, text).toBe(0)
    expect(log).toMatch(/Task shop\.add\[.*\] succeeded in [\d.e-]+s: 5/)
  })
})
