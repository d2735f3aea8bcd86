/**
 * `npm run demo`: the main job on the embedded broker, from a fresh clone and without any server.
 *
 * A celeriac worker runs tasks sent from Node; where Python is there, a real Django + Celery app sends tasks to it,
 * and a real Celery worker runs tasks sent from Node.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled, root, run } from './ensure-installed.mjs'

ensureInstalled()
run(process.execPath, [join(root, 'scripts', 'build.mjs')])

const shared = join(root, 'var', 'demo')
rmSync(shared, { recursive: true, force: true })
mkdirSync(shared, { recursive: true })
const env = { ...process.env, SHOP_VAR: shared, PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' }
const cli = join(root, 'dist', 'src', 'cli', 'main.js')
const children = []

/** Starts a child and resolves when it has printed `ready`; its lines are shown behind its name. */
async function start(name, command, args, ready, cwd = root) {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let text = ''
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${name} was not ready after 60 s:\n${text}`)), 60_000)
    const read = (chunk) => {
      text += chunk
      for (const line of String(chunk).trimEnd().split('\n')) {
        if (/ready|succeeded|raised|Warm|received/.test(line)) console.log(`  [${name}] ${line}`)
      }
      if (ready.test(text)) {
        clearTimeout(late)
        resolve()
      }
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.on('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${text}`)))
  })
}

/** Runs a client to its end, so that the workers' lines can be read between its own. */
async function client(command, args, cwd = root) {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
}

async function stop(child) {
  if (child.exitCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(late)
}

/** The interpreter with real Celery, or undefined with the reason printed. */
function findPython() {
  const result = spawnSync(join(root, 'scripts', 'python-env.sh'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const python = result.stdout?.trim()
  if (result.status === 0 && python && existsSync(python)) return python
  console.log('No Python with Celery here, so the demo shows the Node side only.')
  return undefined
}

try {
  console.log('\nStarting a celeriac worker on the filesystem broker (no server):')
  const tsx = [
    '-A',
    join(root, 'examples', 'demo', 'app.ts'),
    'worker',
    '-Q',
    'node',
    '-l',
    'INFO',
    '-n',
    'node@demo',
    '--log-format',
    'text',
  ]
  await start('celeriac', process.execPath, [cli, ...tsx], /ready\./)
  const fromNode = ['--import', 'tsx', join(root, 'examples', 'demo', 'client.ts')]
  const python = process.argv.includes('--node-only') ? undefined : findPython()
  if (python === undefined) {
    await client(process.execPath, fromNode)
  } else {
    const shop = join(root, 'python-fixtures', 'app')
    run(python, ['manage.py', 'migrate', '-v0'], { cwd: shop, env })
    console.log('\nStarting a real Celery worker beside it:')
    const worker = [
      '-m',
      'celery',
      '-A',
      'shop',
      'worker',
      '-P',
      'solo',
      '-l',
      'INFO',
      '-Q',
      'celery',
      '-n',
      'python@demo',
    ]
    await start('celery', python, [...worker, '--without-gossip', '--without-mingle'], /ready\./, shop)
    console.log('\nSending from Node:')
    await client(process.execPath, [...fromNode, '--with-python'])
    console.log('\nSending from Django:')
    await client(python, ['manage.py', 'send'], shop)
  }
  console.log("\nDone: both languages ran each other's tasks and read each other's results.")
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await Promise.all(children.map(stop))
}
