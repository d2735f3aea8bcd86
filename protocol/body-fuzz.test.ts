/** No bytes make a serializer or decompressor throw anything but a ProtocolError, and no value is lost on a round trip. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compress, decompress } from './compression.js'
import { ProtocolError } from './errors.js'
import { pyRepr } from './python-repr.js'
import { createCodec } from './serializers.js'
import { DateTime, Decimal, Float, PlainDate, Tuple, Uuid } from './values.js'

const NAMES = ['json', 'yaml', 'msgpack', 'pickle']
const codec = createCodec({ exact: true, maxBytes: 1_000_000 })
const accept = codec.accepting(NAMES)

const number = fc.oneof(
  fc.maxSafeInteger(),
  fc.double().map((value) => (Number.isInteger(value) ? new Float(value) : value)),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }).map((value) => {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
  }),
)
const everywhere = fc.oneof(
  number,
  fc.boolean(),
  fc.constant(null),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
)
const moment = fc
  .date({ min: new Date('0002-01-01'), max: new Date('9998-12-31'), noInvalidDate: true })
  .map((value) => DateTime.fromDate(value))
const day = moment.map((value) => new PlainDate(value.parts))
const exactNumbers = fc.oneof(
  fc.uuid().map((text) => new Uuid(text)),
  fc.bigInt().map((value) => new Decimal(`${value}E-3`)),
)
const EXTRA = {
  msgpack: everywhere,
  yaml: fc.oneof(everywhere, moment, day),
  json: fc.oneof(everywhere, moment, day, exactNumbers),
  pickle: fc.oneof(everywhere, moment, day, exactNumbers),
}

function tree(leaf: fc.Arbitrary<unknown>, withTuples: boolean): fc.Arbitrary<unknown> {
  return fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      leaf,
      fc.array(tie('node'), { maxLength: 5 }),
      fc.dictionary(fc.string(), tie('node'), { maxKeys: 5 }),
      ...(withTuples ? [fc.array(tie('node'), { maxLength: 3 }).map((items) => Tuple.from(items))] : []),
    ),
  })).node
}

function only(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
}

describe('bodies', () => {
  it.each(Object.entries(EXTRA))('SEC-001 SEC-004 lose nothing on a round trip: %s', (name, leaf) => {
    fc.assert(
      fc.property(tree(leaf, name === 'pickle'), (value) => {
        const back = codec.decode(codec.encode(value, name), accept)
        expect(pyRepr(back)).toBe(pyRepr(value))
      }),
      { numRuns: 300 },
    )
  })

  it.each(NAMES)('fail only with a ProtocolError for any bytes: %s', (name) => {
    const { contentType, contentEncoding } = codec.encode(null, name)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (body) => {
        only(() => codec.decode({ body, contentType, contentEncoding }, accept))
      }),
      { numRuns: 1500 },
    )
  })

  it.each(Object.entries(EXTRA))(
    'fail only with a ProtocolError when valid bytes are changed: %s',
    (name, leaf) => {
      const change = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
      fc.assert(
        fc.property(
          tree(leaf, true),
          change,
          fc.double({ min: 0, max: 1, noNaN: true }),
          (value, changes, keep) => {
            const written = codec.encode(value, name)
            const body = Buffer.from(written.body)
            for (const [at, byte] of changes) body[at % body.length] = byte
            only(() => codec.decode({ ...written, body }, accept))
            only(() =>
              codec.decode({ ...written, body: body.subarray(0, Math.floor(body.length * keep)) }, accept),
            )
          },
        ),
        { numRuns: 600 },
      )
    },
  )

  it.each(['gzip', 'bzip2', 'lzma', 'brotli', 'zstd'])(
    'SEC-006 survive compression, and its bytes being changed: %s',
    (alias) => {
      const change = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 })
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 2000 }), change, (plain, changes) => {
          const { body, mime } = compress(plain, alias)
          expect(Buffer.from(decompress(body, mime, 2000)).equals(Buffer.from(plain))).toBe(true)
          const changed = Buffer.from(body)
          for (const [at, byte] of changes) changed[at % changed.length] = byte
          only(() => decompress(changed, mime, 100_000))
        }),
        { numRuns: 200 },
      )
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (body) =>
          only(() => decompress(body, alias, 100_000)),
        ),
        { numRuns: 500 },
      )
    },
  )
})
