import type { Clock } from '../clock.js'
import type { TimeLimits } from './pool.js'

/**
 * Watches one run's limits (surface WRK-049 to WRK-053): `onSoft` once at the soft one, `onHard` once at the hard one,
 * neither after the returned function was called. A limit of 0 or undefined is none, as in Celery.
 */
export function watchLimits(
  clock: Clock,
  limits: TimeLimits,
  callbacks: { readonly onSoft: (seconds: number) => void; readonly onHard: (seconds: number) => void },
): () => void {
  const cancels: (() => void)[] = []
  const watch = (seconds: number | undefined, callback: (seconds: number) => void): void => {
    if (seconds === undefined || seconds <= 0) return
    cancels.push(clock.after(seconds * 1000, () => callback(seconds)))
  }
  const cancel = (): void => {
    for (const stop of cancels.splice(0)) stop()
  }
  watch(limits.soft, callbacks.onSoft)
  watch(limits.hard, (seconds) => {
    cancel()
    callbacks.onHard(seconds)
  })
  return cancel
}
