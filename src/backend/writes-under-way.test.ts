import { describe, expect, it } from 'vitest'
import { WritesUnderWay } from './writes-under-way.js'

describe('WritesUnderWay', () => {
  it('finds every write until it has ended, however many begin after it', () => {
    const writes = new WritesUnderWay()
    const slow = Promise.resolve()
    writes.begin('slow', slow)
    for (let at = 0; at < 10_000; at++) {
      const quick = Promise.resolve()
      writes.begin(`key ${at}`, quick)
      expect(writes.get(`key ${at}`)).toBe(quick)
      writes.end(`key ${at}`, quick)
      expect(writes.get(`key ${at}`)).toBeUndefined()
    }
    expect(writes.get('slow')).toBe(slow)
    expect(writes.all()).toEqual([slow])
    writes.end('slow', slow)
    expect([writes.get('slow'), writes.all()]).toEqual([undefined, []])
  })

  it('keeps thousands that are under way at once, and the last one of each key', () => {
    const writes = new WritesUnderWay()
    const all = Array.from({ length: 5000 }, (_, at) => ({ key: `key ${at}`, write: Promise.resolve() }))
    for (const { key, write } of all) writes.begin(key, write)
    const later = Promise.resolve()
    writes.begin('key 0', later)
    writes.end('key 0', all[0]?.write as Promise<void>)
    expect(writes.get('key 0')).toBe(later)
    for (const { key, write } of all.slice(1)) expect(writes.get(key)).toBe(write)
    for (const { key, write } of all) writes.end(key, write)
    expect(writes.all()).toEqual([later])
  })
})
