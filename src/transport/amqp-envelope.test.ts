import { describe, expect, it } from 'vitest'
import { amqpTable, envelopeOf } from './amqp-envelope.js'

const read = (properties: Record<string, unknown>): ReturnType<typeof envelopeOf> =>
  envelopeOf({ content: Buffer.from('x'), properties } as unknown as Parameters<typeof envelopeOf>[0])

describe('envelopes over AMQP', () => {
  it('write whole numbers as py-amqp does, so that Python reads their sign', () => {
    expect(amqpTable({ small: -1, large: 2 ** 40, edge: 2_147_483_647, half: 0.5, none: undefined })).toEqual(
      {
        small: { '!': 'int32', value: -1 },
        large: { '!': 'int64', value: 2 ** 40 },
        edge: { '!': 'int32', value: 2_147_483_647 },
        half: { '!': 'double', value: 0.5 },
      },
    )
  })

  it('carry times and decimals on as they came, nested too', () => {
    const headers = {
      when: { '!': 'timestamp', value: 1_700_000_000 },
      price: { '!': 'decimal', value: { places: 2, digits: 199 } },
      list: [{ '!': 'timestamp', value: 1 }, null],
      raw: Buffer.from([1, 2]),
    }
    const envelope = read({ headers })
    const { when, price, list } = envelope.headers
    expect(when).toEqual(new Date(1_700_000_000_000))
    expect(price).toEqual({ '!': 'decimal', value: { places: 2, digits: 199 } })
    expect(list).toEqual([new Date(1000), null])
  })

  it('write a table that has a key ! as the table it is', () => {
    const written = amqpTable({ inner: { '!': 'timestamp', other: 1 } })['inner'] as Record<string, unknown>
    expect(Object.hasOwn(written, '!')).toBe(false)
    expect(written['!']).toBe('timestamp')
  })

  it('read what is missing as empty', () => {
    const envelope = read({ correlationId: undefined, deliveryMode: 7, expiration: '100' })
    expect(envelope).toMatchObject({ contentType: '', contentEncoding: '', headers: {} })
    expect(envelope.properties).toEqual({ expiration: '100' })
  })
})
