import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { UnknownSchemeError } from '../errors.js'
import { textOf, toQueue } from './collector.conformance.js'
import { openTransport } from './open.js'

describe('openTransport', () => {
  it('TST-022 lets all that open one memory:// URL in a process meet', async () => {
    const url = 'memory:///open-test'
    const [one, other] = [openTransport(url), openTransport(url)]
    const from = await one.connect(url, { transportOptions: {} })
    const to = await other.connect(url, { transportOptions: {} })
    await from.publish(toQueue('q', ['a']))
    const got = await to.get('q')
    expect(got && textOf(got)).toBe('a')
    await got?.ack()
    await Promise.all([from.close(), to.close()])
  })

  it('TST-022 opens filesystem:// with a path', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'celeriac-open-'))
    const url = `filesystem://${folder}/broker`
    const connection = await openTransport(url).connect(url, { transportOptions: {} })
    await connection.publish(toQueue('q', ['a']))
    expect(await connection.queueLength('q')).toBe(1)
    await connection.close()
    await rm(folder, { recursive: true })
  })

  it('says plainly which schemes of Celery this version does not serve, and hides the password', () => {
    for (const url of [
      'redis+cluster://:secret@h/0',
      'sqs://u:secret@h',
      'librabbitmq://h//',
      'sqla+sqlite:///x',
    ]) {
      expect(() => openTransport(url)).toThrow(UnknownSchemeError)
      expect(() => openTransport(url)).toThrow(
        /this version of celeriac has no .*memory:\/\/, filesystem:\/\/, redis:\/\//,
      )
      expect(() => openTransport(url)).not.toThrow(/secret/)
    }
  })

  it('names the schemes there are for a URL that no Celery knows', () => {
    expect(() => openTransport('carrier-pigeon://loft')).toThrow(/no transport is known .*memory:\/\//)
    expect(() => openTransport('localhost')).toThrow(/has no scheme/)
    expect(() => openTransport('constructor://x')).toThrow(UnknownSchemeError)
  })
})
