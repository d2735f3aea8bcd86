/**
 * The Lua of parked messages (redis-scripts.ts, rule 6).
 */
import { redisScript } from './redis-client.js'
import { begun, markLength, ownerMarkLength, scoring } from './redis-scripts.js'
import { sorting } from './redis-settle-scripts.js'

/** Seconds for which the list of what is parked is kept after the last of it was due. */
const parkedGraceSeconds = 3600

/**
 * Leaves messages with the broker until a later time. KEYS unacked, unacked_index, parking places. ARGV visibility timeout
 * in seconds, then for each: tag, mark, number of its place in KEYS, seconds from now to its score there, seconds for
 * which kombu shall leave it alone, parked mark. Returns the numbers (from 1) of those that were lost.
 */
export const parkScript = redisScript(`
${sorting}
${begun}
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local tags, ours, lost, values = sorted(2, 6)
local latest = {}
for _, i in ipairs(ours) do
  local at = 2 + (i - 1) * 6
  local place, delay = KEYS[tonumber(ARGV[at + 2])], tonumber(ARGV[at + 3])
  redis.call('HSET', KEYS[1], tags[i], string.sub(values[i], 1, -${markLength + 1}) .. ARGV[at + 5])
  redis.call('ZADD', KEYS[2], string.format('%.6f', now + tonumber(ARGV[at + 4]) - tonumber(ARGV[1])), tags[i])
  redis.call('ZADD', place, string.format('%.6f', now + delay), tags[i])
  latest[place] = math.max(latest[place] or 0, delay)
end
-- Only a list of tags: when it runs out, unacked_index still brings back what nobody took.
for place, delay in pairs(latest) do
  local wanted = math.floor(delay) + ${parkedGraceSeconds}
  if redis.call('TTL', place) < wanted then redis.call('EXPIRE', place, wanted) end
end
return lost
`)

/**
 * Takes parked messages whose time has come, soonest first. KEYS unacked, unacked_index, parking places. ARGV most, seconds
 * from now (0, or below when only the soonest are wanted), mark, parked owner, seconds. Those that come within these
 * are taken along, so that a trickle does not wake us for each. Returns [seconds until the next, or -1, then for each
 * message: number of its place (from 1), tag, bytes].
 */
export const unparkScript = redisScript(`
${scoring}
${begun}
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local most, upper, mark, nobody = tonumber(ARGV[1]), now + tonumber(ARGV[2]), ARGV[3], ARGV[4]
local digits = {[32] = 0, [9] = 1, [10] = 2, [13] = 3}
local out, taken, nearest = {'-1'}, 0, nil
local function first(place)
  local found = redis.call('ZRANGE', place, 0, 0, 'WITHSCORES')
  return tonumber(found[2])
end
for at = 3, #KEYS do
  local place = KEYS[at]
  local soonest = first(place)
  while soonest and soonest <= upper and taken < most do
    local until_ = string.format('%.6f', upper + tonumber(ARGV[5]))
    local tags = redis.call('ZRANGEBYSCORE', place, '-inf', until_, 'LIMIT', 0, most - taken)
    redis.call('ZREM', place, unpack(tags))
    local values = redis.call('HMGET', KEYS[1], unpack(tags))
    for i, tag in ipairs(tags) do
      local value = values[i]
      -- Otherwise somebody else brought it back, or has run it.
      if value and string.sub(value, -${markLength}, -${markLength} + ${ownerMarkLength} - 1) == nobody then
        local size = 0
        for digit = -${markLength - ownerMarkLength}, -1 do size = size * 4 + (digits[string.byte(value, digit)] or 0) end
        taken = taken + 1
        redis.call('HSET', KEYS[1], tag, string.sub(value, 1, -${markLength + 1}) .. mark)
        redis.call('ZADD', KEYS[2], score(taken), tag)
        out[#out + 1] = at - 2
        out[#out + 1] = tag
        out[#out + 1] = string.sub(value, 2, 1 + size)
      end
    end
    soonest = first(place)
  end
  if soonest and (not nearest or soonest < nearest) then nearest = soonest end
end
if nearest then out[1] = tostring(math.max(0, nearest - now)) end
return out
`)
