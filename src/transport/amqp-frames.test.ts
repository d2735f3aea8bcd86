import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IncomingFrames } from './amqp-frames.js'
import {
  BasicDeliver,
  BasicProperties,
  encodeMethod,
  encodeProperties,
} from './amqplib-frames.conformance.js'

const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}
const frame = (type: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, 0, 1]), u32(payload.length), payload, Buffer.from([0xce])])
const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
const long = (value: string): Buffer =>
  Buffer.concat([Buffer.from('S'), u32(value.length), Buffer.from(value)])
const field = (name: string, value: Buffer): Buffer => Buffer.concat([text(name), value])
const table = (...fields: Buffer[]): Buffer => {
  const all = Buffer.concat(fields)
  return Buffer.concat([u32(all.length), all])
}
const eight = (letter: string): Buffer => Buffer.concat([Buffer.from(letter), Buffer.alloc(8, 0x4c)])

/** A content header with every kind of field, whose long whole numbers have the type octet `letter`. */
const header = (letter: string): Buffer =>
  frame(
    2,
    Buffer.concat([
      Buffer.alloc(12),
      Buffer.from([0xe0, 0]),
      text('application/LLL'),
      text('utf-8'),
      table(
        field('L', eight(letter)),
        field('text', long('L not a type L')),
        field('none', Buffer.from('V')),
        field('list', Buffer.concat([Buffer.from('A'), table(eight(letter), Buffer.from('tL'), long('L'))])),
        field('table', Buffer.concat([Buffer.from('F'), table(field('L', eight(letter)))])),
        field('last', eight(letter)),
      ),
    ]),
  )

/** Everything that amqplib gets to read. */
const through = (chunks: readonly Buffer[], frames = new IncomingFrames(4096)): Buffer => {
  const passed: Buffer[] = []
  for (const chunk of chunks) {
    frames.push(Buffer.from(chunk))
    for (let bytes = frames.next(); bytes !== null; bytes = frames.next()) passed.push(bytes)
  }
  return Buffer.concat(passed)
}
/** A whole cut into pieces, the same in each run of a property. */
const cuts = (whole: Buffer): fc.Arbitrary<Buffer[]> =>
  fc.array(fc.integer({ min: 1, max: whole.length - 1 }), { maxLength: 12 }).map((places) => {
    const ends = [...new Set(places), whole.length].toSorted((a, b) => a - b)
    return ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end))
  })

describe('frames that amqplib is to read', () => {
  const stream = (letter: string): Buffer =>
    Buffer.concat([
      frame(1, Buffer.from('L method L')),
      header(letter),
      frame(3, Buffer.from('L body L')),
      frame(8, Buffer.alloc(0)),
      header(letter),
    ])

  it('changes the type octet of 64-bit numbers in headers, and nothing else', () => {
    expect(through([stream('L')])).toEqual(stream('l'))
    expect(through([stream('l')])).toEqual(stream('l'))
  })

  it('does so however the bytes are cut', () => {
    const whole = stream('L')
    fc.assert(
      fc.property(cuts(whole), (chunks) => {
        expect(through(chunks)).toEqual(stream('l'))
      }),
    )
    expect(through([...whole].map((byte) => Buffer.from([byte])))).toEqual(stream('l'))
  })
})

