import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { CommandError, exitCantCreate } from './command-error.js'

/**
 * Takes `path` for this process (surface WRK-103, `celery/platforms.py` Pidfile); returns the function that frees it.
 * A file of a dead process, or of this one, is stale and replaced. Throws `CommandError` with exit code 73 otherwise.
 */
export function takePidFile(path: string, pid: number, isAlive: (pid: number) => boolean): () => void {
  const write = (): void => {
    const file = openSync(path, 'wx', 0o644)
    writeSync(file, `${pid}\n`)
    closeSync(file)
  }
  try {
    write()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new CommandError(
        `ERROR: Pidfile (${path}) cannot be created: ${(error as Error).message}`,
        exitCantCreate,
        { cause: error },
      )
    }
    const other = Number.parseInt(readFileSync(path, 'utf8'), 10)
    if (Number.isInteger(other) && other !== pid && isAlive(other)) {
      throw new CommandError(
        `ERROR: Pidfile (${path}) already exists.\nSeems we're already running? (pid: ${other})`,
        exitCantCreate,
        { cause: error },
      )
    }
    rmSync(path, { force: true })
    write()
  }
  return () => rmSync(path, { force: true })
}
