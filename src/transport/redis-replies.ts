/**
 * Reads what a Redis server sends (RESP 2).
 *
 * Rule 1: a reply may come in any number of pieces; no byte of it is read over and over.
 * Rule 2: a refusal is a value here, also inside a list: whoever asked decides whether it is thrown.
 */

/** What a server refused, in its words. */
export class RedisReplyError extends Error {
  override readonly name = 'ReplyError'
}

/** A list of which some elements are still to come. */
interface OpenList {
  readonly items: unknown[]
  readonly size: number
}

/** Stands for a value that is not here in full. */
const incomplete = Symbol('incomplete')

const [cr, lf, minus] = [13, 10, 45]

/** Takes bytes and gives replies, in order. */
export class RedisReplies {
  readonly #onReply: (reply: unknown) => void
  readonly #wantsText: () => boolean
  /** Bytes that were not read, and where the next value begins in them. */
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  /** Pieces that came while a long text is incomplete, and how many bytes must be here to go on. */
  #pieces: Buffer[] = []
  #length = 0
  #needed = 0
  readonly #open: OpenList[] = []

  /** `wantsText` is asked for each text whether it is to be a string, not bytes. */
  constructor(onReply: (reply: unknown) => void, wantsText: () => boolean) {
    this.#onReply = onReply
    this.#wantsText = wantsText
  }

  /** Reads on. Throws for bytes that no Redis server sends. */
  write(chunk: Buffer): void {
    this.#pieces.push(chunk)
    this.#length += chunk.length
    if (this.#length < this.#needed) return
    this.#bytes = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces, this.#length)
    this.#at = 0
    this.#needed = 0
    while (this.#at < this.#bytes.length) {
      const value = this.#value()
      if (value === incomplete) break
      this.#take(value)
    }
    const rest = this.#bytes.subarray(this.#at)
    this.#pieces = rest.length > 0 ? [rest] : []
    this.#length = rest.length
  }

  /** Into the list that is open, or out when there is none. */
  #take(value: unknown): void {
    let whole = value
    for (let list = this.#open.at(-1); list !== undefined; list = this.#open.at(-1)) {
      list.items.push(whole)
      if (list.items.length < list.size) return
      this.#open.pop()
      whole = list.items
    }
    this.#onReply(whole)
  }

  /** The value at this place. A list is opened, and its first element read; empty and absent ones are values. */
  #value(): unknown {
    for (;;) {
      const end = this.#lineEnd()
      if (end === -1) return incomplete
      const type = this.#bytes[this.#at]
      if (type === 0x24) return this.#text(end)
      if (type !== 0x2a) return this.#line(type, end)
      const size = this.#number(this.#at + 1, end)
      this.#at = end + 2
      if (size <= 0) return size === 0 ? [] : null
      this.#open.push({ items: [], size })
    }
  }

  /** Lines are short: a number, or a few words. */
  #lineEnd(): number {
    const bytes = this.#bytes
    for (let at = this.#at + 1; at < bytes.length - 1; at += 1) {
      if (bytes[at] === cr && bytes[at + 1] === lf) return at
    }
    return -1
  }

  #line(type: number | undefined, end: number): unknown {
    const from = this.#at + 1
    this.#at = end + 2
    if (type === 0x3a) return this.#number(from, end)
    const text = this.#bytes.toString('utf8', from, end)
    if (type === 0x2b) return text
    if (type === 0x2d) return new RedisReplyError(text)
    throw new Error(`this is no answer of a Redis server: ${JSON.stringify(text.slice(0, 80))}`)
  }

  #text(lineEnd: number): unknown {
    const size = this.#number(this.#at + 1, lineEnd)
    const from = lineEnd + 2
    if (size < 0) {
      this.#at = from
      return null
    }
    const end = from + size
    if (end + 2 > this.#bytes.length) {
      this.#needed = end + 2 - this.#at
      return incomplete
    }
    this.#at = end + 2
    return this.#wantsText() ? this.#bytes.toString('utf8', from, end) : this.#bytes.subarray(from, end)
  }

  #number(from: number, end: number): number {
    const bytes = this.#bytes
    const isNegative = bytes[from] === minus
    let value = 0
    for (let at = isNegative ? from + 1 : from; at < end; at += 1) {
      const digit = (bytes[at] as number) - 48
      if (digit < 0 || digit > 9)
        throw new Error('this is no answer of a Redis server: a number was expected')
      value = value * 10 + digit
    }
    return isNegative ? -value : value
  }
}
