/**
 * The Lua of who waits for a queue (redis-scripts.ts, rule 5).
 */
import { redisScript } from './redis-client.js'

/** Connections that watch one queue. Several, because one may be dead or have a blocked event loop. */
export const watchers = 4
/** Seconds until one that waits and says nothing is forgotten; it says so at each slow look (redis-arrivals.ts). */
export const watcherSeconds = 12

/** Shared by the scripts that wake: `channel` is the beginning of the channels. */
export const waking = `
local function wakeOne(idle, channel)
  for _ = 1, 1000 do
    -- who looked last lives most probably
    local id = redis.call('ZPOPMAX', idle)[1]
    if not id then return end
    -- both names are of one length, and end in the queue
    if redis.call('PUBLISH', channel .. id, string.sub(idle, #channel + 1)) > 0 then return end
  end
end
local function leave(waiting, idle, me, channel)
  if redis.call('ZREM', waiting, me) == 1 then wakeOne(idle, channel) else redis.call('ZREM', idle, me) end
end
`

/** Stops waiting. ARGV id, beginning of the channels, then for each queue its waiting key and its idle key. */
export const leaveScript = redisScript(`
${waking}
for at = 3, #ARGV, 2 do leave(ARGV[at], ARGV[at + 1], ARGV[1], ARGV[2]) end
return 0
`)

/** Wakes another in place of one that was woken and has no room. ARGV beginning of the channels, idle key. */
export const passOnScript = redisScript(`
${waking}
wakeOne(ARGV[2], ARGV[1])
return 0
`)
