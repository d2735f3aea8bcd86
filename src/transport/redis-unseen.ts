/**
 * Claims whose answer was lost with their connection: the server has recorded messages as held, and nobody here knows
 * of them. The next connection finds them by their marks (redis-scripts.ts, rule 3) and gives them back.
 *
 * Rule 1: only claims without an answer are looked for: what was answered is in somebody's hands.
 * Rule 2: an entry of `unacked` does not name its queue. What came through an exchange, from one of several queues, is
 *         left to the visibility timeout, as kombu leaves all of it.
 */
import { decodeJson, encodeJson } from '../../protocol/json.js'
import { decodeVirtualEnvelope } from '../../protocol/virtual-envelope.js'
import type { Clock } from '../clock.js'
import type { ClaimedPlace } from './redis-claimed.js'
import { type RedisClient, redisScript } from './redis-client.js'
import type { MarkMaker } from './redis-mark.js'
import type { RedisOptions } from './redis-options.js'
import { markLength, ownerMarkLength } from './redis-scripts.js'

/** Between a claim and the time that the server wrote, for clocks that were set or differ after a failover. */
const slackSeconds = 60
const batchSize = 500

/**
 * KEYS unacked, unacked_index. ARGV owner mark, seconds to look back, the score to go on from ('' to begin), most to
 * look at. Returns how many it looked at, the last score, then tag and value of each that carries the owner's mark.
 */
const ownedScript = redisScript(`
local time = redis.call('TIME')
local from = ARGV[3]
if from == '' then from = string.format('%.6f', tonumber(time[1]) - tonumber(ARGV[2])) end
local found = redis.call('ZRANGEBYSCORE', KEYS[2], from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
if #found == 0 then return {0, ''} end
local tags = {}
for at = 1, #found, 2 do tags[#tags + 1] = found[at] end
local out = {#tags, found[#found]}
local values = redis.call('HMGET', KEYS[1], unpack(tags))
for i, tag in ipairs(tags) do
  local value = values[i]
  if value and string.sub(value, -${markLength}, -${markLength} + ${ownerMarkLength} - 1) == ARGV[1] then
    out[#out + 1] = tag
    out[#out + 1] = value
  end
end
return out
`)

type Place = ClaimedPlace & { readonly bytes: Buffer }

/** The claims of one connection that were sent and not answered. */
export class UnseenClaims {
  readonly #marks: MarkMaker
  readonly #clock: Clock
  readonly #claims = new Map<string, { readonly queues: readonly string[]; readonly at: number }>()

  constructor(marks: MarkMaker, clock: Clock) {
    this.#marks = marks
    this.#clock = clock
  }

  /** The mark of a claim that is about to be sent. */
  begin(queues: readonly string[]): string {
    const mark = this.#marks.next()
    this.#claims.set(mark, { queues, at: this.#clock.monotonic() })
    return mark
  }

  /** Its answer is here. */
  end(mark: string): void {
    this.#claims.delete(mark)
  }

  /** What the server recorded for them, oldest first; asked through another connection. */
  async find(client: RedisClient, options: RedisOptions): Promise<readonly Place[]> {
    if (this.#claims.size === 0) return []
    const oldest = Math.min(...[...this.#claims.values()].map(({ at }) => at))
    const seconds = (this.#clock.monotonic() - oldest) / 1000 + slackSeconds
    const places = new Map<string, Place>()
    for (let from = ''; ; ) {
      const args = [this.#marks.owner, seconds, from, batchSize]
      const reply = await client.script(ownedScript, [options.unackedKey, options.indexKey], args)
      const [seen, last, ...items] = reply as [number, Buffer, ...Buffer[]]
      for (let at = 0; at < items.length; at += 2) {
        const tag = String(items[at])
        const place = this.#place(tag, items[at + 1] as Buffer)
        if (place !== undefined) places.set(tag, place)
      }
      if (seen < batchSize) return [...places.values()]
      // Again the last score, which may be that of more; but it must go on where all had the same.
      from = from === String(last) ? `(${last}` : String(last)
    }
  }

  #place(tag: string, value: Buffer): Place | undefined {
    const mark = value.toString('latin1', value.length - markLength)
    const claim = this.#claims.get(mark)
    if (claim === undefined) return undefined
    try {
      const [envelope, exchange, routingKey] = decodeJson(value, { exact: true }) as readonly unknown[]
      const bytes = Buffer.from(encodeJson(envelope))
      decodeVirtualEnvelope(bytes)
      const isKnown =
        claim.queues.length === 1 || (exchange === '' && claim.queues.includes(String(routingKey)))
      const queue = claim.queues.length === 1 ? claim.queues[0] : String(routingKey)
      return isKnown && queue !== undefined ? { queue, tag, mark, bytes } : undefined
    } catch {
      // Whoever restores it later sets it aside.
      return undefined
    }
  }
}
