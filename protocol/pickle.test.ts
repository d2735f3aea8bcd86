import { describe, expect, it } from 'vitest'
import { DecodeError, EncodeError, SizeLimitError } from './errors.js'
import { decodePickle, encodePickle } from './pickle.js'
import { PickledError } from './pickled-error.js'
import { pyRepr } from './python-repr.js'
import { date, datetime, decimal, FrozenSet, float, TimeDelta, Tuple, time, tuple, uuid } from './values.js'

const read = (base64: string) => decodePickle(Buffer.from(base64, 'base64'), { exact: true })
const opcodes = (text: string) => decodePickle(Buffer.from(text, 'latin1'))

/** `pickle.dumps([...], 4)` of every kind of plain value. */
const ALL_KINDS =
  'gASVFwEAAAAAAABdlChLAYWUj5QoSwKQKEsDkZRDAf+URz/4AAAAAAAAR0AAAAAAAAAAToiKCQAAEGMtXsdrBYwIZGF0ZXRpbWWUjAhkYXRldGltZZSTlEMKB+4BAgMEBQpb9ZRoBYwIdGltZXpvbmWUk5RoBYwJdGltZWRlbHRhlJOUSwBLAEsAh5RSlIWUUpSGlFKUaAWMBGRhdGWUk5RDBAfuAQKUhZRSlGgFjAR0aW1llJOUQwYDBAAAAACUhZRSlGgMSwFLAksDh5RSlIwHZGVjaW1hbJSMB0RlY2ltYWyUk5SMBDEuMTCUhZRSlIwEdXVpZJSMBFVVSUSUk5QpgZR9lIwDaW50lIoQyDDUT8AAtIDRQa2dELina3NiZS4='

const everything = [
  tuple(1),
  new Set([2]),
  new FrozenSet([3]),
  Buffer.from([255]),
  1.5,
  float(2),
  null,
  true,
  10n ** 20n,
  datetime('2030-01-02T03:04:05.678901+00:00'),
  date('2030-01-02'),
  time('03:04'),
  new TimeDelta({ days: 1, seconds: 2, microseconds: 3 }),
  decimal('1.10'),
  uuid('6ba7b810-9dad-41d1-80b4-00c04fd430c8'),
]

describe('pickle as plain data', () => {
  it('SEC-001 reads every plain value that Python pickles', () => {
    expect(pyRepr(read(ALL_KINDS))).toBe(pyRepr(everything))
  })

  it('SEC-001 round-trips every plain value', () => {
    expect(pyRepr(decodePickle(encodePickle(everything), { exact: true }))).toBe(pyRepr(everything))
    const body = tuple(tuple(1, 'a'), { k: ['\ud800', '😀', -129, 2 ** 40, -(2n ** 63n)] }, { chain: null })
    const back = decodePickle(encodePickle(body))
    expect(back).toBeInstanceOf(Tuple)
    expect(back).toEqual(body)
  })

  it('reads exceptions as names and arguments, wrapped ones too', () => {
    expect(read('gASVLgAAAAAAAAB9lIwBcpSMCGJ1aWx0aW5zlIwKVmFsdWVFcnJvcpSTlIwDYmFklEsBhpRSlHMu')).toEqual({
      r: new PickledError('builtins', 'ValueError', tuple('bad', 1) as unknown[]),
    })
    const wrapped = read(
      'gASVowAAAAAAAACMGmNlbGVyeS51dGlscy5zZXJpYWxpemF0aW9ulIwcVW5waWNrbGVhYmxlRXhjZXB0aW9uV3JhcHBlcpSTlCiMC3Nob3AuZXJyb3JzlIwIRGVjbGluZWSUjAJub5SFlIwBeJR0lFKUfZQojApleGNfbW9kdWxllGgDjAxleGNfY2xzX25hbWWUaASMCGV4Y19hcmdzlGgGjAR0ZXh0lGgHdWIu',
    )
    expect(wrapped).toMatchObject({ module: 'shop.errors', type: 'Declined', args: ['no'], isWrapped: true })
  })

  it('sends an exception that Python may lack inside the wrapper that it has', () => {
    expect(
      Buffer.from(encodePickle(new PickledError(undefined, 'HttpError', [404]))).toString('latin1'),
    ).toContain('UnpickleableExceptionWrapper')
    const plain = Buffer.from(encodePickle(new PickledError('builtins', 'ValueError', ['x']))).toString(
      'latin1',
    )
    expect(plain).not.toContain('Wrapper')
  })

  it('PYO-005 never imports or calls: any other name is refused by name', () => {
    expect(() => opcodes("cos\nsystem\n(S'echo pwned'\ntR.")).toThrow(/Refusing os\.system/)
    expect(() => opcodes('cbuiltins\neval\n.')).toThrow(/Refusing builtins\.eval/)
    expect(() => opcodes("cbuiltins\ngetattr\n(cbuiltins\nlist\nS'append'\ntR.")).toThrow(/Refusing getattr/)
    expect(() => opcodes('cbuiltins\nValueError\n.')).toThrow(/which is not data/)
  })

  it('refuses values that contain themselves, multiply or nest without end', () => {
    expect(() => opcodes('(lp0\ng0\na.')).toThrow(/contains itself/)
    let bomb = '(lp0\nI1\na'
    for (let level = 1; level < 40; level++) bomb += `(lp${level}\ng${level - 1}\nag${level - 1}\na`
    expect(() => opcodes(`${bomb}.`)).toThrow(SizeLimitError)
    expect(() => opcodes(`${']'.repeat(5000)}${'a'.repeat(4999)}.`)).toThrow(/deeper than 1000/)
  })

  it('believes no length that the bytes do not have', () => {
    for (const head of [
      'B\xff\xff\xff\xff',
      '\x8e\xff\xff\xff\xff\xff\xff\xff\x7f',
      'T\xff\xff\xff\x7f',
      '\x8b\xff\xff\xff\x7f',
    ]) {
      expect(() => opcodes(`\x80\x04${head}a.`)).toThrow(DecodeError)
    }
  })

  it('keeps __proto__ as data, and a dict with other keys as a Map', () => {
    const value = decodePickle(encodePickle(JSON.parse('{"__proto__":{"x":1}}'))) as Record<string, unknown>
    expect([Object.keys(value), value['x']]).toEqual([['__proto__'], undefined])
    const map = new Map<unknown, unknown>([
      [1, 'a'],
      ['b', 2],
    ])
    expect(decodePickle(encodePickle(map))).toEqual(map)
  })

  it('refuses to write what has no plain form', () => {
    const cycle: unknown[] = []
    cycle.push(cycle)
    for (const value of [() => 1, Promise.resolve(), new TypeError('x'), cycle, new Date(Number.NaN)]) {
      expect(() => encodePickle(value)).toThrow(EncodeError)
    }
  })
})
