/**
 * `file:///folder`: one file for each key, readable and writable by Celery at the same time
 * (`celery/backends/filesystem.py`, wire-format 9.2).
 *
 * Rule 1: names and bytes are Celery's. We write beside and rename, so no reader ever sees half a result of ours;
 * Python writes in place, so an unreadable or empty file may be one that is being written.
 * Rule 2: the folder is made and tried out before the first use, as Celery tries it when it starts.
 * Rule 3: being told of changes is a bonus: some file systems never tell, so nothing may depend on it.
 */
import { type FSWatcher, watch } from 'node:fs'
import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../clock.js'
import { ConfigError, InvalidArgumentError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { KeyValueStore } from './key-value-store.js'

/** How result files are kept. */
export interface FilesystemResultOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly uuid: () => string
  /** Seconds; `null` and 0 keep for ever. */
  readonly expires: number | null
  /** Permission bits before the umask. */
  readonly fileMode: number
}

/** Starts every file that is not a result: Celery's cleanup and readers pass over it. */
const TEMPORARY = '.celeriac-'
/** A temporary file this old was left by a process that died while writing. */
const ABANDONED_MS = 3_600_000
/** From this many keys on, listing the folder once is cheaper than trying to open each file. */
const LIST_FROM = 32
/** As many files are open at once; libuv reads four at a time whatever we ask for. */
const OPEN_AT_ONCE = 64
/** What nearly every file system takes. */
const LONGEST_NAME = 255
const RECOVERABLE = new Set([
  'EAGAIN',
  'EBUSY',
  'EDQUOT',
  'EINTR',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOSPC',
  'ESTALE',
  'ETIMEDOUT',
])

/** A folder of result files. */
export class FilesystemResultStore implements KeyValueStore {
  readonly kind = 'file'
  readonly displayUrl: string
  readonly persistent = true
  readonly autoExpires = false
  readonly push = false
  readonly writesInPlace = true
  readonly #folder: string
  readonly #options: FilesystemResultOptions
  readonly #watchers = new Set<FSWatcher>()
  #ready: Promise<void> | undefined

  /** `folder` is absolute. Nothing is touched before the first use. */
  constructor(folder: string, options: FilesystemResultOptions) {
    this.#folder = folder
    this.#options = options
    this.displayUrl = `file://${folder}`
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    await this.#prepare()
    return this.#read(key)
  }

  async getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    await this.#prepare()
    const present = keys.length < LIST_FROM ? undefined : new Set(await readdir(this.#folder))
    const values: (Uint8Array | undefined)[] = new Array(keys.length)
    let next = 0
    const reader = async (): Promise<void> => {
      for (let index = next++; index < keys.length; index = next++) {
        const key = keys[index]
        if (key !== undefined && (present === undefined || present.has(key)))
          values[index] = await this.#read(key)
      }
    }
    await Promise.all(Array.from({ length: Math.min(OPEN_AT_ONCE, keys.length) }, reader))
    return values
  }

  async set(key: string, value: Uint8Array): Promise<void> {
    await this.#prepare()
    try {
      await this.#write(key, value)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      // Somebody removed the folder under us, as people do with a folder of old results.
      await mkdir(this.#folder, { recursive: true })
      await this.#write(key, value)
    }
  }

  async delete(key: string): Promise<void> {
    await this.#prepare()
    await unlink(this.#path(key)).catch(unlessMissing)
  }

  onChange(listener: (key: string) => void): () => void {
    let stopped = false
    let watcher: FSWatcher | undefined
    const stop = (): void => {
      stopped = true
      if (watcher === undefined) return
      this.#watchers.delete(watcher)
      watcher.close()
    }
    const start = (): void => {
      if (stopped) return
      watcher = watch(this.#folder, (_event, name) => {
        if (name !== null && !name.startsWith(TEMPORARY)) listener(name)
      })
      watcher.on('error', (error) => {
        this.#options.logger.debug(
          { err: error },
          'the result folder tells of no more changes; polling goes on',
        )
        stop()
      })
      this.#watchers.add(watcher)
    }
    this.#prepare()
      .then(start)
      .catch((error: unknown) => {
        this.#options.logger.debug({ err: error }, 'the result folder cannot tell of changes; polling it')
      })
    return stop
  }

  async cleanup(prefixes: readonly string[]): Promise<number> {
    const { clock, expires } = this.#options
    if (!expires) return 0
    await this.#prepare()
    const now = clock.now()
    let count = 0
    for (const name of await readdir(this.#folder)) {
      const isResult = prefixes.some((prefix) => name.startsWith(prefix))
      if (!isResult && !name.startsWith(TEMPORARY)) continue
      const path = join(this.#folder, name)
      const changedAt = (await stat(path).catch(unlessMissing))?.mtimeMs
      const keepMs = isResult ? expires * 1000 : ABANDONED_MS
      if (changedAt === undefined || changedAt >= now - keepMs) continue
      const isGone = await unlink(path).then(() => true, unlessMissing)
      if (isResult && isGone) count++
    }
    return count
  }

  isRecoverable(error: unknown): boolean {
    return RECOVERABLE.has(codeOf(error) ?? '')
  }

  async close(): Promise<void> {
    for (const watcher of this.#watchers) watcher.close()
    this.#watchers.clear()
  }

  /** A key becomes a file name, so it must not lead out of the folder, and must fit in a name. */
  #path(key: string): string {
    if (!/[/\\\0]/.test(key) && Buffer.byteLength(key) <= LONGEST_NAME) return join(this.#folder, key)
    throw new InvalidArgumentError(
      `The id in ${JSON.stringify(key.slice(0, 300))} cannot name a file of ${this.displayUrl}: ` +
        `it has a slash or a null character, or is longer than ${LONGEST_NAME} bytes.`,
    )
  }

  async #read(key: string): Promise<Uint8Array | undefined> {
    return readFile(this.#path(key)).catch(unlessMissing)
  }

  async #write(key: string, value: Uint8Array): Promise<void> {
    const path = this.#path(key)
    const temporary = join(this.#folder, `${TEMPORARY}${this.#options.uuid()}`)
    try {
      await writeFile(temporary, value, { mode: this.#options.fileMode, flag: 'wx' })
      await rename(temporary, path)
    } catch (error) {
      await unlink(temporary).catch(() => {})
      throw error
    }
  }

  /** Celery tries its folder out when the backend is made. */
  check(): Promise<void> {
    return this.#prepare()
  }

  /** A failed try is forgotten, so that the folder may be put right while the program runs. */
  #prepare(): Promise<void> {
    this.#ready ??= this.#tryOut().catch((error: unknown) => {
      this.#ready = undefined
      throw error
    })
    return this.#ready
  }

  /** Celery's `_do_directory_test`. */
  async #tryOut(): Promise<void> {
    const path = join(this.#folder, `.fs-backend-${this.#options.uuid()}`)
    try {
      await mkdir(this.#folder, { recursive: true })
      await writeFile(path, 'test value', { mode: this.#options.fileMode })
      const text = await readFile(path, 'utf8')
      await unlink(path)
      if (text !== 'test value') throw new Error('a file that was just written reads differently')
    } catch (cause) {
      if (this.isRecoverable(cause)) throw cause
      throw new ConfigError(
        `The folder of the result backend ${this.displayUrl} does not work: ` +
          `${cause instanceof Error ? cause.message : String(cause)}. Make sure that it is a folder ` +
          'and that this process may write in it.',
        { cause },
      )
    }
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function unlessMissing(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined
  throw error
}
