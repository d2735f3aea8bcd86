/**
 * What the Redis result store does in one step on the server. The keys, values and messages are Celery's, byte for
 * byte (`celery/backends/redis.py` `_set` and `on_chord_part_return`, wire-format 8.2, 8.4).
 */
import { redisScript } from '../transport/redis-client.js'

/** A value is stored whatever was there. */
export const ANYWAY = 'x'

/** Gives 1, or `false` and an error. */
const WRITE = `
local function write(key, value, ttl)
  local done
  if ttl == '0' then done = redis.pcall('SET', key, value) else done = redis.pcall('SETEX', key, ttl, value) end
  if type(done) == 'table' and done.err then return {false, done.err} end
  redis.pcall('PUBLISH', key, value)
  return 1
end
-- Of what is stored, from its head.
local function statusOf(head)
  return string.match(head, '^{"status": ?"([^"\\\\]+)"')
end
`

/**
 * Stores and publishes many results, each unless a SUCCESS is there already.
 * KEYS: the keys. ARGV: seconds to keep (0: for ever); for each key its value; then, where there is anything to say, for
 * each ANYWAY, the SHA-1 of a stored value that is known to be no SUCCESS, or nothing.
 * Gives for each key 1 (stored), 0 (kept), or a list of what is stored, when the caller must tell which it is, or of
 * `false` and an error.
 * JSON as Celery writes it, and we without its spaces, begins with the status, so only its head is looked at.
 */
export const STORE = redisScript(`${WRITE}
local out = {}
-- The usual case: there is nothing yet.
local none = redis.call('EXISTS', unpack(KEYS)) == 0
for i, key in ipairs(KEYS) do
  local value, known = ARGV[1 + i], ARGV[1 + #KEYS + i] or ''
  if none or known == 'x' then
    out[i] = write(key, value, ARGV[1])
  else
    local head = redis.pcall('GETRANGE', key, 0, 127)
    if type(head) == 'table' then
      out[i] = {false, head.err}
    else
      local status = statusOf(head)
      if status == 'SUCCESS' then
        out[i] = 0
      elseif head == '' or status then
        out[i] = write(key, value, ARGV[1])
      else
        local stored = redis.call('GET', key)
        if known ~= '' and redis.sha1hex(stored) == known then
          out[i] = write(key, value, ARGV[1])
        else
          out[i] = {stored}
        end
      end
    end
  end
end
return out
`)

/** Stores a value where nothing is. KEYS: the key. ARGV: the value, seconds to keep (0: a day). Gives what is there then. */
export const FIRST = redisScript(`
local found = redis.call('GET', KEYS[1])
if found then return found end
redis.call('SETEX', KEYS[1], ARGV[2] == '0' and 86400 or ARGV[2], ARGV[1])
return ARGV[1]
`)

/**
 * Counts parts of chords, one after the other; gives all parts and the saved group where one was the last.
 * KEYS: for each chord .j .t .s and the group's key; then those of results. ARGV: seconds to keep; 1 when the call may have
 * been answered before; how many chords; for each part: which chord (from 1), the part, its score (nothing: a list is kept
 * instead of a sorted set), how many bytes at the part's head name its task, and a result to store before, as STORE does, or
 * nothing. Gives for each 0, all parts and the group, or why it was refused; 1 where its result could not be stored so, and
 * nothing was done.
 * A task that runs again with another result is still one part: such two are neighbours, having one place and one head.
 * A success stays, as with results; otherwise the later one does.
 */
export const PARTS = redisScript(`${WRITE}
local keep, again, chords = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local results = 4 * chords
-- The usual case: there is nothing yet.
local none = #KEYS > results and redis.call('EXISTS', unpack(KEYS, results + 1)) == 0
local function stored(key, value)
  if not none then
    local head = redis.pcall('GETRANGE', key, 0, 127)
    if type(head) == 'table' then return false end
    local status = statusOf(head)
    if status == 'SUCCESS' then return true end
    if head ~= '' and not status then return false end
  end
  return write(key, value, keep) == 1
end
local sizes = {}
local function sizeOf(first)
  if sizes[first] == nil then
    local more, size = redis.call('GET', KEYS[first + 1]), redis.call('GET', KEYS[first + 2])
    sizes[first] = size and tonumber(size) + tonumber(more or '0')
  end
  return sizes[first]
end
local function count(first, part, score, head)
  local jkey = KEYS[first]
  local found
  if score ~= '' then
    redis.call('ZADD', jkey, score, part)
    -- Mostly it is alone in its place.
    local rank = head > 0 and redis.call('ZCOUNT', jkey, score, score) > 1 and redis.call('ZRANK', jkey, part)
    for step = -1, rank and 1 or -2, 2 do
      local near = rank + step
      local other = near >= 0 and redis.call('ZRANGE', jkey, near, near)[1]
      if other and string.sub(other, 1, head) == string.sub(part, 1, head) then
        local success = string.find(other, 'SUCCESS', head + 1, true)
        redis.call('ZREM', jkey, success and success <= head + 8 and part or other)
        break
      end
    end
    found = redis.call('ZCARD', jkey)
  else
    if not again or type(redis.pcall('LPOS', jkey, part)) ~= 'number' then redis.call('RPUSH', jkey, part) end
    found = redis.call('LLEN', jkey)
  end
  if found ~= sizeOf(first) then return 0 end
  local parts
  if score ~= '' then parts = redis.call('ZRANGE', jkey, 0, -1) else parts = redis.call('LRANGE', jkey, 0, found) end
  return {redis.call('GET', KEYS[first + 3]), parts}
end
local out = {}
for at = 4, #ARGV, 5 do
  local value = ARGV[at + 4]
  local isStored = true
  if value ~= '' then
    results = results + 1
    isStored = stored(KEYS[results], value)
  end
  if isStored then
    local ok, found = pcall(count, 4 * tonumber(ARGV[at]) - 3, ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]))
    if not ok then found = type(found) == 'table' and found.err or found end
    out[#out + 1] = found
  else
    out[#out + 1] = 1
  end
end
if keep ~= '0' then
  for at = 1, 4 * chords do
    if at % 4 ~= 0 then redis.pcall('EXPIRE', KEYS[at], keep) end
  end
end
return out
`)
