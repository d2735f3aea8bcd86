import { describe, expect, it } from 'vitest'
import { RedisReplies, RedisReplyError } from './redis-replies.js'

/** What is read from `bytes` when they come cut at these places. */
function read(bytes: Buffer, cuts: readonly number[], wantsText = true): readonly unknown[] {
  const replies: unknown[] = []
  const reader = new RedisReplies(
    (reply) => replies.push(reply),
    () => wantsText,
  )
  const ends = [...cuts, bytes.length]
  for (const [at, end] of ends.entries()) reader.write(bytes.subarray(ends[at - 1] ?? 0, end))
  return replies
}

const stream = Buffer.from(
  '+OK\r\n:-42\r\n$-1\r\n$0\r\n\r\n*0\r\n*-1\r\n-WRONGTYPE not a list\r\n$6\r\na\r\n\u00e9z\r\n' +
    '*3\r\n:1\r\n*2\r\n$2\r\nhi\r\n-ERR inner\r\n*1\r\n*1\r\n$1\r\nx\r\n:7\r\n',
)
const expected = [
  'OK',
  -42,
  null,
  '',
  [],
  null,
  new RedisReplyError('WRONGTYPE not a list'),
  'a\r\n\u00e9z',
  [1, ['hi', new RedisReplyError('ERR inner')], [['x']]],
  7,
]

describe('what a Redis server sends', () => {
  it('is read alike wherever it is cut', () => {
    expect(read(stream, [])).toEqual(expected)
    for (let first = 0; first <= stream.length; first += 1) {
      expect(read(stream, [first])).toEqual(expected)
      expect(read(stream, [first, Math.min(stream.length, first + 3)])).toEqual(expected)
    }
    const everywhere = Array.from({ length: stream.length - 1 }, (_, at) => at + 1)
    expect(read(stream, everywhere)).toEqual(expected)
  })

  it('is bytes for whoever wants bytes', () => {
    const [text] = read(Buffer.from([0x24, 0x32, 13, 10, 255, 0, 13, 10]), [5], false)
    expect(text).toEqual(Buffer.from([255, 0]))
  })

  it('takes a long text in many pieces in one go', () => {
    const long = 'x'.repeat(4_000_000)
    const bytes = Buffer.from(`$${long.length}\r\n${long}\r\n+OK\r\n`)
    const cuts = Array.from({ length: 4000 }, (_, at) => (at + 1) * 1000)
    const began = process.cpuUsage()
    expect(read(bytes, cuts)).toEqual([long, 'OK'])
    const { user } = process.cpuUsage(began)
    // Copying what is there at each piece would move 8 GB.
    expect(user / 1000).toBeLessThan(1500)
  })

  it('refuses what no Redis server sends', () => {
    expect(() => read(Buffer.from('HTTP/1.1 400 Bad Request\r\n'), [])).toThrow(/no answer of a Redis server/)
    expect(() => read(Buffer.from('$a\r\n'), [])).toThrow(/a number was expected/)
  })
})
