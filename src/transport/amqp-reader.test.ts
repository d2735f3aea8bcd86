import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Envelope } from '../../protocol/envelope.js'
import { envelopeOf } from './amqp-envelope.js'
import { AmqpReader } from './amqp-reader.js'
import {
  BasicDeliver,
  BasicProperties,
  decodeFrame,
  encodeMethod,
  encodeProperties,
  parseFrame,
} from './amqplib-frames.conformance.js'

const fields = { consumerTag: 'c1', deliveryTag: 7, redelivered: true, exchange: 'x', routingKey: 'ключ' }
const method = encodeMethod(BasicDeliver, 1, fields)
const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}
const frame = (type: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, 0, 1]), u32(payload.length), payload, Buffer.from([0xce])])
/** A content header from its flags on. */
const headerOf = (properties: Buffer): Buffer => {
  const fixed = Buffer.alloc(12)
  fixed.writeUInt16BE(60)
  fixed.writeUInt32BE(4, 8)
  return frame(2, Buffer.concat([fixed, properties]))
}
const content = Buffer.from('body')
const nothing: Envelope = { body: content, contentType: '', contentEncoding: '', headers: {}, properties: {} }

/** What the reader, and what amqplib, makes of a message with this content header. */
function ours(header: Buffer, reader = new AmqpReader()): ReturnType<AmqpReader['read']> {
  const body = method.length + header.length
  const all = Buffer.concat([method, header, frame(3, content)])
  return reader.read(all, { method: 0, header: method.length, body, end: all.length })
}
function theirs(header: Buffer): unknown {
  const parsed = parseFrame(header, 0)
  if (parsed === false) throw new Error('half a frame')
  return { ...fields, envelope: envelopeOf({ content, properties: decodeFrame(parsed).fields } as never) }
}

const text = (value: string): Buffer =>
  Buffer.concat([Buffer.from([Buffer.byteLength(value)]), Buffer.from(value)])
const table = (...parts: readonly Buffer[]): Buffer => {
  const all = Buffer.concat(parts)
  return Buffer.concat([u32(all.length), all])
}
const field = (name: string, value: Buffer): Buffer => Buffer.concat([text(name), value])
const typed = (letter: string, bytes: readonly number[] | Buffer): Buffer =>
  Buffer.concat([Buffer.from(letter), Buffer.from(bytes)])

/** Every type octet that amqplib knows, with values at the edges of its range. */
const scalars: readonly Buffer[] = [
  ...[0, 1, 0x7f, 0x80, 0xff].flatMap((byte) => ['t', 'b', 'B'].map((letter) => typed(letter, [byte]))),
  ...[0, 1, 0x7fff, 0x8000, 0xffff].flatMap((n) => ['s', 'u'].map((letter) => typed(letter, [n >> 8, n & 255]))),
  ...[0, 1, 0x7fffffff, 0x80000000, 0xffffffff].flatMap((n) => ['I', 'i', 'f'].map((letter) => typed(letter, u32(n)))),
  ...['0000000000000000', '0000000000000001', 'ffffffffffffffff', '8000000000000000', '7fffffffffffffff',
    '0020000000000001', '001fffffffffffff', 'ffdfffffffffffff', 'bff0000000000000', '000000ffffffff80'].flatMap((hex) =>
    ['l', 'd', 'T'].map((letter) => typed(letter, Buffer.from(hex, 'hex'))),
  ),
  typed('D', [2, 0, 0, 0, 199]),
  typed('D', [0, 255, 255, 255, 255]),
  typed('V', []),
  ...['', 'a', 'é😀', 'x'.repeat(64), 'y'.repeat(65), 'z'.repeat(3000)].map((value) =>
    typed('S', Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)])),
  ),
  typed('S', [0, 0, 0, 3, 0x61, 0xff, 0x62]),
  typed('x', [0, 0, 0, 3, 0, 0xff, 1]),
  typed('x', [0, 0, 0, 0]),
] // biome-ignore format: a table

const name = fc.oneof(
  fc.constantFrom(
    'lang',
    'task',
    'id',
    'shadow',
    'stamps',
    '!',
    'value',
    'a',
    '1',
    'ключ',
    '',
    'n'.repeat(255),
  ),
  fc.string({ maxLength: 12 }).filter((each) => Buffer.byteLength(each) < 256 && each !== '__proto__'),
)
const value = fc.letrec<{ any: Buffer }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(...scalars),
    fc.array(tie('any'), { maxLength: 4 }).map((items) => typed('A', table(...items))),
    fc
      .array(fc.tuple(name, tie('any')), { maxLength: 4 })
      .map((pairs) => typed('F', table(...pairs.map(([key, item]) => field(key, item))))),
  ),
})).any
const headersOf = (pairs: readonly (readonly [string, Buffer])[]): Buffer =>
  headerOf(Buffer.concat([Buffer.from([0x20, 0]), table(...pairs.map(([key, item]) => field(key, item)))]))

const taskNames = [
  'lang', 'task', 'id', 'shadow', 'eta', 'expires', 'group', 'group_index', 'retries', 'timelimit', 'root_id', 'parent_id',
  'argsrepr', 'kwargsrepr', 'origin', 'ignore_result', 'replaced_task_nesting', 'stamped_headers', 'stamps',
] // biome-ignore format: a table

