/**
 * Which chords wait for parts, read from the counters in Redis (`celery/backends/redis.py` `on_chord_part_return`,
 * wire-format 8.4).
 *
 * Rule 1: nothing is written, and the server is never held up for long: `SCAN` in pages, one short script for a chord,
 * of which only places come back, no results.
 * Rule 2: `SCAN` may name a key twice and misses none that was there all the time; a chord is given once.
 */
import { type RedisClient, redisScript } from '../transport/redis-client.js'
import { onAbort } from './abort-listener.js'
import {
  type ChordCounters,
  type PendingChord,
  type PendingOptions,
  pendingChordOf,
} from './pending-chord.js'

/** Reads of the store, tried again while it is away for a moment. */
export interface PendingSource {
  run<T>(operation: (client: RedisClient) => Promise<T>): Promise<T>
  /** Whole seconds; 0 keeps for ever. */
  readonly keepSeconds: number
}

const KEYS_A_PAGE = 500

/**
 * KEYS: .j .t .s. Gives size, parts added, how many ended, how many of these failed, milliseconds left (-1: kept for
 * ever, -2: gone), and the places of those that ended. A part is read a hundred at a time: results may be large.
 */
const COUNTERS = redisScript(`
local jkey, tkey, skey = KEYS[1], KEYS[2], KEYS[3]
local kind = redis.call('TYPE', jkey).ok
local count, failed, places = 0, 0, {}
local function look(part)
  local head = string.sub(part, 1, 300)
  local state = string.match(head, '^%[1, ?"[^"]*", ?"([^"]*)"')
  count = count + 1
  if state and state ~= 'SUCCESS' or not state and not string.find(head, 'SUCCESS', 1, true) then failed = failed + 1 end
end
for from = 0, 1e9, 100 do
  local page = {}
  if kind == 'zset' then
    page = redis.call('ZRANGE', jkey, from, from + 99, 'WITHSCORES')
    for i = 1, #page, 2 do
      look(page[i])
      places[#places + 1] = page[i + 1]
    end
  elseif kind == 'list' then
    page = redis.call('LRANGE', jkey, from, from + 99)
    for _, part in ipairs(page) do look(part) end
  end
  if #page < 100 then break end
end
local left = redis.call('PTTL', skey)
if left == -2 then left = redis.call('PTTL', jkey) end
if left == -2 then left = redis.call('PTTL', tkey) end
return {redis.call('GET', skey) or '', redis.call('GET', tkey) or '0', count, failed, left, places, kind}
`)

/** The chords of which counters are under `keyPrefix`, the key of a group without its id. */
export async function* pendingChords(
  source: PendingSource,
  keyPrefix: string,
  { signal, limit = Number.POSITIVE_INFINITY }: PendingOptions,
): AsyncGenerator<PendingChord, void, undefined> {
  const pattern = `${keyPrefix.replace(/[\\*?[\]^-]/g, '\\$&')}*.[jts]`
  const seen = new Set<string>()
  let given = 0
  let cursor = '0'
  do {
    const from = cursor
    const reply = await unlessAborted(
      signal,
      source.run((client) => client.run('SCAN', from, 'MATCH', pattern, 'COUNT', KEYS_A_PAGE)),
    )
    const [next, keys] = reply as readonly [string, readonly string[]]
    cursor = String(next)
    const ids = new Set(keys.map((key) => key.slice(keyPrefix.length, -'.j'.length)))
    for (const groupId of ids) {
      if (seen.has(groupId)) continue
      seen.add(groupId)
      const key = keyPrefix + groupId
      const counters = await unlessAborted(
        signal,
        source.run((client) => client.script(COUNTERS, [`${key}.j`, `${key}.t`, `${key}.s`], [])),
      )
      const chord = pendingChordOf(groupId, countersOf(counters as readonly unknown[]), source.keepSeconds)
      if (chord === undefined) continue
      if (given++ >= limit) return
      yield chord
    }
  } while (cursor !== '0')
}

function countersOf([size, added, counted, failed, leftMs, places, kind]: readonly unknown[]): ChordCounters {
  return {
    size: String(size) === '' ? undefined : Number(String(size)),
    added: Number(String(added)),
    counted: Number(counted),
    failed: Number(failed),
    leftMs: Number(leftMs),
    places:
      String(kind) === 'list' ? undefined : (places as readonly unknown[]).map((one) => Number(String(one))),
  }
}

/** A read that is under way ends by itself; nobody waits for it any longer. */
async function unlessAborted<T>(signal: AbortSignal | undefined, reading: Promise<T>): Promise<T> {
  if (signal === undefined) return reading
  let stopListening = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    const refuse = (): void => reject(signal.reason)
    if (signal.aborted) refuse()
    else stopListening = onAbort(signal, refuse)
  })
  reading.catch(() => {})
  try {
    return await Promise.race([aborted, reading])
  } finally {
    stopListening()
  }
}
