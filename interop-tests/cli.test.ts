import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Celery } from '../src/index.js'
import { eventually } from './node-app.js'

const root = resolve(import.meta.dirname, '..')
const cli = join(root, 'dist', 'src', 'cli', 'main.js')

/** A project of a user's, with an app in TypeScript, as the command sees it. */
const appSource = (folder: string): string => `
import { appendFileSync } from 'node:fs'
import { Celery } from 'celeriac'
export const app = new Celery('shop', {
  brokerUrl: 'filesystem://${folder}/broker',
  resultBackend: 'file://${folder}/results',
})
const note = (text: string): void => appendFileSync('${folder}/notes', text + '\\n')
for (const signal of [app.signals.importModules, app.signals.userPreloadOptions, app.signals.workerShuttingDown]) {
  signal.connect((event) => {
    if (process.env.TELL) note(event.signal + ' ' + ('how' in event ? event.sig + ' ' + event.how + ' ' + event.exitcode : ''))
  })
}
// What an app may leave open: no command but the worker waits for it.
setInterval(() => {}, 60_000)
app.task('shop.add', (x: number, y: number): number => x + y)
app.task('shop.fail', () => { throw new TypeError('no such order') })
app.task('shop.slow', { acksLate: true }, async (mark: string, seconds: number) => {
  note('start ' + mark)
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  note('end ' + mark)
  return mark
})
app.task('shop.stray', async () => {
  Promise.reject(new RangeError('nobody waits for me'))
  setTimeout(() => { throw new RangeError('nobody catches me') }, 0)
  await new Promise((resolve) => setTimeout(resolve, 100))
  return 'done'
})
if (process.env.SLOW_START !== undefined) {
  app.signals.workerInit.connect(async () => {
    note('init')
    await new Promise((resolve) => setTimeout(resolve, 500))
  })
}
app.task('shop.early', async (mark: string, seconds: number) => {
  note('start ' + mark)
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  note('end ' + mark)
})
`

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

