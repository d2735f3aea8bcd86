import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import type { Logger } from '../logger.js'
import type { LeaseThreadData } from './redis-lease-thread.js'

/**
 * Starts the thread that renews leases while the event loop is blocked; the returned function ends it. The thread keeps
 * no process alive. Where it cannot run (a bundle without its file), that is told once, and the event loop's own
 * renewals remain.
 */
export function startLeaseGuard(data: LeaseThreadData, logger: Logger): () => Promise<void> {
  const options: WorkerOptions = {
    name: 'celeriac-leases',
    // Options can hold functions and the like, which cannot be sent to a thread; nothing there needs them.
    workerData: { ...data, transportOptions: JSON.parse(JSON.stringify(data.transportOptions)) as object },
    execArgv: [],
  }
  const thread = import.meta.url.endsWith('.ts')
    ? new Worker(sourceLoader(), { ...options, eval: true })
    : new Worker(new URL('./redis-lease-thread.js', import.meta.url), options)
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

/** Run from TypeScript source, as in this project's own tests, a thread needs tsx to read its file. */
function sourceLoader(): string {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx/esm/api')).href.replace(/cjs$/, 'mjs')
  const file = new URL('./redis-lease-thread.ts', import.meta.url).href
  return `import(${JSON.stringify(tsx)}).then((tsx) => tsx.tsImport(${JSON.stringify(file)}, ${JSON.stringify(file)}))`
}
