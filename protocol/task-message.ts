/**
 * Task messages, both ways: protocol 2 here, protocol 1 and hybrids in `task-message-v1.ts` (`celery/app/amqp.py`
 * `as_task_v2`, `celery/worker/request.py`, `celery/worker/strategy.py`).
 *
 * Rule 1: headers are written in Celery's order, all of them, custom ones last and over the others.
 * Rule 2: what a Python worker accepts is accepted; what kills one is a `ProtocolError` (wire-format 16.1).
 * Rule 3: headers decide alone. The body is opened by `decodeTaskBody`, where the task runs.
 */
import { CarriedSteps, openCarrying } from './carried-steps.js'
import type { Envelope, MessageProperties } from './envelope.js'
import { DecodeError, ProtocolError, UnknownMessageError } from './errors.js'
import { encodeJson } from './json.js'
import { asMapping } from './mapping.js'
import { propertiesFromWire } from './message-properties.js'
import { saferepr } from './python-repr.js'
import type { Accept, Codec, Payload } from './serializers.js'
import type { TaskBody, TaskFields, TaskMessage } from './task.js'
import { bodyTriple, carriedJson, readBodyMapping, readBodyTriple } from './task-body.js'
import { messageFromHeaders } from './task-headers.js'
import { bodyV1, messageFromBody, messageFromHybrid } from './task-message-v1.js'
import { Tuple } from './values.js'

export type { TaskBody, TaskFields, TaskMessage } from './task.js'

/** How a task message is written. */
export interface TaskEncoding {
  readonly codec: Codec
  /** Name or content type. */
  readonly serializer: string
  /** Any alias of wire-format section 4; not compressed when left out. */
  readonly compression?: string | undefined
  /** True shows the arguments as a Python tuple in `argsrepr`, as `delay(2, 3)` does. Default false. */
  readonly argsAsTuple?: boolean | undefined
  /** Default 2. */
  readonly protocol?: 1 | 2 | undefined
}

/** What a reader of bodies opens, and with what. */
export interface BodyPolicy {
  readonly codec: Codec
  readonly accept: Accept
}

/** Writes a task message (wire-format 1.1, 1.6). Throws `EncodeError`, and `InvalidTaskError` for a chain in protocol 1. */
export function encodeTask(fields: TaskFields, body: TaskBody, how: TaskEncoding): Envelope {
  const asTuple = how.argsAsTuple === true
  const payload = carried(body, how) ?? how.codec.encode(payloadValue(fields, body, how), how.serializer)
  const headers = how.protocol === 1 ? {} : taskHeaders(fields, body.args, body.kwargs, { asTuple })
  return compressed(payload, headers, taskProperties(fields), how)
}

/** The body whose chain goes on as it came: where one list of JSON is as good as another (`isPlainJson`). */
function carried(body: TaskBody, { codec, serializer, protocol }: TaskEncoding): Payload | undefined {
  if (!(body.chain instanceof CarriedSteps) || protocol === 1 || !codec.isPlainJson(serializer))
    return undefined
  const bytes = carriedJson(body, encodeJson)
  return bytes && { ...codec.encode([], serializer), body: bytes }
}

function payloadValue(fields: TaskFields, body: TaskBody, how: TaskEncoding): unknown {
  return how.serializer === 'pickle' ? pickled(fields, body, how) : bodyValue(fields, body, how)
}

function bodyValue(fields: TaskFields, body: TaskBody, { protocol }: TaskEncoding): unknown {
  return protocol === 1 ? bodyV1(fields, body) : bodyTriple(body)
}

/** Only pickle can tell a tuple from a list; Python sends tuples there. */
function pickled(fields: TaskFields, body: TaskBody, how: TaskEncoding): unknown {
  const args = how.argsAsTuple === true ? Tuple.from(body.args) : body.args
  const value = bodyValue(fields, { ...body, args }, how)
  return Array.isArray(value) ? Tuple.from(value) : value
}

/** The headers of protocol 2 in Celery's emission order (surface PUB-030). */
export function taskHeaders(
  fields: TaskFields,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  how: { readonly asTuple?: boolean } = {},
): Readonly<Record<string, unknown>> {
  const stamped = fields.stampedHeaders
  const headers = {
    lang: fields.lang ?? 'js',
    task: fields.task,
    id: fields.id,
    shadow: fields.shadow ?? null,
    eta: fields.eta ?? null,
    expires: fields.expires ?? null,
    group: fields.groupId ?? null,
    group_index: fields.groupIndex ?? null,
    retries: fields.retries ?? 0,
    timelimit: [fields.timeLimit ?? null, fields.softTimeLimit ?? null],
    root_id: fields.rootId || fields.id,
    parent_id: fields.parentId ?? null,
    argsrepr: fields.argsRepr ?? saferepr(args, how),
    kwargsrepr: fields.kwargsRepr ?? saferepr(kwargs),
    origin: fields.origin ?? null,
    ignore_result: fields.ignoreResult ?? null,
    replaced_task_nesting: fields.replacedTaskNesting ?? 0,
    stamped_headers: stamped ?? null,
    stamps: fields.stamps ?? {},
  }
  return fields.customHeaders === undefined ? headers : { ...headers, ...fields.customHeaders }
}

/** The properties of a task message (wire-format 1.1.2). */
export function taskProperties(fields: TaskFields): MessageProperties {
  const { expiration, properties } = fields
  const own = {
    correlationId: fields.correlationId ?? fields.id,
    replyTo: fields.replyTo ?? '',
    deliveryMode: fields.deliveryMode ?? 2,
    priority: fields.priority ?? 0,
  }
  if (properties === undefined && expiration === undefined) return own
  const given = properties === undefined ? {} : propertiesFromWire(properties)
  return { ...given, ...own, ...(expiration === undefined ? {} : { expiration }) }
}

