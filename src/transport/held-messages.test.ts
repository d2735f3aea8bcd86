import { describe, expect, it } from 'vitest'
import { HeldMessages } from './held-messages.js'
import { MemoryBroker, MemoryStore } from './memory-store.js'

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
})

function stored() {
  return { queue: 'q', exchange: '', routingKey: 'q', envelope: body }
}
