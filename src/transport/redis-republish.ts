/**
 * Messages whose push was not answered: the server may have them. Before they are pushed again it is looked for them.
 *
 * Rule 1: only here is anything looked for: a first push costs what it costs.
 * Rule 2: a command is done whole or not at all. So one trace of one of its messages proves all of them pushed, also those
 *         that have run meanwhile.
 * Rule 3: a trace is the very text in one of the lists of its queue (all priority steps), its tag among what is held, or
 *         its tag at an end of those lists, in a text that a restorer has marked as redelivered.
 * Rule 4: looking and pushing is one script. Nothing is left of a command whose messages were all acknowledged (or
 *         purged) meanwhile: it is pushed again.
 */
import type { Envelope } from '../../protocol/envelope.js'
import { BrokerUnavailableError, ConnectivityError } from '../errors.js'
import type { Stored } from './queue-store.js'
import { type RedisClient, redisScript } from './redis-client.js'
import { type RedisOptions, stepKeys } from './redis-options.js'

/** Items at each end of a list that are looked into. What is restored goes to one end, what is requeued to the other. */
const endSize = 1000

/**
 * KEYS unacked, the list, then the other lists of its queue. ARGV how many, 'e' when they came through an exchange (then
 * they are held under tags that begin with theirs), their tags, their texts, in the order of the push. Returns how many
 * it has pushed.
 */
const republishScript = redisScript(`
local count = tonumber(ARGV[1])
local tags, texts, known = {}, {}, {}
for i = 1, count do
  tags[i], texts[i] = ARGV[2 + i], ARGV[2 + count + i]
  known[tags[i]] = true
end
local function isThere()
  for at = 2, #KEYS do
    -- what was pushed last is taken last
    if redis.call('LPOS', KEYS[at], texts[count]) then return true end
  end
  for _, value in ipairs(redis.call('HMGET', KEYS[1], unpack(tags))) do
    if value then return true end
  end
  if ARGV[2] == 'e' then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
      if known[string.match(field, '^([^.]+)%.') or ''] then return true end
    end
  end
  for at = 2, #KEYS do
    for _, range in ipairs({{0, ${endSize - 1}}, {-${endSize}, -1}}) do
      for _, text in ipairs(redis.call('LRANGE', KEYS[at], range[1], range[2])) do
        if string.find(text, tags[count], 1, true) then return true end
      end
    end
  end
  return false
end
if isThere() then return 0 end
redis.call('LPUSH', KEYS[2], unpack(texts))
return count
`)

interface Found {
  readonly command: readonly string[]
  readonly text: string
}

/** What was on its way into one list when its push failed. Those who shared the push share it. */
class Part {
  readonly list: string
  /** The server has answered that it has them, though not other parts of the same publish. */
  readonly isDone: boolean
  readonly #commands: readonly (readonly string[])[]
  /** What was found for a message, so that it is found again; of two messages that are alike, each has its own. */
  readonly #found = new Map<Envelope, Found>()
  #free: Map<string, Found[]> | undefined

  /** `commands` are the texts of each. */
  constructor(list: string, commands: readonly (readonly string[])[], isDone = false) {
    this.list = list
    this.isDone = isDone
    this.#commands = commands
  }

  /** What was sent for a message, whose text is now `text`: the same but for the delivery tag. */
  find(envelope: Envelope, text: string): Found | undefined {
    const known = this.#found.get(envelope)
    if (known !== undefined) return known
    this.#free ??= this.#all()
    const found = this.#free.get(untagged(text))?.shift()
    if (found !== undefined) this.#found.set(envelope, found)
    return found
  }

  #all(): Map<string, Found[]> {
    const all = new Map<string, Found[]>()
    for (const command of this.#commands) {
      for (const text of command) {
        const known = all.get(untagged(text))
        if (known === undefined) all.set(untagged(text), [{ command, text }])
        else known.push({ command, text })
      }
    }
    return all
  }
}

/** A copy on its way into a list; its text is that of the first attempt but for the delivery tag. */
export interface Placed {
  readonly message: Stored
  readonly list: string
  readonly text: string
}

/** A push that failed, and what the server may have of it. Those who share the push share the error. */
export class RedisUnansweredError extends BrokerUnavailableError {
  readonly parts: readonly Part[]

  /** Says what `cause` says. */
  constructor(cause: Error, parts: readonly Part[]) {
    super(cause.message, { cause })
    this.parts = parts
  }
}

/** The error of a push to one list that failed with `cause`. */
export function unanswered(cause: unknown, list: string, commands: readonly (readonly string[])[]): unknown {
  if (!(cause instanceof ConnectivityError)) return cause
  return new RedisUnansweredError(cause, [new Part(list, commands)])
}

/**
 * The error of a publish of which `error` is the first failure: waits for the other pushes (they go over one connection,
 * so that they end with it) and remembers all of them, those that succeeded too.
 */
export async function allUnanswered(
  error: unknown,
  sent: ReadonlyMap<Promise<void>, string>,
): Promise<unknown> {
  if (!(error instanceof RedisUnansweredError)) return error
  const parts: Part[] = []
  for (const [push, list] of sent) {
    try {
      await push
      parts.push(new Part(list, [], true))
    } catch (failure) {
      if (failure instanceof RedisUnansweredError) parts.push(...failure.parts)
    }
  }
  return new RedisUnansweredError(error, parts)
}

/** What one publish had in one command, in its order. */
interface Sent {
  readonly queue: string
  readonly list: string
  readonly texts: string[]
  readonly isExchange: boolean
}

/**
 * Pushes what none of the earlier attempts has left with the server. Gives the messages that none of them knows, which
 * are new.
 */
export async function republish(
  client: RedisClient,
  options: RedisOptions,
  placed: readonly Placed[],
  after: readonly Error[],
): Promise<readonly Stored[]> {
  const parts = after.flatMap((error) => (error instanceof RedisUnansweredError ? error.parts : []))
  const commands = new Map<readonly string[], Sent>()
  const fresh: Stored[] = []
  for (const { message, list, text } of placed) {
    const { queue, exchange } = message
    const own = parts.filter((part) => part.list === list)
    if (own.some((part) => part.isDone)) continue
    const earlier = own.map((part) => part.find(message.envelope, text)).find((one) => one !== undefined)
    if (earlier === undefined) {
      fresh.push(message)
      continue
    }
    const sent = commands.get(earlier.command) ?? { queue, list, texts: [], isExchange: exchange !== '' }
    commands.set(earlier.command, sent)
    sent.texts.push(earlier.text)
  }
  await Promise.all(
    [...commands.values()].map(({ queue, list, texts, isExchange }) => {
      const others = stepKeys(options, queue).filter((key) => key !== list)
      const args = [texts.length, isExchange ? 'e' : '', ...texts.map(tagIn), ...texts]
      return client.script(republishScript, [options.unackedKey, list, ...others], args)
    }),
  )
  return fresh
}

/** Our envelopes end with the delivery tag. */
const tagAtEnd = /"delivery_tag": ?"([^"]+)"\}\}$/

function untagged(text: string): string {
  return text.replace(tagAtEnd, '')
}

function tagIn(text: string): string {
  return tagAtEnd.exec(text)?.[1] ?? ''
}
