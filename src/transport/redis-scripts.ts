/**
 * What must happen on the server in one step, in Lua (Redis 6.2 or newer).
 *
 * Rule 1: a message is in a queue's list or in `unacked`, at every instant: a script that pops also records.
 * Rule 2: `unacked` holds what kombu writes: field delivery_tag, value JSON `[envelope, exchange, routing_key]`; score in
 *         `unacked_index` = the server's time in seconds. The envelope's bytes are not changed.
 * Rule 3: the MARK. A value that we wrote ends in 40 characters of white space, which JSON readers pass over: 24 name
 *         the connection, 16 the claim. Whoever takes the message up again writes another value. So "still ours" is
 *         "still ends in our mark", for every settling and renewal: no message of somebody else is ever settled.
 * Rule 4: a message that came through an exchange is held under a tag of our own making, and so is a second one with a
 *         tag that is held already: kombu gives the copies of one publish to several queues one tag (wire-format L6),
 *         and a Python process that takes up another copy later writes its entry over that of the first. Nothing reads
 *         the tag inside the envelope after that. What came through the default exchange has one copy only.
 * Rule 5: who waits. At most four connections watch a queue (`_celeriac.waiting.<queue>`); the others are idle
 *         (`_celeriac.idle.<queue>`) and are woken one by one, on a channel of their own: when a watcher became busy and
 *         leaves, and when a claim left something behind. So one push does not wake a whole cluster. Entries of the dead
 *         run out or are passed over: PUBLISH says that nobody listens.
 * Rule 6: PARKED. A message that waits for a later time keeps its place in `unacked`, but its mark is nobody's: it is not
 *         renewed. Two clocks bring it back shortly before its time: `_celeriac.parked.<queue>` (score = then), from which
 *         a connection with room takes it straight into its hands, soonest first; and its score in `unacked_index`
 *         (then, less the visibility timeout), by which kombu returns it to its queue. Whichever comes second finds
 *         the mark gone.
 * Rule 7: what is no envelope goes with its bytes into a list of its own in the same step.
 * Rule 8: a script that fails is not undone, and any command may be refused: the key is of another type, the user may not.
 *         So a message is put into its new place first, and taken from the old one when that was done.
 */
import { redisScript } from './redis-client.js'

/** Length of a mark, and of the part that names the connection. */
export const markLength = 40
/** The part of a mark that all claims of one connection share. */
export const ownerMarkLength = 24

/** Seconds for which the list of what is parked is kept after the last of it was due. */
const parkedGraceSeconds = 3600

/** Connections that watch one queue. Several, because one may be dead or have a blocked event loop. */
const watchers = 4
/** Seconds until one that waits and says nothing is forgotten; it says so at each slow look (redis-arrivals.ts). */
const watcherSeconds = 12

/** Shared by the scripts that wake: `channel` is the beginning of the channels. */
const waking = `
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

/**
 * Scores a microsecond apart, oldest first: whoever restores goes by the score, and so keeps the order.
 */
export const scoring = `
local time = redis.call('TIME')
local function score(i)
  return string.format('%.6f', tonumber(time[1]) + (tonumber(time[2]) + i) / 1000000)
end
`

/**
 * KEYS unacked, unacked_index, then the lists, step by step, all queues in each.
 * ARGV most, queues, 'r' to rotate or 'l' to take as listed, mark, suffix for doubled tags, 'w' to wait when nothing was
 * found, 'l' to leave when something was, this
 * connection's id, the beginning of the channels for waking, then for each queue its list for unreadable items, for each
 * its waiting key, for each its idle key.
 * Returns [-2, '', the queues to watch] when it shall watch, else [last queue served or -1, error text or '', then for each message: queue (from 1, negative when set aside), tag, bytes].
 */
export const claimScript = redisScript(`
local unacked, index = KEYS[1], KEYS[2]
local most, queues, rotate = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'r'
local mark, suffix, watch, registered = ARGV[4], ARGV[5], ARGV[6] == 'w', ARGV[7] == 'l'
local me, channel = ARGV[8], ARGV[9]
-- Fails before anything is popped when these keys are of another type.
redis.call('HEXISTS', unacked, '')
redis.call('ZCARD', index)
${scoring}
${waking}
local out, tags, values, seen = {-1, ''}, {}, {}, {}
local taken = 0
-- What goes back to where it was when it cannot be recorded (rule 8).
local popped, places, written = {}, {}, nil

