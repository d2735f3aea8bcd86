/**
 * The Lua that settles what a connection holds (redis-scripts.ts has the rules).
 */
import { redisScript } from './redis-client.js'
import { begun } from './redis-scripts.js'

/** Shared by the scripts that settle: which of the tags in ARGV from `first`, every `width`, still carry their marks. */
export const sorting = `
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

/**
 * KEYS unacked, unacked_index. ARGV number of marks, then each mark and for how many tags in a row it stands, then the tags.
 * Returns the numbers (from 1) of those that were lost.
 */
export const forgetScript = redisScript(`
local marks, tags, gone, lost = tonumber(ARGV[1]), {}, {}, {}
for at = 2 + 2 * marks, #ARGV do tags[#tags + 1] = ARGV[at] end
local values = redis.call('HMGET', KEYS[1], unpack(tags))
local i = 0
for run = 1, marks do
  local mark = ARGV[2 * run]
  for _ = 1, tonumber(ARGV[2 * run + 1]) do
    i = i + 1
    local value = values[i]
    if value and string.sub(value, -#mark) == mark then gone[#gone + 1] = tags[i] else lost[#lost + 1] = i end
  end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[1], unpack(gone))
end
return lost
`)

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
