/**
 * `applyAsync` options by Celery's wire names, as they stand in a signature's `options` (wire-format 2.1), and back.
 *
 * Rule 1: null means "not given", as in Celery 5.6 (surface PUB-008, CNV-006).
 * Rule 2: a stamp stands beside the other options under its own name, listed in `stamped_headers`.
 * Rule 3: a name that is no option of ours becomes a message property (surface PUB-022).
 */
import { CarriedSteps } from '../../protocol/carried-steps.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { InvalidArgumentError } from '../errors.js'
import type { Linkable, RetryPolicy, SendOptions } from './send-options.js'

/** Options by wire names. */
export type WireOptions = Readonly<Record<string, unknown>>

type Named = Exclude<keyof SendOptions, 'stamps' | 'properties' | 'signal'>

const wireNames: Readonly<Record<Named, string>> = {
  taskId: 'task_id',
  countdown: 'countdown',
  eta: 'eta',
  expires: 'expires',
  timeLimit: 'time_limit',
  softTimeLimit: 'soft_time_limit',
  retries: 'retries',
  link: 'link',
  linkError: 'link_error',
  chain: 'chain',
  chord: 'chord',
  groupId: 'group_id',
  groupIndex: 'group_index',
  rootId: 'root_id',
  parentId: 'parent_id',
  shadow: 'shadow',
  ignoreResult: 'ignore_result',
  addToParent: 'add_to_parent',
  replyTo: 'reply_to',
  correlationId: 'correlation_id',
  headers: 'headers',
  argsRepr: 'argsrepr',
  kwargsRepr: 'kwargsrepr',
  origin: 'origin',
  replacedTaskNesting: 'replaced_task_nesting',
  stampedHeaders: 'stamped_headers',
  queue: 'queue',
  exchange: 'exchange',
  exchangeType: 'exchange_type',
  routingKey: 'routing_key',
  serializer: 'serializer',
  compression: 'compression',
  deliveryMode: 'delivery_mode',
  priority: 'priority',
  mandatory: 'mandatory',
  immediate: 'immediate',
  retry: 'retry',
  retryPolicy: 'retry_policy',
  routeName: 'route_name',
  timeoutMs: 'timeout',
}

const policyNames: Readonly<Record<keyof RetryPolicy, string>> = {
  maxRetries: 'max_retries',
  intervalStart: 'interval_start',
  intervalStep: 'interval_step',
  intervalMax: 'interval_max',
}

const optionNames: ReadonlyMap<string, Named> = new Map(
  (Object.entries(wireNames) as [Named, string][]).map(([name, wire]) => [wire, name]),
)

const signatureLists: ReadonlySet<string> = new Set(['link', 'linkError', 'chain'])

/** The data of a signature, whichever form it was given in. Throws `InvalidArgumentError` for anything else. */
export function signatureDataOf(value: unknown): SignatureData {
  if (isObjectLike(value)) {
    if ('toSignatureData' in value && typeof value.toSignatureData === 'function') {
      return value.toSignatureData() as SignatureData
    }
    if ('task' in value && typeof value.task === 'string' && typeof value !== 'function') {
      return value as SignatureData
    }
  }
  throw new InvalidArgumentError(
    `A signature was expected, got ${typeof value}: give task.s(...), or the data of a signature`,
  )
}

/** Options by our names to options by wire names. `signal` stays out: it means nothing to another process. */
export function optionsToWire(options: SendOptions): Record<string, unknown> {
  const wire: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || name === 'signal' || name === 'stamps' || name === 'properties') continue
    const wireName = wireNames[name as Named]
    if (wireName === undefined) {
      throw new InvalidArgumentError(
        `Unknown call option ${JSON.stringify(name)}; give message properties in \`properties\``,
      )
    }
    wire[wireName] = toWire(name as Named, value)
  }
  Object.assign(wire, options.properties)
  if (options.stamps !== undefined && Object.keys(options.stamps).length > 0) {
    const before = (wire.stamped_headers as readonly string[] | undefined) ?? []
    wire.stamped_headers = [...new Set([...before, ...Object.keys(options.stamps)])]
    Object.assign(wire, options.stamps)
  }
  return wire
}

/** Options by wire names (also those that Python wrote into a signature) to options by our names. */
export function optionsFromWire(wire: WireOptions): SendOptions {
  const options: Record<string, unknown> = {}
  const stamped: unknown = wire.stamped_headers
  const stampNames = Array.isArray(stamped) ? stamped.map(String) : undefined
  let stamps: Record<string, unknown> | undefined
  let properties: Record<string, unknown> | undefined
  for (const wireName in wire) {
    const value = wire[wireName]
    if (value === undefined || value === null) continue
    const name = optionNames.get(wireName)
    if (stampNames?.includes(wireName)) stamps = withMember(stamps, wireName, value)
    else if (name === undefined) properties = withMember(properties, wireName, value)
    else options[name] = fromWire(name, value)
  }
  if (stamps !== undefined) options.stamps = stamps
  if (properties !== undefined) options.properties = properties
  return options as SendOptions
}

/** Also `__proto__` is a name like others. */
function withMember(
  record: Record<string, unknown> | undefined,
  name: string,
  value: unknown,
): Record<string, unknown> {
  const all = record ?? {}
  Object.defineProperty(all, name, { value, writable: true, enumerable: true, configurable: true })
  return all
}

function toWire(name: Named, value: unknown): unknown {
  if (value === null) return null
  if (signatureLists.has(name)) return Array.from(asList(value), signatureDataOf)
  if (name === 'chord') return signatureDataOf(value)
  if (name === 'timeoutMs') return (value as number) / 1000
  if (name === 'retryPolicy') {
    return Object.fromEntries(
      Object.entries(value as RetryPolicy).map(([key, v]) => [
        policyNames[key as keyof RetryPolicy] ?? key,
        v,
      ]),
    )
  }
  return value
}

function fromWire(name: Named, value: unknown): unknown {
  if (signatureLists.has(name)) return asList(value)
  if (name === 'timeoutMs') return Number(value) * 1000
  if (name === 'retryPolicy') {
    const given = value as WireOptions
    return Object.fromEntries(
      Object.entries(policyNames).flatMap(([key, wire]) => (wire in given ? [[key, given[wire]]] : [])),
    )
  }
  return value
}

function asList(value: unknown): readonly unknown[] | CarriedSteps {
  return Array.isArray(value) || value instanceof CarriedSteps ? value : [value]
}

/** Options whose carried steps are a list, for canvases that put them into something new. */
export function withListedSteps(options: WireOptions): WireOptions {
  const { chain } = options
  return chain instanceof CarriedSteps ? { ...options, chain: [...chain] } : options
}

function isObjectLike(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

/** One or many callbacks as a list. */
export function linkables(value: unknown): readonly Linkable[] {
  return value === undefined || value === null ? [] : (asList(value) as readonly Linkable[])
}
