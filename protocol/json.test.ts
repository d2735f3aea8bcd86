import { describe, expect, it } from 'vitest'
import { DecodeError, EncodeError, SizeLimitError } from './errors.js'
import { decodeJson, encodeJson } from './json.js'
import type { CustomType } from './json-types.js'
import {
  DateTime,
  Decimal,
  date,
  datetime,
  decimal,
  Float,
  float,
  PlainDate,
  PlainTime,
  time,
  tuple,
  type Uuid,
  uuid,
} from './values.js'

const typed = (marker: string, value: unknown) => JSON.stringify({ __type__: marker, __value__: value })

describe('writing JSON for kombu', () => {
  it('SEC-004 PYO-014 writes the typed values of kombu', () => {
    expect(encodeJson(datetime('2030-01-02T03:04:05.678901'))).toBe(
      typed('datetime', '2030-01-02T03:04:05.678901'),
    )
    expect(encodeJson(new Date(0))).toBe(typed('datetime', '1970-01-01T00:00:00+00:00'))
    expect(encodeJson(date('2030-01-02'))).toBe(typed('date', '2030-01-02'))
    expect(encodeJson(time('03:04:05.678901+00:00'))).toBe(typed('time', '03:04:05.678901+00:00'))
    expect(encodeJson(decimal('1.10'))).toBe(typed('decimal', '1.10'))
    expect(encodeJson(uuid('6ba7b810-9dad-41d1-80b4-00c04fd430c8'))).toBe(
      typed('uuid', { hex: '6ba7b8109dad41d180b400c04fd430c8' }),
    )
    expect(encodeJson(Buffer.from('abc'))).toBe(typed('bytes', 'abc'))
    expect(encodeJson(new Uint8Array([255, 0]))).toBe(typed('base64', '/wA='))
  })

  it('SEC-005 PYO-015 writes NaN, infinities, floats and big integers as Python reads them', () => {
    expect(encodeJson([Number.NaN, Infinity, -Infinity, float(2), 1e20, -0, 2n ** 70n, 1e-7])).toBe(
      '[NaN,Infinity,-Infinity,2.0,1e+20,-0.0,1180591620717411303424,1e-07]',
    )
  })

  it('SEC-005 writes tuples as arrays and Map keys as text', () => {
    const map = new Map<unknown, unknown>([
      [1, 'a'],
      [null, 'b'],
      [true, 'c'],
      ['d', undefined],
    ])
    expect(encodeJson([tuple(1, 2), map])).toBe('[[1,2],{"1":"a","null":"b","true":"c"}]')
  })

  it('drops undefined members, and writes undefined elsewhere as null', () => {
    expect(encodeJson({ a: undefined, b: [undefined, Number.NaN] })).toBe('{"b":[null,NaN]}')
    expect(encodeJson(undefined)).toBe('null')
  })

  it('gives the very text of json.dumps in Python style', () => {
    expect(encodeJson({ a: [1, 'é😀\u007f"/', null], b: 1e16 }, { style: 'python' })).toBe(
      '{"a": [1, "\\u00e9\\ud83d\\ude00\\u007f\\"/", null], "b": 1e+16}',
    )
  })

  it('refuses what Python could not read, saying where it is', () => {
    const cycle: Record<string, unknown> = {}
    cycle['self'] = [cycle]
    for (const value of [new Set([1]), () => 1, Symbol('s'), Promise.resolve(), new Error('x'), /x/, cycle]) {
      expect(() => encodeJson({ a: [value] })).toThrow(EncodeError)
      expect(() => encodeJson({ a: [value] })).toThrow(/ at a\.0/)
    }
    let deep: unknown = 1
    for (let level = 0; level < 5000; level++) deep = [deep]
    expect(() => encodeJson(deep)).toThrow(/1000 levels/)
    expect(() => encodeJson(new Date(Number.NaN))).toThrow(EncodeError)
  })

  it('honours toJSON, and turns its failure into an EncodeError', () => {
    expect(encodeJson({ u: new URL('http://a/b') })).toBe('{"u":"http://a/b"}')
    const bad = {
      toJSON: () => {
        throw new TypeError('no')
      },
    }
    expect(() => encodeJson({ bad })).toThrow(/toJSON at bad failed: no/)
  })
})

