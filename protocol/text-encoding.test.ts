import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DecodeError } from './errors.js'
import { createCodec } from './serializers.js'
import { decodeText } from './text-encoding.js'

const recorded = <T>(name: string): readonly T[] =>
  JSON.parse(readFileSync(new URL(`../python-fixtures/data/${name}.json`, import.meta.url), 'utf8')).cases
const codec = createCodec()

describe('bodies in the encodings that messages name', () => {
  it('SEC-001 SEC-003 reads, or refuses, what kombu does: text by content_encoding, JSON as UTF-8, YAML by its mark', () => {
    interface Case {
      readonly contentType: string
      readonly encoding: string
      readonly body: string
      readonly expected: unknown
    }
    const cases = recorded<Case>('vectors-encodings')
    expect(cases.length).toBeGreaterThan(60)
    for (const { contentType, encoding, body, expected } of cases) {
      const payload = { body: Buffer.from(body, 'base64'), contentType, contentEncoding: encoding }
      const read = (): unknown => codec.decode(payload, new Set([contentType]))
      const what = `${contentType} ${encoding} ${body}`
      if (expected === null) expect(read, what).toThrow(DecodeError)
      else expect(read(), what).toEqual(expected)
    }
  })

  it('SEC-001 reads each byte of the encodings of one byte as Python does', () => {
    const cases = recorded<{ readonly encoding: string; readonly expected: readonly (string | null)[] }>(
      'vectors-bytes',
    )
    expect(cases.length).toBeGreaterThan(20)
    for (const { encoding, expected } of cases) {
      for (const [byte, letter] of expected.entries()) {
        const read = (): string => decodeText(Uint8Array.of(byte), encoding)
        if (letter === null) expect(read, `${encoding} ${byte}`).toThrow(DecodeError)
        else expect(read(), `${encoding} ${byte}`).toBe(letter)
      }
    }
  })

  it.each([
    'klingon',
    'utf-7',
    'base64',
    'zlib',
    'ucs-2',
    'unicode',
    'cp1253',
    'cp1255',
    'koi8-u',
    'iso-8859-16',
    'constructor',
  ])('refuses text in %s with a typed error that names it', (encoding) => {
    expect(() => decodeText(Buffer.from('YWJj'), encoding)).toThrow(DecodeError)
    expect(() => decodeText(Buffer.from('YWJj'), encoding)).toThrow(`"${encoding}"`)
  })
})
