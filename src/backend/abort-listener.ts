import { setMaxListeners } from 'node:events'

/**
 * Calls `listener` once when `signal` aborts; the returned function takes it back. Thousands of waits may share one
 * signal, which is no leak, so Node's warning about it is put off (as undici does for the same reason).
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  setMaxListeners(0, signal)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}
