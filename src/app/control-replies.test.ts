import { describe, expect, it } from 'vitest'
import { type ControlReply, encodeControlReply } from '../../protocol/control.js'
import { createCodec } from '../../protocol/serializers.js'
import { silentLogger } from '../logger.js'
import { FakeClock } from '../testing/fake-clock.js'
import type { Delivery } from '../transport/transport.js'
import { type CollectOptions, ReplyCollector } from './control-replies.js'

const codec = createCodec()

function delivery(reply: Partial<ControlReply>): Delivery {
  const whole = { replies: { w: 1 }, ticket: 'mine', clock: 0, ...reply }
  return {
    envelope: encodeControlReply(whole, { codec, serializer: 'json' }),
    queue: 'q',
    address: { exchange: '', routingKey: 'q' },
    redelivered: false,
    ack: async () => {},
    reject: async () => {},
  }
}

function collecting(change: Partial<CollectOptions> = {}) {
  const clock = new FakeClock()
  const clocks: number[] = []
  const collector = new ReplyCollector({
    clock,
    logger: silentLogger,
    policy: { codec, accept: codec.accepting(['json']) },
    ticket: 'mine',
    timeoutMs: 1000,
    mostMs: 60_000,
    limit: undefined,
    onReply: ({ clock: other }) => clocks.push(other),
    ...change,
  })
  let heard: unknown
  void collector.answers.then((answers) => {
    heard = answers
  })
  return { clock, clocks, collector, heard: () => heard }
}

describe('the replies to a command', () => {
  it('CTL-012 waits for silence after each reply', async () => {
    const { clock, collector, heard } = collecting()
    collector.start()
    await clock.advance(900)
    collector.receive([delivery({ replies: { a: 1 } })])
    await clock.advance(900)
    collector.receive([delivery({ replies: { b: 2 } })])
    await clock.advance(999)
    expect(heard()).toBeUndefined()
    await clock.advance(1)
    expect(heard()).toEqual([{ a: 1 }, { b: 2 }])
    expect(clock.pending).toBe(0)
  })

  it('CTL-012 ends at the limit, one that was reached before it started to count included', async () => {
    const { clock, collector, heard } = collecting({ limit: 1 })
    collector.receive([delivery({ replies: { quick: 1 } })])
    expect(clock.pending).toBe(0)
    collector.start()
    await clock.advance(0)
    expect(heard()).toEqual([{ quick: 1 }])
    expect(clock.pending).toBe(0)
  })

  it('CTL-012 does not count replies to others, replies too late, and what is no reply', async () => {
    const { clock, clocks, collector, heard } = collecting()
    collector.start()
    const garbage = { ...delivery({}), envelope: { ...delivery({}).envelope, body: Buffer.from('{') } }
    collector.receive([
      delivery({ ticket: 'theirs', clock: 7 }),
      delivery({ expires: clock.now() / 1000 - 1 }),
      garbage,
      delivery({ replies: { a: 1 }, ticket: undefined }),
      delivery({ replies: { b: 2 }, expires: clock.now() / 1000 + 1 }),
    ])
    await clock.advance(1000)
    expect(heard()).toEqual([{ a: 1 }, { b: 2 }])
    expect(clocks).toEqual([7, 0, 0, 0])
  })

  it('ends in bounded time though replies never stop', async () => {
    const { clock, collector, heard } = collecting({ mostMs: 5000 })
    collector.start()
    for (let n = 0; n < 10; n += 1) {
      collector.receive([delivery({})])
      await clock.advance(500)
    }
    expect(heard()).toHaveLength(10)
    expect(clock.pending).toBe(0)
  })
})
