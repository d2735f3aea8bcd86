/**
 * Text in the encodings that messages name: Python's `codecs.decode(body, content_encoding)`, which kombu calls for
 * bodies that no serializer reads (`kombu/serialization.py` loads).
 *
 * Rule 1: what is read here is read as Python reads it; every byte of every one-byte encoding is compared in a fixture.
 * Rule 2: every other name is refused: the labels of TextDecoder mean other tables than Python's names in places
 *         (`iso-8859-9` is windows-1254 there), its tables change with
 *         versions of Node (windows-1255, koi8-u), and Python's codecs from bytes to bytes (`base64`, `zlib`) give no text.
 */
import { DecodeError } from './errors.js'
import { utf8Text } from './json.js'

const byteOrderMark = '\ufeff'

/** Encodings that TextDecoder reads as Python does, but for the bytes that Python has no character for. */
const decoders: Readonly<Record<string, readonly string[]>> = {
  'iso-8859-2': ['latin-2', 'l2'],
  'iso-8859-3': ['latin-3', 'l3'],
  'iso-8859-4': ['latin-4', 'l4'],
  'iso-8859-5': ['cyrillic'],
  'iso-8859-6': ['arabic'],
  'iso-8859-7': ['greek', 'greek8'],
  'iso-8859-8': ['hebrew'],
  'iso-8859-10': ['latin-6', 'l6'],
  'iso-8859-13': ['latin-7', 'l7'],
  'iso-8859-14': ['latin-8', 'l8'],
  'iso-8859-15': ['latin-9', 'l9'],
  'koi8-r': [],
  'windows-1250': ['cp1250', '1250'],
  'windows-1251': ['cp1251', '1251'],
  'windows-1254': ['cp1254', '1254'],
  'windows-1256': ['cp1256', '1256'],
  'windows-1257': ['cp1257', '1257'],
  'windows-1258': ['cp1258', '1258'],
  macintosh: ['mac-roman', 'macroman'],
  'x-mac-cyrillic': ['mac-cyrillic', 'maccyrillic'],
  shift_jis: ['shift-jis', 'shiftjis', 'sjis', 's-jis', 'csshiftjis'],
  'euc-jp': ['eucjp', 'ujis', 'u-jis'],
  'euc-kr': ['euckr', 'korean', 'ksc5601', 'ks-c-5601', 'ksx1001', 'ks-x-1001'],
  gbk: ['cp936', '936', 'ms936'],
  gb18030: ['gb18030-2000'],
  big5: ['big5-tw', 'csbig5'],
}
const labels: ReadonlyMap<string, string> = new Map(
  Object.entries(decoders).flatMap(([label, names]) =>
    [label, ...names].map((name) => [name, label] as const),
  ),
)

/** `windows-1252` from 0x80 to 0x9f; a space stands where there is nothing. Node 20 reads it as Latin-1. */
const western = '€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ'
/** Where `iso-8859-9` is not Latin-1. */
const turkish: ReadonlyMap<string, string> = new Map([
  ['Ð', 'Ğ'],
  ['Ý', 'İ'],
  ['Þ', 'Ş'],
  ['ð', 'ğ'],
  ['ý', 'ı'],
  ['þ', 'ş'],
])

/** Throws `DecodeError` for an encoding that is not known here, and for bytes that it has no character for. */
export function decodeText(body: Uint8Array, encoding: string): string {
  const name = encoding
    .toLowerCase()
    .replace(/[_ ]/g, '-')
    .replace(/^iso8859/, 'iso-8859')
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  switch (name) {
    case 'utf-8':
    case 'utf8':
    case 'u8':
    case 'utf':
    case 'cp65001':
      return utf8Text(body)
    case 'utf-8-sig':
      return withoutMark(utf8Text(body))
    case 'utf-16':
    case 'utf16':
    case 'u16':
      return utf16(bytes)
    case 'utf-16-le':
    case 'utf-16le':
      return decoded(bytes, 'utf-16le', encoding)
    case 'utf-16-be':
    case 'utf-16be':
      return decoded(bytes, 'utf-16be', encoding)
    case 'utf-32':
    case 'utf32':
    case 'u32':
      return utf32(bytes, undefined)
    case 'utf-32-le':
    case 'utf-32le':
      return utf32(bytes, true)
    case 'utf-32-be':
    case 'utf-32be':
      return utf32(bytes, false)
    case 'latin-1':
    case 'latin1':
    case 'latin':
    case 'l1':
    case 'iso-8859-1':
    case '8859':
    case 'cp819':
      return bytes.toString('latin1')
    case 'ascii':
    case 'us-ascii':
    case '646':
      if (bytes.some((byte) => byte > 127)) throw new DecodeError('The body is not ASCII')
      return bytes.toString('latin1')
    case 'iso-8859-9':
    case 'latin5':
    case 'l5':
      return bytes.toString('latin1').replace(/[ÐÝÞðýþ]/g, (letter) => turkish.get(letter) ?? letter)
    case 'windows-1252':
    case 'cp1252':
    case '1252':
      return windows1252(bytes)
    default:
  }
  const label = labels.get(name.replace(/^latin(?=\d)/, 'latin-'))
  if (label === undefined)
    throw new DecodeError(
      `No text can be read in the encoding ${JSON.stringify(encoding)}: it is not known here`,
    )
  const text = decoded(bytes, label, encoding)
  // TextDecoder gives such letters for bytes that the encoding does not know.
  if (label.startsWith('windows') && /[\x80-\x9f]/.test(text)) throw undecodable(encoding)
  return text
}

/** With a mark at its beginning what the mark says, else as most machines write. */
function utf16(bytes: Buffer): string {
  const isBig = bytes[0] === 0xfe && bytes[1] === 0xff
  return withoutMark(decoded(bytes, isBig ? 'utf-16be' : 'utf-16le', 'utf-16'))
}

function utf32(bytes: Buffer, isLittle: boolean | undefined): string {
  if (bytes.length % 4 !== 0) throw undecodable('utf-32')
  const little = isLittle ?? !(bytes.length >= 4 && bytes.readUInt32BE(0) === 0xfeff)
  const parts: string[] = []
  for (let at = 0; at < bytes.length; at += 4) {
    const point = little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at)
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) throw undecodable('utf-32')
    parts.push(String.fromCodePoint(point))
  }
  const text = parts.join('')
  return isLittle === undefined ? withoutMark(text) : text
}

function windows1252(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[\x80-\x9f]/g, (byte) => {
    const letter = western[byte.charCodeAt(0) - 0x80]
    if (letter === undefined || letter === ' ') throw undecodable('windows-1252')
    return letter
  })
}

function decoded(bytes: Buffer, label: string, encoding: string): string {
  try {
    return new TextDecoder(label, { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw undecodable(encoding, cause)
  }
}

function withoutMark(text: string): string {
  return text.startsWith(byteOrderMark) ? text.slice(1) : text
}

function undecodable(encoding: string, cause?: unknown): DecodeError {
  return new DecodeError(`The body is no text in the encoding ${JSON.stringify(encoding)}`, { cause })
}
