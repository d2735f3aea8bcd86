/**
 * docs/canvas.md as it stands: its blocks are written into the files that they name, a worker of each language is started
 * as it says, and what a comment behind a `get` promises is what comes.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pythonPath } from './harness.js'
import { eventually } from './node-app.js'
import { noRedis, RedisServer, skipNote } from './redis-server.js'

const execute = promisify(execFile)
const root = resolve(import.meta.dirname, '..')
const cli = join(root, 'dist', 'src', 'cli', 'main.js')
const guide = readFileSync(join(root, 'docs', 'canvas.md'), 'utf8')

/** A line that waits for a value, and what its comment begins with: a number, a text or a list. */
const promise = /^await (.+\.get\(.*\)) +\/\/ (\d+|'[^']*'|\[[^\]]*\]).*$/gm

function blocks(language: 'ts' | 'python'): readonly string[] {
  return [...guide.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(
    ([, code = '']) => code,
  )
}

describe.skipIf(noRedis)(`the canvas guide${skipNote(noRedis)}`, () => {
  let redis: RedisServer
  let folder: string
  const workers: ChildProcess[] = []
  let log = ''

  function start(command: string, args: readonly string[]): void {
    const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    workers.push(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        log += chunk
      })
    }
  }

  beforeAll(async () => {
    redis = await RedisServer.start()
    // Inside the repository, so that the files find the package by its name.
    mkdirSync(join(root, 'var'), { recursive: true })
    folder = mkdtempSync(join(root, 'var', 'guide-'))
    const write = (name: string, code: readonly string[]): void =>
      writeFileSync(join(folder, name), code.join('\n').replaceAll("'redis://'", `'${redis.url}'`))
    const code = blocks('ts')
    // The tasks that this one needs are the reader's own.
    const ofApp = code.filter((block) => block.startsWith('// app.ts\n'))
    const shown = code.filter((block) => !block.startsWith('// app.ts'))
    const told = shown.map((block) => block.replace(promise, 'console.log(JSON.stringify(await $1))'))
    write('app.ts', ofApp)
    write('shown.ts', [...shown, 'await app.close()'])
    write('guide.ts', [...told, 'await app.close()'])
    write('images.py', blocks('python'))
    start(process.execPath, [cli, '-A', 'app.ts', 'worker', '-l', 'INFO', '--log-format', 'text'])
    start(pythonPath(), [
      '-m',
      'celery',
      '-A',
      'images',
      'worker',
      '-l',
      'INFO',
      '-Q',
      'python',
      '-P',
      'solo',
    ])
    await eventually('both workers are ready', () => [...log.matchAll(/ready\./g)].length === 2)
  }, 60_000)
  afterAll(async () => {
    for (const worker of workers.filter(({ exitCode }) => exitCode === null)) {
      const gone = once(worker, 'exit')
      worker.kill('SIGTERM')
      await gone
    }
    rmSync(folder, { recursive: true, force: true })
    await redis?.close()
  })

  it('CNV-046 CNV-070 CNV-079 CNV-132 does what it says, with a step in Python', async () => {
    const promised = blocks('ts').flatMap((block) => [...block.matchAll(promise)].map(([, , value]) => value))
    expect(promised.length).toBeGreaterThan(4)
    const { stdout } = await execute(process.execPath, ['--import', 'tsx', 'guide.ts'], {
      cwd: folder,
      timeout: 60_000,
    })
    const values = stdout.split('\n').filter((line) => /^(\d+|"[^"]*"|\[.*\])$/.test(line))
    expect(values.map((value) => JSON.parse(value) as unknown)).toEqual(
      promised.map((value) => JSON.parse(String(value).replaceAll("'", '"')) as unknown),
    )
  }, 90_000)

  const compiled = async (file: string): Promise<string> => {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const args = ['--ignoreConfig', '--noEmit', '--strict', '--skipLibCheck', '--types', 'node']
    args.push('--module', 'nodenext', '--target', 'es2022', file)
    const { stdout } = await execute(process.execPath, [tsc, ...args], { cwd: folder }).catch(
      (error: { stdout: string }) => error,
    )
    return stdout
  }

  it('compiles as it stands, but for the step of which it says that it does not', async () => {
    expect(await compiled('shown.ts')).toBe('')
    const [, wrong = ''] = /`([^`]+)`\s+does not compile/.exec(guide) ?? []
    const imports =
      blocks('ts')[1]
        ?.split('\n')
        .filter((line) => line.startsWith('import ')) ?? []
    writeFileSync(join(folder, 'wrong.ts'), [...imports, wrong].join('\n'))
    expect(await compiled('wrong.ts')).toMatch(/^wrong\.ts\(3,.*TS2345.*/)
  }, 90_000)
})
