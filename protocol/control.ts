/**
 * Remote control: requests and replies of kombu's process mailbox (`kombu/pidbox.py`, `kombu/matcher.py`;
 * wire-format 11.1, 11.2, 11.5).
 *
 * Rule 1: a request without reply has neither `ticket` nor `reply_to`.
 * Rule 2: every worker gets every request and decides by `addresses` whether it is meant.
 * Rule 3: the `expires` header is written and never obeyed, as in Python (surface CTL-005).
 */
import type { Envelope } from './envelope.js'
import { DecodeError } from './errors.js'
import { asMapping, describe, own } from './mapping.js'
import type { Codec } from './serializers.js'
import { type BodyPolicy, openEnvelope } from './task-message.js'
import { Float } from './values.js'

/** A command to workers. */
export interface ControlRequest {
  readonly method: string
  readonly arguments: Readonly<Record<string, unknown>>
  /** Node names; undefined or empty means everyone that `pattern` takes. */
  readonly destination?: readonly string[] | undefined
  readonly pattern?: string | undefined
  /** `glob` or `pcre`; a pattern without matcher is ignored, as in kombu. */
  readonly matcher?: string | undefined
  /** Both present when a reply is wanted. */
  readonly ticket?: string | undefined
  readonly replyTo?: { readonly exchange: string; readonly routingKey: string } | undefined
  /** The sender's logical clock; 0 when absent. */
  readonly clock: number
  /** Epoch seconds; 0 when the sender does not wait. */
  readonly expires: number
}

/** What one worker answered. */
export interface ControlReply {
  /** Values by node name; one in practice. */
  readonly replies: Readonly<Record<string, unknown>>
  /** undefined from a sender that does not know tickets: taken as meant for whoever reads it. */
  readonly ticket: string | undefined
  readonly clock: number
  /** Epoch seconds; a reply past it is dropped by its reader. undefined when absent. */
  readonly expires?: number | undefined
}

interface ControlEncoding {
  readonly codec: Codec
  /** `task_serializer` (surface CTL-004). */
  readonly serializer: string
}

/** Writes a request. Throws `EncodeError`. */
export function encodeControlRequest(request: ControlRequest, how: ControlEncoding): Envelope {
  const { ticket, replyTo } = request
  const wantsReply = ticket !== undefined && replyTo !== undefined
  const body = {
    method: request.method,
    arguments: request.arguments,
    destination: request.destination ?? null,
    pattern: request.pattern ?? null,
    matcher: request.matcher ?? null,
    ...(wantsReply
      ? { ticket, reply_to: { exchange: replyTo.exchange, routing_key: replyTo.routingKey } }
      : {}),
  }
  return {
    ...how.codec.encode(body, how.serializer),
    headers: { clock: request.clock, expires: request.expires },
    properties: { deliveryMode: 2, priority: 0 },
  }
}

/** Reads a request. Throws `DecodeError`, `ContentRefusedError`, `SizeLimitError`. */
export function decodeControlRequest(envelope: Envelope, policy: BodyPolicy): ControlRequest {
  const payload = openEnvelope(envelope, policy)
  const body = asMapping(payload)
  const method = body === undefined ? undefined : own(body, 'method')
  if (body === undefined || typeof method !== 'string') {
    throw new DecodeError(`A remote control request is ${describe(payload)}, not a mapping with a method.`)
  }
  const given = own(body, 'arguments')
  const isGiven = given !== null && given !== undefined && given !== false && given !== 0 && given !== ''
  const args = isGiven && !(Array.isArray(given) && given.length === 0) ? asMapping(given) : {}
  if (args === undefined) {
    throw new DecodeError(`The arguments of the remote control command ${method} are ${describe(given)}.`)
  }
  return {
    method,
    arguments: args,
    destination: nodeNames(own(body, 'destination')),
    pattern: text(own(body, 'pattern')),
    matcher: text(own(body, 'matcher')),
    ticket: text(own(body, 'ticket')),
    replyTo: replyAddress(own(body, 'reply_to')),
    clock: count(own(envelope.headers, 'clock')),
    expires: count(own(envelope.headers, 'expires')),
  }
}

/**
 * Whether a node has to run the request: listed in `destination`, else matched by `pattern`, else always. Throws
 * `DecodeError` for a matcher that does not exist or a pattern that is no regular expression.
 */
