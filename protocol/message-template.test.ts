/** What is put together from a template is what the general writer makes, byte for byte. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Envelope } from './envelope.js'
import { propertiesToWire } from './message-properties.js'
import { holdsMark, MARKS, MessageTemplate, priorityOf } from './message-template.js'
import { createCodec } from './serializers.js'
import { encodeTask, type TaskFields } from './task-message.js'
import { encodeVirtualEnvelope } from './virtual-envelope.js'

const codec = createCodec()
const nothing = { callbacks: [], errbacks: [], chain: [], chord: undefined }

function message(fields: TaskFields, args: readonly unknown[] = []): Envelope {
  return encodeTask(fields, { args, kwargs: {}, ...nothing }, { codec, serializer: 'json', protocol: 2 })
}

/** Text with all that JSON, base64 and Python's repr treat apart. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('', '"', '\\', "'", '\ud800', '😀', '\u0000', '\u007f', 'é', ...Object.values(MARKS)),
)
const fieldsOf = fc.record(
  {
    task: text,
    id: text,
    shadow: text,
    groupId: text,
    rootId: text.filter((value) => !holdsMark(value)),
    parentId: text,
    origin: text,
    replyTo: text,
    correlationId: text.filter((value) => !holdsMark(value)),
    retries: fc.nat(9),
    priority: fc.nat(9),
    deliveryMode: fc.constantFrom(1 as const, 2 as const),
    stamps: fc.dictionary(text, text, { maxKeys: 2 }),
    customHeaders: fc.dictionary(text, text, { maxKeys: 2 }),
    properties: fc.record({ app_id: text }, { requiredKeys: [] }),
  },
  { requiredKeys: ['task', 'id'] },
)
const placeOf = fc.record({
  exchange: text,
  routingKey: text,
  deliveryTag: text,
  bodyEncoding: fc.constantFrom('base64' as const, 'utf-8' as const),
})

describe('a message made from a template', () => {
  it('PUB-030 is the general one, as an envelope and as the text of a virtual transport, wherever it goes', () => {
    let made = 0
    fc.assert(
      fc.property(
        fieldsOf,
        text,
        text,
        fc.jsonValue(),
        fc.array(placeOf, { minLength: 1, maxLength: 3 }),
        (fields, argsRepr, kwargsRepr, value, places) => {
          const marks = { id: MARKS.id, argsRepr: MARKS.argsRepr, kwargsRepr: MARKS.kwargsRepr }
          const template = MessageTemplate.of(message({ ...fields, ...marks } as TaskFields))
          if (template === undefined) return
          made += 1
          const general = message({ ...fields, argsRepr, kwargsRepr } as TaskFields, [value])
          const body = Buffer.from(general.body).toString()
          const filled = template.fill(fields.id, argsRepr, kwargsRepr, body)
          expect(Object.entries(filled.headers)).toEqual(Object.entries(general.headers))
          expect(propertiesToWire(filled.properties)).toEqual(propertiesToWire(general.properties))
          expect(priorityOf(filled)).toBe(priorityOf(general))
          expect(Buffer.from(filled.body).equals(general.body)).toBe(true)
          expect([filled.contentType, filled.contentEncoding]).toEqual([
            general.contentType,
            general.contentEncoding,
          ])
          for (const place of places) {
            expect(encodeVirtualEnvelope(filled, place)).toBe(encodeVirtualEnvelope(general, place))
            const again = { ...place, redelivered: true }
            expect(encodeVirtualEnvelope(filled, again)).toBe(encodeVirtualEnvelope(general, again))
          }
        },
      ),
      { numRuns: 2000 },
    )
    expect(made).toBeGreaterThan(200)
  })

  it.each(Object.entries(MARKS))('is not made where a task is called as the mark of %s', (_, mark) => {
    const fields = { id: MARKS.id, argsRepr: MARKS.argsRepr, kwargsRepr: MARKS.kwargsRepr }
    expect(MessageTemplate.of(message({ task: 'shop.add', ...fields }))).toBeDefined()
    expect(MessageTemplate.of(message({ task: 'shop.add', ...fields, stamps: { on: mark } }))).toBeUndefined()
    expect(
      MessageTemplate.of(message({ task: 'shop.add', ...fields, stamps: { [mark]: 1 } })),
    ).toBeUndefined()
  })
})
