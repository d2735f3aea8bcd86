import { describe, expect, it } from 'vitest'
import { DecodeError, EncodeError, SizeLimitError } from './errors.js'
import { pyRepr } from './python-repr.js'
import { date, datetime, decimal, float, time, uuid } from './values.js'
import { decodeYaml, encodeYaml } from './yaml.js'

describe('YAML as PyYAML has it', () => {
  it.each([
    ['0777', '511'],
    ['0x1F', '31'],
    ['1_000', '1000'],
    ['190:20:30', '685230'],
    ['190:20:30.15', '685230.15'],
    ['1e5', "'1e5'"],
    ['1.0e+5', '100000.0'],
    ['.inf', 'inf'],
    ['yes', 'True'],
    ['Off', 'False'],
    ['y', "'y'"],
    ['~', 'None'],
    ['', 'None'],
    ["'yes'", "'yes'"],
    ['123456789012345678901234567890', '123456789012345678901234567890'],
    ['2030-01-02', 'datetime.date(2030, 1, 2)'],
    ['2030-1-2', "'2030-1-2'"],
    [
      '2030-01-02 03:04:05.678901Z',
      'datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)',
    ],
    ['2030-01-02t3:04:05', 'datetime.datetime(2030, 1, 2, 3, 4, 5)'],
    ['!!binary aGVsbG8=', "b'hello'"],
    ['!!set {a}', "{'a'}"],
    ['{a: 1, 2: b}', "{'a': 1, 2: 'b'}"],
    ['- &x [1]\n- *x', '[[1], [1]]'],
    ['a: &b {x: 1}\nc:\n  <<: *b\n  y: 2', "{'a': {'x': 1}, 'c': {'x': 1, 'y': 2}}"],
    ['- - 1\n- {}\n- callbacks: null\n', "[[1], {}, {'callbacks': None}]"],
  ])('SEC-001 reads %j as safe_load does', (text, expected) => {
    expect(pyRepr(decodeYaml(text, { exact: true }))).toBe(expected)
  })

  it('SEC-001 round-trips what safe_dump takes', () => {
    const value = [
      { a: [1, 2n ** 70n, 1.5, float(2), 1e20, Number.NaN, -Infinity, null, true], yes: 'no', '? x': '1:30' },
      'é😀\x7f\x85\u2028"\\',
      'k'.repeat(3000),
      { ['k'.repeat(2000)]: 1 },
      datetime('2030-01-02T03:04:05.678901-05:30'),
      datetime('2030-01-02T03:04:05'),
      date('2030-01-02'),
      Buffer.from([0, 255]),
      new Set([1, 'a']),
      new Map<unknown, unknown>([
        [1, 2],
        [null, 3],
      ]),
    ]
    expect(pyRepr(decodeYaml(encodeYaml(value), { exact: true }))).toBe(pyRepr(value))
  })

  it('refuses tags of code, unknown tags, more than one document and broken text', () => {
    for (const text of [
      '!!python/object:os.system x',
      '!foo x',
      '--- 1\n--- 2\n',
      '[1,',
      '*nope',
      '&a [*a]',
      '? [a]\n: b',
      '!!int x',
    ]) {
      expect(() => decodeYaml(text), text).toThrow(DecodeError)
    }
  })

  it('stops aliases that multiply, and nesting without end', () => {
    let bomb = 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n'
    for (let level = 1; level < 12; level++) {
      bomb += `a${level}: &a${level} [${Array(10)
        .fill(`*a${level - 1}`)
        .join(',')}]\n`
    }
    expect(() => decodeYaml(bomb)).toThrow(SizeLimitError)
    // The next would end the process, not only fail, if the composer got it.
    for (const head of ['? ', '- ', '[a,', '{a: ', '[']) {
      expect(() => decodeYaml(head.repeat(20_000)), head).toThrow(DecodeError)
    }
    expect(() => decodeYaml(`${'['.repeat(1500)}${']'.repeat(1500)}`)).toThrow(DecodeError)
  })

  it('bounds nesting through aliases', () => {
    const lines = Array.from({ length: 300 }, (_, index) => `- &a${index + 1} [*a${index}]`)
    expect(() => decodeYaml(['- &a0 x', ...lines].join('\n'))).toThrow(/through aliases/)
  })

  it('refuses to write what safe_dump refuses', () => {
    for (const value of [decimal('1'), uuid('6ba7b8109dad41d180b400c04fd430c8'), time('03:04'), () => 1]) {
      expect(() => encodeYaml(value)).toThrow(EncodeError)
    }
  })
})
