/**
 * What the Redis result store does in one step on the server. The keys, values and messages are Celery's, byte for
 * byte (`celery/backends/redis.py` `_set` and `on_chord_part_return`, wire-format 8.2, 8.4).
 */
import { redisScript } from '../transport/redis-client.js'

/** A value is stored whatever was there. */
export const ANYWAY = 'x'

/**
 * Stores and publishes many results, each unless a SUCCESS is there already.
 * KEYS: the keys. ARGV: seconds to keep (0: for ever); for each key its value; then, where there is anything to say, for
 * each ANYWAY, the SHA-1 of a stored value that is known to be no SUCCESS, or nothing.
 * Gives for each key 1 (stored), 0 (kept), or a list of what is stored, when the caller must tell which it is, or of
 * `false` and an error.
 * JSON as Celery writes it, and we without its spaces, begins with the status, so only its head is looked at.
 */
export const STORE = redisScript(`
local function write(key, value, ttl)
  local done
  if ttl == '0' then done = redis.pcall('SET', key, value) else done = redis.pcall('SETEX', key, ttl, value) end
  if type(done) == 'table' and done.err then return {false, done.err} end
  redis.pcall('PUBLISH', key, value)
  return 1
end
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
      local status = string.match(head, '^{"status": ?"([^"\\\\]+)"')
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

/**
 * Counts a part of a chord; gives all parts and the saved group when it was the last one.
 * KEYS: .j .t .s and the group's key. ARGV: the part, its score (nothing: a list is kept instead of a sorted set),
 * seconds to keep, 1 when the call may have been answered before, how many bytes at the part's head name its task.
 * A task that runs again with another result is still one part: such two are neighbours, having one place and one head.
 * A success stays, as with results; otherwise the later one does.
 */
export const PART = redisScript(`
local jkey, tkey, skey = KEYS[1], KEYS[2], KEYS[3]
local count
if ARGV[2] ~= '' then
  redis.call('ZADD', jkey, ARGV[2], ARGV[1])
  local head = tonumber(ARGV[5])
  local rank = head > 0 and redis.call('ZRANK', jkey, ARGV[1])
  for step = -1, rank and 1 or -2, 2 do
    local near = rank + step
    local other = near >= 0 and redis.call('ZRANGE', jkey, near, near)[1]
    if other and string.sub(other, 1, head) == string.sub(ARGV[1], 1, head) then
      local success = string.find(other, 'SUCCESS', head + 1, true)
      redis.call('ZREM', jkey, success and success <= head + 8 and ARGV[1] or other)
      break
    end
  end
  count = redis.call('ZCOUNT', jkey, '-inf', '+inf')
else
  if ARGV[4] ~= '1' or type(redis.pcall('LPOS', jkey, ARGV[1])) ~= 'number' then
    redis.call('RPUSH', jkey, ARGV[1])
  end
  count = redis.call('LLEN', jkey)
end
local more = redis.call('GET', tkey)
local size = redis.call('GET', skey)
if ARGV[3] ~= '0' then
  redis.call('EXPIRE', jkey, ARGV[3])
  redis.call('EXPIRE', tkey, ARGV[3])
  redis.call('EXPIRE', skey, ARGV[3])
end
if not size or count ~= tonumber(size) + tonumber(more or '0') then return false end
local parts
if ARGV[2] ~= '' then parts = redis.call('ZRANGE', jkey, 0, -1) else parts = redis.call('LRANGE', jkey, 0, count) end
return {redis.call('GET', KEYS[4]), parts}
`)
