/**
 * The Lua scripts of leases: renewing what is held, and returning what was abandoned (redis-scripts.ts has the rules).
 */
import { redisScript } from './redis-client.js'
import { begun, markLength, ownerMarkLength, scoring } from './redis-scripts.js'

/** Whether a value of `unacked` carries the mark of the connection ARGV[1]. */
const owning = `
local function isOurs(value)
  return value and string.sub(value, -${markLength}, -${markLength} + ${ownerMarkLength} - 1) == ARGV[1]
end
`

/**
 * KEYS unacked, unacked_index. ARGV owner mark, visibility timeout in seconds, tags, oldest first. Gives what is still
 * ours the present time; returns the numbers (from 1) of the others: gone, or abandoned by the server's own clock.
 */
export const renewScript = redisScript(`
${scoring}
${begun}
${owning}
local oldest = tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(ARGV[2])
local lost = {}
for at = 3, #ARGV do
  local last = redis.call('ZSCORE', KEYS[2], ARGV[at])
  if isOurs(redis.call('HGET', KEYS[1], ARGV[at])) and (not last or tonumber(last) > oldest) then
    redis.call('ZADD', KEYS[2], score(at), ARGV[at])
  else
    lost[#lost + 1] = at - 2
  end
end
return lost
`)

/**
 * The same for a thread that knows no tags: it looks through those that were not renewed for a while, and are not
 * abandoned yet. KEYS unacked, unacked_index. ARGV owner mark, visibility timeout, seconds since which there was no
 * renewal, the score to go on from ('' to begin), most to look at. Returns how many it looked at, and the last score.
 */
export const renewOldScript = redisScript(`
${scoring}
${begun}
${owning}
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local from = ARGV[4]
if from == '' then from = string.format('(%.17g', now - tonumber(ARGV[2])) end
local old = string.format('%.17g', now - tonumber(ARGV[3]))
local found = redis.call('ZRANGEBYSCORE', KEYS[2], from, old, 'WITHSCORES', 'LIMIT', 0, ARGV[5])
if #found == 0 then return {0, ''} end
local tags = {}
for at = 1, #found, 2 do tags[#tags + 1] = found[at] end
local values = redis.call('HMGET', KEYS[1], unpack(tags))
for i, tag in ipairs(tags) do
  if isOurs(values[i]) then redis.call('ZADD', KEYS[2], 'XX', score(i), tag) end
end
return {#tags, found[#found]}
`)

/**
 * Makes what lost connections held a claim of this one. KEYS unacked, unacked_index. ARGV for each: tag, the new mark,
 * the marks under which it may be taken, one behind the other. Returns the numbers (from 1) of those that carry none of
 * them. How old the score is does not matter: who restores at this instant looks again before it takes.
 */
export const adoptScript = redisScript(`
${scoring}
${begun}
local lost = {}
for at = 1, #ARGV, 3 do
  local tag, mark, known = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local value = redis.call('HGET', KEYS[1], tag)
  local isOurs = false
  for from = 1, #known, ${markLength} do
    if value and string.sub(value, -${markLength}) == string.sub(known, from, from + ${markLength} - 1) then isOurs = true end
  end
  if isOurs then
    redis.call('HSET', KEYS[1], tag, string.sub(value, 1, -${markLength + 1}) .. mark)
    redis.call('ZADD', KEYS[2], score(at), tag)
  else
    lost[#lost + 1] = (at + 2) / 3
  end
end
return lost
`)

/**
 * KEYS unacked_index, unacked. ARGV visibility timeout in seconds, most (-1 for all), parked owner, seconds for which
 * parked messages are left to connections with room. Returns abandoned tags, newest first.
 */
export const abandonedScript = redisScript(`
local time = redis.call('TIME')
local ceil = tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(ARGV[1])
local most, left = tonumber(ARGV[2]), ceil - tonumber(ARGV[4])
local tags, skip = {}, 0
while true do
  local range = {KEYS[1], string.format('%.17g', ceil), 0, 'WITHSCORES', 'LIMIT', skip, 1000}
  local found = redis.call('ZREVRANGEBYSCORE', unpack(range))
  for at = 1, #found, 2 do
    if #tags == most then return tags end
    local isLeft = false
    if tonumber(found[at + 1]) > left then
      local value = redis.call('HGET', KEYS[2], found[at])
      isLeft = value and string.sub(value, -${markLength}, -${markLength} + ${ownerMarkLength} - 1) == ARGV[3]
    end
    if not isLeft then tags[#tags + 1] = found[at] end
  end
  if #found < 2000 then return tags end
  skip = skip + 1000
end
`)

/**
 * Returns one abandoned message to its queues. KEYS unacked, unacked_index, lists. ARGV tag, the value that was read,
 * visibility timeout in seconds, text. 1 when it was done, 0 when somebody was quicker or its holder lives.
 */
export const restoreScript = redisScript(`
local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
local time = redis.call('TIME')
local ceil = tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(ARGV[3])
if not score or tonumber(score) > ceil then return 0 end
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
for at = 3, #KEYS do redis.call('LLEN', KEYS[at]) end
${begun}
for at = 3, #KEYS do redis.call('RPUSH', KEYS[at], ARGV[4]) end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
`)

/** KEYS unacked_index, unacked. ARGV tag. An index entry without a message is of no use to anybody. */
export const forgetGhostScript = redisScript(`
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
`)

/** Holds kombu's lock for longer if it is still ours. KEYS lock. ARGV token, milliseconds. 1 when it is. */
export const lockLongerScript = redisScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`)

/** Lets go of kombu's lock if it is still ours. KEYS lock. ARGV token. */
export const unlockScript = redisScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)
