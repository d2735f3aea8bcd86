import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PickledError } from './pickled-error.js'
import { pyRepr, saferepr } from './python-repr.js'
import { datetime, decimal, FrozenSet, float, TimeDelta, Tuple, time, tuple } from './values.js'

describe('saferepr', () => {
  it.each([
    [tuple("it's"), 1024, "('it\\'s',)"],
    [tuple('a\\b'), 1024, "('a\\b',)"],
    [tuple([[[[1]]]]), 1024, '([[[...]]],)'],
    [tuple({ a: { b: { c: 1 } } }), 1024, "({'a': {'b': {...}}},)"],
    [tuple(Buffer.from([255])), 1024, "(b'ff',)"],
    [tuple(Buffer.from('ab')), 1024, "(b'ab',)"],
    [tuple(1.5, -0, 1e16, Number.NaN), 1024, '(1.5, -0.0, 1e+16, nan)'],
    [tuple(null, true, undefined), 1024, '(None, True, None)'],
    [new Tuple(), 1024, '()'],
    [{}, 1024, '{}'],
    [{ a: 'b' }, 1024, "{'a': 'b'}"],
    [new Set(), 1024, 'set()'],
    [new FrozenSet([1]), 1024, 'frozenset({1})'],
    [tuple('x'.repeat(50)), 30, "('xxxxxxxxxxxxxxxxxxxxxxxxxxxxx...', ..."],
    [
      tuple(
        Array.from({ length: 50 }, (_, index) => index),
        'tail',
      ),
      30,
      '([0, 1, 2, 3, 4, 5, 6, 7, 8, 9..., ...])',
    ],
    [tuple(Array(20).fill('aaaa')), 30, "(['aaaa', 'aaaa', 'aaaa', 'aaaa...', ...],)"],
    [
      tuple('x'.repeat(10), 'y'.repeat(10), 'z'.repeat(10), 'w'),
      30,
      "('xxxxxxxxxx', 'yyyyyyyyyy', 'z...', ...)",
    ],
  ])('PUB-034 PYO-008 shows %# as Celery does', (value, maxlen, expected) => {
    expect(saferepr(value, { maxlen })).toBe(expected)
  })

  it('PUB-034 shows positional arguments as a tuple, and lists inside as lists', () => {
    expect(saferepr([2, [3]], { asTuple: true })).toBe('(2, [3])')
    expect(saferepr([1], { asTuple: true })).toBe('(1,)')
    expect(saferepr([1])).toBe('[1]')
  })

  it('PUB-034 marks a value inside itself', () => {
    const list: unknown[] = []
    list.push(list)
    expect(saferepr(list, { maxlevels: 0 })).toMatch(/^\[<Recursion on list with id=\d+>\]$/)
  })

  it('never throws, and stays near its bound, for any value', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }),
        (value) => {
          expect(saferepr(value).length).toBeLessThan(2 * 1024 + 100)
          expect(typeof pyRepr(value)).toBe('string')
        },
      ),
    )
    const hostile = {
      toJSON: () => {
        throw new Error('x')
      },
    }
    expect(saferepr([hostile])).toContain('Unrepresentable')
    expect(saferepr(Array(1e6).fill('x')).length).toBeLessThan(1100)
  })

  it('PYO-008 writes plain calls as the general way does, wherever they are cut', () => {
    const scalar = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.constantFrom("it's", 'a'.repeat(201), -0, 1e300, Number.NaN, null, undefined),
      fc.integer(),
      fc.double(),
      fc.boolean(),
    )
    const call = fc.oneof(
      fc.array(scalar, { maxLength: 6 }),
      fc.dictionary(fc.string(), scalar, { maxKeys: 6 }),
    )
    fc.assert(
      fc.property(call, fc.integer({ min: 1, max: 80 }), fc.boolean(), (value, maxlen, asTuple) => {
        // no bound of levels: the general way
        expect(saferepr(value, { maxlen, asTuple })).toBe(saferepr(value, { maxlen, asTuple, maxlevels: 0 }))
      }),
    )
  })
})

describe('pyRepr', () => {
  it.each([
    ['shop.add', "'shop.add'"],
    ["it's", '"it\'s"'],
    ['a\'b"c', "'a\\'b\"c'"],
    ['\n\\\x00\xa0\u200b😀', "'\\n\\\\\\x00\\xa0\\u200b😀'"],
    [Buffer.from([0, 39, 92, 255]), 'b"\\x00\'\\\\\\xff"'],
    [float(2), '2.0'],
    [1e-7, '1e-07'],
    [123456789012345680, '1.2345678901234568e+17'],
    [2n ** 64n, '18446744073709551616'],
    [decimal('1.10'), "Decimal('1.10')"],
    [time('03:04:00.000005'), 'datetime.time(3, 4, 0, 5)'],
    [
      datetime('2030-01-02T03:04:05-05:30'),
      'datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(days=-1, seconds=66600)))',
    ],
    [new TimeDelta({}), 'datetime.timedelta(0)'],
    [new PickledError('builtins', 'ValueError', ['x', 1]), "ValueError('x', 1)"],
    [new Map<unknown, unknown>([[1, [null]]]), '{1: [None]}'],
  ])('PYO-008 writes %# as repr() does', (value, expected) => {
    expect(pyRepr(value)).toBe(expected)
  })
})
