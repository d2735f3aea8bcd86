import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createCodec } from '../../protocol/serializers.js'
import { ConfigError, UnknownSchemeError } from '../errors.js'
import { metaOf } from './backend.conformance.js'
import { openBackend } from './open.js'

const options = { codec: createCodec() }

describe('openBackend', () => {
  it.each([
    ['file:///var/x', 'file', 'file:///var/x'],
    ['file://localhost/var/x', 'file', 'file:///var/x'],
    ['file://./var/x', 'file', `file://${resolve('var/x')}`],
    ['FILE:///var/x', 'file', 'file:///var/x'],
    ['cache+memory://', 'memory', 'cache+memory://'],
    ['memory://', 'memory', 'cache+memory://'],
    ['redis://u:secret@h:6380/1', 'redis', 'redis://u:**@h:6380/1'],
    ['redis', 'redis', 'redis:///'],
    ['rediss://:secret@h/0?ssl_cert_reqs=required', 'redis', 'rediss://:**@h/0'],
    ['redis+socket:///run/redis.sock?virtual_host=1', 'redis', 'socket:///run/redis.sock'],
    ['sentinel://:secret@a:1/0;sentinel://b:2/0', 'redis', 'sentinel://:**@a:1/0;sentinel://b:2/0'],
    ['disabled', 'disabled', 'disabled://'],
    ['disabled://', 'disabled', 'disabled://'],
    ['', 'disabled', 'disabled://'],
    [undefined, 'disabled', 'disabled://'],
  ])('RES-029 opens %s', (url, kind, displayUrl) => {
    expect(openBackend(url, options)).toMatchObject({ kind, displayUrl })
  })

  it.each(['amqp://u:secret@h', 'db+postgresql://u:secret@h/x', 'cache+memcached://h', 'django-db'])(
    'RES-029 says that this version has no backend for %s, without the password',
    (url) => {
      expect(() => openBackend(url, options)).toThrow(UnknownSchemeError)
      expect(() => openBackend(url, options)).toThrow(/exists in Celery, but this version of celeriac has no/)
      expect(() => openBackend(url, options)).not.toThrow(/secret/)
    },
  )

  it('RES-029 asks about the spelling of an unknown name', () => {
    expect(() => openBackend('reids://h', options)).toThrow(/'reids' spelled correctly/)
  })

  it.each(['file://', 'file'])('RES-037 asks for a folder in %s', (url) => {
    expect(() => openBackend(url, options)).toThrow(ConfigError)
  })

  it('RES-030 disabled stores nothing without an error and refuses to read', async () => {
    const backend = openBackend(undefined, options)
    await backend.store(metaOf('a', 'SUCCESS', 1))
    expect(await backend.cleanup()).toBe(0)
    const expected = { code: 'BACKEND_DISABLED' }
    await expect(backend.fetch('a')).rejects.toMatchObject(expected)
    await expect(backend.fetchMany(['a'])).rejects.toMatchObject(expected)
    await expect(
      backend.watch(['a'], { signal: AbortSignal.abort() })[Symbol.asyncIterator]().next(),
    ).rejects.toMatchObject(expected)
    await expect(backend.storeGroup('g', [])).rejects.toMatchObject(expected)
    await expect(backend.fetchGroup('g')).rejects.toMatchObject(expected)
    await expect(backend.forgetGroup('g')).rejects.toMatchObject(expected)
    await backend.close()
  })
})
