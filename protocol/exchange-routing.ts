/**
 * Which queues a message reaches on a virtual transport (`kombu/transport/virtual/exchange.py`, wire-format 5, 12.1).
 *
 * Rule 1: kombu's topic matching is not AMQP's: `*` is one or more characters not ending in a dot, so it also matches
 * across dots (`task.*` matches `task.a.b`); `#` is any text, but its dot stays (`worker.#` does not match `worker`).
 * Rule 2: a binding stored without pattern matches every key in a topic exchange (an empty regex does).
 * Rule 3: matching takes time proportional to pattern times key: the tables are shared and must not be able to hang us,
 * so the stored regex is not run.
 */
import { DecodeError } from './errors.js'
import { decodeJson, encodeJson } from './json.js'

/** One row of kombu's binding table: `[routing_key, pattern, queue]`. */
export interface BindingRecord {
  readonly routingKey: string
  /** kombu's regex of a topic binding; empty for the others. */
  readonly pattern: string
  readonly queue: string
}

/** Exchange types; kombu has no `headers` exchange on virtual transports, so nothing is routed by one. */
export type ExchangeType = 'direct' | 'topic' | 'fanout' | 'headers'

/** The record that kombu stores for a binding. */
export function bindingRecord(type: ExchangeType, routingKey: string, queue: string): BindingRecord {
  return { routingKey, pattern: type === 'topic' ? topicPattern(routingKey) : '', queue }
}

/** kombu's `key_to_pattern`: `worker.#` is `^worker\..*?$`. */
export function topicPattern(routingKey: string): string {
  let escaped = ''
  for (const character of routingKey) {
    if (/[\p{L}\p{N}.#*]/u.test(character)) escaped += character
    else escaped += character === '\0' ? '\\000' : `\\${character}`
  }
  const words = escaped.split('.').map((word) => (word === '*' ? '.*?[^\\.]' : word === '#' ? '.*?' : word))
  return `^${words.join('\\.')}$`
}

/** Whether a topic binding takes a routing key, by kombu's rules. */
export function topicMatches(bindingKey: string, routingKey: string): boolean {
  const tokens = topicTokens(bindingKey)
  if (tokens === undefined) return false
  // every position of the key that the tokens so far can end at
  let reachable = new Set([0])
  for (const token of tokens) {
    const reached = new Set<number>()
    for (const at of reachable) {
      if (token.kind === 'any') {
        for (let end = at; end <= routingKey.length; end++) {
          if (reached.has(end)) break
          reached.add(end)
          if (routingKey[end] === '\n') break
        }
      } else if (token.kind === 'repeat') {
        for (let end = at; !reached.has(end); end += token.text.length) {
          reached.add(end)
          if (!routingKey.startsWith(token.text, end)) break
        }
      } else if (token.kind === 'not-dot') {
        if (at < routingKey.length && routingKey[at] !== '.') reached.add(at + 1)
      } else if (routingKey.startsWith(token.text, at)) reached.add(at + token.text.length)
    }
    if (reached.size === 0) return false
    reachable = reached
  }
  if (reachable.has(routingKey.length)) return true
  // Python's $ also matches before a newline at the end
  return routingKey.endsWith('\n') && reachable.has(routingKey.length - 1)
}

type Token =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'repeat'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'not-dot' }

/**
 * The pieces of `topicPattern`. A wildcard counts only as a whole word; inside one, `#` is itself and `*` repeats the
 * character before it, because kombu leaves it to the regex. `undefined` for a key that makes no regex (`**` in a word).
 */
function topicTokens(bindingKey: string): readonly Token[] | undefined {
  const tokens: Token[] = []
  for (const [index, word] of bindingKey.split('.').entries()) {
    if (index > 0) tokens.push({ kind: 'text', text: '.' })
    if (word === '*') tokens.push({ kind: 'any' }, { kind: 'not-dot' })
    else if (word === '#') tokens.push({ kind: 'any' })
    else {
      for (const character of word) {
        if (character !== '*') tokens.push({ kind: 'text', text: character })
        else {
          const before = tokens.pop()
          if (before?.kind !== 'text') return undefined
          tokens.push({ kind: 'repeat', text: before.text })
        }
      }
    }
  }
  return tokens
}

/** Queues that a message reaches, each once, in the order of the table. */
export function matchingQueues(
  type: ExchangeType,
  bindings: readonly BindingRecord[],
  routingKey: string,
): readonly string[] {
  const queues = new Set<string>()
  for (const binding of bindings) {
    if (matches(type, binding, routingKey)) queues.add(binding.queue)
  }
  return [...queues]
}

function matches(type: ExchangeType, binding: BindingRecord, routingKey: string): boolean {
  if (type === 'fanout') return true
  if (type === 'direct') return binding.routingKey === routingKey
  if (type === 'topic') return binding.pattern === '' || topicMatches(binding.routingKey, routingKey)
  return false
}

/** A binding table as the filesystem transport keeps it: a JSON list of `[routing_key, pattern, queue]`. */
export function encodeBindings(bindings: readonly BindingRecord[]): string {
  return encodeJson(
    bindings.map(({ routingKey, pattern, queue }) => [routingKey, pattern, queue]),
    { style: 'python' },
  )
}

/** Reads a binding table; null in place of a text is empty, as kombu writes for `None`. Throws `DecodeError`. */
export function decodeBindings(text: string | Uint8Array): readonly BindingRecord[] {
  const rows = decodeJson(text)
  if (!Array.isArray(rows)) throw new DecodeError('A binding table must be a JSON list.')
  return rows.map((row: unknown) => {
    if (!Array.isArray(row) || row.length !== 3) {
      throw new DecodeError('A row of a binding table must be [routing_key, pattern, queue].')
    }
    const [routingKey, pattern, queue] = row.map((cell: unknown) => cell ?? '')
    if (typeof routingKey !== 'string' || typeof pattern !== 'string' || typeof queue !== 'string') {
      throw new DecodeError('A row of a binding table holds something that is not text.')
    }
    return { routingKey, pattern, queue }
  })
}