local function quoted(text)
  if type(text) ~= 'string' then return '""' end
  return cjson.encode(text)
end

-- kombu writes these members last and in this order; anything else is read whole.
local function read(raw)
  local ex, rk, tag = string.match(string.sub(raw, -600),
    '"delivery_info": ?{"exchange": ?"([^"\\\\%c]*)", ?"routing_key": ?"([^"\\\\%c]*)"[^{}]*}[^{}]*"delivery_tag": ?"([^"\\\\%c]+)"}}$')
  if tag and string.sub(raw, 1, 1) == '{' then return tag, '"' .. ex .. '"', '"' .. rk .. '"' end
  local ok, message = pcall(cjson.decode, raw)
  if not ok or type(message) ~= 'table' or type(message.properties) ~= 'table' then return nil end
  local info = message.properties.delivery_info
  tag = message.properties.delivery_tag
  if type(tag) == 'number' then tag = string.format('%.0f', tag) end
  if type(tag) ~= 'string' or tag == '' or type(info) ~= 'table' or info.exchange == nil then return nil end
  return tag, quoted(info.exchange), quoted(info.routing_key)
end

local function take(raw, queue)
  local tag, ex, rk = read(raw)
  if not tag then
    redis.call('LPUSH', ARGV[9 + queue], raw)
    out[#out + 1] = -queue
    out[#out + 1] = ''
    out[#out + 1] = raw
    return
  end
  if seen[tag] or ex ~= '""' then tag = tag .. '.' .. suffix .. '.' .. taken end
  seen[tag] = true
  taken = taken + 1
  tags[taken] = tag
  values[taken] = '[' .. raw .. ', ' .. ex .. ', ' .. rk .. ']' .. mark
  out[#out + 1] = queue
  out[#out + 1] = tag
  out[#out + 1] = raw
end

local function pop(at, count)
  local items = redis.pcall('RPOP', KEYS[at], count)
  if type(items) ~= 'table' then return {} end
  if items.err then
    out[2] = items.err
    return {}
  end
  for _, raw in ipairs(items) do
    popped[#popped + 1] = raw
    places[#popped] = at
  end
  return items
end

local handled = 0
local function claim()
  for first = 3, #KEYS, queues do
    if handled >= most then break end
    if queues == 1 or not rotate then
      for queue = 1, queues do
        if handled >= most then break end
        local items = pop(first + queue - 1, most - handled)
        for _, raw in ipairs(items) do take(raw, queue) end
        handled = handled + #items
        if #items > 0 then out[1] = queue end
      end
    else
      -- Not table.remove: it moves all that stand behind, which thousands of queues would feel.
      local order, head, last = {}, 1, queues
      -- what was served last in an earlier step stands last in this one
      local served = math.max(out[1], 0)
      for queue = 1, queues do order[(queue - served - 1) % queues + 1] = queue end
      while head <= last and handled < most do
        local queue = order[head]
        head = head + 1
        local items = pop(first + queue - 1, 1)
        if #items > 0 then
          take(items[1], queue)
          handled = handled + 1
          out[1] = queue
          last = last + 1
          order[last] = queue
        end
      end
    end
  end

  if taken > 0 then
    local held = redis.call('ZMSCORE', index, unpack(tags))
    local fields, scores = {}, {}
    for i = 1, taken do
      if held[i] then
        local own = tags[i] .. '.' .. suffix .. '.' .. i
        for at = 4, #out, 3 do
          if out[at] == tags[i] then out[at] = own end
        end
        tags[i] = own
      end
      fields[2 * i - 1] = tags[i]
      fields[2 * i] = values[i]
      scores[2 * i - 1] = score(i)
      scores[2 * i] = tags[i]
    end
    written = tags
    redis.call('ZADD', index, unpack(scores))
    redis.call('HSET', unacked, unpack(fields))
  end
end

local done, problem = pcall(claim)
if not done then
  if written then redis.pcall('ZREM', index, unpack(written)) end
  for i = #popped, 1, -1 do redis.call('RPUSH', KEYS[places[i]], popped[i]) end
  if type(problem) == 'table' then return problem end
  return redis.error_reply(problem)
end

for queue = 1, queues do
  local waiting, idle = ARGV[9 + queues + queue], ARGV[9 + 2 * queues + queue]
  if handled > 0 then
    if registered then leave(waiting, idle, me, channel) end
    if handled >= most and redis.call('EXISTS', idle) == 1 then
      for at = 2 + queue, #KEYS, queues do
        if redis.pcall('LLEN', KEYS[at]) ~= 0 then
          wakeOne(idle, channel)
          break
        end
      end
    end
  elseif watch then
    redis.call('ZREMRANGEBYSCORE', waiting, '-inf', time[1])
    if redis.call('ZSCORE', waiting, me) or redis.call('ZCARD', waiting) < ${watchers} then
      redis.call('ZADD', waiting, time[1] + ${watcherSeconds}, me)
      redis.call('EXPIRE', waiting, ${watcherSeconds})
      redis.call('ZREM', idle, me)
      out[1] = -2
      out[#out + 1] = queue
    else
      redis.call('ZREMRANGEBYSCORE', idle, '-inf', time[1])
      redis.call('ZADD', idle, time[1] + ${watcherSeconds}, me)
      redis.call('EXPIRE', idle, ${watcherSeconds})
    end
  end
end
return out
`)

/**
 * How much there is in KEYS. Sent with client tracking on, so that the server tells when one of them changes: nothing
 * else may be read here, or every acknowledgement would be told too.
 */
export const watchScript = redisScript(`
local total = 0
for _, key in ipairs(KEYS) do
  local size = redis.pcall('LLEN', key)
  if type(size) == 'number' then total = total + size end
end
return total
`)

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

/** Shared by the scripts that settle: which of the tags in ARGV from `first`, every `width`, still carry their marks. */
const sorting = `
local function sorted(first, width)
  local tags, ours, lost = {}, {}, {}
  for at = first, #ARGV, width do tags[#tags + 1] = ARGV[at] end
  local values = redis.call('HMGET', KEYS[1], unpack(tags))
  for i, tag in ipairs(tags) do
    local value, mark = values[i], ARGV[first + (i - 1) * width + 1]
    if value and string.sub(value, -#mark) == mark then ours[#ours + 1] = i else lost[#lost + 1] = i end
  end
  return tags, ours, lost, values
end
local function forget(tags, ours)
  if #ours == 0 then return end
  local gone = {}
  for i, at in ipairs(ours) do gone[i] = tags[at] end
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[1], unpack(gone))
end
`

/** KEYS unacked, unacked_index. ARGV tag, mark, tag, mark ... Returns the numbers (from 1) of those that were lost. */
export const forgetScript = redisScript(`
${sorting}
local tags, ours, lost = sorted(1, 2)
forget(tags, ours)
return lost
`)

/** A first write that needs no memory: after it, Redis lets a script write on although memory has run out. */
export const begun = "redis.call('ZREM', KEYS[2], '')"

/** Shared by the scripts that put into lists (rule 8). */
const placing = `
local placed, refused = {}, nil
local function place(i, how, list, text)
  local size = redis.pcall(how, list, text)
  if type(size) == 'number' then placed[#placed + 1] = i else refused = refused or size end
end
`

/**
 * KEYS unacked, unacked_index, lists. ARGV 'LPUSH' (behind what waits) or 'RPUSH' (in front; give the last first), then
 * for each: tag, mark, number of its list in KEYS, text. Returns the numbers (from 1) of those that were lost.
 */
export const putBackScript = redisScript(`
${sorting}
${placing}
${begun}
local tags, ours, lost = sorted(2, 4)
for _, i in ipairs(ours) do
  local at = 2 + (i - 1) * 4
  place(i, ARGV[1], KEYS[tonumber(ARGV[at + 2])], ARGV[at + 3])
end
forget(tags, placed)
return refused or lost
`)

/**
 * A held message proves to be no envelope: into the list of unreadable ones. KEYS unacked, unacked_index, that list.
 * ARGV for each: tag, mark, bytes. Returns the numbers of those that were lost.
 */
export const setAsideScript = redisScript(`
${sorting}
${placing}
${begun}
local tags, ours, lost = sorted(1, 3)
for _, i in ipairs(ours) do place(i, 'LPUSH', KEYS[3], ARGV[i * 3]) end
forget(tags, placed)
return refused or lost
`)

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
