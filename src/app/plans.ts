/**
 * What all messages of one task handle have in common, worked out once.
 *
 * Rule 1: a plan is what `prepareTask` and `encodeTask` made of a call with marks for its id and arguments: it is never
 *         more than a short cut, and every call without one goes the whole way.
 * Rule 2: only where nothing but id and arguments can differ: the options are a handle's own and frozen, with nothing
 *         in them that could change or that depends on the time; routes go by name alone; bodies are plain JSON.
 */
import { encodeJson, plainJson } from '../../protocol/json.js'
import { holdsMark, MARKS, MessageTemplate } from '../../protocol/message-template.js'
import { saferepr } from '../../protocol/python-repr.js'
import type { Codec } from '../../protocol/serializers.js'
import { embedOf } from '../../protocol/task-body.js'
import { encodeTask } from '../../protocol/task-message.js'
import type { Outgoing } from '../transport/transport.js'
import { type PreparedTask, type Preparing, prepareTask } from './outgoing-task.js'
import type { SendRequest } from './send-request.js'

/** One task handle's messages. */
export class Plan {
  readonly task: PreparedTask
  readonly #template: MessageTemplate
  readonly #shown: { readonly asTuple: boolean }
  /** The end of each body, with the bracket that closes it. */
  readonly #embed: string

  constructor(task: PreparedTask, template: MessageTemplate, argsAsTuple: boolean) {
    this.task = task
    this.#template = template
    this.#shown = { asTuple: argsAsTuple }
    this.#embed = `,${encodeJson(embedOf(task.body))}]`
  }

  /** The message of a call; undefined for arguments that JSON alone cannot write. */
  outgoing(id: string, args: SendRequest['args'], kwargs: SendRequest['kwargs']): Outgoing | undefined {
    // The whole way says what is wrong with them.
    if (!Array.isArray(args) || Array.isArray(kwargs)) return undefined
    const argsText = plainJson(args, 1)
    const kwargsText = plainJson(kwargs, 1)
    if (argsText === undefined || kwargsText === undefined) return undefined
    const { argsRepr, kwargsRepr } = this.task.fields
    const envelope = this.#template.fill(
      id,
      argsRepr === MARKS.argsRepr
        ? saferepr(args, args.length === 0 ? asTuple : this.#shown)
        : (argsRepr as string),
      kwargsRepr === MARKS.kwargsRepr ? saferepr(kwargs) : (kwargsRepr as string),
      `[${argsText},${kwargsText}${this.#embed}`,
    )
    return { envelope, to: this.task.destination }
  }
}

/** `args or ()`: no arguments are an empty tuple however they were given. */
const asTuple = { asTuple: true } as const

interface Kept {
  readonly name: string
  readonly taskDefaults: SendRequest['taskDefaults']
  readonly argsAsTuple: boolean
  /** `Queues.version` when it was made. */
  readonly version: number
  readonly plan: Plan | undefined
}

/** The plans of one publisher. */
export class Plans {
  readonly #app: Preparing
  readonly #codec: Codec
  /** By a handle's options; `undefined` for none possible. */
  readonly #kept = new WeakMap<object, Kept>()
  #last: object | undefined
  #lastKept: Kept | undefined

  constructor(app: Preparing, codec: Codec) {
    this.#app = app
    this.#codec = codec
  }

  /** The plan of a call, if it can have one. Throws what preparing the call would. */
  of(request: SendRequest): Plan | undefined {
    const { options, current } = request
    if (current !== undefined) return undefined
    const kept = options === this.#last ? this.#lastKept : this.#kept.get(options)
    if (
      kept === undefined ||
      kept.name !== request.name ||
      kept.taskDefaults !== request.taskDefaults ||
      kept.argsAsTuple !== request.argsAsTuple ||
      kept.version !== this.#app.queues.version
    ) {
      return this.#made(request)
    }
    this.#last = options
    this.#lastKept = kept
    return kept.plan
  }

  #made(request: SendRequest): Plan | undefined {
    const { name, options, taskDefaults, argsAsTuple } = request
    // What is frozen belongs to a handle; anything else is made for each call, and not worth a plan.
    if (!Object.isFrozen(options)) return undefined
    const plan = this.#plan(request)
    // Preparing may have made a queue.
    const { version } = this.#app.queues
    this.#kept.set(options, { name, taskDefaults, argsAsTuple, version, plan })
    return plan
  }

  #plan(request: SendRequest): Plan | undefined {
    const { options, taskDefaults } = request
    const { settings, router } = this.#app
    if (!router.isByName || settings.taskProtocol === 1) return undefined
    if (!isConstant(options) || !isConstant(taskDefaults)) return undefined
    const sample = {
      ...request,
      args: [],
      kwargs: {},
      options: {
        ...options,
        argsRepr: options.argsRepr ?? MARKS.argsRepr,
        kwargsRepr: options.kwargsRepr ?? MARKS.kwargsRepr,
      },
    }
    const task = prepareTask(sample, MARKS.id, 0, this.#app)
    const { fields, body, serializer, compression } = task
    const isTimed =
      fields.eta !== undefined || fields.expires !== undefined || task.destination.delayedBy !== undefined
    if (isTimed || compression !== undefined || !this.#codec.isPlainJson(serializer)) return undefined
    const { argsAsTuple } = request
    const envelope = encodeTask(fields, body, { codec: this.#codec, serializer, argsAsTuple, protocol: 2 })
    const template = MessageTemplate.of(envelope)
    return template && new Plan(task, template, argsAsTuple)
  }
}

/** Nothing in it could be changed by somebody, names the call, or depends on when it is sent. */
function isConstant(options: object): boolean {
  return Object.entries(options).every(([name, value]) => {
    if (value === undefined || value === null) return true
    if (typeof value === 'string' && holdsMark(value)) return false
    return typeof value !== 'object' && typeof value !== 'function' && !perCall.has(name)
  })
}

const perCall: ReadonlySet<string> = new Set(['taskId', 'eta', 'countdown', 'expires'])
