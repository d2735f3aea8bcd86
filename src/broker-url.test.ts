import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  failoverUrls,
  fileBackendFolder,
  filesystemBrokerFolder,
  parseUrl,
  redactUrl,
  schemeOf,
} from './broker-url.js'
import { ConfigError } from './errors.js'

describe('parseUrl', () => {
  it('splits a URL as kombu does, unquoting user, password and virtual host', () => {
    expect(parseUrl('amqp://user%40x:p%2Fw@Host:5673/my%2Fvhost?heartbeat=5')).toEqual({
      scheme: 'amqp',
      hostname: 'host',
      port: 5673,
      username: 'user@x',
      password: 'p/w',
      path: 'my/vhost',
      query: { heartbeat: '5' },
    })
    expect(parseUrl('redis://:secret@[::1]:6379/0')).toMatchObject({
      hostname: '::1',
      port: 6379,
      username: undefined,
      password: 'secret',
      path: '0',
    })
    expect(parseUrl('memory://')).toMatchObject({ scheme: 'memory', hostname: undefined, path: undefined })
  })

  it('refuses what is not a URL, without showing a password', () => {
    expect(() => parseUrl('localhost')).toThrow(ConfigError)
    expect(() => parseUrl('redis://u:secret@h:port/0')).toThrow(/redis:\/\/u:\*\*@h:port/)
  })
})

describe('redactUrl', () => {
  it('shows the password as ** and leaves out the query, as kombu does', () => {
    expect(redactUrl('amqp://guest:secret@localhost:5672//?ssl_x=1')).toBe('amqp://guest:**@localhost:5672//')
    expect(redactUrl('redis://:secret@localhost:6379/0')).toBe('redis://:**@localhost:6379/0')
    expect(redactUrl('redis://localhost')).toBe('redis://localhost/')
  })

  it('redacts each URL of a failover list', () => {
    expect(redactUrl('redis://:a@h/0;redis://:b@i/0')).toBe('redis://:**@h/0;redis://:**@i/0')
  })

  it('leaves paths as they are', () => {
    expect(redactUrl('filesystem://./Var/a;b')).toBe('filesystem://./Var/a;b')
  })

  it('never shows a password, whatever its characters', () => {
    const character = fc.constantFrom(';', '@', '/', ':', '%', '#', '?', 'x', '*', ' ')
    fc.assert(
      fc.property(fc.array(character, { maxLength: 6 }), (noise) => {
        const shown = redactUrl(`redis://user:${noise.join('')}SECRET${noise.join('')}@host:1/0`)
        expect(shown).not.toContain('SECRET')
      }),
    )
  })
})

describe('folders in URLs', () => {
  it('TST-022 reads a path in a filesystem URL as one folder, and none in the forms Python uses', () => {
    expect(filesystemBrokerFolder('filesystem://')).toBeUndefined()
    expect(filesystemBrokerFolder('filesystem://localhost//')).toBeUndefined()
    expect(filesystemBrokerFolder('filesystem://./var/Broker')).toBe('./var/Broker')
    expect(filesystemBrokerFolder('filesystem:///abs/path')).toBe('/abs/path')
    expect(() => filesystemBrokerFolder('filesystem://./var?x=1')).toThrow(/broker_transport_options/)
  })

  it('reads the folder of a file backend as Celery does', () => {
    expect(fileBackendFolder('file:///abs/results')).toBe('/abs/results')
    expect(fileBackendFolder('file://localhost/abs/results')).toBe('/abs/results')
    expect(fileBackendFolder('file://./var/results')).toBe('./var/results')
    expect(() => fileBackendFolder('file://')).toThrow(ConfigError)
  })
})

describe('failoverUrls', () => {
  it('takes one URL, a list joined by semicolons, or an array', () => {
    expect(failoverUrls('redis://a; redis://b;')).toEqual(['redis://a', 'redis://b'])
    expect(failoverUrls(['amqp://a', 'amqp://b;amqp://c'])).toEqual(['amqp://a', 'amqp://b', 'amqp://c'])
    expect(schemeOf('SQLA+sqlite:///x')).toBe('sqla+sqlite')
  })
})
