import { describe, expect, it } from 'vitest'
import { DecodeError } from './errors.js'
import {
  bindingRecord,
  decodeBindings,
  encodeBindings,
  matchingQueues,
  topicMatches,
} from './exchange-routing.js'

describe('exchanges of virtual transports', () => {
  const table = [
    bindingRecord('topic', 'worker.#', 'a'),
    bindingRecord('topic', '#', 'b'),
    bindingRecord('direct', 'worker.x', 'b'),
  ]

  it('routes by key, by pattern, or to everyone, each queue once', () => {
    expect(matchingQueues('direct', table, 'worker.x')).toEqual(['b'])
    expect(matchingQueues('topic', table.slice(0, 2), 'worker.x')).toEqual(['a', 'b'])
    expect(matchingQueues('topic', table.slice(0, 2), 'task.x')).toEqual(['b'])
    expect(matchingQueues('fanout', table, 'anything')).toEqual(['a', 'b'])
    expect(matchingQueues('headers', table, 'worker.x')).toEqual([])
  })

  it('lets a binding without pattern match every key of a topic exchange, as an empty regex does', () => {
    expect(matchingQueues('topic', [bindingRecord('direct', 'x', 'q')], 'other')).toEqual(['q'])
  })

  it('matches across dots, and not without the dot', () => {
    expect(topicMatches('task.*', 'task.a.b')).toBe(true)
    expect(topicMatches('worker.#', 'worker')).toBe(false)
    expect(topicMatches('a**', 'a')).toBe(false)
  })

  it('keeps the table in the text that kombu writes', () => {
    expect(encodeBindings(table.slice(0, 1))).toBe('[["worker.#", "^worker\\\\..*?$", "a"]]')
    expect(decodeBindings('[["celery", null, "celery"]]')).toEqual([
      { routingKey: 'celery', pattern: '', queue: 'celery' },
    ])
  })

  it.each(['{}', '[1]', '[["a"]]', '[["a", 1, "b"]]', '[["a", "b"', ''])('refuses the table %s', (text) => {
    expect(() => decodeBindings(text)).toThrow(DecodeError)
  })
})
