import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Logger } from '../logger.js'
import type { LeaseThreadData } from './redis-lease-thread.js'

/**
 * Starts the thread that renews leases while the event loop is blocked; the returned function ends it. The thread keeps
 * no process alive. Where it cannot run (a bundle without its file), that is told once, and the event loop's own
 * renewals remain.
 */
export function startLeaseGuard(data: LeaseThreadData, logger: Logger): () => Promise<void> {
  const isSource = import.meta.url.endsWith('.ts')
  const file = new URL(isSource ? './redis-lease-thread.ts' : './redis-lease-thread.js', import.meta.url)
  const loader = isSource ? createRequire(import.meta.url).resolve('tsx') : undefined
  const thread = new Worker(file, {
    name: 'celeriac-leases',
    // Options can hold functions and the like, which cannot be sent to a thread; nothing there needs them.
    workerData: { ...data, transportOptions: JSON.parse(JSON.stringify(data.transportOptions)) as object },
    execArgv: loader === undefined ? [] : ['--import', pathToFileURL(loader).href],
    resourceLimits: { maxOldGenerationSizeMb: isSource ? 128 : 32 },
  })
  thread.unref()
  thread.once('error', (error) => {
    logger.warn(
      { err: error },
      'leases are not renewed while the event loop is blocked: their thread cannot run; keep task code from blocking',
    )
  })
  // Cutting it off is harmless: a renewal is one script, and what it holds is a socket.
  return async () => {
    await thread.terminate()
  }
}
