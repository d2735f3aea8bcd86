import { describe, expect, it } from 'vitest'
import { bannerText } from './banner.js'

const info = {
  hostname: 'w1@host',
  app: 'shop',
  transport: 'redis://:**@broker/0',
  results: 'file:///results',
  concurrency: 3,
  pool: 'async',
  queues: [
    { name: 'celery', exchange: 'celery', exchangeType: 'direct', routingKey: 'celery' },
    { name: 'a-queue-with-a-long-name', exchange: 'x', exchangeType: 'topic', routingKey: '#' },
  ],
  tasks: ['shop.b', 'celery.chain', 'shop.a'],
} as const
const options = { color: false, level: 'INFO', time: '2026-01-02 03:04:05,006' } as const

describe('WRK-102 the banner', () => {
  it('names the worker, its configuration, its queues and its tasks', () => {
    const lines = bannerText(info, options).split('\n')
    expect(lines[1]).toMatch(/^ -{14} w1@host v\d+\.\d+\.\d+ \(celeriac\)$/)
    for (const text of [
      '.> app:         shop',
      '.> transport:   redis://:**@broker/0',
      '.> results:     file:///results',
      '.> concurrency: 3 (async)',
    ]) {
      expect(lines.some((line) => line.endsWith(text))).toBe(true)
    }
    expect(lines).toContain('                .> celery           exchange=celery(direct) key=celery')
    expect(lines).toContain('                .> a-queue-with-a-long-name exchange=x(topic) key=#')
    expect(lines.slice(lines.indexOf('[tasks]'))).toEqual(['[tasks]', '  . shop.a', '  . shop.b', ''])
  })

  it('lists built-in tasks at DEBUG, and no tasks above INFO', () => {
    expect(bannerText(info, { ...options, level: 'DEBUG' })).toContain('  . celery.chain')
    expect(bannerText(info, { ...options, level: 'WARNING' })).not.toContain('[tasks]')
  })

  it('is plain text without colour', () => {
    expect(bannerText(info, options)).not.toContain('\u001b')
    expect(bannerText(info, { ...options, color: true })).toContain('\u001b[32m')
  })
})