describe('AmqpReader', () => {
  it('reads every type of field as amqplib does, alone, in arrays and in tables', () => {
    for (const each of scalars) {
      for (const header of [
        headersOf([['a', each]]),
        headersOf([['list', typed('A', table(each, each))]]),
        headersOf([['inner', typed('F', table(field('a', each), field('b', typed('A', table(each)))))]]),
      ]) {
        const read = ours(header)
        expect(read, each.toString('hex')).toBeDefined()
        expect(read).toStrictEqual(theirs(header))
      }
    }
  })

  it('reads whatever headers there are, in their order, as amqplib does', () => {
    const reader = new AmqpReader()
    const usual = fc.tuple(...taskNames.map((each) => value.map((item) => [each, item] as const)))
    const some = fc.oneof(
      usual,
      fc
        .subarray(taskNames)
        .chain((names) => fc.tuple(...names.map((each) => value.map((item) => [each, item] as const)))),
    )
    fc.assert(
      fc.property(
        fc.oneof(fc.constant([]), some),
        fc.array(fc.tuple(name, value), { maxLength: 4 }),
        (first, last) => {
          const header = headersOf([...first, ...last])
          const read = ours(header, reader)
          expect(read).toStrictEqual(theirs(header))
          const names = Object.keys(read?.envelope.headers ?? {})
          expect(names).toEqual(Object.keys((theirs(header) as typeof read)?.envelope.headers ?? {}))
        },
      ),
    )
  })

  it('reads every property as amqplib does, whichever are there', () => {
    const all = {
      contentType: 'application/json', contentEncoding: 'utf-8', headers: { a: 1 }, deliveryMode: 2, priority: 9,
      correlationId: 'c', replyTo: 'é', expiration: '100', messageId: 'm', timestamp: 1_700_000_000, type: 't',
      userId: 'guest', appId: 'a', clusterId: 'l',
    } as const // biome-ignore format: a table
    fc.assert(
      fc.property(fc.subarray(Object.entries(all)), fc.constantFrom(0, 1, 2, 3), (some, deliveryMode) => {
        const given: Record<string, unknown> = Object.fromEntries(some)
        if ('deliveryMode' in given) given['deliveryMode'] = deliveryMode
        const header = encodeProperties(BasicProperties, 1, content.length, given)
        expect(ours(header)).toStrictEqual(theirs(header))
      }),
    )
  })

  it('reads content headers as Python wrote them', () => {
    const file = join(
      import.meta.dirname,
      '..',
      '..',
      'python-fixtures',
      'data',
      'vectors-amqp-properties.json',
    )
    const { cases } = JSON.parse(readFileSync(file, 'utf8')) as {
      readonly cases: readonly { readonly bytes: string; readonly expected: Record<string, unknown> }[]
    }
    expect(cases.length).toBeGreaterThan(5)
    for (const { bytes, expected } of cases) {
      const read = ours(headerOf(Buffer.from(bytes, 'base64')))
      expect(read).toBeDefined()
      const { contentType, contentEncoding, headers, properties: p } = read?.envelope ?? nothing
      expect({
        ...(contentType === '' ? {} : { content_type: contentType }),
        ...(contentEncoding === '' ? {} : { content_encoding: contentEncoding }),
        ...('application_headers' in expected ? { application_headers: plain(headers) } : {}),
        ...renamed(p),
      }).toEqual(expected)
    }
  })

  it('leaves to amqplib what it does not understand in full, however the bytes are damaged', () => {
    const whole = headersOf([
      ...taskNames.map((each, index) => [each, scalars[index * 2] as Buffer] as const),
      ['deep', typed('F', table(field('a', typed('A', table(...scalars)))))],
    ])
    const reader = new AmqpReader()
    let left = 0
    fc.assert(
      fc.property(
        fc.integer({ min: 19, max: whole.length - 2 }),
        fc.integer({ min: 0, max: 255 }),
        (at, byte) => {
          const damaged = Buffer.from(whole)
          damaged[at] = byte
          const read = ours(damaged, reader)
          if (read === undefined) left += 1
          // A damaged type octet may be `L`, which amqplib reads once it is mended.
          else if (byte !== 0x4c) expect(read).toStrictEqual(theirs(damaged))
        },
      ),
      { numRuns: 2000 },
    )
    expect(left).toBeGreaterThan(0)
    for (let length = 14; length < whole.length - 8; length += 1)
      expect(ours(frame(2, whole.subarray(7, 7 + length))), `cut after ${length} bytes`).toBeUndefined()
  })

  it('leaves a type octet that nobody knows, tables without end and further flags to amqplib', () => {
    expect(ours(headersOf([['a', typed('?', [])]]))).toBeUndefined()
    expect(ours(headerOf(Buffer.from([0, 1])))).toBeUndefined()
    expect(ours(headersOf([['a', nested(typed('V', []), 30_000)]]))).toBeUndefined()
  })
})

/** `levels` tables around a value, each the only field, without a name, of the next one. */
function nested(inner: Buffer, levels: number): Buffer {
  const heads = Array.from({ length: levels }, (_, level) => {
    const head = Buffer.alloc(6)
    head[0] = 0x46
    head.writeUInt32BE(inner.length + 1 + (levels - 1 - level) * 6, 1)
    return head
  })
  return Buffer.concat([...heads, inner])
}

function plain(read: unknown): unknown {
  if (read instanceof Date) return read.getTime() / 1000
  if (Array.isArray(read)) return read.map(plain)
  if (typeof read !== 'object' || read === null) return read
  const { '!': type, value: inner } = read as { '!'?: unknown; value?: { places: number; digits: number } }
  if (type === 'decimal' && inner !== undefined) return inner.digits / 10 ** inner.places
  return Object.fromEntries(Object.entries(read).map(([key, item]) => [key, plain(item)]))
}

function renamed(properties: object): Record<string, unknown> {
  const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return Object.fromEntries(Object.entries(properties).map(([key, item]) => [snake(key), item]))
}
