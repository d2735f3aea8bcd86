/**
 * Settles as `work` does, or rejects with the signal's reason as soon as it aborts, for whoever does not wait for what hangs;
 * how `work` ends is then nobody's concern. Without a signal it is `work` itself.
 */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
