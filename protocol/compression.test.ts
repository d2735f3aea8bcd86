import { constants, deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { compress, compressionMime, decompress } from './compression.js'
import { DecodeError, EncodeError, SizeLimitError } from './errors.js'

const LIMIT = 64 * 1024 * 1024
const PLAIN = Buffer.from('celery '.repeat(40))
/** `PLAIN` as Python's zlib, bz2, lzma, brotli and zstandard wrote it. */
const FROM_PYTHON: readonly (readonly [name: string, base64: string])[] = [
  ['gzip', 'eJxLTs1JLapUSB6lUCkAFQZpoQ=='],
  ['bzip2', 'QlpoOTFBWSZTWdbN3fIAACeRgEAACgQQICAAMMAClQyaJwTomCYE0T4u5IpwoSGtm7vk'],
  [
    'lzma',
    '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AEXAA5dADGZSdrqYpSrbPEj4AAAAAAAvwtSK+GlWJUAASqYAgAAANdWHS6xxGf7AgAAAAAEWVo=',
  ],
  ['xz', 'XQAAgAD//////////wAxmUna6mKUq2zxcsmX///a5gAA'],
  ['brotli', 'GxcB+I2Ubt60Bhkry1NscjFbJHBpOg=='],
  ['zstd', 'KLUv/WAYAHUAADhjZWxlcnkgAQAOUosR'],
  ['zstandard', 'KLUv/QAAdQAAOGNlbGVyeSABAA5SixE='],
]
const ALIASES = ['gzip', 'bzip2', 'lzma', 'brotli', 'zstd']

/** Text, noise, runs and periods, from a fixed generator. */
function samples(): Buffer[] {
  let seed = 1
  const next = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    return seed >> 16
  }
  const noise = Buffer.from(Array.from({ length: 70_000 }, () => next() & 0xff))
  const words = Array.from({ length: 30_000 }, () => ['alpha', 'beta', '\0\0', 'gamma '][next() & 3]).join('')
  return [
    Buffer.alloc(0),
    Buffer.from('a'),
    PLAIN,
    noise,
    Buffer.from(words),
    Buffer.concat([Buffer.alloc(100_000, 97), Buffer.alloc(300, 98), Buffer.from('abcabc'.repeat(50))]),
    Buffer.from('ab'.repeat(1000)),
    Buffer.from(Array.from({ length: 2560 }, (_, index) => index & 0xff)),
  ]
}

