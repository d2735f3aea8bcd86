/**
 * Kombu's filesystem broker, shared with Python (kombu `transport/filesystem.py`, wire-format 12.1).
 *
 * Rule 1: a message is one file, always whole and in one place: written in a scratch folder and renamed into the data
 *         folder, claimed by a rename into our held folder, deleted (or moved to `processed`) when settled.
 * Rule 2: all that is ours lies in `.celeriac/` in the data folder, where Python does not look.
 * Rule 3: a file that is no envelope is moved to `.celeriac/unreadable/` and reported.
 */
import { constants } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises'
import path from 'node:path'
import { decodeVirtualEnvelope, encodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import type { Clock } from '../clock.js'
import { BrokerUnavailableError, CeleriacError } from '../errors.js'
import { ArrivingFiles } from './arriving-files.js'
import { BindingTables } from './binding-tables.js'
import type { FilesystemOptions } from './filesystem-options.js'
import { FolderView } from './folder-view.js'
import { HeldFolder, moved, writeWhole } from './held-folder.js'
import { MessageFileNames, queueOfFile } from './message-file-name.js'
import type { Claimed, QueueStore, Settling, Stored, StoredBinding } from './queue-store.js'

/** File operations in flight at once: enough to keep the four threads of libuv busy. */
const atOnce = 16

/** What a store is made of. */
export interface FilesystemStoreParts {
  readonly options: FilesystemOptions
  /** From `newHolderName`. */
  readonly holderName: string
  readonly clock: Clock
  readonly newId: () => string
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly monotonicNs: () => bigint
}

/** One connection to a filesystem broker. */
export class FilesystemStore implements QueueStore {
  onUnreadable: QueueStore['onUnreadable']
  onLost: QueueStore['onLost']
  readonly leases: NonNullable<QueueStore['leases']>
  readonly #parts: FilesystemStoreParts
  readonly #options: FilesystemOptions
  readonly #names: MessageFileNames
  readonly #tables: BindingTables
  readonly #view: FolderView
  readonly #held: HeldFolder
  readonly #arriving: ArrivingFiles
  #scratchCount = 0

  constructor(parts: FilesystemStoreParts) {
    const { options, clock } = parts
    this.#parts = parts
    this.#options = options
    this.#names = new MessageFileNames(parts.monotonicNs, parts.newId)
    this.#tables = new BindingTables(options.control, parts.holderName, clock)
    this.#view = new FolderView(options.dataIn, options.pollMs, clock)
    this.#arriving = new ArrivingFiles(clock)
    this.#held = new HeldFolder({
      dataFolder: options.dataIn,
      name: parts.holderName,
      clock,
      visibilityTimeoutMs: options.visibilityTimeoutMs,
      fsync: options.fsync,
    })
    this.leases = {
      intervalMs: options.leaseIntervalMs,
      renew: async () => {
        await this.#held.touch()
        return []
      },
      restoreExpired: async () => {
        const restored = await this.#held.restoreAbandoned()
        for (const file of restored) this.#view.add(file)
        await this.#tables.reassert()
        return restored.length
      },
    }
  }

  push(messages: readonly Stored[], signal?: AbortSignal): Promise<void> {
    return this.#working('write a message to', this.#options.dataOut, async () => {
      // All names first: a queue that cannot be named refuses the batch before anything is written.
      const files = messages.map((message) => ({ message, name: this.#names.next(message.queue) }))
      for (const part of parts(files, atOnce)) await this.#pushPart(part, signal)
    })
  }

  async claim(queues: readonly string[], max: number, signal: AbortSignal): Promise<readonly Claimed[]> {
    while (!signal.aborted) {
      const claimed = await this.#working('read', this.#options.dataIn, async () => {
        await this.#view.refresh()
        return this.#take(queues, max)
      })
      if (claimed.length > 0) return claimed
      await this.#view.changed(queues, this.#arriving.nextInMs(queues), signal)
    }
    return []
  }

  claimNow(queue: string): Promise<Claimed | undefined> {
    return this.#working('read', this.#options.dataIn, async () => {
      await this.#view.refresh(true)
      return (await this.#take([queue], 1))[0]
    })
  }

  settle(claimed: readonly Claimed[], how: Settling): Promise<readonly Claimed[]> {
    return this.#working('settle messages of', this.#options.dataIn, async () => {
      // New names before anything waits, so that requeued messages keep the order they were given in.
      const steps = claimed.map((message) => ({
        message,
        target: how === 'requeue' ? this.#names.next(message.queue) : message.tag,
      }))
      const lost: Claimed[] = []
      for (const part of parts(steps, atOnce)) {
        const outcomes = await allOf(
          part.map(({ message, target }) => this.#settleOne(message.tag, how, target)),
        )
        for (const [index, wasOurs] of outcomes.entries()) if (!wasOurs) lost.push(part[index]!.message)
      }
      return lost
    })
  }

  bind(exchange: string, binding: StoredBinding): Promise<void> {
    return this.#working('write a binding to', this.#options.control, () =>
      this.#tables.bind(exchange, binding),
    )
  }

  bindings(exchange: string): Promise<readonly StoredBinding[]> {
    return this.#working('read a binding from', this.#options.control, () => this.#tables.rows(exchange))
  }

  async length(queue: string): Promise<number> {
    return (await this.#waiting(queue)).length
  }

  purge(queue: string): Promise<number> {
    return this.#working('purge', this.#options.dataIn, async () => {
      let count = 0
      for (const part of parts(await this.#waiting(queue), atOnce)) {
        const files = part.map((file) => path.join(this.#options.dataIn, file))
        const gone = await allOf(files.map((file) => unlink(file).then(() => true, missing)))
        count += gone.filter(Boolean).length
      }
      return count
    })
  }

  async remove(queue: string): Promise<void> {
    await this.purge(queue)
    await this.#working('remove a queue from', this.#options.control, () => this.#tables.removeQueue(queue))
  }

  async close(): Promise<void> {
    this.#view.close()
    await this.#held.leave()
  }

  async #pushPart(
    part: readonly { readonly message: Stored; readonly name: string }[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted()
    const { dataIn, dataOut, fsync } = this.#options
    const scratch = part.map(() => {
      this.#scratchCount += 1
      return path.join(dataOut, '.celeriac', 'tmp', `${this.#parts.holderName}.${this.#scratchCount}`)
    })
    try {
      await allOf(part.map(({ message }, index) => writeWhole(scratch[index]!, this.#encode(message), fsync)))
      signal?.throwIfAborted()
      // One after the other: nobody may see a later message before an earlier one.
      for (const [index, { name }] of part.entries()) {
        await rename(scratch[index]!, path.join(dataOut, name))
        if (dataIn === dataOut) this.#view.add(name)
      }
    } catch (error) {
      await Promise.all(scratch.map((file) => unlink(file).catch(() => {})))
      throw error
    }
  }

  #encode({ envelope, exchange, routingKey }: Stored): string {
    const bodyEncoding = this.#options.bodyEncoding
    return encodeVirtualEnvelope(envelope, {
      exchange,
      routingKey,
      deliveryTag: this.#parts.newId(),
      ...(bodyEncoding === undefined ? {} : { bodyEncoding }),
    })
  }

  async #take(queues: readonly string[], max: number): Promise<readonly Claimed[]> {
    const again = await allOf(this.#arriving.due(queues, max).map((file) => this.#open(file)))
    const claimed = again.filter((message) => message !== undefined)
    while (claimed.length < max) {
      const files = this.#view.take(queues, Math.min(atOnce, max - claimed.length))
      if (files.length === 0) break
      const opened = await allOf(files.map((file) => this.#claimFile(file)))
      claimed.push(...opened.filter((message) => message !== undefined))
    }
    return claimed
  }

  async #claimFile(file: string): Promise<Claimed | undefined> {
    if (!(await this.#held.take(file))) return undefined
    this.#view.removedByUs(file)
    return this.#open(file)
  }

  /** Reads a file that we hold; `undefined` when it is not whole yet, or was set aside. */
  async #open(file: string): Promise<Claimed | undefined> {
    const held = this.#held.pathOf(file)
    const queue = queueOfFile(file) ?? ''
    // Without waiting: a pipe with that name has no end.
    const bytes = await readFile(held, { flag: constants.O_RDONLY | constants.O_NONBLOCK }).catch(readable)
    if (bytes === false) return undefined
    if (bytes instanceof Error) return this.#setAside(file, queue, Buffer.alloc(0), bytes)
    try {
      const { envelope, deliveryInfo, redelivered } = decodeVirtualEnvelope(bytes)
      this.#arriving.done(file)
      return { queue, ...deliveryInfo, tag: file, envelope, redelivered }
    } catch (error) {
      if (await this.#arriving.mayStillGrow(file, queue, held, bytes)) return undefined
      const cause = error instanceof Error ? error : new Error(String(error))
      return this.#setAside(file, queue, bytes, cause)
    }
  }

  /** Rule 3. */
  async #setAside(file: string, queue: string, bytes: Buffer, error: Error): Promise<undefined> {
    const keptAt = path.join(this.#options.dataIn, '.celeriac', 'unreadable', file)
    await mkdir(path.dirname(keptAt), { recursive: true })
    if (await moved(this.#held.pathOf(file), keptAt)) this.onUnreadable?.({ queue, bytes, keptAt, error })
  }

  /** False when the message is no longer ours. */
  async #settleOne(file: string, how: Settling, target: string): Promise<boolean> {
    if (how === 'requeue' || how === 'return') {
      const isBack = await this.#held.giveBack(file, target)
      if (isBack) this.#view.add(target)
      return isBack
    }
    return this.#options.storeProcessed ? this.#moveToProcessed(file) : this.#held.discard(file)
  }

  async #moveToProcessed(file: string): Promise<boolean> {
    const held = this.#held.pathOf(file)
    const kept = path.join(this.#options.processed, file)
    try {
      if (await moved(held, kept)) return true
      await mkdir(this.#options.processed, { recursive: true })
      return await moved(held, kept)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
      await copyFile(held, kept)
      return this.#held.discard(file)
    }
  }

  async #waiting(queue: string): Promise<readonly string[]> {
    return this.#working('list', this.#options.dataIn, async () =>
      (await readdir(this.#options.dataIn)).filter((file) => queueOfFile(file) === queue),
    )
  }

  /** Names what failed where; our own errors, protocol errors and an abort pass as they are. */
  async #working<T>(what: string, where: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const code = error instanceof CeleriacError ? undefined : (error as NodeJS.ErrnoException)?.code
      if (typeof code !== 'string' || !/^E[A-Z0-9]+$/.test(code)) throw error
      throw new BrokerUnavailableError(
        `cannot ${what} the filesystem broker at ${where}: ${code}; look at its permissions and free space`,
        { cause: error },
      )
    }
  }
}

function* parts<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}

/** Like `Promise.all`, but nothing is still running when it rejects. */
async function allOf<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

/** What says that this one file cannot be read, not that the folder is in trouble. */
const fileTroubles = new Set(['EISDIR', 'EACCES', 'EPERM', 'ENXIO', 'ELOOP', 'ERR_FS_FILE_TOO_LARGE'])

function readable(error: NodeJS.ErrnoException): false | Error {
  return fileTroubles.has(error.code ?? '') ? error : missing(error)
}

function missing(error: NodeJS.ErrnoException): false {
  if (error.code === 'ENOENT') return false
  throw error
}
