/**
 * The Lua that claims messages, and watches where there are none (redis-scripts.ts has the rules).
 */
import { redisScript } from './redis-client.js'
import { scoring } from './redis-scripts.js'
import { waking, watcherSeconds, watchers } from './redis-waiting-scripts.js'

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
