/**
 * `npm test`: everything, set-up included, and what CI runs.
 *
 *   npm test                    lint, types, build, unit and interop suites, then the unit suite, the command line and
 *                               both directions with Celery on Node 22 and 24
 *   npm test -- --this-node     the same without the other versions of Node
 *   npm test -- path/to/file    only the tests that vitest selects by that word
 *
 * Ends with one line, `N passed, N failed, N skipped`, summed over all suites.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { ensureInstalled, root, run } from './ensure-installed.mjs'

const otherNodes = ['22', '24']
/** What of the interop suite the other versions of Node run: the command line and both directions with real Celery. */
const otherNodesInterop = ['cli.test', 'tour.test', 'python-to-node.test', 'node-to-python.test'].map(
  (file) => `interop-tests/${file}`,
)
const args = process.argv.slice(2)
const filters = args.filter((arg) => !arg.startsWith('--'))
const onlyThisNode = args.includes('--this-node') || filters.length > 0
const cache = join(root, '.cache')
const bin = (name) => join(root, 'node_modules', '.bin', name)
const total = { passed: 0, failed: 0, skipped: 0 }
const rows = []

ensureInstalled()
mkdirSync(cache, { recursive: true })
spawnSync('bash', [join(root, 'scripts', 'servers.sh')], { cwd: root, stdio: 'inherit' })

function step(name, work) {
  const started = Date.now()
  console.log(`\n== ${name}`)
  const count = work()
  total.passed += count.passed
  total.failed += count.failed
  total.skipped += count.skipped
  rows.push({ name, ...count, seconds: ((Date.now() - started) / 1000).toFixed(1) })
}

/** A command that passes or fails as one. */
function command(file, commandArgs) {
  const result = spawnSync(file, commandArgs, { cwd: root, stdio: 'inherit' })
  return result.status === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 }
}

/** A vitest project on some Node; counts come from its JSON report. */
function suite(project, node = process.execPath, only = filters) {
  const report = join(cache, `report-${project}.json`)
  rmSync(report, { force: true })
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const options = [
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` }
  const result = spawnSync(node, [vitest, ...options, ...only], { cwd: root, stdio: 'inherit', env })
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 }
  const {
    numPassedTests,
    numFailedTests,
    numPendingTests,
    numTodoTests,
    numFailedTestSuites,
    numTotalTests,
  } = JSON.parse(readFileSync(report, 'utf8'))
  // A file that does not load, or an unhandled error, has no failed test of its own but is a failure.
  const failed = numFailedTests > 0 || result.status === 0 ? numFailedTests : Math.max(1, numFailedTestSuites)
  if (numTotalTests === 0 && filters.length > 0) return { passed: 0, failed: 0, skipped: 0 }
  return { passed: numPassedTests, failed, skipped: numPendingTests + numTodoTests }
}

/** The newest Node of a major version, from the npm package `node`, kept in .cache. */
function otherNode(major) {
  const folder = join(cache, `node-${major}`)
  const node = join(folder, 'node_modules', 'node', 'bin', 'node')
  if (!existsSync(node)) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{"private":true}\n')
    run('npm', [
      'install',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      '--prefix',
      folder,
      `node@${major}`,
    ])
  }
  return node
}

if (filters.length === 0) {
  step('lint and format', () => command(bin('biome'), ['check', '.']))
  step('types', () =>
    command(process.execPath, [
      join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
      '-p',
      'tsconfig.json',
      '--noEmit',
    ]),
  )
  step('build', () => command(process.execPath, [join(root, 'scripts', 'build.mjs')]))
}
if (filters.length === 0) {
  step('generated pages are up to date', () => {
    const tsx = (script) => command(bin('tsx'), [join(root, 'scripts', script), '--check'])
    const [pages, settings] = [tsx('conformance.ts'), tsx('settings-doc.ts')]
    return { passed: pages.passed + settings.passed, failed: pages.failed + settings.failed, skipped: 0 }
  })
}
step(`unit suite, Node ${process.version}`, () => suite('unit'))
step(`interop suite, Node ${process.version}`, () => suite('interop'))
if (!onlyThisNode) {
  for (const major of otherNodes) {
    const node = otherNode(major)
    const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()
    step(`unit suite, Node ${version}`, () => suite('unit', node))
    step(`interop suite (both directions), Node ${version}`, () => suite('interop', node, otherNodesInterop))
  }
}

console.log('\nsuite                                     passed  failed skipped  seconds')
for (const row of rows) {
  const cells = [row.passed, row.failed, row.skipped, row.seconds].map((cell) => String(cell).padStart(8))
  console.log(row.name.padEnd(40) + cells.join(''))
}
const summary = `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`
writeFileSync(join(cache, 'summary.txt'), `${summary}\n`)
console.log(`\n${summary}`)
process.exitCode = total.failed > 0 ? 1 : 0
