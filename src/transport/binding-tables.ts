/**
 * The binding tables of a filesystem broker: `<control_folder>/<exchange>.exchange`, a JSON list of
 * `[routing_key, pattern, queue]`, newest first (kombu `transport/filesystem.py`, `_queue_bind` and `get_table`).
 *
 * Rule 1: written in place under an exclusive `flock`, as kombu writes it: its readers hold the file by its name.
 * Rule 2: an empty or cut table is one that somebody is writing: read it again a little later.
 * Rule 3: kombu makes a new table with `open('wb')` before it locks, which can empty a table written a moment ago; so
 *         what we bound is looked at again now and then, and written again when it is gone.
 */
import type { FileHandle } from 'node:fs/promises'
import { link, readdir, readFile, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { decodeBindings, encodeBindings } from '../../protocol/exchange-routing.js'
import { type Clock, pause } from '../clock.js'
import { BrokerUnavailableError } from '../errors.js'
import { withFileLock } from './file-lock.js'
import { writeWhole } from './held-folder.js'
import { assertNameable } from './message-file-name.js'
import type { StoredBinding } from './queue-store.js'

const suffix = '.exchange'
/** A table is written in well under a millisecond; three seconds bear a very busy machine. */
const lockWaitMs = 3000
const readRetryMs = 10
const readRetries = 40

/** Reads and writes the tables of one control folder. */
export class BindingTables {
  readonly #folder: string
  readonly #scratchName: string
  readonly #clock: Clock
  #scratchCount = 0
  readonly #ours = new Map<string, StoredBinding[]>()
  readonly #cache = new Map<string, { readonly version: string; readonly rows: readonly StoredBinding[] }>()

  /** `scratchName` is a file name of this connection's own, for tables in the making. */
  constructor(folder: string, scratchName: string, clock: Clock) {
    this.#folder = folder
    this.#scratchName = scratchName
    this.#clock = clock
  }

  /** Adds a row in front, unless it is there. Throws `BrokerUnavailableError` when the table stays locked. */
  async bind(exchange: string, binding: StoredBinding): Promise<void> {
    const ours = this.#ours.get(exchange) ?? []
    if (!ours.some((row) => isSame(row, binding))) this.#ours.set(exchange, [...ours, binding])
    await this.#write(exchange, [binding])
  }

  /** The table of an exchange; empty when there is none. Throws `BrokerUnavailableError` when it stays unreadable. */
  async rows(exchange: string): Promise<readonly StoredBinding[]> {
    const file = this.#file(exchange)
    for (let attempt = 0; ; attempt += 1) {
      const version = await versionOf(file)
      if (version === undefined) return []
      const cached = this.#cache.get(exchange)
      if (cached?.version === version) return cached.rows
      const rows = parseTable(await readFile(file, 'utf8').catch(missingIsEmpty))
      if (rows !== undefined) {
        this.#cache.set(exchange, { version, rows })
        return rows
      }
      if (attempt === readRetries) {
        throw new BrokerUnavailableError(
          `the binding table ${file} is not a JSON list; delete it when no Celery process is writing it`,
        )
      }
      await pause(this.#clock, readRetryMs)
    }
  }

  /** Writes again what this connection bound and somebody's new table swallowed. */
  async reassert(): Promise<void> {
    for (const [exchange, ours] of this.#ours) {
      const rows = await this.rows(exchange)
      if (ours.some((row) => !rows.some((other) => isSame(row, other)))) await this.#write(exchange, ours)
    }
  }

  /** Takes a deleted queue out of every table, as AMQP does (kombu 5.6 leaves it there and fills it for ever). */
  async removeQueue(queue: string): Promise<void> {
    for (const [exchange, ours] of this.#ours) {
      this.#ours.set(
        exchange,
        ours.filter((row) => row.queue !== queue),
      )
    }
    for (const name of await readdir(this.#folder).catch(() => [])) {
      if (!name.endsWith(suffix)) continue
      const exchange = name.slice(0, -suffix.length)
      if (!(await this.rows(exchange)).some((row) => row.queue === queue)) continue
      await this.#change(exchange, (rows) => rows.filter((row) => row.queue !== queue))
    }
  }

  async #write(exchange: string, wanted: readonly StoredBinding[]): Promise<void> {
    const missing = (rows: readonly StoredBinding[]): readonly StoredBinding[] =>
      wanted.filter((row) => !rows.some((other) => isSame(row, other)))
    // A table that stays unreadable was left by a process that died while it wrote: we write what we know.
    const rows = await this.rows(exchange).catch(() => undefined)
    if (rows !== undefined && missing(rows).length === 0) return
    if (await this.#create(exchange, wanted)) return
    await this.#change(exchange, (rows) => [...missing(rows), ...rows])
  }

  /**
   * Makes a new table whole: Python takes one that it can open for one that it can read, locked or not. False when
   * there is one already, or the file system has no hard links.
   */
  async #create(exchange: string, rows: readonly StoredBinding[]): Promise<boolean> {
    this.#scratchCount += 1
    const scratch = path.join(this.#folder, `.${this.#scratchName}.${this.#scratchCount}`)
    try {
      await writeWhole(scratch, encodeBindings(rows), false)
      await link(scratch, this.#file(exchange))
      return true
    } catch {
      return false
    } finally {
      await unlink(scratch).catch(() => {})
    }
  }

  async #change(
    exchange: string,
    change: (rows: readonly StoredBinding[]) => readonly StoredBinding[],
  ): Promise<void> {
    const file = this.#file(exchange)
    await withFileLock(file, lockWaitMs, this.#clock, async (handle) => {
      const before = await readAll(handle)
      // We hold the lock, so a table that cannot be read now was left broken: what it said cannot be saved.
      const rows = parseTable(before) ?? []
      const after = encodeBindings(change(rows))
      if (after === before) return
      await handle.write(after, 0, 'utf8')
      await handle.truncate(Buffer.byteLength(after))
    })
    this.#cache.delete(exchange)
  }

  #file(exchange: string): string {
    assertNameable(exchange)
    return path.join(this.#folder, `${exchange}${suffix}`)
  }
}

async function readAll(handle: FileHandle): Promise<string> {
  const { size } = await handle.stat()
  if (size === 0) return ''
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, 0)
  return buffer.toString('utf8', 0, bytesRead)
}

/** Changes with every write: rows are added far more often than the clock of the file system ticks, but then it grows. */
async function versionOf(file: string): Promise<string | undefined> {
  try {
    const { mtimeNs, size, ino } = await stat(file, { bigint: true })
    return `${ino}:${size}:${mtimeNs}`
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function missingIsEmpty(error: unknown): string {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '[]'
  throw error
}

/** `undefined` when the text is not a whole table. */
function parseTable(text: string): readonly StoredBinding[] | undefined {
  try {
    return decodeBindings(text)
  } catch {
    return undefined
  }
}

function isSame(a: StoredBinding, b: StoredBinding): boolean {
  return a.queue === b.queue && a.routingKey === b.routingKey && a.pattern === b.pattern
}
