import { describe, expect, it } from 'vitest'
import { InvalidArgumentError } from '../errors.js'
import { formatForNode, nodeName, splitNodeName } from './node-name.js'

describe('node names', () => {
  it.each([
    [undefined, 'celery@box.example.com'],
    ['', 'celery@box.example.com'],
    ['w1', 'celery@w1'],
    ['w1@', 'w1@box.example.com'],
    ['@w1', 'celery@w1'],
    ['w1@h', 'w1@h'],
    ['w1@%h', 'w1@box.example.com'],
    ['w1@%n', 'w1@box'],
    ['w1@%d', 'w1@example.com'],
    ['w1.%n@%h', 'w1.box@box.example.com'],
    ['%h', 'celery@box.example.com'],
    ['w%%1@h', 'w%1@h'],
  ])('WRK-007 makes of -n %s the node %s', (asked, expected) => {
    expect(nodeName(asked, 'box.example.com')).toBe(expected)
  })

  it('WRK-007 expands %h %n %d %i %I %p in paths', () => {
    expect(formatForNode('/var/%n-%h-%d-%i%I-%p.pid', 'w1@box.lan')).toBe(
      '/var/w1-box.lan-lan-0-w1@box.lan.pid',
    )
  })

  it('WRK-007 refuses an abbreviation that Celery refuses', () => {
    expect(() => nodeName('w1@%z', 'box')).toThrow(InvalidArgumentError)
    expect(() => nodeName('w1@%p', 'box')).toThrow('%h')
  })

  it('WRK-007 splits at the first @ only', () => {
    expect(splitNodeName('a@b@c')).toEqual(['a', 'b@c'])
  })
})
