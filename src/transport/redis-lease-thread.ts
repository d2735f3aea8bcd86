/**
 * The thread that keeps leases alive when task code blocks the event loop: a connection of its own, and a script that
 * finds what is ours on the server (by the owner's mark), so that it need not be told what is held.
 *
 * Runs as a worker thread of redis-lease-guard.ts, which cuts it off.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { monotonicOfProcess, pause, systemClock } from '../clock.js'
import { countedMs, type LeaseMoment, SharedRenewals } from './lease-term.js'
import { openRedis, type RedisClient } from './redis-client.js'
import { renewOldScript } from './redis-lease-scripts.js'

/** What the thread is started with; plain data. */
export interface LeaseThreadData {
  readonly url: string
  readonly transportOptions: Readonly<Record<string, unknown>>
  readonly unackedKey: string
  readonly indexKey: string
  /** The part of the marks that names the connection. */
  readonly owner: string
  readonly visibilityTimeoutMs: number
  /** Where to say what was renewed. */
  readonly renewals: SharedArrayBuffer
  /** `monotonicOfProcess` when the clock of the connection stood at zero. */
  readonly clockZero: number
}

const batchSize = 500
/** What was renewed within this part of the timeout is left alone. */
const freshPart = 1 / 3

/** Renews what was not renewed for a third of the timeout, every sixth of it, without end. */
async function keepLeases(data: LeaseThreadData): Promise<never> {
  const clock = systemClock()
  const { url, transportOptions, visibilityTimeoutMs, clockZero } = data
  const renewals = new SharedRenewals(data.renewals)
  const moment = (): LeaseMoment => ({ monotonic: monotonicOfProcess() - clockZero, wall: clock.now() })
  // What a round leaves alone holds for the rest of the timeout from then on.
  const holdsMs = countedMs(visibilityTimeoutMs) - visibilityTimeoutMs * freshPart
  const everyMs = visibilityTimeoutMs / 6
  let client: RedisClient | undefined
  for (;;) {
    try {
      if (client?.isOpen !== true) client = await openRedis(url, { transportOptions, role: 'leases' })
      const sent = moment()
      await renewOld(client, data)
      renewals.record(sent, moment(), holdsMs)
      await pause(clock, everyMs)
    } catch {
      // The connection that we stand by finds out for itself whether the server is gone; here it is tried again.
      await pause(clock, Math.min(1000, everyMs))
    }
  }
}

async function renewOld(client: RedisClient, data: LeaseThreadData): Promise<void> {
  const { unackedKey, indexKey, owner, visibilityTimeoutMs } = data
  const seconds = visibilityTimeoutMs / 1000
  for (let from = ''; ; ) {
    const args = [owner, seconds, seconds * freshPart, from, batchSize]
    const [seen, last] = (await client.script(renewOldScript, [unackedKey, indexKey], args)) as [
      number,
      Buffer,
    ]
    if (seen < batchSize) return
    // Again the last score, which may be that of more; but it must go on where all had the same.
    from = from === String(last) ? `(${last}` : String(last)
  }
}

if (parentPort !== null) await keepLeases(workerData as LeaseThreadData)
