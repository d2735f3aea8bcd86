import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { redisBackendTarget } from './redis-target.js'

const settings = { host: 'set', port: 7000, db: 4, username: 'su', password: 'sp' }

describe('redisBackendTarget', () => {
  it.each([
    ['redis://', {}, 'redis://127.0.0.1:6379/0'],
    ['redis://h', {}, 'redis://h:6379/0'],
    ['redis://h:1/5', settings, 'redis://su:sp@h:1/5'],
    ['redis://:p%40@h/', settings, 'redis://su:p%40@h:7000/0'],
    ['redis', settings, 'redis://su:sp@set:7000/4'],
    ['redis://h/1?db=7&password=q', {}, 'redis://:q@h:6379/7'],
    ['socket:///run/a b.sock?virtual_host=3', {}, 'socket:///run/a%20b.sock?virtual_host=3'],
    ['socket://:p@/run/r.sock', { db: 4 }, 'socket://:p@/run/r.sock?virtual_host=4'],
    ['rediss://h/0?ssl_cert_reqs=CERT_NONE', {}, 'rediss://h:6379/0?ssl_cert_reqs=CERT_NONE'],
    ['sentinel://a;sentinel://b:1/2', {}, 'sentinel://a:26379/0;sentinel://b:1/2'],
  ])('RES-026 reads %s', (url, given, expected) => {
    expect(redisBackendTarget(url, given, {}).url).toBe(expected)
  })

  it('RES-026 takes options from the query, then the transport options, then the settings', () => {
    const { transportOptions } = redisBackendTarget(
      'redis://h/0?socket_timeout=1.5&client_name=c&max_connections=5&retry_on_timeout=yes&socket_keepalive=0',
      { socketTimeout: 9, socketConnectTimeout: 3, healthCheckInterval: 8, clientName: 's' },
      { socket_connect_timeout: 2, global_keyprefix: 'p' },
    )
    expect(transportOptions).toEqual({
      socket_timeout: 1.5,
      socket_connect_timeout: 2,
      socket_keepalive: false,
      health_check_interval: 8,
      client_name: 'c',
      global_keyprefix: 'p',
    })
  })

  it('CFG-106 leaves the socket timeout to celeriac when it is Celery’s default', () => {
    expect(redisBackendTarget('redis://h', { socketTimeout: 120 }, {}).transportOptions).toEqual({})
    expect(redisBackendTarget('redis://h', { socketTimeout: 60 }, {}).transportOptions).toEqual({
      socket_timeout: 60,
    })
  })

  it.each([
    ['redis://u:secret@h/0?ssl_cert_reqs=none', /rediss:\/\//],
    ['redis://u:secret@h/zero', /must be a number/],
    ['redis://u:secret@h/0?colour=red', /'colour'/],
    ['redis://u:secret@h/0?socket_timeout=soon', /must be seconds/],
    ['redis://u:secret@h/0;redis://u:secret@h2/0', /several servers/],
  ])('RES-026 refuses %s without showing the password', (url, why) => {
    expect(() => redisBackendTarget(url, {}, {})).toThrow(ConfigError)
    expect(() => redisBackendTarget(url, {}, {})).toThrow(why)
    expect(() => redisBackendTarget(url, {}, {})).not.toThrow(/secret/)
  })

  it('RES-026 tells when certificates are not checked', () => {
    const isUnverified = (url: string): boolean => redisBackendTarget(url, {}, {}).isUnverified
    expect(isUnverified('rediss://h?ssl_cert_reqs=none')).toBe(true)
    expect(isUnverified('rediss://h?ssl_cert_reqs=CERT_REQUIRED')).toBe(false)
    expect(isUnverified('rediss://h')).toBe(false)
  })
})