describe('deliveries', () => {
  const other = frame(1, Buffer.from('another method'))
  const body = (text: string): Buffer => frame(3, Buffer.from(text))
  const head = (size: number, properties: Record<string, unknown> = { headers: { id: 'é' } }): Buffer =>
    encodeProperties(BasicProperties, 1, size, properties)
  const announced = (deliveryTag: number, channel = 1): Buffer =>
    encodeMethod(BasicDeliver, channel, {
      consumerTag: 'c1',
      deliveryTag,
      redelivered: false,
      exchange: '',
      routingKey: 'q',
    })
  const message = (tag: number, text = `body ${tag}`): Buffer =>
    Buffer.concat([announced(tag), head(text.length), ...(text === '' ? [] : [body(text)])])

  interface Log {
    readonly frames: IncomingFrames
    stop(): void
    /** `tag:body` of what was handed over, and what amqplib got, in one order. */
    readonly seen: string[]
    feed(chunks: readonly Buffer[]): void
  }
  const taking = (takes: (tag: number) => boolean = () => true, largest = 4096): Log => {
    const seen: string[] = []
    const frames = new IncomingFrames(largest)
    const stop = frames.setTaker(1, ({ deliveryTag, envelope }) => {
      if (!takes(deliveryTag)) return false
      seen.push(`${deliveryTag}:${Buffer.from(envelope.body).toString()}`)
      return true
    })
    return {
      frames,
      stop,
      seen,
      feed(chunks) {
        for (const chunk of chunks) {
          frames.push(Buffer.from(chunk))
          for (let bytes = frames.next(); bytes !== null; bytes = frames.next())
            seen.push(bytes.toString('hex'))
        }
      },
    }
  }
  /** With what amqplib got one after the other in one piece. */
  const joined = (seen: readonly string[]): string[] => {
    const all: string[] = []
    for (const each of seen) {
      const last = all.at(-1)
      const isMore = last !== undefined && !last.includes(':') && !each.includes(':')
      if (isMore) all[all.length - 1] = last + each
      else all.push(each)
    }
    return all
  }

  it('are handed over, and all else is passed on in its order, however the bytes are cut', () => {
    const whole = Buffer.concat([
      other, message(1), message(2, ''), frame(8, Buffer.alloc(0)), message(3), other, other, message(4), header('L'), message(5),
    ]) // biome-ignore format: a table
    const [passed, beat, mended] = [other, frame(8, Buffer.alloc(0)), header('l')].map((each) =>
      each.toString('hex'),
    )
    const expected = [
      passed,
      '1:body 1',
      '2:',
      beat,
      '3:body 3',
      `${passed}${passed}`,
      '4:body 4',
      mended,
      '5:body 5',
    ]
    fc.assert(
      fc.property(cuts(whole), (chunks) => {
        const { seen, feed } = taking()
        feed(chunks)
        expect(joined(seen)).toEqual(expected)
      }),
    )
    const { seen, feed } = taking()
    feed([...whole].map((byte) => Buffer.from([byte])))
    expect(joined(seen)).toEqual(expected)
  })

  it.each([
    ['a channel without a consumer here', Buffer.concat([announced(1, 2), head(1), body('x')])],
    [
      'headers that are not understood',
      Buffer.concat([announced(1), frame(2, Buffer.alloc(16, 0xff)), body('x')]),
    ],
    ['a body in several frames', Buffer.concat([announced(1), head(2), body('x'), body('y')])],
    ['a body of another size', Buffer.concat([announced(1), head(5), body('x')])],
    ['a body of 4 GB', Buffer.concat([announced(1), head(2 ** 32), body('x')])],
    ['no content header behind it', Buffer.concat([announced(1), other, body('x')])],
    [
      'a frame that does not end well',
      Buffer.concat([announced(1), head(1).subarray(0, -1), Buffer.from([0]), body('x')]),
    ],
  ])('leave to amqplib, byte for byte, what has %s', (_what, bytes) => {
    const whole = Buffer.concat([message(7), bytes, message(8)])
    fc.assert(
      fc.property(cuts(whole), (chunks) => {
        const { seen, feed } = taking()
        feed(chunks)
        expect(joined(seen)).toEqual(['7:body 7', bytes.toString('hex'), '8:body 8'])
      }),
    )
  })

  it('leave to amqplib what nobody takes, and all once their channel has no consumer any more', () => {
    const { seen, feed, frames, stop } = taking((tag) => tag !== 2)
    feed([message(1), message(2), message(3)])
    expect(seen).toEqual(['1:body 1', message(2).toString('hex'), '3:body 3'])
    stop()
    feed([message(4)])
    expect(seen.at(-1)).toBe(message(4).toString('hex'))
    frames.setTaker(1, () => seen.push('another') > 0)
    stop()
    feed([message(5)])
    expect(seen.at(-1)).toBe('another')
  })

  it('do not wait for the rest of a large body, or of a frame that is longer than may be', () => {
    const large = Buffer.concat([announced(1), head(100_000), body('x'.repeat(100_000))])
    const { seen, feed } = taking(undefined, 131_072)
    feed([large.subarray(0, 50_000)])
    expect(seen).toEqual([large.subarray(0, 50_000).toString('hex')])
    feed([large.subarray(50_000), message(2)])
    expect(joined(seen)).toEqual([large.toString('hex'), '2:body 2'])

    const long = Buffer.from(head(1))
    long.writeUInt32BE(1_000_000, 3)
    const bounded = taking()
    bounded.feed([announced(1), long])
    expect(joined(bounded.seen)).toEqual([Buffer.concat([announced(1), long]).toString('hex')])
  })
})
