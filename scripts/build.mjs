/** Compiles protocol/ and src/ into dist/, from nothing, so that no file of an earlier build is packed. */
import { chmodSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled, root, run } from './ensure-installed.mjs'

ensureInstalled()
rmSync(join(root, 'dist'), { recursive: true, force: true })
run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'])
const cli = join(root, 'dist', 'src', 'cli', 'main.js')
if (existsSync(cli)) chmodSync(cli, 0o755)
