import { describe, expect, it } from 'vitest'
import { ContentRefusedError, DecodeError, EncodeError, SizeLimitError } from './errors.js'
import { createCodec, defaultAccept, type Payload } from './serializers.js'

const codec = createCodec()
const payload = (body: string | Uint8Array, contentType: string, contentEncoding = 'utf-8'): Payload => ({
  body: Buffer.from(body),
  contentType,
  contentEncoding,
})

describe('the codec', () => {
  it.each([
    ['json', 'application/json', 'utf-8'],
    ['yaml', 'application/x-yaml', 'utf-8'],
    ['msgpack', 'application/x-msgpack', 'binary'],
    ['pickle', 'application/x-python-serialize', 'binary'],
  ])('SEC-001 writes %s under its content type and reads it back', (name, contentType, contentEncoding) => {
    const value = [[1, 'é'], { a: null }, { chain: [] }]
    for (const chosen of [name, contentType]) {
      const written = codec.encode(value, chosen)
      expect(written).toMatchObject({ contentType, contentEncoding })
      expect(codec.decode(written, codec.accepting([name]))).toEqual(value)
    }
  })

  it('SEC-001 sends text and bytes as they are when no serializer is named, and raw when it is', () => {
    expect(codec.encode('é', undefined)).toEqual(payload('é', 'text/plain'))
    expect(codec.encode(Buffer.from([1]), undefined)).toEqual(
      payload(Buffer.from([1]), 'application/data', 'binary'),
    )
    expect(codec.encode('é', 'raw')).toEqual(payload('é', 'application/data'))
    expect(codec.encode([1], undefined).contentType).toBe('application/json')
    expect(() => codec.encode(5, 'raw')).toThrow(EncodeError)
    expect(() => codec.encode('\ud800', undefined)).toThrow(EncodeError)
    expect(() => codec.encode(1, 'shelve')).toThrow(/No encoder installed for shelve/)
  })

  it("SEC-002 refuses what is not accepted, in kombu's words", () => {
    expect(() => codec.decode(payload('- 1', 'application/x-yaml'), defaultAccept)).toThrow(
      new ContentRefusedError(
        'application/x-yaml',
        'Refusing to deserialize untrusted content of type yaml (application/x-yaml)',
      ),
    )
    expect(() => codec.decode(payload('x', 'text/plain'), defaultAccept)).toThrow(
      'Refusing to deserialize untrusted content of type text/plain (text/plain)',
    )
  })

  it('PYO-005 refuses pickle unless it is accepted by name', () => {
    const pickled = codec.encode([1], 'pickle')
    expect(() => codec.decode(pickled, defaultAccept)).toThrow(ContentRefusedError)
    expect(codec.decode(pickled, codec.accepting(['pickle']))).toEqual([1])
  })

  it('SEC-003 accepts by name or content type, and always trusts plain data', () => {
    expect([...codec.accepting(['json', 'application/x-foo'])]).toEqual([
      'application/json',
      'application/x-foo',
    ])
    expect(() => codec.accepting(['nope'])).toThrow(/No encoder\/decoder installed for nope/)
    expect(codec.decode(payload('é', 'application/data'), new Set())).toBe('é')
    expect(codec.decode(payload('a', 'application/text'), new Set())).toBe('a')
    expect(codec.decode(payload('a', 'application/data', 'binary'), new Set())).toEqual(Buffer.from('a'))
  })

  it('SEC-001 takes a missing content type for data, a missing encoding for UTF-8, and empty bodies as they are', () => {
    expect(codec.decode(payload('é', '', ''), defaultAccept)).toBe('é')
    expect(codec.decode(payload('', 'application/json'), defaultAccept)).toEqual(Buffer.alloc(0))
    expect(codec.decode(payload(Buffer.from([0xe9]), '', 'latin-1'), defaultAccept)).toBe('é')
    expect(() => codec.decode(payload(Buffer.from([0xe9]), '', 'us-ascii'), defaultAccept)).toThrow(
      DecodeError,
    )
    expect(() => codec.decode(payload('a', '', 'klingon'), defaultAccept)).toThrow(DecodeError)
  })

  it('bounds bodies, also after decompression', () => {
    const small = createCodec({ maxBytes: 10 })
    expect(() => small.decode(payload('"0123456789"', 'application/json'), defaultAccept)).toThrow(
      SizeLimitError,
    )
    const { body, mime } = codec.compress(Buffer.alloc(1000), 'zlib')
    expect(() => small.decompress(body, mime)).toThrow(SizeLimitError)
  })

  it("lets a user's serializer take a name", () => {
    const shout = {
      name: 'shout',
      contentType: 'application/x-shout',
      contentEncoding: 'utf-8',
      encode: (value: unknown) => Buffer.from(String(value).toUpperCase()),
      decode: (body: Uint8Array) => Buffer.from(body).toString().toLowerCase(),
    }
    const own = createCodec({ serializers: [shout] })
    const written = own.encode('hi', 'shout')
    expect(written).toEqual(payload('HI', 'application/x-shout'))
    expect(own.decode(written, own.accepting(['shout']))).toBe('hi')
  })
})
