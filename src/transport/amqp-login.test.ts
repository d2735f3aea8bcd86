import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { noRabbit, RabbitServer } from '../../interop-tests/rabbitmq-server.js'
import { skipNote } from '../../interop-tests/redis-server.js'
import { BrokerUnavailableError } from '../errors.js'
import { createAmqpTransport } from './amqp-transport.js'
import type { Connection } from './transport.js'

describe.skipIf(noRabbit)(`logging in to RabbitMQ${skipNote(noRabbit)}`, () => {
  let server: RabbitServer
  const opened: Connection[] = []

  beforeAll(async () => {
    server = await RabbitServer.start({
      tls: 'client',
      plugins: ['rabbitmq_auth_mechanism_ssl'],
      extra: {
        'auth_mechanisms.1': 'PLAIN',
        'auth_mechanisms.2': 'AMQPLAIN',
        'auth_mechanisms.3': 'EXTERNAL',
        ssl_cert_login_from: 'common_name',
      },
    })
    // the name in the certificate of the client
    await server.addUser('localhost', randomUUID())
    await server.addUser('shopkeeper', 'pass/word')
  }, 90_000)
  afterAll(() => server?.close())
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()))
  })

  async function connect(url: string, transportOptions: Record<string, unknown>): Promise<Connection> {
    const connection = await createAmqpTransport().connect(url, { transportOptions, timeoutMs: 10_000 })
    opened.push(connection)
    return connection
  }
  /** Who is connected, and by which mechanism. */
  const who = (): Promise<string> =>
    server.ctl('list_connections', '--no-table-headers', 'user', 'auth_mechanism', 'vhost')

  it.each(['PLAIN', 'AMQPLAIN'])(
    'CFG-039 tells the server the user and the password of the URL by %s',
    async (login_method) => {
      const url = server.urlOf('/', 'shopkeeper', encodeURIComponent('pass/word'))
      await connect(url, { login_method })
      expect(await who()).toContain(`shopkeeper\t${login_method}\t/`)
      const wrong = connect(server.urlOf('/', 'shopkeeper', 'secret'), { login_method })
      await expect(wrong).rejects.toThrow(BrokerUnavailableError)
      await expect(wrong).rejects.toThrow(/Check the user and the password/)
    },
  )

  it('CFG-039 is let in by its certificate alone with EXTERNAL', async () => {
    const { ca = '', cert = '', key = '' } = server.certificates ?? {}
    const url = (server.tlsUrl ?? '').replace('guest:guest', 'nobody:nothing')
    await connect(url, { ssl: { ca_certs: ca, certfile: cert, keyfile: key }, login_method: 'EXTERNAL' })
    expect(await who()).toContain('localhost\tEXTERNAL\t/')
    await expect(connect(url, { ssl: { ca_certs: ca }, login_method: 'EXTERNAL' })).rejects.toThrow(
      BrokerUnavailableError,
    )
  })

  it('CFG-026 finds a virtual host whose name has a slash and other letters', async () => {
    const url = await server.addVhost('a/b c%')
    const connection = await connect(url, {})
    await connection.declare({
      exchanges: [],
      queues: [{ name: 'here', durable: true, exclusive: false, autoDelete: false, arguments: {} }],
      bindings: [],
    })
    expect(await server.ctl('list_queues', '-p', 'a/b c%', '--no-table-headers', 'name')).toContain('here')
  })
})
