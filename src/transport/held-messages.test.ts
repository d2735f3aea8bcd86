import { describe, expect, it } from 'vitest'
import { HeldMessages } from './held-messages.js'
import { MemoryBroker, MemoryStore } from './memory-store.js'
import type { Handing } from './queue-store.js'

const body = { body: new Uint8Array(0), contentType: '', contentEncoding: '', headers: {}, properties: {} }

describe('what a connection holds', () => {
  it('WRK-042 settles each message, however soon after the answer to another it is settled', async () => {
    // A settling that falls between the end of one round trip and the next must not wait for a third.
    for (let turns = 0; turns < 20; turns += 1) {
      const store = new MemoryStore(new MemoryBroker())
      const held = new HeldMessages(store, () => {})
      await store.push([stored(), stored()])
      const [first, second] = await store.claim(['q'], 2, new AbortController().signal)
      if (first === undefined || second === undefined) throw new Error('the store gave no messages')
      const [one, two] = [held.hold(first), held.hold(second)]
      await one.ack()
      for (let turn = 0; turn < turns; turn += 1) await undefined
      let isSettled = false
      void two.ack().then(() => {
        isSettled = true
      })
      await expect.poll(() => isSettled, { timeout: 1000, interval: 2 }).toBe(true)
      await store.close()
    }
  })

  it('lets results out first, and what is claimed at the end of the turn go with what is settled', async () => {
    const store = new MemoryStore(new MemoryBroker())
    const held = new HeldMessages(store, () => {})
    await store.push([stored()])
    const [message] = await store.claim(['q'], 1, new AbortController().signal)
    if (message === undefined) throw new Error('the store gave no message')
    const order: string[] = []
    const { settle } = store
    store.settle = (claimed, how) => {
      order.push('settled')
      return settle.call(store, claimed, how)
    }
    const acked = held.hold(message).ack()
    const claims = held.endOfTurn().then(() => {
      order.push('claims')
      // Here, what has been asked since goes out in one write.
      process.nextTick(() => order.push('write'))
    })
    // As a result store gathers what tasks end with.
    setImmediate(() => order.push('result'))
    await Promise.all([acked, claims])
    await expect.poll(() => order).toEqual(['result', 'settled', 'claims', 'write'])
    await store.close()
  })

  it('hands over before it settles, and before what is claimed at the end of the turn, which finds what was handed over', async () => {
    const store = new MemoryStore(new MemoryBroker())
    const order: string[] = []
    const { settle } = store
    // That of a store which can do it; nothing is published here.
    const whole = Object.assign(store, {
      parking: { accepts: () => true, park: async () => [] },
      handOver: (given: readonly Handing[]) => {
        order.push(`handed ${given.length}`)
        for (const one of given) queueMicrotask(() => one.onHanded(true))
      },
      settle: (...[claimed, how]: Parameters<MemoryStore['settle']>) => {
        order.push('settled')
        return settle.call(store, claimed, how)
      },
    })
    const held = new HeldMessages(whole, () => {})
    await store.push([stored(), stored(), stored()])
    const claimed = await store.claim(['q'], 3, new AbortController().signal)
    const [first, second, third] = claimed.map((message) => held.hold(message))
    const claims = held.endOfTurn().then(() => order.push('claims'))
    const acked = first?.ack()
    const handed = [second, third].map((delivery) => delivery?.handOver?.({ messages: [] }, true))
    await held.flushed()
    expect(await Promise.all(handed)).toEqual([true, true])
    await Promise.all([acked, claims])
    expect(order[0]).toBe('handed 2')
    expect(order.toSorted()).toEqual(['claims', 'handed 2', 'settled'])
    expect(held.list()).toEqual([])
    await store.close()
  })

  it('WRK-042 tells nobody of an acknowledgement that was withdrawn, and frees its message once, when the connection is lost', async () => {
    const store = Object.assign(new MemoryStore(new MemoryBroker()), {
      parking: { accepts: () => true, park: async () => [] },
    })
    const held = new HeldMessages(store, () => {})
    await store.push([stored()])
    const [message] = await store.claim(['q'], 1, new AbortController().signal)
    if (message === undefined) throw new Error('the store gave no message')
    const told: string[] = []
    const delivery = held.hold(message, () => told.push('freed'))
    delivery.ackFor?.({
      onAcknowledged: () => told.push('acknowledged'),
      onUnacknowledged: () => told.push('refused'),
    })
    expect(delivery.withdrawAck?.()).toBe(true)
    held.end(new Error('gone'))
    await held.endOfTurn()
    expect(told).toEqual(['freed'])
    await store.close()
  })
})

function stored() {
  return { queue: 'q', exchange: '', routingKey: 'q', envelope: body }
}
