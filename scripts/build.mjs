/**
 * Makes dist/ from protocol/ and src/, from nothing, so that no file of an earlier build is packed: types by tsc, and the
 * code in a few files by esbuild, since a process that reads two hundred modules starts a tenth of a second later.
 */
import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled, root, run } from './ensure-installed.mjs'

/** What is opened by its path; everything else goes into chunks that these share. */
const entries = {
  'src/index': 'src/index.ts',
  'src/worker/index': 'src/worker/index.ts',
  'protocol/index': 'protocol/index.ts',
  'src/cli/main': 'src/cli/main.ts',
  // The loss trials wrap it.
  'src/transport/open': 'src/transport/open.ts',
  // Beside the chunks, where redis-lease-guard.ts looks for it.
  'src/chunks/redis-lease-thread': 'src/transport/redis-lease-thread.ts',
}

ensureInstalled()
rmSync(join(root, 'dist'), { recursive: true, force: true })
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
run(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--emitDeclarationOnly'])
// Loaded here: it may just have been installed.
const { build } = await import('esbuild')
await build({
  absWorkingDir: root,
  entryPoints: Object.entries(entries).map(([out, file]) => ({ in: file, out })),
  outdir: 'dist',
  chunkNames: 'src/chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
})
assertErrorNames(join(root, 'dist', 'src', 'chunks'))
chmodSync(join(root, 'dist', 'src', 'cli', 'main.js'), 0o755)

/** Of two classes with one name in one chunk the second gets another, and an error's name is on the wire. */
function assertErrorNames(folder) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.js'))) {
    const text = readFileSync(join(folder, file), 'utf8')
    const renamed = text.match(/var \w+[2-9] = class (?:\w+ )?extends \w*(?:Error|Exception)/)
    if (renamed !== null) throw new Error(`${file}: an error class has a new name: ${renamed[0]}`)
  }
}
