import { describe, expect, it } from 'vitest'
import { envelopeOf } from './amqp-envelope.js'
import { AmqpWriter } from './amqp-writer.js'
import { type LibFrame, framesOf as readFrames } from './amqplib-frames.conformance.js'
import { message } from './collector.conformance.js'
import type { Outgoing } from './transport.js'

function framesOf(buffers: readonly Buffer[], frameMax: number): LibFrame[] {
  const frames = readFrames(Buffer.concat(buffers))
  for (const { parsed } of frames) expect(parsed.size + 8).toBeLessThanOrEqual(frameMax)
  return frames.map(({ frame }) => frame)
}

/** Frames as messages: what was published where. */
function messagesOf(frames: readonly LibFrame[]): { readonly to: unknown; readonly envelope: unknown }[] {
  const found: { to: unknown; envelope: unknown }[] = []
  for (let at = 0; at < frames.length; ) {
    const [method, header] = [frames[at], frames[at + 1]]
    at += 2
    const parts: Buffer[] = []
    for (; frames[at]?.content !== undefined; at += 1) parts.push(frames[at]?.content as Buffer)
    const content = Buffer.concat(parts)
    expect(header?.size).toBe(content.length)
    const properties = header?.fields as unknown as Parameters<typeof envelopeOf>[0]['properties']
    found.push({ to: method?.fields, envelope: envelopeOf({ content, properties } as never) })
  }
  return found
}

const frameMax = 131_072
const to = { exchange: 'x', routingKey: 'k' }
const outgoing = (headers: Record<string, unknown>, more: Partial<Outgoing['envelope']> = {}): Outgoing => ({
  envelope: { ...message('m'), headers, ...more },
  to,
})

describe('publishes as AMQP frames', () => {
  it('PUB-033 carry every property and every kind of header as amqplib reads them', () => {
    const headers = {
      text: 'é😀', 'long text': 'x'.repeat(500), empty: '', none: null, yes: true, no: false,
      small: -1, edge: 2_147_483_647, large: 2 ** 40, negative: -(2 ** 40), half: 0.5, huge: 1e300, big: 12n,
      list: [1, null, [true], { a: 'b' }, undefined], table: { inner: { '!': 'timestamp', other: 1 } },
      bytes: Buffer.from([1, 2]), when: new Date(1_700_000_000_000),
      price: { '!': 'decimal', value: { places: 2, digits: 199 } }, missing: undefined, 'ключ': 1,
    } // biome-ignore format: a table
    const properties = {
      deliveryMode: 2, priority: 9, correlationId: 'c', replyTo: 'r', expiration: '100', messageId: 'm',
      timestamp: 1_700_000_000, type: 't', userId: 'guest', appId: 'a',
    } as const // biome-ignore format: a table
    const writer = new AmqpWriter(7, frameMax)
    writer.add({ ...outgoing(headers, { properties }), mandatory: false })
    const frames = framesOf(writer.take(), frameMax)
    expect(frames.every(({ channel }) => channel === 7)).toBe(true)
    const { missing: _, ...kept } = headers
    expect(messagesOf(frames)).toEqual([
      {
        to: expect.objectContaining({ exchange: 'x', routingKey: 'k', mandatory: false, immediate: false }),
        envelope: {
          ...message('m'),
          headers: { ...kept, big: 12, list: [1, null, [true], { a: 'b' }, null] },
          properties,
          body: expect.anything(),
        },
      },
    ])
  })

  it('write whole numbers as int32 and int64, as py-amqp does, so that Python reads their sign', () => {
    const writer = new AmqpWriter(1, frameMax)
    writer.add(outgoing({ a: -1, b: 2 ** 31, c: 2 ** 60, d: -0.5 }))
    const bytes = Buffer.concat(writer.take()).toString('latin1')
    for (const [name, type] of ['aI', 'bl', 'cd', 'dd'] as const)
      expect(bytes).toContain(`\x01${name}${type}`)
  })

  it.each([4096, 131_072, 0xffff_ffff])('split bodies over frames of %d bytes, many in one write', (most) => {
    const writer = new AmqpWriter(1, most)
    const sizes = [0, 1, 4000, 4088, 4089, 16_384, 16_385, 50_000, 131_064, 131_065, 400_000, 3]
    const bodies = sizes.map((size) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => i % 251)))
    for (const body of bodies) writer.add(outgoing({ size: body.length }, { body }))
    const read = messagesOf(framesOf(writer.take(), most)) as { envelope: { body: Buffer } }[]
    expect(read.map(({ envelope }) => envelope.body.length)).toEqual(sizes)
    expect(read.every(({ envelope }, i) => envelope.body.equals(bodies[i] as Buffer))).toBe(true)
    expect(writer.take()).toEqual([])
  })

  it('keep their bytes when much more is written before they are sent', () => {
    const writer = new AmqpWriter(1, frameMax)
    const taken: Buffer[] = []
    for (let n = 0; n < 2000; n += 1) {
      writer.add(outgoing({ n, filling: 'x'.repeat(n % 700) }))
      if (n % 3 === 0) taken.push(...writer.take())
    }
    const read = messagesOf(framesOf([...taken, ...writer.take()], frameMax))
    expect(read.map(({ envelope }) => (envelope as Outgoing['envelope']).headers['n'])).toEqual(
      Array.from({ length: 2000 }, (_, n) => n),
    )
  })

  it('leave nothing behind of a message that AMQP cannot carry', () => {
    const writer = new AmqpWriter(1, 4096)
    const wrong: Outgoing[] = [
      outgoing({ wide: 'x'.repeat(4096) }),
      outgoing({ wide: 'é'.repeat(2040) }),
      outgoing({ many: Array.from({ length: 1000 }, () => 'text') }),
      outgoing({ raw: Buffer.alloc(4090) }),
      outgoing({ ['n'.repeat(256)]: 1 }),
      outgoing({ big: 2n ** 70n }),
      outgoing({}, { properties: { correlationId: 'é'.repeat(128) } }),
      outgoing({}, { properties: { priority: 256 } }),
      outgoing({}, { properties: { correlationId: 5 as unknown as string } }),
      { ...outgoing({}), to: { exchange: 'x'.repeat(256), routingKey: '' } },
    ]
    writer.add(outgoing({ n: 1 }))
    for (const each of wrong) expect(() => writer.add(each)).toThrow(/^.{5,}/)
    writer.add(outgoing({ n: 2 }))
    const read = messagesOf(framesOf(writer.take(), 4096)) as { envelope: Outgoing['envelope'] }[]
    expect(read.map(({ envelope }) => envelope.headers)).toEqual([{ n: 1 }, { n: 2 }])
  })

  it('take a header that just fits, and no byte more', () => {
    const fits = (length: number): boolean => {
      const writer = new AmqpWriter(1, 4096)
      try {
        writer.add(outgoing({ text: 'x'.repeat(length) }))
      } catch {
        return false
      }
      framesOf(writer.take(), 4096)
      return true
    }
    const most = Array.from({ length: 200 }, (_, i) => 3900 + i).findLast(fits) ?? 0
    expect(most).toBeGreaterThan(3950)
    expect(fits(most + 1)).toBe(false)
  })
})