describe('compression', () => {
  it.each(FROM_PYTHON)('SEC-006 reads what Python compressed: %s', (name, base64) => {
    expect(Buffer.from(decompress(Buffer.from(base64, 'base64'), name, LIMIT)).equals(PLAIN)).toBe(true)
  })

  it.each(ALIASES)('SEC-006 round-trips text, noise, runs and nothing: %s', (alias) => {
    for (const plain of samples()) {
      const { body, mime } = compress(plain, alias)
      expect(Buffer.from(decompress(body, mime, LIMIT)).equals(plain)).toBe(true)
    }
  })

  it('SEC-006 puts the mime type of each alias into the header', () => {
    const mimes = ['gzip', 'zlib', 'bzip2', 'bzip', 'lzma', 'xz', 'brotli', 'zstd', 'zstandard'].map(
      compressionMime,
    )
    expect(mimes).toEqual([
      'application/x-gzip',
      'application/x-gzip',
      'application/x-bz2',
      'application/x-bz2',
      'application/x-lzma',
      'application/x-lzma',
      'application/x-brotli',
      'application/zstd',
      'application/zstd',
    ])
    expect(compressionMime('lz4')).toBeUndefined()
  })

  it('SEC-006 writes zlib for gzip, .xz for lzma, and zstd with its content size', () => {
    expect(Buffer.from(compress(PLAIN, 'gzip').body.subarray(0, 2)).toString('hex')).toBe('789c')
    expect(Buffer.from(compress(PLAIN, 'lzma').body.subarray(0, 6)).toString('hex')).toBe('fd377a585a00')
    const frame = compress(PLAIN, 'zstd').body
    expect((frame[4] as number) & 0xe0).not.toBe(0)
  })

  it('makes repetitive bodies small with gzip, bzip2, lzma and brotli', () => {
    const body = Buffer.from(
      JSON.stringify(Array.from({ length: 3000 }, (_, id) => ({ id, name: `user ${id}` }))),
    )
    for (const alias of ['gzip', 'bzip2', 'lzma', 'brotli']) {
      expect(compress(body, alias).body.length, alias).toBeLessThan(body.length / 3)
    }
  })

  it.each(FROM_PYTHON)('stops a body that grows past the limit: %s', (name, base64) => {
    const body = Buffer.from(base64, 'base64')
    expect(() => decompress(body, name, PLAIN.length - 1)).toThrow(SizeLimitError)
    expect(decompress(body, name, PLAIN.length).length).toBe(PLAIN.length)
  })

  it.each(ALIASES)('stops a bomb early, before it comes to the missing end: %s', (alias) => {
    const bomb = compress(Buffer.alloc(16_000_000), alias).body
    const cut = bomb.subarray(0, -1)
    // Whoever decompresses all there is finds the end missing instead.
    expect(() => decompress(cut, alias, 20_000_000)).toThrow(DecodeError)
    expect(() => decompress(cut, alias, 1000)).toThrow(SizeLimitError)
  })

  it('refuses a zstd frame by the size that it claims, before any memory is given to it', () => {
    // A single segment of 2 ** 40 bytes, of which one block is there.
    const claim = Buffer.from('28b52ffd' + 'e0' + '0000000000010000' + '02001000', 'hex')
    expect(() => decompress(claim, 'zstd', LIMIT)).toThrow(SizeLimitError)
  })

  it('stops a zstd bomb early that does not claim its size', () => {
    // 128 KiB of zeros per block, and no last block.
    const block = Buffer.from([0x02, 0x00, 0x10, 0x00])
    const bomb = Buffer.concat([Buffer.from('28b52ffd0038', 'hex'), ...Array<Buffer>(100).fill(block)])
    expect(() => decompress(bomb, 'zstd', 20_000_000)).toThrow(DecodeError)
    expect(() => decompress(bomb, 'zstd', 1000)).toThrow(SizeLimitError)
  })

  it('holds little of a zlib bomb of half a gigabyte', () => {
    // 16 MiB of zeros that end on a byte boundary, over and over behind one header; the checksum is missing.
    const chunk = deflateRawSync(Buffer.alloc(2 ** 24), { finishFlush: constants.Z_FULL_FLUSH })
    const bomb = Buffer.concat([Buffer.from([0x78, 0x9c]), ...Array<Buffer>(32).fill(chunk)])
    const before = process.resourceUsage().maxRSS
    expect(() => decompress(bomb, 'gzip', 1000)).toThrow(SizeLimitError)
    // In KiB; the peak of the whole process never falls.
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(32 * 1024)
  })

  it.each(FROM_PYTHON)('throws only ProtocolErrors for cut or changed data: %s', (name, base64) => {
    const body = Buffer.from(base64, 'base64')
    for (let length = 0; length < body.length; length++) {
      const cut = body.subarray(0, length)
      try {
        // Some formats end before their last bytes; then the content must still be right.
        expect(Buffer.from(decompress(cut, name, LIMIT)).equals(PLAIN)).toBe(true)
      } catch (error) {
        expect(error, `${name} cut at ${length}`).toBeInstanceOf(DecodeError)
      }
    }
    for (let at = 0; at < body.length; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        const changed = Buffer.from(body)
        changed[at] = (changed[at] as number) ^ flip
        try {
          decompress(changed, name, 1_000_000)
        } catch (error) {
          const isOurs = error instanceof DecodeError || error instanceof SizeLimitError
          expect(isOurs, `${name} changed at ${at}: ${String(error)}`).toBe(true)
        }
      }
    }
  })

  it('refuses names it does not know, and gzip members as Python does', () => {
    expect(() => compress(PLAIN, 'lz4')).toThrow(EncodeError)
    expect(() => decompress(PLAIN, 'lz4', LIMIT)).toThrow(DecodeError)
    expect(() => decompress(Buffer.from('1f8b0800', 'hex'), 'gzip', LIMIT)).toThrow(DecodeError)
  })
})
