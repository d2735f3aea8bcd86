/**
 * The thread that keeps leases alive when task code blocks the event loop: a connection of its own, and a script that
 * finds what is ours on the server (by the owner's mark), so that it need not be told what is held.
 *
 * Runs as a worker thread of redis-lease-guard.ts, which cuts it off.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { pause, systemClock } from '../clock.js'
import { openRedis, type RedisClient } from './redis-client.js'
import { renewOldScript } from './redis-scripts.js'

/** What the thread is started with; plain data. */
export interface LeaseThreadData {
  readonly url: string
  readonly transportOptions: Readonly<Record<string, unknown>>
  readonly unackedKey: string
  readonly indexKey: string
  /** The part of the marks that names the connection. */
  readonly owner: string
  readonly visibilityTimeoutMs: number
}

const batchSize = 500

/** Renews what was not renewed for a third of the timeout, every sixth of it, without end. */
async function keepLeases(data: LeaseThreadData): Promise<never> {
  const clock = systemClock()
  const { url, transportOptions, visibilityTimeoutMs } = data
  const everyMs = visibilityTimeoutMs / 6
  let client: RedisClient | undefined
  for (;;) {
    try {
      if (client?.isOpen !== true) client = await openRedis(url, { transportOptions, role: 'leases' })
      await renewOld(client, data)
      await pause(clock, everyMs)
    } catch {
      // The connection that we stand by finds out for itself whether the server is gone; here it is tried again.
      await pause(clock, Math.min(1000, everyMs))
    }
  }
}

async function renewOld(client: RedisClient, data: LeaseThreadData): Promise<void> {
  const { unackedKey, indexKey, owner, visibilityTimeoutMs } = data
  const seconds = visibilityTimeoutMs / 3000
  for (let skip = 0; ; ) {
    const args = [owner, seconds, skip, batchSize]
    const [seen = 0, left = 0] = (await client.script(
      renewOldScript,
      [unackedKey, indexKey],
      args,
    )) as number[]
    if (seen < batchSize) return
    skip += left
  }
}

if (parentPort !== null) await keepLeases(workerData as LeaseThreadData)
