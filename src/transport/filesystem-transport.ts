import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { pause, systemClock } from '../clock.js'
import { BrokerUnavailableError, ConfigError } from '../errors.js'
import { type FilesystemOptions, filesystemOptions } from './filesystem-options.js'
import { FilesystemStore } from './filesystem-store.js'
import { newHolderName } from './holder-name.js'
import type { Transport } from './transport.js'
import { VirtualConnection } from './virtual-connection.js'

/** Most milliseconds to make the folders in (Celery's `broker_connection_timeout`). */
const defaultTimeoutMs = 4000

/**
 * `filesystem://`: kombu's folder broker, shared with Python processes. Missing folders are made. `connect` throws
 * `ConfigError` for options that cannot be and folders that this user cannot make, `BrokerUnavailableError` when a
 * folder does not answer.
 */
export function createFilesystemTransport(): Transport {
  return {
    async connect(url, { transportOptions, timeoutMs = defaultTimeoutMs, signal, logger, ...given }) {
      signal?.throwIfAborted()
      const clock = given.clock ?? systemClock()
      const newId = given.newId ?? randomUUID
      const options = filesystemOptions(url, transportOptions, process.cwd())
      const answered = new AbortController()
      const waiting = signal === undefined ? answered.signal : AbortSignal.any([signal, answered.signal])
      const tooLate = pause(clock, timeoutMs, waiting).then(() => {
        throw new BrokerUnavailableError(
          `the filesystem broker at ${options.dataIn} did not answer in ${timeoutMs} ms`,
        )
      })
      try {
        await Promise.race([makeFolders(options), tooLate])
      } finally {
        answered.abort()
        tooLate.catch(() => {})
      }
      const store = new FilesystemStore({
        options,
        holderName: await newHolderName(newId),
        clock,
        newId,
        monotonicNs: () => process.hrtime.bigint(),
      })
      return new VirtualConnection({
        store,
        shownUrl: url,
        clock,
        ...(options.deadletterQueue === undefined ? {} : { deadletterQueue: options.deadletterQueue }),
        ...(logger === undefined ? {} : { logger }),
      })
    },
  }
}

async function makeFolders(options: FilesystemOptions): Promise<void> {
  const folders = [
    options.dataIn,
    options.dataOut,
    options.control,
    path.join(options.dataIn, '.celeriac', 'held'),
    path.join(options.dataIn, '.celeriac', 'tmp'),
    path.join(options.dataOut, '.celeriac', 'tmp'),
    ...(options.storeProcessed ? [options.processed] : []),
  ]
  for (const folder of folders) {
    await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
      const says = `the filesystem broker's folder ${folder} cannot be made (${cause.code}); make it, or give this user access`
      throw needsSomebody.has(cause.code ?? '')
        ? new ConfigError(says, { cause })
        : new BrokerUnavailableError(says, { cause })
    })
  }
}

/** Trying again changes nothing about these. */
const needsSomebody: ReadonlySet<string> = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOTDIR',
  'EEXIST',
  'ENAMETOOLONG',
])
