import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'

/** The command line and the package are tested as users have them: compiled. */
export default function setup(): void {
  const root = resolve(import.meta.dirname, '..')
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
}