export function addresses(request: ControlRequest, nodeName: string): boolean {
  const { destination, pattern, matcher } = request
  if (destination !== undefined && destination.length > 0) return destination.includes(nodeName)
  if (!pattern || !matcher) return true
  if (matcher === 'glob') return globMatches(pattern, nodeName)
  if (matcher !== 'pcre') {
    throw new DecodeError(
      `No matcher installed for ${JSON.stringify(matcher.slice(0, 100))}; known are glob and pcre.`,
    )
  }
  try {
    // Python's re.match is anchored at the start only
    return new RegExp(`^(?:${pattern})`, 'u').test(nodeName)
  } catch (cause) {
    throw new DecodeError('The pattern of a remote control request is not a regular expression.', { cause })
  }
}

/** Python's `fnmatch`, in time proportional to pattern times name. */
function globMatches(pattern: string, name: string): boolean {
  let reachable = new Set([0])
  for (const piece of pattern.match(/\[!?\]?[^\]]*\]|[\s\S]/gu) ?? []) {
    const reached = new Set<number>()
    for (const at of reachable) {
      if (piece === '*') {
        for (let end = at; end <= name.length && !reached.has(end); end++) reached.add(end)
      } else if (at < name.length && pieceTakes(piece, name.charAt(at))) reached.add(at + 1)
    }
    reachable = reached
  }
  return reachable.has(name.length)
}

function pieceTakes(piece: string, character: string): boolean {
  if (piece === '?') return true
  if (piece.length === 1) return piece === character
  const isNegated = piece[1] === '!'
  const set = piece.slice(isNegated ? 2 : 1, -1)
  for (let at = 0; at < set.length; at++) {
    const from = set.charAt(at)
    const isRange = set[at + 1] === '-' && at + 2 < set.length
    if (isRange) at += 2
    if (character >= from && character <= set.charAt(at)) return !isNegated
  }
  return isNegated
}

/** Writes a node's reply to the ticket of a request. Throws `EncodeError`. */
export function encodeControlReply(reply: ControlReply, how: ControlEncoding): Envelope {
  return {
    ...how.codec.encode(reply.replies, how.serializer),
    headers: {
      ticket: reply.ticket ?? null,
      clock: reply.clock,
      ...(reply.expires === undefined ? {} : { expires: reply.expires }),
    },
    properties: { deliveryMode: 1, priority: 0 },
  }
}

/** Reads a reply. Throws `DecodeError`, `ContentRefusedError`, `SizeLimitError`. */
export function decodeControlReply(envelope: Envelope, policy: BodyPolicy): ControlReply {
  const payload = openEnvelope(envelope, policy)
  const replies = asMapping(payload)
  if (replies === undefined) {
    throw new DecodeError(`A remote control reply is ${describe(payload)}, not values by node name.`)
  }
  const expires = count(own(envelope.headers, 'expires'))
  return {
    replies,
    ticket: text(own(envelope.headers, 'ticket')),
    clock: count(own(envelope.headers, 'clock')),
    ...(expires > 0 ? { expires } : {}),
  }
}

/** The `revoked` of `hello`: `{id: [seconds, id]}` with seconds that stay floats, which Python insists on (11.5). */
export function encodeHelloRevoked(
  revoked: Iterable<readonly [id: string, monotonicSeconds: number]>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries([...revoked].map(([id, seconds]) => [id, [new Float(seconds), id]]))
}

/** Reads the `revoked` of a `hello`: ids and the sender's own monotonic seconds. What does not fit is left out. */
export function decodeHelloRevoked(
  value: unknown,
): readonly (readonly [id: string, monotonicSeconds: number])[] {
  const mapping = asMapping(value)
  if (mapping === undefined) return []
  return Object.entries(mapping).flatMap(([id, entry]) => {
    const seconds: unknown = Array.isArray(entry) ? entry[0] : entry
    const isNumber = typeof seconds === 'number' || seconds instanceof Float
    return isNumber && Number.isFinite(Number(seconds)) ? [[id, Number(seconds)] as const] : []
  })
}

function nodeNames(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string' && value !== '') return [value]
  if (!Array.isArray(value)) return undefined
  return value.filter((name): name is string => typeof name === 'string')
}

function replyAddress(value: unknown): ControlRequest['replyTo'] {
  const address = asMapping(value)
  if (address === undefined) return undefined
  const exchange = text(own(address, 'exchange'))
  const routingKey = text(own(address, 'routing_key'))
  return exchange === undefined || routingKey === undefined ? undefined : { exchange, routingKey }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function count(value: unknown): number {
  const read = typeof value === 'number' || value instanceof Float ? Number(value) : 0
  return Number.isFinite(read) ? read : 0
}
