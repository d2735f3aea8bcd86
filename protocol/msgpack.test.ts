import { describe, expect, it } from 'vitest'
import { DecodeError, EncodeError } from './errors.js'
import { decodeMsgpack, encodeMsgpack } from './msgpack.js'
import { date, decimal, Float, float } from './values.js'

const hex = (value: unknown) => Buffer.from(encodeMsgpack(value)).toString('hex')
const read = (text: string) => decodeMsgpack(Buffer.from(text, 'hex'))

describe('msgpack as kombu has it', () => {
  it('SEC-001 writes the very bytes of packb', () => {
    expect(hex([[1], {}, { callbacks: null }])).toBe('939101' + '80' + '81a963616c6c6261636b73c0')
    expect([0, 127, 128, 65535, 65536, 2 ** 32, -1, -32, -33, -129, -32769, -(2 ** 31) - 1].map(hex)).toEqual(
      [
        '00',
        '7f',
        'cc80',
        'cdffff',
        'ce00010000',
        'cf0000000100000000',
        'ff',
        'e0',
        'd0df',
        'd1ff7f',
        'd2ffff7fff',
        'd3ffffffff7fffffff',
      ],
    )
    expect([hex(1.5), hex(float(2)), hex(Buffer.from('a')), hex('é')]).toEqual([
      'cb3ff8000000000000',
      'cb4000000000000000',
      'c40161',
      'a2c3a9',
    ])
  })

  it('PYO-015 keeps 64-bit integers exact and refuses longer ones', () => {
    for (const value of [2n ** 64n - 1n, -(2n ** 63n), 2n ** 53n]) {
      expect(decodeMsgpack(encodeMsgpack(value))).toBe(value)
    }
    expect(() => encodeMsgpack(2n ** 64n)).toThrow(EncodeError)
  })

  it('refuses what Python cannot pack, or could not unpack', () => {
    for (const value of [
      new Date(0),
      decimal('1'),
      date('2030-01-02'),
      new Set(),
      '\ud800',
      new Map([[1, 2]]),
    ]) {
      expect(() => encodeMsgpack(value)).toThrow(EncodeError)
    }
  })

  it('refuses keys that are neither text nor bytes, extensions, and bytes too few or too many', () => {
    for (const text of [
      '810102',
      'd40001',
      'c1',
      '',
      '91',
      'dfffffffff',
      'ddffffffff',
      'c6ffffffff',
      '0000',
      'a1ff',
    ]) {
      expect(() => read(text), text).toThrow(DecodeError)
    }
    expect(() => decodeMsgpack(Buffer.alloc(100_000, 0x91))).toThrow(/1000 levels/)
  })

  it('keeps __proto__ as data and bytes keys in a Map', () => {
    const value = decodeMsgpack(encodeMsgpack(JSON.parse('{"__proto__":{"x":1}}'))) as Record<string, unknown>
    expect([Object.keys(value), value['x']]).toEqual([['__proto__'], undefined])
    expect(read('81c4016101')).toEqual(new Map([[Buffer.from('a'), 1]]))
  })

  it('PYO-015 writes whole floats, minus zero and long integers wherever they stand, among bytes that look like them', () => {
    const value = [
      float(2),
      Buffer.from('d3cf00000000000000cb', 'hex'),
      { 10: -0, 9: 1893456000000, 'd3\u0000\u0000': -(2n ** 63n), plain: float(1.5) },
      new Map<string, unknown>([
        ['b', 2n ** 63n],
        ['1', float(-3)],
      ]),
    ]
    expect(hex(value)).toBe(
      [
        '94',
        'cb4000000000000000',
        'c40ad3cf00000000000000cb',
        '84',
        `a139cf${(1893456000000).toString(16).padStart(16, '0')}`,
        'a23130cb8000000000000000',
        'a464330000d38000000000000000',
        'a5706c61696ecb3ff8000000000000',
        '82',
        'a162cf8000000000000000',
        'a131cbc008000000000000',
      ].join(''),
    )
  })

  it('PYO-015 tells whole floats from integers when exact, in either width, under keys given twice too', () => {
    const exact = (text: string) => decodeMsgpack(Buffer.from(text, 'hex'), { exact: true })
    expect(exact('9402cb4000000000000000ca40000000cb7ff0000000000000')).toEqual([
      2,
      new Float(2),
      new Float(2),
      Infinity,
    ])
    // {"b": 1.0, "1": 2.0, "b": 3.0}: JavaScript moves "1" to the front, Python keeps the last "b".
    const value = exact('83a162cb3ff0000000000000a131cb4000000000000000a162cb4008000000000000')
    expect(value).toEqual({ 1: new Float(2), b: new Float(3) })
    expect(decodeMsgpack(encodeMsgpack([float(2), 2 ** 40]))).toEqual([2, 2 ** 40])
  })

  it('keeps a byte order mark at the start of text and of keys, however long', () => {
    for (const length of [0, 20, 100, 5000]) {
      const text = `\ufeff${'é'.repeat(length)}`
      expect(decodeMsgpack(encodeMsgpack([text, { [text]: text }, 'after']))).toEqual([
        text,
        { [text]: text },
        'after',
      ])
    }
  })

  it('runs no code of the caller while packing, and reads members of objects once', () => {
    let reads = 0
    const value = {
      get once() {
        reads++
        return reads === 1 ? 'first' : new Date(0)
      },
      nested: { toJSON: () => [...encodeMsgpack('a')] },
      constructor: 1,
      hasOwnProperty: 2,
    }
    expect(decodeMsgpack(encodeMsgpack(value))).toEqual({
      once: 'first',
      nested: [0xa1, 0x61],
      constructor: 1,
      hasOwnProperty: 2,
    })
    expect(hex({ toJSON: 3 })).toBe('81a6746f4a534f4e03')
  })

  it('leaves what it is given alone, and shares no memory with it or between bodies', () => {
    const body = Buffer.from('92c40161a162', 'hex')
    const [bytes] = decodeMsgpack(body) as [Uint8Array]
    body.fill(0)
    expect(bytes).toEqual(Buffer.from('a'))
    expect(Object.keys(body)).toHaveLength(body.length)
    const first = encodeMsgpack('first')
    encodeMsgpack('other')
    expect(decodeMsgpack(first)).toBe('first')
  })

  it('reads and writes long text, bytes, arrays and maps with the heads of Python', () => {
    const many = Array.from({ length: 70_000 }, (_, index) => index)
    const all: readonly (readonly [unknown, string])[] = [
      ['a'.repeat(31), 'bf61'],
      ['a'.repeat(32), 'd92061'],
      ['é'.repeat(128), 'da0100c3'],
      ['é'.repeat(40_000), 'db00013880'],
      [Buffer.alloc(256), 'c50100'],
      [Buffer.alloc(70_000), 'c600011170'],
      [many.slice(0, 16), 'dc0010'],
      [many, 'dd00011170'],
      [Object.fromEntries(many.slice(0, 16).map((key) => [`k${key}`, key])), 'de0010'],
      [Object.fromEntries(many.map((key) => [`k${key}`, key])), 'df00011170'],
    ]
    for (const [value, head] of all) {
      expect(hex(value).slice(0, head.length)).toBe(head)
      expect(decodeMsgpack(encodeMsgpack(value))).toEqual(value)
    }
  })
})
