/**
 * `flock(2)` for Node, which has none: the command `flock` of util-linux takes the lock on OUR open file, handed over
 * as descriptor 3. The lock belongs to the open file description, so it stays when the command ends, excludes
 * Python's `fcntl.flock`, and goes with our `close` (or our death). Where the command is missing, a lock file beside
 * it keeps celeriac processes apart, though not Python.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, open, stat, unlink } from 'node:fs/promises'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError } from '../errors.js'

/** A lock file older than this was left by a process that died; a table is written in a few milliseconds. */
const staleLockMs = 10_000
/** Between attempts where the command cannot wait by itself. */
const retryMs = 25

/**
 * Opens `path` for reading and writing (made when missing, never emptied), locks it, and calls `use`. Throws
 * `BrokerUnavailableError` when the lock is not had within `waitMs`.
 */
export async function withFileLock<T>(
  path: string,
  waitMs: number,
  clock: Clock,
  use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o666)
  let unlock: (() => Promise<void>) | undefined
  try {
    unlock = await lock(path, file, waitMs, clock)
    return await use(file)
  } finally {
    await file.close()
    await unlock?.()
  }
}

/** Whether some process holds a `flock` on the file; false where that cannot be known, or the file is gone. */
export async function isLocked(path: string): Promise<boolean> {
  return open(path, constants.O_RDONLY | constants.O_NONBLOCK).then(
    async (file) => {
      try {
        return (await flock(['-s', '-n', '3'], file)) === 1
      } finally {
        await file.close()
      }
    },
    () => false,
  )
}

async function lock(
  path: string,
  file: FileHandle,
  waitMs: number,
  clock: Clock,
): Promise<() => Promise<void>> {
  const end = clock.monotonic() + waitMs
  let code = await flock(['-x', '-w', String(waitMs / 1000), '3'], file)
  if (code === undefined) return lockBeside(path, end, clock)
  // A failure before the time is up is a `flock` that knows no `-w` (busybox).
  while (code !== 0 && clock.monotonic() + retryMs < end) {
    await pause(clock, retryMs)
    code = await flock(['-x', '-n', '3'], file)
  }
  if (code !== 0) throw lockTimeout(path)
  return async () => {}
}

/** The command's exit code; `undefined` when there is no such command. */
function flock(args: readonly string[], file: FileHandle): Promise<number | null | undefined> {
  return new Promise((resolve) => {
    const child = spawn('flock', args, { stdio: ['ignore', 'ignore', 'ignore', file.fd] })
    child.once('error', () => resolve(undefined))
    child.once('exit', (code) => resolve(code))
  })
}

async function lockBeside(path: string, end: number, clock: Clock): Promise<() => Promise<void>> {
  const beside = `${path}.lock`
  while (clock.monotonic() < end) {
    const made = await open(beside, 'wx').catch(() => undefined)
    if (made !== undefined) {
      await made.close()
      return () => unlink(beside).catch(() => {})
    }
    const age = await stat(beside).then(
      ({ mtimeMs }) => clock.now() - mtimeMs,
      () => 0,
    )
    if (age > staleLockMs) await unlink(beside).catch(() => {})
    else await pause(clock, retryMs)
  }
  throw lockTimeout(path)
}

function lockTimeout(path: string): BrokerUnavailableError {
  return new BrokerUnavailableError(
    `${path} is locked by another process for too long; see which one with: fuser ${path}`,
  )
}
