import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { amqpTarget } from './amqp-url.js'

describe('amqpTarget', () => {
  it('reads URLs as kombu does: any empty path is the virtual host /', () => {
    for (const url of [
      'amqp://',
      'amqp://localhost',
      'pyamqp://localhost/',
      'amqp://localhost//',
      'amqp:///%2f',
    ]) {
      expect(amqpTarget(url, {})).toMatchObject({
        host: '127.0.0.1',
        port: 5672,
        username: 'guest',
        password: 'guest',
        vhost: '/',
        loginMethod: 'PLAIN',
        heartbeatSeconds: 120,
        tls: undefined,
      })
    }
    expect(amqpTarget('amqp://me:p%40ss@rabbit:5673/a%2Fb', {})).toMatchObject({
      host: 'rabbit',
      port: 5673,
      username: 'me',
      password: 'p@ss',
      vhost: 'a/b',
      shownUrl: 'amqp://me:**@rabbit:5673/a%2Fb',
    })
  })

  it('checks certificates unless told otherwise, with py-amqp names or prefixed ones', () => {
    const secure = amqpTarget('amqps://rabbit', {})
    expect(secure).toMatchObject({ port: 5671, tls: { rejectUnauthorized: true } })
    const lax = amqpTarget('amqp://rabbit', { ssl: { cert_reqs: 0, server_hostname: 'inner' } })
    expect(lax.tls).toMatchObject({ rejectUnauthorized: false, servername: 'inner' })
    expect(amqpTarget('amqps://rabbit?ssl_cert_reqs=none', {}).tls).toMatchObject({
      rejectUnauthorized: false,
    })
    expect(() => amqpTarget('amqps://rabbit', { ssl: { ca_certs: '/no/such' } })).toThrow(/no\/such/)
    expect(() => amqpTarget('amqps://rabbit', { ssl: { ssl_version: 5 } })).toThrow(/Node chooses/)
  })

  it('takes the options of kombu by name, and refuses what makes no sense', () => {
    const options = { heartbeat: 30, login_method: 'external', frame_max: 8192, channel_max: 12 }
    expect(amqpTarget('amqp://h', options)).toMatchObject({
      heartbeatSeconds: 30,
      loginMethod: 'EXTERNAL',
      frameMax: 8192,
      channelMax: 12,
    })
    expect(() => amqpTarget('amqp://h', { login_method: 'GSSAPI' })).toThrow(ConfigError)
    expect(() => amqpTarget('amqp://h', { heartbeat: -1 })).toThrow(/heartbeat must be/)
    expect(() => amqpTarget('amqp://h', { heartbeat: 70_000 })).toThrow(/heartbeat must be/)
    expect(() => amqpTarget('amqp://h', { frame_max: 4095 })).toThrow(/frame_max must be/)
    expect(() => amqpTarget('amqp://h', { channel_max: 3 })).toThrow(/channel_max must be/)
  })
})
