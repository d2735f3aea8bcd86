/**
 * Signals to shutdowns (`celery/apps/worker.py`; surface WRK-071 to WRK-077, WRK-085).
 *
 *   SIGTERM            warm, exit 0; again: says so again
 *   SIGINT             warm, exit 1; again: as SIGQUIT
 *   SIGQUIT            cold (after the soft wait when there is one), exit 1
 *   during a cold one  the next stops waiting, the one after that ends the process at once
 *   REMAP_SIGTERM=SIGQUIT makes SIGTERM cold
 */

/** What a signal may ask of the worker. */
export interface Stoppable {
  readonly hostname: string
  /** Resolves when the worker has stopped; a colder request overtakes a warmer one. */
  shutdown(how: 'warm' | 'soft' | 'cold'): Promise<void>
}

/** The part of `process` that is used here. */
export interface SignalSource {
  on(signal: NodeJS.Signals, handler: () => void): unknown
  off(signal: NodeJS.Signals, handler: () => void): unknown
}

/** How to listen. */
export interface SignalOptions {
  readonly worker: Stoppable
  readonly process: SignalSource
  /** `REMAP_SIGTERM`. */
  readonly remapSigterm: string | undefined
  /** True when `worker_soft_shutdown_timeout` is set: a cold shutdown waits softly first. */
  readonly hasSoftWait: boolean
  say(text: string): void
  /** Ends the process at once. */
  exit(code: number): void
  onShuttingDown(event: { sig: string; how: 'Warm' | 'Soft' | 'Cold'; exitcode: number }): void
}

/** Listens until `dispose` is called; `exitCode` is what the process should end with after the shutdown. */
export function listenForSignals(options: SignalOptions): {
  readonly exitCode: () => number | undefined
  dispose(): void
} {
  const { worker, say, exit, onShuttingDown } = options
  let exitCode: number | undefined
  let interrupts = 0
  let cold = 0

  const warm = (sig: string, code: number): void => {
    exitCode ??= code
    say('worker: Warm shutdown (MainProcess)')
    onShuttingDown({ sig, how: 'Warm', exitcode: code })
    void worker.shutdown('warm')
  }
  const quit = (sig: string): void => {
    cold += 1
    exitCode = 1
    if (cold === 1) {
      say('worker: Hitting Ctrl+C again will terminate all running tasks!')
      say('worker: Cold shutdown (MainProcess)')
      onShuttingDown({ sig, how: options.hasSoftWait ? 'Soft' : 'Cold', exitcode: 1 })
      void worker.shutdown(options.hasSoftWait ? 'soft' : 'cold')
    } else if (cold === 2) {
      say('Waiting gracefully for cold shutdown to complete...')
      void worker.shutdown('cold')
    } else {
      exit(1)
    }
  }
  const handlers: [NodeJS.Signals, () => void][] = [
    [
      'SIGTERM',
      () => (options.remapSigterm === 'SIGQUIT' || cold > 0 ? quit('SIGTERM') : warm('SIGTERM', 0)),
    ],
    ['SIGQUIT', () => quit('SIGQUIT')],
    [
      'SIGINT',
      () => {
        interrupts += 1
        if (interrupts > 1 || cold > 0) return quit('SIGINT')
        say('worker: Hitting Ctrl+C again will initiate cold shutdown, terminating all running tasks!')
        warm('SIGINT', 1)
      },
    ],
  ]
  for (const [signal, handler] of handlers) options.process.on(signal, handler)
  return {
    exitCode: () => exitCode,
    dispose() {
      for (const [signal, handler] of handlers) options.process.off(signal, handler)
    },
  }
}