describe('the command line', () => {
  let base: string
  let folder: string
  let app: string
  const children = new Set<ChildProcess>()

  beforeAll(() => {
    // Inside the repository, so that the app finds the package by its name.
    mkdirSync(join(root, 'var'), { recursive: true })
    base = mkdtempSync(join(root, 'var', 'cli-'))
  })
  afterAll(() => rmSync(base, { recursive: true, force: true }))
  afterEach(async () => {
    for (const child of children) {
      if (child.exitCode === null && child.signalCode === null) {
        const gone = once(child, 'exit')
        child.kill('SIGKILL')
        await gone
      }
    }
    children.clear()
  })

  const project = (): void => {
    folder = mkdtempSync(join(base, 'p-'))
    app = join(folder, 'app.ts')
    writeFileSync(app, appSource(folder))
  }
  const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => {
    const clean = Object.entries(process.env).filter(
      ([name]) => !/^(CELERY_|VITEST|NODE_OPTIONS|NO_COLOR|FORCE_COLOR)/.test(name),
    )
    return { ...Object.fromEntries(clean), ...more }
  }
  const start = (args: string[], more: NodeJS.ProcessEnv = {}, input = '') => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: folder ?? base,
      env: env(more),
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    child.stdin.end(input)
    children.add(child)
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk
    })
    const ended: Promise<Ended> = once(child, 'close').then(([code]) => ({
      code: code as number | null,
      stdout,
      stderr,
    }))
    return {
      child,
      ended,
      text: () => stdout + stderr,
      saw: (pattern: RegExp) =>
        eventually(`${pattern} in what it printed`, () => pattern.test(stdout + stderr)),
    }
  }
  const run = (args: string[], more: NodeJS.ProcessEnv = {}): Promise<Ended> => start(args, more).ended
  const worker = async (args: string[] = [], more: NodeJS.ProcessEnv = {}) => {
    const started = start(['-A', app, 'worker', '-l', 'INFO', '--log-format', 'text', ...args], more)
    await started.saw(/ready\./)
    return started
  }
  const call = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(['-A', app, 'call', ...args])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    return stdout.trim()
  }
  /** As `call`, from this process: the command is shown once, and a process each time is slow. */
  const send = async (name: string, ...args: unknown[]): Promise<string> => {
    await using client = new Celery('client', {
      brokerUrl: `filesystem://${folder}/broker`,
      resultBackend: `file://${folder}/results`,
      env: {},
    })
    return (await client.sendTask(name, { args })).id
  }
  const notes = (): string[] =>
    existsSync(join(folder, 'notes')) ? readFileSync(join(folder, 'notes'), 'utf8').trim().split('\n') : []
  const waiting = (): string[] => readdirSync(join(folder, 'broker')).filter((name) => name.endsWith('.msg'))

  it('CLI-003 CLI-004 CLI-008 prints its version, helps without a command, and refuses an unknown one with a suggestion', async () => {
    project()
    expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+/)
    expect((await run([])).stdout).toContain('worker')
    const wrong = await run(['-A', app, 'wroker'])
    expect(wrong.code).toBe(2)
    expect(wrong.stderr).toContain('worker')
  })

  it('CLI-002 CLI-004 says what is wrong with -A: no file, no app in it, a file that throws', async () => {
    project()
    const none = await run(['-A', './nowhere.ts', 'worker'])
    expect(none).toMatchObject({ code: 2 })
    expect(none.stderr).toContain('Unable to load celery application: no file')
    writeFileSync(join(folder, 'empty.ts'), 'export const answer: number = 42\n')
    const empty = await run(['-A', 'empty.ts', 'worker'])
    expect(empty.stderr).toContain('exports no Celery app (its exports: answer)')
    writeFileSync(join(folder, 'broken.ts'), "throw new Error('out of cheese')\n")
    const broken = await run(['-A', 'broken.ts', 'list', 'tasks'])
    expect(broken.stderr).toContain('out of cheese')
  })

  it('CLI-002 loads a TypeScript app also where package.json says nothing of modules', async () => {
    project()
    const common = join(folder, 'common')
    mkdirSync(common)
    writeFileSync(join(common, 'package.json'), '{ "private": true }')
    writeFileSync(join(common, 'app.ts'), appSource(folder))
    mkdirSync(join(common, 'node_modules'))
    symlinkSync(root, join(common, 'node_modules', 'celeriac'))
    const listed = await run(['-A', join(common, 'app.ts'), 'list', 'tasks'])
    expect(listed.stderr).toBe('')
    expect(listed.stdout).toContain('* shop.add')
  })

  it('CLI-009 WRK-006 WRK-102 CLI-017 CLI-018 starts with a banner, runs what call sends, and result prints it', async () => {
    project()
    const started = await worker(['-n', 'w1@test', '-c', '3'])
    expect(started.text()).toMatch(/w1@test v\d/)
    expect(started.text()).toContain('.> concurrency: 3 (async)')
    expect(started.text()).toMatch(/\.> celery +exchange=celery\(direct\) key=celery/)
    expect(started.text()).toContain('  . shop.add')
    const id = await call('shop.add', '-a', '[2, 3]')
    expect(await run(['-A', app, 'result', id, '--timeout', '20'])).toMatchObject({ code: 0, stdout: '5\n' })
    await started.saw(new RegExp(`Task shop.add\\[${id}\\] received`))
    await started.saw(new RegExp(`Task shop.add\\[${id}\\] succeeded in [\\d.e-]+s: 5`))
    expect(started.text()).toMatch(
      /\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: INFO\/MainProcess\] Task shop\.add/,
    )
    const failed = await call('shop.fail')
    const result = await run(['-A', app, 'result', failed, '--timeout', '20'])
    expect(result.code).toBe(1)
    expect(result.stderr).toContain('TypeError: no such order')
    expect((await run(['-A', app, 'result', failed, '--traceback'])).stdout).toContain('no such order')
    started.child.kill('SIGTERM')
    expect((await started.ended).code).toBe(0)
  })

  it('CLI-001 takes options from the environment, also those of a sub-command', async () => {
    project()
    const started = start(['worker', '--log-format', 'text'], {
      APP: app,
      CELERY_WORKER_CONCURRENCY: '7',
      CELERY_WORKER_QUEUES: 'a,b',
      CELERY_WORKER_LOGLEVEL: 'info',
    })
    await started.saw(/ready\./)
    expect(started.text()).toContain('.> concurrency: 7')
    expect(started.text()).toMatch(/\.> a .*\n.*\.> b /)
  })

  it('WRK-099 logs JSON lines when nobody looks, and only warnings by default', async () => {
    project()
    const started = start(['-A', app, '-q', 'worker', '-l', 'INFO'])
    await started.saw(/ready/)
    const lines = started.text().trim().split('\n')
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toContain('info')
    const silent = start(['-A', app, '-q', 'worker', '--pidfile', join(folder, 'pid')])
    await eventually('it started', () => existsSync(join(folder, 'pid')))
    const id = await send('shop.add', 1, 1)
    await run(['-A', app, 'result', id])
    expect(silent.text()).toBe('')
  })

  it('WRK-071 WRK-082 WRK-085 SIGTERM is warm: prefetched messages go back at once, the running task ends, exit 0', async () => {
    project()
    const started = await worker(['-c', '1'])
    await send('shop.slow', 'a', 1.5)
    await eventually('the task runs', () => notes().includes('start a'))
    await send('shop.slow', 'b', 1.5)
    await eventually('the second one is taken', () => waiting().length === 0)
    started.child.kill('SIGTERM')
    await eventually('the second one is back', () => waiting().length === 1)
    expect(notes()).toEqual(['start a'])
    const { code, stdout } = await started.ended
    expect(code).toBe(0)
    expect(stdout).toContain('worker: Warm shutdown (MainProcess)')
    expect(notes()).toEqual(['start a', 'end a'])
    expect(waiting()).toHaveLength(1)
  })

  it('WRK-071 SIGTERM before it is ready is a stop, too, and no failure', async () => {
    project()
    const started = start(['-A', app, 'worker'], { SLOW_START: '1' })
    await eventually('it starts', () => notes().includes('init'))
    started.child.kill('SIGTERM')
    const { code, stderr } = await started.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('outlives a rejection that nobody awaited and an error in a timer, and says which task left them', async () => {
    project()
    const started = await worker(['-c', '2'])
    await send('shop.slow', 'other', 1)
    await eventually('the other task runs', () => notes().includes('start other'))
    await send('shop.stray')
    await eventually('both are told', () =>
      /nobody waits for me[\s\S]*nobody catches me/.test(started.text()),
    )
    await eventually('the other task ends', () => notes().includes('end other'))
    expect(started.text()).toMatch(/in task shop\.stray\[/)
    started.child.kill('SIGTERM')
    expect((await started.ended).code).toBe(0)
  })

  it('WRK-072 SIGINT is warm with exit 1; twice it is cold', async () => {
    project()
    const once = await worker(['-c', '1'])
    once.child.kill('SIGINT')
    const first = await once.ended
    expect(first.code).toBe(1)
    expect(first.stdout).toContain(
      'worker: Hitting Ctrl+C again will initiate cold shutdown, terminating all running tasks!',
    )
    const twice = await worker(['-c', '1'])
    await send('shop.slow', 'c', 60)
    await eventually('the task runs', () => notes().includes('start c'))
    twice.child.kill('SIGINT')
    await twice.saw(/Warm shutdown/)
    twice.child.kill('SIGINT')
    const second = await twice.ended
    expect(second.code).toBe(1)
    expect(second.stdout).toContain('worker: Cold shutdown (MainProcess)')
    expect(waiting()).toHaveLength(1)
  })

  it('WRK-073 ACK-026 ACK-027 WRK-078 SIGQUIT is cold: what was running is on the queue again, acknowledged early or late', async () => {
    project()
    const started = await worker(['-c', '2'])
    await send('shop.slow', 'late', 60)
    await send('shop.early', 'early', 60)
    await eventually('both run', () => notes().length === 2)
    started.child.kill('SIGQUIT')
    const { code, stdout } = await started.ended
    expect(code).toBe(1)
    expect(stdout).toContain('worker: Hitting Ctrl+C again will terminate all running tasks!')
    expect(waiting()).toHaveLength(2)
  })

  it('WRK-077 REMAP_SIGTERM=SIGQUIT makes SIGTERM cold', async () => {
    project()
    const started = await worker(['-c', '1'], { REMAP_SIGTERM: 'SIGQUIT' })
    await send('shop.slow', 'a', 60)
    await eventually('it runs', () => notes().length === 1)
    started.child.kill('SIGTERM')
    expect((await started.ended).code).toBe(1)
    expect(waiting()).toHaveLength(1)
  })

  it('WRK-075 a soft shutdown gives running tasks their time, and then cancels them', async () => {
    project()
    await send('shop.slow', 'short', 1)
    await send('shop.slow', 'long', 60)
    const started = await worker(['-c', '2', 'worker.soft_shutdown_timeout=3'])
    await eventually('both run', () => notes().length >= 2)
    started.child.kill('SIGQUIT')
    expect((await started.ended).code).toBe(1)
    expect(started.text()).toContain('Initiating Soft Shutdown, terminating in 3 seconds')
    expect(notes()).toContain('end short')
    expect(waiting()).toHaveLength(1)
  })

  it('a worker that is killed loses nothing: the next one runs what it held', async () => {
    project()
    const first = await worker(['-c', '1'])
    const id = await send('shop.slow', 'a', 2)
    await eventually('it runs', () => notes().length === 1)
    const other = await send('shop.add', 1, 2)
    await eventually('it is taken', () => waiting().length === 0)
    first.child.kill('SIGKILL')
    await first.ended
    await worker(['-c', '1'])
    expect((await run(['-A', app, 'result', id, '--timeout', '30'])).stdout).toBe('a\n')
    expect((await run(['-A', app, 'result', other, '--timeout', '30'])).stdout).toBe('3\n')
  })

  it('CLI-019 purge asks, counts and deletes', async () => {
    project()
    await send('shop.add', 1, 2)
    await send('shop.add', 1, 2)
    const asked = await run(['-A', app, 'purge'])
    expect(asked.code).toBe(1)
    expect(waiting()).toHaveLength(2)
    expect((await run(['-A', app, 'purge', '-f'])).stdout).toBe(
      'Purged 2 messages from 1 known task queue.\n',
    )
    expect((await run(['-A', app, 'purge', '-f'])).stdout).toBe('No messages purged from 1 queue.\n')
    expect(JSON.parse((await run(['-A', app, '--json', 'purge', '-f', '-Q', 'x'])).stdout)).toEqual({
      purged: 0,
      queues: { x: 0 },
    })
  })

  it('CLI-020 CLI-024 SEC-015 lists and reports without secrets', async () => {
    project()
    expect((await run(['-A', app, 'list', 'bindings'])).stdout).toMatch(/celery +celery +direct +celery/)
    expect(JSON.parse((await run(['-A', app, '--json', 'list', 'tasks'])).stdout)).toContain('shop.add')
    const report = await run(['-A', app, 'report'], {
      CELERY_REDIS_PASSWORD: 'hunter2',
      CELERY_SECURITY_KEY: 'hunter2',
    })
    expect(report.stdout).toContain('software -> celeriac:')
    expect(report.stdout).toContain('transport:filesystem://')
    expect(report.stdout).not.toContain('hunter2')
  })

  it('CLI-006 every failure has a --json form', async () => {
    project()
    for (const [args, text, exit] of [
      [['--json', '-A', './nowhere.ts', 'report'], 'nowhere.ts', 2],
      [['-A', app, 'worker', '--json', '--bogus'], "unknown option '--bogus'", 2],
      [['-A', app, '--json', 'call', 'shop.add', '-a', 'x'], 'not JSON: x', 2],
      [['-A', app, '--json', 'result', 'nobody', '--timeout', '0.2'], 'PENDING', 1],
    ] as const) {
      const { code, stdout, stderr } = await run([...args])
      expect({ code, stdout }).toEqual({ code: exit, stdout: '' })
      expect(JSON.parse(stderr)).toEqual({ error: expect.stringContaining(text) })
    }
  })

  it('SIG-016 SIG-022 SIG-031 tells the app of its options, its modules and the end of the worker', async () => {
    project()
    writeFileSync(join(folder, 'more.ts'), "import { app } from './app.ts'\napp.task('shop.more', () => 1)\n")
    const started = await worker(['-I', './more.ts'], { TELL: '1' })
    expect(started.text()).toContain('  . shop.more')
    started.child.kill('SIGTERM')
    await started.ended
    expect(notes().map((note) => note.trim())).toEqual([
      'user_preload_options',
      'import_modules',
      'worker_shutting_down SIGTERM Warm 0',
    ])
  })

  it('CLI-023 a shell knows the app and its tasks, and ends with the pipe that feeds it', async () => {
    project()
    const lines = [
      'const eager = await add.apply({ args: [20, 22] })',
      'nonsense',
      'await new Promise((resolve) => setTimeout(resolve, 100)).then(() => eager.get())',
      'app.main + typeof kw',
    ]
    const { code, stdout } = await start(['-A', app, 'shell'], {}, lines.join('\n')).ended
    expect(code).toBe(0)
    expect(stdout).toContain('app, add, fail, slow')
    expect(stdout).toMatch(/nonsense is not defined[\s\S]*> 42\n[\s\S]*'shopfunction'/)
  })

  it('CLI-018 gives up on an unknown id, and on a broker folder that cannot be made, and says why', async () => {
    project()
    const unknown = await run(['-A', app, 'result', 'nobody', '--timeout', '0.2'])
    expect(unknown).toMatchObject({ code: 1, stdout: '' })
    expect(unknown.stderr).toContain('no worker serves its queue')
    writeFileSync(join(folder, 'taken'), '')
    for (const args of [['worker'], ['call', 'shop.add']]) {
      const { code, stderr } = await run([
        '-A',
        app,
        '-b',
        `filesystem://${join(folder, 'taken', 'in')}`,
        ...args,
      ])
      expect(code).toBe(2)
      expect(stderr).toContain('taken/in cannot be made (ENOTDIR); make it, or give this user access')
    }
  })

  it('CLI-030 says which of the flags of daemons are the business of a process manager', async () => {
    project()
    const wrong = await run(['-A', app, 'worker', '--uid', 'nobody', '-f', 'x.log', '--pidfile', 'x.pid'])
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('start it as that user') })
    expect(existsSync(join(folder, 'x.pid'))).toBe(false)
  })

  it('asks for an app or a broker when it has neither', async () => {
    project()
    for (const args of [['worker'], ['call', 'shop.add']]) {
      const { code, stderr } = await run(args)
      expect(code).toBe(2)
      expect(stderr).toContain('-A')
    }
  })

  it('CLI-010 takes settings behind the options, and refuses unknown ones', async () => {
    project()
    const started = await worker(['worker.concurrency=2', 'task.acks_late=true'])
    expect(started.text()).toContain('.> concurrency: 2')
    const wrong = await run(['-A', app, 'worker', 'worker.concurency=2'])
    expect(wrong.code).toBe(2)
    expect(wrong.stderr).toContain('worker_concurrency')
  })

  it('WRK-103 the pid file is written, respected and removed', async () => {
    project()
    const pidfile = join(folder, 'run', 'worker.pid')
    const started = await worker(['--pidfile', pidfile])
    expect(readFileSync(pidfile, 'utf8')).toBe(`${started.child.pid}\n`)
    const second = await run(['-A', app, 'worker', '--pidfile', pidfile])
    expect(second.code).toBe(73)
    expect(second.stderr).toContain(`Seems we're already running? (pid: ${started.child.pid})`)
    started.child.kill('SIGTERM')
    await started.ended
    expect(existsSync(pidfile)).toBe(false)
    writeFileSync(pidfile, '999999999\n')
    await worker(['--pidfile', pidfile])
  })

  it('says plainly that a broker, a pool or a flag is not there', async () => {
    project()
    const broker = await run(['-A', app, '-b', 'sqs://key:hunter2@localhost', 'call', 'shop.add'])
    expect(broker.code).toBe(2)
    expect(broker.stderr).toContain('sqs')
    expect(broker.stderr).not.toContain('hunter2')
    const pool = await run(['-A', app, 'worker', '-P', 'prefork'])
    expect(pool).toMatchObject({ code: 2, stderr: expect.stringContaining('no pool "prefork"') })
    const detach = await run(['-A', app, 'worker', '-D'])
    expect(detach).toMatchObject({ code: 2, stderr: expect.stringContaining('process manager') })
  })
})
