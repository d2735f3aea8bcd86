import { describe, expect, it } from 'vitest'
import { DecodeError, EncodeError } from './errors.js'
import { decodeMsgpack, encodeMsgpack } from './msgpack.js'
import { date, decimal, float } from './values.js'

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
})
