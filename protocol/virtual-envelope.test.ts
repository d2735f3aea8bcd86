import { describe, expect, it } from 'vitest'
import type { Envelope } from './envelope.js'
import { DecodeError, EncodeError, SizeLimitError } from './errors.js'
import { DateTime } from './values.js'
import { decodeVirtualEnvelope, encodeVirtualEnvelope } from './virtual-envelope.js'

const envelope: Envelope = {
  body: new TextEncoder().encode('["é"]'),
  contentType: 'application/json',
  contentEncoding: 'utf-8',
  headers: { id: 'a' },
  properties: {
    correlationId: 'a',
    replyTo: 'r',
    deliveryMode: 2,
    expiration: '5',
    extra: { MessageGroupId: 'g' },
  },
}
const delivery = { exchange: 'x', routingKey: 'k', deliveryTag: 't' }

function wire(change: (root: Record<string, Record<string, unknown>>) => void): string {
  const root = JSON.parse(encodeVirtualEnvelope(envelope, delivery)) as Record<
    string,
    Record<string, unknown>
  >
  change(root)
  return JSON.stringify(root)
}

describe('the envelope of virtual transports', () => {
  it('PUB-033 writes keys and properties in the order of kombu, priority 0 when unset', () => {
    const root = JSON.parse(encodeVirtualEnvelope(envelope, delivery)) as {
      properties: Record<string, unknown>
    }
    expect(Object.keys(root)).toEqual(['body', 'content-encoding', 'content-type', 'headers', 'properties'])
    expect(Object.keys(root.properties)).toEqual([
      'correlation_id',
      'reply_to',
      'MessageGroupId',
      'delivery_mode',
      'expiration',
      'delivery_info',
      'priority',
      'body_encoding',
      'delivery_tag',
    ])
    expect(root.properties['priority']).toBe(0)
  })

  it('reads base64 in lines', () => {
    const text = encodeVirtualEnvelope(envelope, { exchange: '', routingKey: 'q', deliveryTag: 't' })
    const root = JSON.parse(text) as { body: string }
    const lines = { ...root, body: `${root.body.slice(0, 3)}\n${root.body.slice(3)}\n` }
    expect(decodeVirtualEnvelope(JSON.stringify(lines)).envelope.body).toEqual(
      decodeVirtualEnvelope(text).envelope.body,
    )
  })

  describe('with a long body', () => {
    const long = { ...envelope, body: new TextEncoder().encode(JSON.stringify(['é'.repeat(999), {}, {}])) }
    const text = encodeVirtualEnvelope(long, delivery)
    const base64 = (JSON.parse(text) as { body: string }).body
    const rest = text.slice(text.indexOf(',') + 1)
    const read = (source: string | Uint8Array): unknown => {
      try {
        return decodeVirtualEnvelope(source, { maxBytes: 10_000 })
      } catch (error) {
        return (error as Error).constructor.name
      }
    }

    it.each([
      ['as we write it', text],
      [
        'as kombu writes it',
        text.replace('"body":', '"body": ').replace(',"content-encoding":', ', "content-encoding": '),
      ],
      ['with the body last', `{${rest.slice(0, -1)},"body":"${base64}"}`],
      ['with two bodies, of which the last counts', `${text.slice(0, -1)},"body":"${base64.slice(0, 800)}"}`],
      [
        'in the alphabet for URLs',
        text.replace(base64, base64.replaceAll('/', '_').replaceAll('+', '-').replace(/^./, '_')),
      ],
      ['that was cut', text.replace(base64, base64.slice(0, -1))],
      ['with an escape in it', text.replace(base64, `\\u0041${base64.slice(1)}`)],
      ['as text', encodeVirtualEnvelope(long, { ...delivery, bodyEncoding: 'utf-8' })],
      ['as text that looks like base64', text.replace('"base64"', '"utf-8"')],
      ['and nothing else', `{"body":"${base64}"}`],
      ['and nothing behind it', `{"body":"${base64}",}`],
      ['that is endless', `{"body":"${base64}`],
      ['larger than allowed', text.replace(base64, base64.repeat(20))],
    ])('reads it %s', (_how, source) => {
      expect(read(new TextEncoder().encode(source))).toEqual(read(source))
    })
  })

  it('carries a body as base64 or as text, and reads both', () => {
    for (const bodyEncoding of ['base64', 'utf-8'] as const) {
      const text = encodeVirtualEnvelope(envelope, { ...delivery, bodyEncoding })
      expect(text.includes('é')).toBe(bodyEncoding === 'utf-8')
      expect(Buffer.from(decodeVirtualEnvelope(Buffer.from(text)).envelope.body).toString()).toBe('["é"]')
    }
    const binary = { ...envelope, body: new Uint8Array([0xff]) }
    expect(() => encodeVirtualEnvelope(binary, { ...delivery, bodyEncoding: 'utf-8' })).toThrow(EncodeError)
  })

  it('marks a redelivered message where Redis does, and knows every mark', () => {
    const again = decodeVirtualEnvelope(encodeVirtualEnvelope(envelope, { ...delivery, redelivered: true }))
    expect(again).toMatchObject({ redelivered: true, envelope: { headers: { redelivered: true } } })
    const top = wire((root) => Object.assign(root, { redelivered: true }))
    expect(decodeVirtualEnvelope(top).redelivered).toBe(true)
    expect(decodeVirtualEnvelope(wire(() => undefined)).redelivered).toBe(false)
  })

  it('keeps typed values in headers', () => {
    const when = new DateTime('2030-01-02T03:04:05.678901+05:30')
    const text = encodeVirtualEnvelope({ ...envelope, headers: { when } }, delivery)
    expect(text).toContain('"__type__"')
    expect((decodeVirtualEnvelope(text).envelope.headers['when'] as DateTime).iso).toBe(when.iso)
  })

  it('keeps a header named __proto__ as data', () => {
    const text = wire(() => undefined).replace('"headers":{', '"headers":{"__proto__":{"polluted":1},')
    const { headers } = decodeVirtualEnvelope(text).envelope
    expect(Object.hasOwn(headers, '__proto__')).toBe(true)
    expect(headers['polluted']).toBeUndefined()
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it('takes null for what may be absent', () => {
    const text = wire((root) => {
      Object.assign(root, { headers: null, 'content-encoding': null, body: null })
      Object.assign(root['properties'] as object, { priority: null, correlation_id: null })
    })
    const { envelope: read } = decodeVirtualEnvelope(text)
    expect(read).toMatchObject({ headers: {}, contentEncoding: 'utf-8' })
    expect(read.body.length).toBe(0)
    expect(read.properties).not.toHaveProperty('correlationId')
  })

  it.each([
    ['no delivery tag', wire((root) => delete root['properties']?.['delivery_tag'])],
    ['no delivery info', wire((root) => delete root['properties']?.['delivery_info'])],
    [
      'delivery info without exchange',
      wire((root) => Object.assign(root['properties'] as object, { delivery_info: {} })),
    ],
    ['no properties', wire((root) => delete root['properties'])],
    ['headers that are a list', wire((root) => Object.assign(root, { headers: [] }))],
    ['invalid base64', wire((root) => Object.assign(root, { body: '!!!!' }))],
    ['base64 of URLs', wire((root) => Object.assign(root, { body: 'a-_b' }))],
    ['base64 that ends early', wire((root) => Object.assign(root, { body: 'QQ=A' }))],
    ['cut base64', wire((root) => Object.assign(root, { body: 'abc' }))],
    ['base64 of another alphabet', wire((root) => Object.assign(root, { body: 'ab-_' }))],
    ['base64 that ends in the middle', wire((root) => Object.assign(root, { body: 'QQ==QUJD' }))],
    ['base64 with too much padding', wire((root) => Object.assign(root, { body: 'Q===' }))],
    ['a body that is a mapping', wire((root) => Object.assign(root, { body: {} }))],
    [
      'an encoding nobody knows',
      wire((root) => Object.assign(root['properties'] as object, { body_encoding: 'rot13' })),
    ],
    ['a list', '[]'],
    ['nothing', ''],
  ])('refuses %s, which would end a Python worker', (_name, text) => {
    expect(() => decodeVirtualEnvelope(text)).toThrow(DecodeError)
  })

  it('refuses more bytes than it was allowed to read', () => {
    expect(() =>
      decodeVirtualEnvelope(
        wire(() => undefined),
        { maxBytes: 10 },
      ),
    ).toThrow(SizeLimitError)
  })
})
