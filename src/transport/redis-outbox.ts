import type { RedisClient, RedisCommand } from './redis-client.js'
import { unanswered } from './redis-republish.js'

/** Most messages in one push. */
const largestPush = 1000
/** Most characters in one push, unless a single message has more: the server takes commands of 1 GB, and blocks meanwhile. */
const longestPush = 1_000_000

/** Gathers what many callers push in one turn of the event loop, so that it shares a command. */
export class RedisOutbox {
  readonly #client: RedisClient
  /** Pushes of this turn that have not gone out yet, by list. */
  readonly #outgoing = new Map<string, { readonly texts: string[]; readonly sent: Promise<void> }>()

  constructor(client: RedisClient) {
    this.#client = client
  }

  /** Sends at the end of this turn; what waits for one list goes in order, and fails on its own. */
  push(list: string, text: string): Promise<void> {
    const known = this.#outgoing.get(list)
    if (known !== undefined) {
      known.texts.push(text)
      return known.sent
    }
    const texts = [text]
    const sent = new Promise<void>((resolve, reject) => {
      process.nextTick(() => {
        this.#outgoing.delete(list)
        this.#send(list, texts).then(
          () => resolve(),
          (cause) => reject(unanswered(cause, list, sharedPushes(texts))),
        )
      })
    })
    this.#outgoing.set(list, { texts, sent })
    return sent
  }

  #send(list: string, texts: readonly string[]): Promise<unknown> {
    const [text] = texts
    if (texts.length === 1 && text !== undefined) return this.#client.run('LPUSH', list, text)
    return this.#client.batch(pushes(list, texts))
  }
}

function pushes(list: string, texts: readonly string[]): readonly RedisCommand[] {
  return sharedPushes(texts).map((part) => ['LPUSH', list, ...part])
}

/** How what goes out to one list is divided into commands. */
function sharedPushes(texts: readonly string[]): readonly (readonly string[])[] {
  const parts: string[][] = []
  let part: string[] = []
  let length = 0
  const end = (): void => {
    if (part.length > 0) parts.push(part)
    part = []
    length = 0
  }
  for (const text of texts) {
    if (part.length === largestPush || length + text.length > longestPush) end()
    part.push(text)
    length += text.length
  }
  end()
  return parts
}
