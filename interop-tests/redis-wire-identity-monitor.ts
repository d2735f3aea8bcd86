/**
 * What a Redis server was told to change, as `MONITOR` shows it: commands of clients and of scripts alike, taken apart
 * into single effects and freed of what may differ between two programs that do the same.
 *
 * Rule 1: every command is known here, as a change or as a reading; an unknown one is an error.
 * Rule 2: only ids that nobody chose, moments, `lang`, `origin`, process ids and the text of tracebacks are replaced;
 *         ids by the order in which they first appear, moments by their distance from the server's clock.
 */
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { createCodec, decompress } from '../protocol/index.js'
import type { RedisServer } from './redis-server.js'

/** One change of one key (or channel). */
export interface Effect {
  readonly key: string
  readonly what: string
  readonly value?: unknown
}

interface Command {
  readonly atMs: number
  readonly words: readonly string[]
}

/** Records the commands of one server. */
export class Monitor {
  readonly #server: RedisServer
  readonly #socket: Socket
  #commands: Command[] = []
  #rest = ''
  #marks = 0
  #seen: () => void = () => {}

  private constructor(server: RedisServer, socket: Socket) {
    this.#server = server
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => this.#read(chunk))
    socket.on('error', () => {})
  }

  static async start(server: RedisServer): Promise<Monitor> {
    const socket = createConnection(server.port, '127.0.0.1')
    await once(socket, 'connect')
    const monitor = new Monitor(server, socket)
    socket.write('MONITOR\r\n')
    await once(socket, 'data')
    return monitor
  }

  /** All commands since the last call, in the server's order. Rejects after 10 s. */
  async commands(): Promise<readonly Command[]> {
    const mark = `mark-${++this.#marks}`
    const client = this.#server.client()
    const seen = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('MONITOR showed no mark within 10 s')), 10_000)
      this.#seen = () => {
        if (!this.#commands.some(({ words }) => words[0] === 'ECHO' && words[1] === mark)) return
        clearTimeout(timer)
        resolve()
      }
    })
    await client.call('ECHO', mark)
    this.#seen()
    await seen
    client.disconnect()
    const at = this.#commands.findIndex(({ words }) => words[1] === mark)
    return this.#commands.splice(0, at + 1).slice(0, -1)
  }

  /** Whether a command of this name came since `commands` was last called. */
  saw(name: string): boolean {
    return this.#commands.some(({ words }) => words[0] === name)
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: string): void {
    const lines = (this.#rest + chunk).split('\r\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      const time = /^\+(\d+\.\d+) \[/.exec(line)?.[1]
      if (time === undefined) continue
      // Nothing in front of the first quotation mark but the time and the client.
      const words = [...line.matchAll(/"((?:\\.|[^"\\])*)"/g)].map(([, word = '']) => unescaped(word))
      words[0] = (words[0] ?? '').toUpperCase()
      this.#commands.push({ atMs: Number(time) * 1000, words })
    }
    this.#seen()
  }
}

const letters: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }

