/**
 * A message of which everything is known but its id, its arguments and how they are shown: what one task sends again
 * and again.
 *
 * Rule 1: nothing here writes a wire form. A template is a sample that the general writers wrote, with marks where the
 *         texts that differ belong; a transport writes the sample once, cuts it at the marks (`MessageCut`), and puts
 *         texts between the pieces from then on. So there is one form of each message, whoever made it.
 * Rule 2: a mark found anywhere but where it was put (a task of that very name) means no template, or no cut; the
 *         message is then written the general way.
 */
import type { Envelope, MessageProperties } from './envelope.js'
import { encodeJson } from './json.js'

/** What stands in a sample for texts that come later; one byte a character, lest the pieces around it take two.
 * Whoever makes a sample puts nothing of a user in it that holds one (`holdsMark`). */
export const MARKS = {
  id: '\u0001celeriac id\u0001',
  argsRepr: '\u0001celeriac argsrepr\u0001',
  kwargsRepr: '\u0001celeriac kwargsrepr\u0001',
  body: '\u0001celeriac body\u0001',
  deliveryTag: '\u0001celeriac delivery tag\u0001',
} as const

/** The mark that a text stands for. */
export type Slot = keyof typeof MARKS

/** What a cut depends on besides its template. */
export interface CutPlace {
  readonly exchange: string
  readonly routingKey: string
  readonly bodyEncoding: 'base64' | 'utf-8'
}

/** A sample, and what was made of it. */
export class MessageTemplate {
  /** The message with marks for `id`, `argsRepr` and `kwargsRepr`; its body is of no meaning. */
  readonly sample: Envelope
  /** The cut that was made last, and for which place; for who makes cuts to keep. */
  lastCut: { readonly place: CutPlace; readonly cut: MessageCut | undefined } | undefined

  private constructor(sample: Envelope) {
    this.sample = sample
  }

  /** Undefined where there are marks but in the headers and the property that they are for. */
  static of(sample: Envelope): MessageTemplate | undefined {
    const { headers, properties } = sample
    const values = slotValues(sample)
    const text = encodeJson([headers, properties, sample.contentType, sample.contentEncoding])
    for (const mark of Object.values(MARKS)) {
      if (occurrences(text, mark) !== values.filter((value) => value === mark).length) return undefined
    }
    return new MessageTemplate(sample)
  }

  /** A message; `body` is the text of its payload. */
  fill(id: string, argsRepr: string, kwargsRepr: string, body: string): FilledEnvelope {
    return new FilledEnvelope(this, id, argsRepr, kwargsRepr, body)
  }
}

/** A message made from a template: to whoever reads its members an envelope like others; they are made when asked for. */
export class FilledEnvelope implements Envelope {
  readonly template: MessageTemplate
  readonly id: string
  readonly argsRepr: string
  readonly kwargsRepr: string
  /** The payload before it is bytes. */
  readonly bodyText: string
  #body: Uint8Array | undefined

  /** Use `MessageTemplate.fill`. */
  constructor(template: MessageTemplate, id: string, argsRepr: string, kwargsRepr: string, bodyText: string) {
    this.template = template
    this.id = id
    this.argsRepr = argsRepr
    this.kwargsRepr = kwargsRepr
    this.bodyText = bodyText
  }

  get body(): Uint8Array {
    this.#body ??= Buffer.from(this.bodyText)
    return this.#body
  }

  get contentType(): string {
    return this.template.sample.contentType
  }

  get contentEncoding(): string {
    return this.template.sample.contentEncoding
  }

  get headers(): Readonly<Record<string, unknown>> {
    const { headers } = this.template.sample
    return {
      ...headers,
      id: this.#filled(headers['id']),
      root_id: this.#filled(headers['root_id']),
      argsrepr: this.#filled(headers['argsrepr']),
      kwargsrepr: this.#filled(headers['kwargsrepr']),
    }
  }

  get properties(): MessageProperties {
    const { properties } = this.template.sample
    return { ...properties, correlationId: this.#filled(properties.correlationId) as string }
  }

  /** The text of a mark, or the value itself. */
  #filled(value: unknown): unknown {
    if (value === MARKS.id) return this.id
    if (value === MARKS.argsRepr) return this.argsRepr
    return value === MARKS.kwargsRepr ? this.kwargsRepr : value
  }
}

/** The priority of a message, without making all of its properties. */
export function priorityOf(envelope: Envelope): number | undefined {
  return envelope instanceof FilledEnvelope
    ? envelope.template.sample.properties.priority
    : envelope.properties.priority
}

/** A JSON text of a sample, cut at its marks. */
export class MessageCut {
  readonly #pieces: readonly string[]
  readonly #slots: readonly Slot[]

  private constructor(pieces: readonly string[], slots: readonly Slot[]) {
    this.#pieces = pieces
    this.#slots = slots
  }

  /**
   * `written` says what stands for the mark of a slot in the text, quotes included; the mark itself when left out.
   * Undefined unless each slot occurs as often as `times` says.
   */
  static of(
    text: string,
    times: Readonly<Record<Slot, number>>,
    written: Partial<Readonly<Record<Slot, string>>> = {},
  ): MessageCut | undefined {
    const found: { at: number; length: number; slot: Slot }[] = []
    for (const slot of Object.keys(MARKS) as Slot[]) {
      const mark = written[slot] ?? JSON.stringify(MARKS[slot])
      for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, at + mark.length)) {
        found.push({ at, length: mark.length, slot })
      }
      if (found.filter((one) => one.slot === slot).length !== times[slot]) return undefined
    }
    found.sort((one, other) => one.at - other.at)
    const pieces: string[] = []
    let from = 0
    for (const { at, length } of found) {
      pieces.push(text.slice(from, at))
      from = at + length
    }
    return new MessageCut(
      [...pieces, text.slice(from)],
      found.map(({ slot }) => slot),
    )
  }

  /** The text of a message; `texts` are JSON, quotes included. */
  join(texts: Readonly<Record<Slot, string>>): string {
    const pieces = this.#pieces
    const slots = this.#slots
    let text = pieces[0] as string
    for (let at = 0; at < slots.length; at++) text += texts[slots[at] as Slot] + (pieces[at + 1] as string)
    return text
  }
}

/** Whether a text could be taken for a mark. */
export function holdsMark(text: string): boolean {
  return text.includes('\u0001celeriac ')
}

/** The values that a call may have of its own. */
export function slotValues({ headers, properties }: Envelope): readonly unknown[] {
  return [
    headers['id'],
    headers['root_id'],
    headers['argsrepr'],
    headers['kwargsrepr'],
    properties.correlationId,
  ]
}

/** How often a mark is a whole text in JSON. */
function occurrences(text: string, mark: string): number {
  return text.split(JSON.stringify(mark)).length - 1
}