describe('reading JSON from kombu', () => {
  it('SEC-004 PYO-014 reads typed values at any depth', () => {
    const text = `{"a":[${typed('datetime', '2030-01-02T03:04:05Z')},${typed('date', '2030-01-02T00:00:00')},${typed('time', '03:04:05')},${typed('decimal', '1E+5')},${typed('bytes', '')},${typed('base64', '/wA=')}]}`
    const { a } = decodeJson(text) as { a: unknown[] }
    expect(a.map((value) => (value as object).constructor)).toEqual([
      DateTime,
      PlainDate,
      PlainTime,
      Decimal,
      Buffer,
      Buffer,
    ])
    expect(encodeJson(a)).toBe(
      `[${typed('datetime', '2030-01-02T03:04:05+00:00')},${typed('date', '2030-01-02')},${typed('time', '03:04:05')},${typed('decimal', '1E+5')},${typed('bytes', '')},${typed('base64', '/wA=')}]`,
    )
  })

  it('SEC-004 takes only the exact two keys for a typed value, however they are spelled', () => {
    expect(decodeJson('{"__type__":"date","__value__":"2030-01-02","k":1}')).toEqual({
      __type__: 'date',
      __value__: '2030-01-02',
      k: 1,
    })
    expect(decodeJson('{"\\u005f_type__":"date","__value__":"2030-01-02"}')).toBeInstanceOf(PlainDate)
  })

  it('SEC-004 refuses unknown markers and data that does not fit', () => {
    for (const text of [
      typed('foo', 1),
      typed('datetime', 5),
      typed('date', 'x'),
      typed('uuid', { hex: 'zz' }),
      typed('uuid', { fields: [1] }),
      typed('decimal', 'x'),
      typed('base64', 'abc'),
      '{"__type__":["date"],"__value__":1}',
    ]) {
      expect(() => decodeJson(text), text).toThrow(DecodeError)
    }
  })

  it('SEC-004 rewrites the version bits of a UUID of kombu 5.3.0', () => {
    const value = decodeJson(typed('uuid', { hex: '00000000000000000000000000000005', version: 4 }))
    expect(String(value as Uuid)).toBe('00000000-0000-4000-8000-000000000005')
  })

  it('PYO-015 reads NaN, infinities and integers past 2^53 exactly', () => {
    expect(decodeJson('[NaN, Infinity, -Infinity, 9007199254740993, -12345678901234567890]')).toEqual([
      Number.NaN,
      Infinity,
      -Infinity,
      9007199254740993n,
      -12345678901234567890n,
    ])
    expect(decodeJson('9007199254740991')).toBe(9007199254740991)
    expect(() => decodeJson(`[${'9'.repeat(5000)}]`)).toThrow(DecodeError)
  })

  it('loses nothing with exact: whole floats stay floats', () => {
    const text = '{"a": [1, 1.0, -0.0, 1e+16, 2.5, "1.0", NaN], "b": "\\ud800"}'
    const value = decodeJson(text, { exact: true }) as { a: unknown[] }
    expect(value.a[1]).toBeInstanceOf(Float)
    expect(encodeJson(value, { style: 'python' })).toBe(text)
    expect((decodeJson(text) as { a: unknown[] }).a[1]).toBe(1)
  })

  it('keeps __proto__ as data in the fast and the slow reader', () => {
    for (const text of ['{"__proto__":{"polluted":1}}', '{"__proto__":{"polluted":1},"n":NaN}']) {
      const value = decodeJson(text) as Record<string, unknown>
      expect(Object.keys(value)).toContain('__proto__')
      expect(value['polluted']).toBeUndefined()
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
      expect(encodeJson(value)).toBe(text)
    }
  })

  it('lets the last of equal keys win', () => {
    expect(decodeJson('{"a":1,"a":NaN,"a":2}')).toEqual({ a: 2 })
  })

  it('refuses what is not JSON, saying where', () => {
    for (const text of [
      '',
      '[1,]',
      '{"a" 1}',
      '{a:1}',
      '[1 2]',
      '"a',
      '01',
      '1.',
      '-',
      'nul',
      '[NaN,]',
      '\ufeff1',
      '"\n"',
      '1 2',
      '+1',
      '[NaN, "\\x"]',
    ]) {
      expect(() => decodeJson(text), JSON.stringify(text)).toThrow(DecodeError)
    }
    expect(() => decodeJson('[NaN, ?]')).toThrow(/position 6/)
    expect(() => decodeJson(new Uint8Array([0x22, 0xff, 0x22]))).toThrow(/UTF-8/)
  })

  it('bounds depth and size', () => {
    expect(() => decodeJson('['.repeat(200_000))).toThrow(DecodeError)
    expect(() => decodeJson('['.repeat(3000) + ']'.repeat(3000))).toThrow(/1000 levels/)
    expect(decodeJson(`${'['.repeat(1000)}"]]"${']'.repeat(1000)}`)).toBeInstanceOf(Array)
    expect(() => decodeJson('"0123456789"', { maxBytes: 10 })).toThrow(SizeLimitError)
  })
})

describe("a user's own types", () => {
  class Money {
    readonly cents: number
    constructor(cents: number) {
      this.cents = cents
    }
  }
  const money: CustomType = {
    marker: 'money',
    test: (value) => value instanceof Money,
    encode: (value: Money) => ({ cents: value.cents }),
    decode: (data) => new Money((data as { cents: number }).cents),
  }

  it('SEC-004 go out and come back under their marker', () => {
    const text = encodeJson([new Money(5)], { types: [money] })
    expect(text).toBe('[{"__type__":"money","__value__":{"cents":5}}]')
    expect(decodeJson(text, { types: [money] })).toEqual([new Money(5)])
    expect(() => decodeJson(text)).toThrow(/Unsupported type "money"/)
  })

  it('fail as DecodeError and EncodeError with the cause', () => {
    const broken: CustomType = {
      ...money,
      encode: () => {
        throw new Error('e')
      },
      decode: () => {
        throw new Error('d')
      },
    }
    expect(() => encodeJson(new Money(1), { types: [broken] })).toThrow(EncodeError)
    expect(() => decodeJson(typed('money', 1), { types: [broken] })).toThrow(DecodeError)
  })
})

describe('the look for long integers', () => {
  it('finds one wherever it stands, and takes shorter ones at once', () => {
    for (let before = 0; before < 40; before++) {
      for (const digits of ['9007199254740993', '12345678901234567890123456789']) {
        expect(decodeJson(`[${' '.repeat(before)}${digits}]`)).toEqual([BigInt(digits)])
        expect(decodeJson(`{"k":"${'x'.repeat(before)}","n":-${digits}}`)).toEqual({
          k: 'x'.repeat(before),
          n: -BigInt(digits),
        })
      }
      expect(decodeJson(`[${' '.repeat(before)}123456789012345]`)).toEqual([123_456_789_012_345])
    }
  })
})