function unescaped(word: string): string {
  const bytes = word.replace(/\\(x[0-9a-f]{2}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (letters[code] ?? code),
  )
  return Buffer.from(bytes, 'latin1').toString()
}

const readings = new Set(
  [
    'AUTH BRPOP CLIENT COMMAND ECHO EVAL EVALSHA EXEC EXISTS GET GETRANGE HELLO HEXISTS HGET HGETALL HKEYS HLEN',
    'HMGET HSCAN HVALS INFO KEYS LLEN LRANGE MGET MONITOR MULTI PING PTTL RPOP SCAN SCRIPT SELECT SMEMBERS',
    'STRLEN TIME TTL TYPE UNWATCH WATCH ZCARD ZCOUNT ZMSCORE ZRANGE ZRANGEBYSCORE ZRANK ZREVRANGEBYSCORE ZSCORE',
  ].flatMap((line) => line.split(' ')),
)

/** Whether a member of a written object is not compared. */
export type PassesOver = (member: string, value: unknown, of: Readonly<Record<string, unknown>>) => boolean

/** How effects become comparable; one for each step of each side. */
export class Normal {
  readonly #ids = new Map<string, string>()
  readonly #passesOver: PassesOver
  readonly #codec = createCodec()
  readonly #accept = this.#codec.accepting(['json', 'yaml', 'msgpack', 'pickle'])

  constructor(passesOver: PassesOver) {
    this.#passesOver = passesOver
  }

  /** The effects of commands but for those that `skips`, in their order. Throws for a command nobody thought of. */
  effects(
    commands: readonly Command[],
    skips: (command: string, key: string, rest: string) => boolean,
  ): Effect[] {
    return commands.flatMap(({ words, atMs }) => {
      const [name = '', key = '', ...rest] = words
      // First: what is passed over must not number ids.
      if (skips(name, key, rest.join(' '))) return []
      const effect = (what: string, value?: unknown, of = key): Effect => ({
        key: this.text(of),
        what,
        ...(value === undefined ? {} : { value: this.value(value, atMs) }),
      })
      switch (name) {
        case 'LPUSH':
        case 'RPUSH':
          return rest.map((each) => effect(name, parsed(each)))
        case 'HSET':
          return pairs(rest).map(([tag, triple]) => effect('HSET', parsed(triple), `${key} of ${tag}`))
        case 'ZADD':
          return pairs(rest.filter((each) => !/^(XX|CH|GT)$/.test(each))).map(([score, member]) =>
            Number(score) > 1e9
              ? effect('ZADD', {
                  member,
                  score: Math.abs(Number(score) * 1000 - atMs) < 2000 ? 'NOW' : score,
                })
              : effect('ZADD', { member: parsed(member), score: Number(score) }),
          )
        case 'HDEL':
        case 'ZREM':
          return rest.map((tag) => effect(name, undefined, `${key} of ${tag}`))
        case 'SREM':
        case 'SADD':
          return rest.map((each) => effect(name, each))
        case 'SETEX':
          return [effect(`keep ${rest[0]} s`, parsed(rest[1] ?? ''))]
        case 'SET':
          return [effect(['keep', ...rest.slice(1)].join(' '), parsed(rest[0] ?? ''))]
        case 'PUBLISH':
          return [effect('PUBLISH', parsed(rest[0] ?? ''))]
        case 'EXPIRE':
        case 'INCRBY':
          return [effect(`${name} ${rest[0]}`)]
        case 'DEL':
        case 'SUBSCRIBE':
        case 'UNSUBSCRIBE':
        case 'PSUBSCRIBE':
        case 'PUNSUBSCRIBE':
          return [key, ...rest].map((each) => effect(name, undefined, each))
        default:
          if (!readings.has(name)) throw new Error(`MONITOR showed an unknown command: ${words.join(' ')}`)
          return []
      }
    })
  }

  /** A value without what may differ; `nowMs` is when it was written. */
  value(value: unknown, nowMs: number): unknown {
    if (typeof value === 'string') return this.text(value)
    if (Array.isArray(value)) return value.map((each) => this.value(each, nowMs))
    if (typeof value !== 'object' || value === null) return value
    if (value instanceof Map) return this.value(Object.fromEntries(value), nowMs)
    const opened = this.opened(value as Readonly<Record<string, unknown>>)
    const entries = Object.entries(opened).sort(([a], [b]) => (a < b ? -1 : 1))
    const compared = entries.filter(([member, each]) => !this.#passesOver(member, each, opened))
    return Object.fromEntries(compared.map(([name, each]) => [name, this.member(name, each, nowMs, opened)]))
  }

  private member(
    name: string,
    value: unknown,
    nowMs: number,
    of: Readonly<Record<string, unknown>>,
  ): unknown {
    if (name === 'lang') return value === 'py' || value === 'js' ? 'LANG' : value
    if (name === 'origin') return /^gen\d+@/.test(String(value)) ? 'ORIGIN' : value
    if (name === 'pid' && typeof value === 'number') return 'PID'
    if (name === 'traceback' && typeof value === 'string') return 'TRACEBACK'
    if (name === 'expiration' && Number(value) > 1e9) return 'UNTIL EXPIRES'
    if (name === 'expires' && typeof value === 'number' && value > 1e9)
      return fromNow(value * 1000, nowMs, '')
    if (name === 'timestamp' && typeof value === 'number') return present(value * 1000, nowMs, '')
    if (name === 'clock' && typeof value === 'number') return 'CLOCK'
    if (/^(eta|expires|date_done)$/.test(name) && typeof value === 'string') {
      const zone = /(Z|[+-]\d\d:\d\d)$/.exec(value)?.[0] ?? 'naive'
      const moment = Date.parse(zone === 'naive' ? `${value}Z` : value)
      // Moments of another decade were given, not computed.
      if (Math.abs(moment - nowMs) > 1e10) return value
      return name === 'date_done' ? present(moment, nowMs, zone) : fromNow(moment, nowMs, zone)
    }
    if (name === 'delivery_tag' && of.delivery_info === undefined) return value
    return this.value(value, nowMs)
  }

  /** Envelopes with their body decoded. */
  private opened(value: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
    const { body, headers, 'content-type': contentType, 'content-encoding': contentEncoding } = value
    if (typeof body !== 'string' || typeof contentType !== 'string') return value
    const compression = (headers as Record<string, unknown>).compression
    const bytes = Buffer.from(body, 'base64')
    const plain = typeof compression === 'string' ? decompress(bytes, compression, 1e7) : bytes
    const payload = { body: plain, contentType, contentEncoding: String(contentEncoding) }
    return { ...value, body: this.#codec.decode(payload, this.#accept) }
  }

  /** Text with its UUIDs replaced by their number; those that begin with `00000000-` were given by the test. */
  text(text: string): string {
    return text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
      if (id.startsWith('00000000-')) return id
      const known = this.#ids.get(id) ?? `id ${this.#ids.size + 1}`
      this.#ids.set(id, known)
      return known
    })
  }
}

function fromNow(moment: number, nowMs: number, zone: string): string {
  const seconds = (moment - nowMs) / 1000
  // A worker may be a second late; half a second divides what tasks ask for.
  return `now ${seconds < -0.9 ? Math.round(seconds) : `+ ${Math.round(Math.max(0, seconds))}`} s ${zone}`
}

/** The moment at which something was written: on a busy machine the server hears of it much later, but not earlier. */
function present(moment: number, nowMs: number, zone: string): string {
  const lateMs = nowMs - moment
  return lateMs > -100 && lateMs < 60_000 ? `now ${zone}` : fromNow(moment, nowMs, zone)
}

function pairs(words: readonly string[]): [string, string][] {
  const found: [string, string][] = []
  for (let at = 0; at + 1 < words.length; at += 2) found.push([words[at] ?? '', words[at + 1] ?? ''])
  return found
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Effects key by key: between keys the order is each program's own. */
export function byKey(effects: readonly Effect[]): Record<string, unknown[]> {
  const found: Record<string, unknown[]> = {}
  for (const { key, ...effect } of [...effects].sort((a, b) =>
    a.key < b.key ? -1 : a.key > b.key ? 1 : 0,
  )) {
    found[key] ??= []
    found[key].push(effect)
  }
  return found
}
