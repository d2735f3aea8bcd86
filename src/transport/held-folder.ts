/**
 * What filesystem consumers hold: `<data_folder_in>/.celeriac/held/<holder>/<message file>`.
 *
 * Rule 1: claiming is one rename into our folder, so a message is always in exactly one place with one owner; a
 *         consumer that is killed leaves its messages there, and any other consumer gives them back.
 * Rule 2: giving back marks the message redelivered the way kombu's virtual transports do (a top-level key, put in
 *         front without touching the rest), then renames it into the folder it came from.
 * Rule 3: to give back what another left, first rename it into our own folder: only one of many succeeds.
 */
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, rename, rmdir, stat, unlink, utimes } from 'node:fs/promises'
import path from 'node:path'
import type { Clock } from '../clock.js'
import { isAlive, parseHolderName } from './holder-name.js'
import { queueOfFile } from './message-file-name.js'

const mark = '{"redelivered": true, '
/** A folder of this prefix was left by a holder that lives on, but could not give back what is in it. */
const leftPrefix = 'left-'

/** One holder's folder, and its dealings with those of others. */
export class HeldFolder {
  readonly #dataFolder: string
  readonly #root: string
  readonly #scratch: string
  readonly #name: string
  readonly #clock: Clock
  readonly #visibilityTimeoutMs: number
  readonly #syncs: boolean
  readonly #signsOfLife = new Map<string, { readonly stamp: number; readonly since: number }>()
  #scratchCount = 0

  constructor(options: {
    readonly dataFolder: string
    readonly name: string
    readonly clock: Clock
    readonly visibilityTimeoutMs: number
    readonly fsync: boolean
  }) {
    this.#dataFolder = options.dataFolder
    this.#name = options.name
    this.#clock = options.clock
    this.#visibilityTimeoutMs = options.visibilityTimeoutMs
    this.#syncs = options.fsync
    this.#root = path.join(options.dataFolder, '.celeriac', 'held')
    this.#scratch = path.join(options.dataFolder, '.celeriac', 'tmp')
  }

