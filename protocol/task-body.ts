/**
 * What a task message carries inside: `[args, kwargs, embed]` (wire-format 1.1.3).
 *
 * Rule 1: what a Python worker accepts is accepted: embed null, partial or with extra keys; `[]` and null chains.
 * Rule 2: what kills a Python worker (a body that is not three items) is an `InvalidTaskError` (wire-format 16.1).
 * Rule 3: arguments that Python could not spread (`null`, a number) do not refuse the message: the task has to fail
 * with a TypeError that its caller can see, so `argsError` says which.
 */
import { CarriedSteps, listedSteps } from './carried-steps.js'
import { InvalidTaskError } from './errors.js'
import { asMapping, describe, own } from './mapping.js'
import type { SignatureData } from './signature-data.js'
import type { TaskBody } from './task.js'

/** A body without arguments and without anything to do afterwards. */
export const EMPTY_BODY: TaskBody = {
  args: [],
  kwargs: {},
  callbacks: [],
  errbacks: [],
  chain: [],
  chord: undefined,
}

/** The embed mapping in Celery's key order; empty lists are null, as in Python, but for the chain of its last step. */
export function embedOf(
  body: Pick<TaskBody, 'callbacks' | 'errbacks' | 'chain' | 'chord' | 'endsChain'>,
): Readonly<Record<string, unknown>> {
  return {
    callbacks: body.callbacks.length > 0 ? body.callbacks : null,
    errbacks: body.errbacks.length > 0 ? body.errbacks : null,
    chain: body.chain.length > 0 || body.endsChain === true ? listedSteps(body.chain) : null,
    chord: body.chord ?? null,
  }
}

/** The triple as JSON whose chain is carried as it came; undefined for other bodies. `json` writes plain data. */
export function carriedJson(body: TaskBody, json: (value: unknown) => string): Uint8Array | undefined {
  const { args, kwargs, chain } = body
  if (!(chain instanceof CarriedSteps)) return undefined
  const members = Object.entries(embedOf({ ...body, chain: NOTHING }))
  const at = members.findIndex(([name]) => name === 'chain')
  const written = (of: typeof members): string =>
    of.map(([name, value]) => `${json(name)}:${json(value)}`).join(',')
  const before = `[${json(args)},${json(kwargs)},{${written(members.slice(0, at))},"chain":[`
  return Buffer.concat([
    Buffer.from(before),
    chain.json,
    Buffer.from(`],${written(members.slice(at + 1))}}]`),
  ])
}

/** The triple that protocol 2 serializes. */
export function bodyTriple(
  body: TaskBody,
): [readonly unknown[], Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>] {
  return [body.args, body.kwargs, embedOf(body)]
}

/** Reads a decoded protocol 2 body. Throws `InvalidTaskError`. */
export function readBodyTriple(payload: unknown, task: string): TaskBody {
  if (!Array.isArray(payload) || payload.length !== 3) {
    throw new InvalidTaskError(
      `The body of a message for task ${task} is ${describe(payload)}, not [args, kwargs, embed]. ` +
        'The sender must speak task protocol 2.',
    )
  }
  const [args, kwargs, embed] = payload as [unknown, unknown, unknown]
  return readParts(args, kwargs, readEmbed(embed, task), task)
}

/** Reads a decoded mapping body (protocol 1, or a hybrid): args and kwargs may be absent. Throws `InvalidTaskError`. */
export function readBodyMapping(payload: Readonly<Record<string, unknown>>, task: string): TaskBody {
  const args = Object.hasOwn(payload, 'args') ? payload['args'] : []
  const kwargs = Object.hasOwn(payload, 'kwargs') ? payload['kwargs'] : {}
  const embed: Embed = {
    callbacks: signatures(own(payload, 'callbacks'), 'callbacks', task),
    errbacks: signatures(own(payload, 'errbacks'), 'errbacks', task),
    chain: NOTHING,
    chord: signature(own(payload, 'chord'), 'chord', task),
  }
  return readParts(args, kwargs, embed, task)
}

type Embed = Pick<TaskBody, 'callbacks' | 'errbacks' | 'chain' | 'chord'>

/** Shared by all messages that have nothing to do afterwards. */
const NOTHING: readonly SignatureData[] = Object.freeze([])
const EMPTY_EMBED: Embed = { callbacks: NOTHING, errbacks: NOTHING, chain: NOTHING, chord: undefined }

function readParts(args: unknown, kwargs: unknown, embed: Embed, task: string): TaskBody {
  const mapping = asMapping(kwargs)
  if (mapping === undefined) {
    throw new InvalidTaskError(
      `Task keyword arguments must be a mapping, and those of a message for task ${task} are ${describe(kwargs)}.`,
    )
  }
  const spread = spreadArguments(args)
  const { callbacks, errbacks, chain, chord } = embed
  const body: TaskBody = { args: spread ?? [], kwargs: mapping, callbacks, errbacks, chain, chord }
  return spread === undefined
    ? { ...body, argsError: `task args must be a list or tuple, not ${describe(args)}` }
    : body
}

/** What Python's `fun(*args)` makes of any value it can spread. */
function spreadArguments(args: unknown): readonly unknown[] | undefined {
  if (Array.isArray(args)) return args
  if (typeof args === 'string') return [...args]
  if (args instanceof Uint8Array) return [...args]
  if (args instanceof Set) return [...args]
  const mapping = asMapping(args)
  return mapping === undefined ? undefined : Object.keys(mapping)
}

function readEmbed(embed: unknown, task: string): Embed {
  if (!isTruthy(embed)) return EMPTY_EMBED
  const mapping = asMapping(embed)
  if (mapping === undefined) {
    throw new InvalidTaskError(
      `The third item of the body of a message for task ${task} is ${describe(embed)}, not a mapping.`,
    )
  }
  const chain = own(mapping, 'chain')
  return {
    callbacks: signatures(own(mapping, 'callbacks'), 'callbacks', task),
    errbacks: signatures(own(mapping, 'errbacks'), 'errbacks', task),
    chain: chain instanceof CarriedSteps ? chain : signatures(chain, 'chain', task),
    chord: signature(own(mapping, 'chord'), 'chord', task),
  }
}

/** A list of signatures; one bare signature counts as a list of one (Python fails the task after it has run). */
function signatures(value: unknown, field: string, task: string): readonly SignatureData[] {
  if (!isTruthy(value)) return NOTHING
  if (!Array.isArray(value)) {
    const one = signature(value, field, task)
    return one === undefined ? [] : [one]
  }
  return value.map((item) => {
    const one = asMapping(item)
    if (one === undefined) throw badSignature(item, field, task)
    return one
  })
}

function signature(value: unknown, field: string, task: string): SignatureData | undefined {
  if (!isTruthy(value)) return undefined
  const one = asMapping(value)
  if (one === undefined) throw badSignature(value, field, task)
  return one
}

function badSignature(value: unknown, field: string, task: string): InvalidTaskError {
  return new InvalidTaskError(
    `The ${field} of a message for task ${task} hold ${describe(value)} where a signature must be.`,
  )
}

/** Python's truth of a decoded value: null, false, 0, '' and empty containers are false. */
function isTruthy(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === 0 || value === '') return false
  if (Array.isArray(value)) return value.length > 0
  const mapping = asMapping(value)
  return mapping === undefined || Object.keys(mapping).length > 0
}
