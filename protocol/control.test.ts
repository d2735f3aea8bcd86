import { describe, expect, it } from 'vitest'
import {
  addresses,
  type ControlRequest,
  decodeControlReply,
  decodeControlRequest,
  decodeHelloRevoked,
  encodeControlReply,
  encodeControlRequest,
  encodeHelloRevoked,
} from './control.js'
import { DecodeError } from './errors.js'
import { createCodec } from './serializers.js'

const codec = createCodec()
const policy = { codec, accept: codec.accepting(['json']) }
const how = { codec, serializer: 'json' }
const ping: ControlRequest = { method: 'ping', arguments: {}, clock: 1, expires: 0 }

function bodyOf(request: ControlRequest): Record<string, unknown> {
  return JSON.parse(Buffer.from(encodeControlRequest(request, how).body).toString()) as Record<
    string,
    unknown
  >
}

describe('requests', () => {
  it('CTL-004 has ticket and reply_to only when a reply is wanted', () => {
    expect(Object.keys(bodyOf(ping))).toEqual(['method', 'arguments', 'destination', 'pattern', 'matcher'])
    expect(bodyOf({ ...ping, ticket: 't', replyTo: { exchange: 'e', routingKey: 'k' } })).toMatchObject({
      ticket: 't',
      reply_to: { exchange: 'e', routing_key: 'k' },
    })
  })

  it('CTL-004 reads arguments that are null or empty as none', () => {
    for (const given of [null, [], 0, '']) {
      const body = new TextEncoder().encode(JSON.stringify({ method: 'ping', arguments: given }))
      const envelope = {
        body,
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        headers: {},
        properties: {},
      }
      expect(decodeControlRequest(envelope, policy)).toMatchObject({ arguments: {}, clock: 0 })
    }
  })

  it('CTL-006 runs where it is listed, else where the pattern fits, else everywhere', () => {
    expect(addresses(ping, 'w1@host')).toBe(true)
    expect(addresses({ ...ping, destination: [] }, 'w1@host')).toBe(true)
    expect(addresses({ ...ping, destination: ['w2@host'], pattern: '*', matcher: 'glob' }, 'w1@host')).toBe(
      false,
    )
    expect(addresses({ ...ping, pattern: 'x*' }, 'w1@host')).toBe(true)
    expect(addresses({ ...ping, pattern: 'x*', matcher: 'glob' }, 'w1@host')).toBe(false)
    expect(() => addresses({ ...ping, pattern: 'x', matcher: 'none' }, 'w1@host')).toThrow(DecodeError)
    expect(() => addresses({ ...ping, pattern: '(', matcher: 'pcre' }, 'w1@host')).toThrow(DecodeError)
  })
})

describe('replies', () => {
  it('CTL-008 carries the value by node, with ticket and clock in the headers', () => {
    const envelope = encodeControlReply({ replies: { 'w1@host': null }, ticket: 't', clock: 3 }, how)
    expect(envelope).toMatchObject({ headers: { ticket: 't', clock: 3 }, properties: { deliveryMode: 1 } })
    expect(decodeControlReply(envelope, policy)).toEqual({
      replies: { 'w1@host': null },
      ticket: 't',
      clock: 3,
    })
  })
})

describe('hello', () => {
  it('writes whole seconds as floats, which Python insists on', () => {
    const request = { ...ping, method: 'hello', arguments: { revoked: encodeHelloRevoked([['r1', 2054]]) } }
    expect(Buffer.from(encodeControlRequest(request, how).body).toString()).toContain('2054.0')
  })

  it('reads pairs and bare numbers, and leaves out the rest', () => {
    expect(decodeHelloRevoked({ a: [1.5, 'a'], b: 2, c: 'x', d: [null] })).toEqual([
      ['a', 1.5],
      ['b', 2],
    ])
    expect(decodeHelloRevoked(null)).toEqual([])
  })
})