  /** Where a message is while we hold it. */
  pathOf(file: string): string {
    return path.join(this.#root, this.#name, file)
  }

  /** Takes a file out of the data folder; false when somebody else had taken it. */
  async take(file: string): Promise<boolean> {
    const from = path.join(this.#dataFolder, file)
    if (await moved(from, this.pathOf(file))) return true
    // Our own folder may be what is missing: it is made with the first message, and somebody may have cleaned up.
    if (!(await exists(from))) return false
    await mkdir(path.join(this.#root, this.#name), { recursive: true })
    return moved(from, this.pathOf(file))
  }

  /** Puts a held file into the data folder as `target`; false when we do not hold it any more. */
  async giveBack(file: string, target = file, isRedelivered = true): Promise<boolean> {
    if (isRedelivered) await this.#markRedelivered(file)
    return moved(this.pathOf(file), path.join(this.#dataFolder, target))
  }

  /** Deletes a held file; false when we do not hold it any more. */
  async discard(file: string): Promise<boolean> {
    return unlink(this.pathOf(file)).then(() => true, ifMissing(false))
  }

  /** A sign of life for other machines. */
  async touch(): Promise<void> {
    const now = new Date(this.#clock.now())
    await utimes(path.join(this.#root, this.#name), now, now).catch(ifMissing(undefined))
  }

  /** Gives back what dead holders left; the names of the files that are in the data folder again. */
  async restoreAbandoned(): Promise<readonly string[]> {
    const restored: string[] = []
    for (const name of await readdir(this.#root).catch(ifMissing([]))) {
      if (name === this.#name || !(await this.#isAbandoned(name))) continue
      const folder = path.join(this.#root, name)
      const files = await readdir(folder).catch(ifMissing([]))
      if (files.length > 0) await mkdir(path.join(this.#root, this.#name), { recursive: true })
      for (const file of files.sort()) {
        if (queueOfFile(file) === undefined) continue
        if (!(await moved(path.join(folder, file), this.pathOf(file)))) continue
        if (await this.giveBack(file)) restored.push(file)
      }
      await removeFolder(folder)
      this.#signsOfLife.delete(name)
    }
    await this.#sweepScratch()
    return restored
  }

  /** Gives back all that is still held and removes the folder; the names that are in the data folder again. */
  async leave(): Promise<readonly string[]> {
    const folder = path.join(this.#root, this.#name)
    const restored: string[] = []
    try {
      for (const file of await readdir(folder).catch(ifMissing([]))) {
        if (await this.giveBack(file)) restored.push(file)
      }
    } catch {
      // Our process lives on, so peers would wait for it: tell them that it has let go.
      await moved(folder, path.join(this.#root, leftPrefix + this.#name)).catch(() => false)
    }
    await removeFolder(folder)
    return restored
  }

  async #isAbandoned(name: string): Promise<boolean> {
    if (name.startsWith(leftPrefix)) return true
    const holder = parseHolderName(name)
    const alive = holder && (await isAlive(holder))
    if (alive !== undefined) return !alive
    const stamp = await stat(path.join(this.#root, name)).then(({ mtimeMs }) => mtimeMs, ifMissing(undefined))
    if (stamp === undefined) return false
    // Only our own clock is asked how long the stamp has stood still: other machines' clocks may differ.
    const seen = this.#signsOfLife.get(name)
    const now = this.#clock.monotonic()
    if (seen?.stamp === stamp) return now - seen.since > this.#visibilityTimeoutMs
    this.#signsOfLife.set(name, { stamp, since: now })
    return false
  }

  /** Half-written files of publishers that died: nobody was told that they were accepted. */
  async #sweepScratch(): Promise<void> {
    for (const file of await readdir(this.#scratch).catch(ifMissing([]))) {
      const holder = parseHolderName(file)
      if (holder === undefined || file.startsWith(this.#name)) continue
      if ((await isAlive(holder)) === false) await unlink(path.join(this.#scratch, file)).catch(() => {})
    }
  }

  /** By a new file renamed over the held one, so that a crash leaves either whole. */
  async #markRedelivered(file: string): Promise<void> {
    const held = this.pathOf(file)
    // What cannot be read (a folder, another user's file) goes back as it is, and holds nothing else up.
    const text = await readFile(held, { flag: constants.O_RDONLY | constants.O_NONBLOCK }).catch(
      () => undefined,
    )
    if (text === undefined || text.subarray(0, mark.length).equals(Buffer.from(mark))) return
    // A cut file may have a writer that still writes to it: it must stay the same file.
    if (!isWholeObject(text)) return
    this.#scratchCount += 1
    const scratch = path.join(this.#scratch, `${this.#name}.mark${this.#scratchCount}`)
    try {
      await writeWhole(scratch, Buffer.concat([Buffer.from(mark), text.subarray(1)]), this.#syncs)
      if (await exists(held)) await rename(scratch, held)
    } catch {
      // A full disk must not keep the message from going back; it goes unmarked.
    }
    await unlink(scratch).catch(() => {})
  }
}

function isWholeObject(text: Buffer): boolean {
  if (text[0] !== 0x7b) return false
  try {
    JSON.parse(text.toString('utf8'))
    return true
  } catch {
    return false
  }
}

/** Writes a whole new file, and waits for the disk when `syncs`. Makes its folder when missing. */
export async function writeWhole(file: string, content: string | Uint8Array, syncs: boolean): Promise<void> {
  const handle = await open(file, 'wx').catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    await mkdir(path.dirname(file), { recursive: true })
    return open(file, 'wx')
  })
  try {
    await handle.writeFile(content)
    if (syncs) await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Renames; false when there was nothing to rename (or nowhere to put it). */
export async function moved(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(() => true, ifMissing(false))
}

async function exists(file: string): Promise<boolean> {
  return lstat(file).then(() => true, ifMissing(false))
}

/** Not when something is in it: it came after we looked, and the next look finds it. */
async function removeFolder(folder: string): Promise<void> {
  await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

function ifMissing<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT') return value
    throw error
  }
}
