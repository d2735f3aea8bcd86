/** The Lua of one step from a task to what follows it (redis-scripts.ts has the rules of `unacked`). */
import { redisScript } from './redis-client.js'

/**
 * For each handover, whole or not at all: pushes messages, stores and tells of a result unless a SUCCESS is stored, deletes
 * keys, and forgets what is held.
 * KEYS: unacked, unacked_index, then lists and the keys of results. ARGV: the database of the queues; then for each
 * handover: tag and mark ('' and '': nothing is held), how many messages, for each the number of its list in KEYS and its
 * text; the database of results; the number of the result's key (0: none), seconds to keep (0: for ever), its value; how
 * many keys are deleted, and their numbers.
 * Returns for each: 1 done, now or before; 0 no longer held, or why it was refused.
 */
export const handOverScript = redisScript(`
local unacked, index, home = KEYS[1], KEYS[2], ARGV[1]
local db, at = home, 1
local function take() at = at + 1 return ARGV[at] end
local function problem(reply) return type(reply) == 'table' and reply.err end
local function go(to)
  if to == db then return end
  local refused = problem(redis.pcall('SELECT', to))
  if not refused then db = to end
  return refused
end

-- Whether the result may be written; a second value is why nobody can tell here.
local function isOpen(key)
  local head = redis.pcall('GETRANGE', key, 0, 127)
  if problem(head) then return false, head.err end
  if head == '' then return true end
  local status = string.match(head, '^{"status": ?"([^"\\\\]+)"')
  if not status then return false, 'what is stored under ' .. key .. ' must be read first' end
  return status ~= 'SUCCESS'
end

-- What is no longer held has been handed over before when the very result is stored.
local function wasDone(place, key, value)
  if not key or go(place) then return false end
  local stored = redis.pcall('GET', key)
  go(home)
  return stored == value
end

local function one()
  local tag, mark, count, lists, texts = take(), take(), tonumber(take()), {}, {}
  for i = 1, count do lists[i], texts[i] = KEYS[tonumber(take())], take() end
  local place, key, ttl, value = take(), KEYS[tonumber(take())], take(), take()
  local gone = {}
  for i = 1, tonumber(take()) do gone[i] = KEYS[tonumber(take())] end

  local refused = go(home)
  if refused then return refused end
  if tag ~= '' then
    local held = redis.call('HGET', unacked, tag)
    if not held or string.sub(held, -#mark) ~= mark then return wasDone(place, key, value) and 1 or 0 end
  end
  local writes = false
  if key then
    refused = go(place)
    if not refused then writes, refused = isOpen(key) end
    refused = refused or go(home)
    if refused then return refused end
  end
  for i = 1, count do
    refused = problem(redis.pcall('LPUSH', lists[i], texts[i]))
    if refused then
      for back = i - 1, 1, -1 do redis.call('LREM', lists[back], 1, texts[back]) end
      return refused
    end
  end
  if writes or #gone > 0 then
    refused = go(place)
    if writes and not refused then
      refused = problem(ttl == '0' and redis.pcall('SET', key, value) or redis.pcall('SETEX', key, ttl, value))
    end
    if refused then
      go(home)
      for back = count, 1, -1 do redis.call('LREM', lists[back], 1, texts[back]) end
      return refused
    end
    if writes then redis.pcall('PUBLISH', key, value) end
    if #gone > 0 then redis.pcall('DEL', unpack(gone)) end
    go(home)
  end
  if tag ~= '' then
    redis.call('HDEL', unacked, tag)
    redis.call('ZREM', index, tag)
  end
  return 1
end

local out = {}
while at < #ARGV do out[#out + 1] = one() end
return out
`)