/** Compresses where asked to and says so in the headers, last as kombu does. */
function compressed(
  payload: Payload,
  headers: Readonly<Record<string, unknown>>,
  properties: MessageProperties,
  how: Pick<TaskEncoding, 'codec' | 'compression'>,
): Envelope {
  const { contentType, contentEncoding } = payload
  if (how.compression === undefined) {
    return { body: payload.body, contentType, contentEncoding, headers, properties }
  }
  const { body, mime } = how.codec.compress(payload.body, how.compression)
  return { body, contentType, contentEncoding, headers: { ...headers, compression: mime }, properties }
}

/**
 * Reads what a message says about its task. Without `policy` the body stays closed: enough for protocol 2, and
 * protocol 1 is then an `UnknownMessageError`. Throws `InvalidTaskError`, `UnknownMessageError`, and for a body that
 * had to be opened `DecodeError`, `ContentRefusedError` or `SizeLimitError`.
 */
export function decodeTask(envelope: Envelope, policy?: BodyPolicy): TaskMessage {
  const isV2 = Object.hasOwn(envelope.headers, 'task')
  if (isV2 && (policy === undefined || !mayHoldMapping(envelope))) return readHeaders(envelope)
  if (policy === undefined) {
    throw new UnknownMessageError(
      'A message without task header can only be of protocol 1, which is told by its body; it was not opened.',
    )
  }
  return readOpened(envelope, openTaskBody(bodyOf(envelope), policy))
}

/** Reads the arguments and follow-ups of a message. Throws as `decodeTask` with a policy does. */
export function decodeTaskBody(message: TaskMessage, policy: BodyPolicy): TaskBody {
  return readBody(openTaskBody(message.body, policy), message.task)
}

/** `decodeTask` and `decodeTaskBody` at once, opening the body once. */
export function readTask(
  envelope: Envelope,
  policy: BodyPolicy,
): { readonly message: TaskMessage; readonly body: TaskBody } {
  const payload = openTaskBody(bodyOf(envelope), policy)
  const message = readOpened(envelope, payload)
  return { message, body: readBody(payload, message.task) }
}

function readHeaders(envelope: Envelope): TaskMessage {
  return messageFromHeaders(envelope.headers, envelope, { protocol: 2, utc: true })
}

function readOpened(envelope: Envelope, payload: unknown): TaskMessage {
  const mapping = asMapping(payload)
  if (Object.hasOwn(envelope.headers, 'task')) {
    const isHybrid = mapping !== undefined && Object.hasOwn(mapping, 'args')
    return isHybrid ? messageFromHybrid(mapping, envelope) : readHeaders(envelope)
  }
  if (mapping === undefined || !Object.hasOwn(mapping, 'task')) {
    throw new UnknownMessageError(
      'A message has neither a task header (protocol 2) nor a body with a task key (protocol 1); it is no task.',
    )
  }
  return messageFromBody(mapping, envelope)
}

function readBody(payload: unknown, task: string): TaskBody {
  const mapping = asMapping(payload)
  return mapping !== undefined && (Object.hasOwn(mapping, 'args') || Object.hasOwn(mapping, 'task'))
    ? readBodyMapping(mapping, task)
    : readBodyTriple(payload, task)
}

/** Decompresses and decodes any message's body. Throws `DecodeError`, `ContentRefusedError`, `SizeLimitError`. */
export function openEnvelope(envelope: Envelope, policy: BodyPolicy): unknown {
  return openBody(bodyOf(envelope), policy)
}

function bodyOf(envelope: Envelope): TaskMessage['body'] {
  const { body, contentType, contentEncoding, headers } = envelope
  const compression = Object.hasOwn(headers, 'compression') ? headers['compression'] : undefined
  return {
    body,
    contentType,
    contentEncoding,
    compression: typeof compression === 'string' && compression !== '' ? compression : undefined,
  }
}

function openBody(body: TaskMessage['body'], policy: BodyPolicy): unknown {
  return opened(body, policy, (payload) => policy.codec.decode(payload, policy.accept))
}

/** The steps of a chain stay closed where they can. */
function openTaskBody(body: TaskMessage['body'], policy: BodyPolicy): unknown {
  const { codec, accept } = policy
  const decode = (payload: Payload): unknown => codec.decode(payload, accept)
  return opened(body, policy, (payload) => {
    const mayCarry =
      payload.contentType === 'application/json' &&
      payload.body.length <= codec.maxBytes &&
      codec.isPlainJson(payload.contentType)
    return (mayCarry ? openCarrying(payload, decode) : undefined) ?? decode(payload)
  })
}

function opened(
  body: TaskMessage['body'],
  { codec }: BodyPolicy,
  open: (payload: Payload) => unknown,
): unknown {
  const { contentType, contentEncoding, compression } = body
  try {
    const bytes = compression === undefined ? body.body : codec.decompress(body.body, compression)
    return open({ body: bytes, contentType, contentEncoding })
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    // a user's serializer may throw anything
    throw new DecodeError(`A ${contentType} body cannot be decoded: ${String(cause)}`, { cause })
  }
}

/** Looks at the first bytes, so that the usual body (a list) is not decoded just to see that it is no hybrid. */
function mayHoldMapping(envelope: Envelope): boolean {
  const { body, contentType, headers } = envelope
  if (Object.hasOwn(headers, 'compression')) return true
  const first = body.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d)
  if (first === undefined) return false
  if (contentType === 'application/json') return first !== 0x5b
  if (contentType === 'application/x-yaml') return first !== 0x5b && first !== 0x2d
  if (contentType === 'application/x-msgpack') return (first & 0xf0) !== 0x90
  return true
}
