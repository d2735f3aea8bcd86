import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameMender } from './amqp-frames.js'

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

const through = (chunks: readonly Buffer[]): Buffer => {
  const mender = new FrameMender()
  return Buffer.concat(chunks.map((chunk) => mender.push(Buffer.from(chunk)) ?? Buffer.alloc(0)))
}

describe('FrameMender', () => {
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
      fc.property(fc.array(fc.integer({ min: 1, max: whole.length - 1 }), { maxLength: 12 }), (cuts) => {
        const ends = [...new Set(cuts), whole.length].toSorted((a, b) => a - b)
        const chunks = ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end))
        expect(through(chunks)).toEqual(stream('l'))
      }),
    )
    expect(through([...whole].map((byte) => Buffer.from([byte])))).toEqual(stream('l'))
  })
})
