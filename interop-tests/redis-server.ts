/**
 * Real Redis servers for the tests, in containers where an engine answers (server-process.ts): each on a free port of
 * 127.0.0.1 in a temporary folder of its own, to be stopped, killed, paused and started again on the same port. A small
 * shell beside each server ends it and removes its folder when the test process is gone, however that came about.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { containerEngine } from './container-engine.js'
import { ProcessGuard } from './process-guard.js'
import { startServer } from './server-process.js'
import { TestServer } from './test-server.js'

/** `CELERIAC_REDIS_IMAGE` names another one. */
const image = process.env.CELERIAC_REDIS_IMAGE ?? 'redis:7.4'

/**
 * Why tests that need Redis cannot run here, for `describe.skipIf(noRedis)`; undefined when they can. In CI always
 * undefined: there a missing server is a failure.
 */
export const noRedis: string | undefined =
  process.env.CI || containerEngine || spawnSync('redis-server', ['--version']).status === 0
    ? undefined
    : 'redis-server is not installed (apt-get install redis-server, or brew install redis)'

/** Behind the name of a test that may be skipped: says why it is. Empty when it runs. */
export function skipNote(missing: string | undefined): string {
  return missing === undefined ? '' : ` (skipped: ${missing})`
}

/** What a server is started with; everything else is Redis's default, without snapshots. */
export interface RedisServerOptions {
  /** Append-only file, synced before every answer: what was answered survives a kill. Default false. */
  readonly appendonly?: boolean
  /** The password of the default user. */
  readonly requirepass?: string
  /** An ACL user with all rights; the default user is switched off. */
  readonly user?: { readonly name: string; readonly password: string }
  /** TLS only, with a certificate of a test CA for 127.0.0.1 and localhost; `client` demands a certificate too. */
  readonly tls?: boolean | 'client'
  /** With `tls`: these instead of new ones, so that servers trust each other. */
  readonly certificates?: TestCertificates
  /** Listens on a Unix socket in its folder as well. */
  readonly unixSocket?: boolean
  /** Lines of redis.conf: `{ maxmemory: '2mb', 'maxmemory-policy': 'noeviction' }`. */
  readonly extra?: Readonly<Record<string, string | number>>
  /** The program; default `redis-server`. Sentinels are started with `redis-sentinel`. */
  readonly program?: 'redis-server' | 'redis-sentinel'
  /** More lines of the configuration, verbatim. */
  readonly lines?: readonly string[]
}

/** Certificates of a test CA, as paths of PEM files. */
export interface TestCertificates {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** `replyMapping` would choose the types of answers. */
type PlainOptions = Omit<RedisOptions, 'replyMapping'>

const startBoundMs = 15_000

/** One running server. */
export class RedisServer extends TestServer {
  protected override readonly patienceMs = 10_000
  readonly port: number
  /** `redis://` or `rediss://`, with the user and password, database 0. */
  readonly url: string
  /** `redis+socket:///...`, with the password; undefined without `unixSocket`. */
  readonly socketUrl: string | undefined
  readonly socketPath: string | undefined
  /** Set with `tls`; `cert` and `key` serve a client as well. */
  readonly certificates: TestCertificates | undefined
  readonly folder: string
  private readonly options: RedisServerOptions
  private readonly guard: ProcessGuard
  private readonly clients = new Set<Redis>()

  private constructor(port: number, options: RedisServerOptions) {
    super()
    this.port = port
    this.options = options
    this.folder = mkdtempSync(join(tmpdir(), 'celeriac-redis-'))
    this.guard = new ProcessGuard(this.folder)
    const { user, requirepass, tls, unixSocket } = options
    const login = user ? `${user.name}:${user.password}@` : requirepass ? `:${requirepass}@` : ''
    this.url = `redis${tls ? 's' : ''}://${login}127.0.0.1:${port}/0`
    this.socketPath = unixSocket ? join(this.folder, 'redis.sock') : undefined
    this.socketUrl = this.socketPath && `redis+socket://${login}${this.socketPath}`
    this.certificates = tls ? (options.certificates ?? makeCertificates(this.folder)) : undefined
    writeFileSync(join(this.folder, 'redis.conf'), `${this.configuration().join('\n')}\n`)
  }

  /** Its URL at another port: through a proxy. */
  urlAt(port: number): string {
    return this.url.replace(`:${this.port}`, `:${port}`)
  }

  /** Starts a server and resolves when it answers PING; rejects with what it printed after 15 s. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      const server = new RedisServer(await freePort(), options)
      try {
        await server.launch()
        return server
      } catch (error) {
        const taken = /Address already in use/.test(server.output)
        await server.close()
        if (!taken || attempt === 5) throw error
      }
    }
  }

  private configuration(): string[] {
    const { appendonly, requirepass, user, tls, extra = {}, program, lines = [] } = this.options
    const conf = ['bind 127.0.0.1', `dir "${this.folder}"`, 'daemonize no', 'loglevel notice']
    conf.push(tls ? 'port 0' : `port ${this.port}`)
    if (this.certificates) {
      const { ca, cert, key } = this.certificates
      conf.push(`tls-port ${this.port}`, `tls-ca-cert-file "${ca}"`, `tls-cert-file "${cert}"`)
      conf.push(`tls-key-file "${key}"`, `tls-auth-clients ${tls === 'client' ? 'yes' : 'no'}`)
      conf.push('tls-replication yes')
    }
    if (program === 'redis-sentinel') return [...conf, ...lines]
    conf.push('save ""', `appendonly ${appendonly ? 'yes' : 'no'}`, 'appendfsync always')
    conf.push('repl-diskless-sync-delay 0', 'repl-ping-replica-period 1')
    if (requirepass) conf.push(`requirepass "${requirepass}"`)
    if (user) conf.push('user default off', `user ${user.name} on >${user.password} ~* &* +@all`)
    if (this.socketPath) conf.push(`unixsocket "${this.socketPath}"`, 'unixsocketperm 700')
    for (const [name, value] of Object.entries(extra)) conf.push(`${name} ${value}`)
    return [...conf, ...lines]
  }

  protected override async launch(): Promise<void> {
    const program = this.options.program ?? 'redis-server'
    const child = await startServer({
      program,
      args: [join(this.folder, 'redis.conf')],
      image,
      cwd: this.folder,
      reads: this.certificates === undefined ? [] : [dirname(this.certificates.ca)],
      onOutput: (text) => {
        this.output += text
      },
    })
    this.child = child
    this.guard.watch([child.pid])
    let cancel = (): void => {}
    const failure = new Promise<never>((_resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${program} ${why}; it printed:\n${this.output}`))
      const timer = setTimeout(() => fail(`did not answer PING within ${startBoundMs} ms`), startBoundMs)
      cancel = () => clearTimeout(timer)
      void child.ended.then((how) => fail(`ended with ${how}`))
    })
    failure.catch(() => {})
    const client = this.client({ maxRetriesPerRequest: null, retryStrategy: () => 20 })
    try {
      await Promise.race([client.ping(), failure])
    } finally {
      cancel()
      this.release(client)
    }
  }

  /** A client of this server with all rights, closed with the server. */
  client(options: PlainOptions = {}): Redis {
    const { user, requirepass } = this.options
    const all: PlainOptions = {
      host: '127.0.0.1',
      port: this.port,
      ...(user ? { username: user.name, password: user.password } : {}),
      ...(requirepass ? { password: requirepass } : {}),
      ...(this.certificates ? { tls: clientTls(this.certificates) } : {}),
      ...options,
    }
    const client = new Redis(all)
    // Tests that stop the server expect lost connections; commands report them by themselves.
    client.on('error', () => {})
    this.clients.add(client)
    return client
  }

  private release(client: Redis): void {
    this.clients.delete(client)
    client.disconnect()
  }

  /** An append-only file is complete after SIGTERM. */
  override async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await super.stop(signal)
    this.guard.watch([])
  }

  /** Ends the server and its clients and removes its folder. */
  override async close(): Promise<void> {
    for (const client of this.clients) this.release(client)
    await this.stop('SIGKILL')
    await this.guard.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A master, its replicas and the sentinels that watch them. */
export class RedisSentinels {
  /** The name the sentinels know the master by. */
  readonly masterName = 'celeriac'
  readonly servers: readonly RedisServer[]
  readonly sentinels: readonly RedisServer[]

  private constructor(servers: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.servers = servers
    this.sentinels = sentinels
  }

  /** Starts three sentinels (or `sentinels`) over one master and one replica; resolves when they know each other. */
  static async start(
    options: { sentinels?: number; replicas?: number; server?: RedisServerOptions } = {},
  ): Promise<RedisSentinels> {
    const { sentinels: count = 3, replicas = 1, server = {} } = options
    const login: string[] = server.requirepass ? [`masterauth "${server.requirepass}"`] : []
    const started: RedisServer[] = []
    try {
      const master = await RedisServer.start({ ...server, lines: [...(server.lines ?? []), ...login] })
      started.push(master)
      for (let i = 0; i < replicas; i++) {
        const lines = [...(server.lines ?? []), ...login, `replicaof 127.0.0.1 ${master.port}`]
        started.push(await RedisServer.start({ ...server, ...secured(master), lines }))
      }
      const lines = [
        `sentinel monitor celeriac 127.0.0.1 ${master.port} ${Math.floor(count / 2) + 1}`,
        'sentinel down-after-milliseconds celeriac 1000',
        'sentinel failover-timeout celeriac 4000',
        'sentinel parallel-syncs celeriac 1',
      ]
      if (server.requirepass) lines.push(`sentinel auth-pass celeriac "${server.requirepass}"`)
      for (let i = 0; i < count; i++)
        started.push(await RedisServer.start({ program: 'redis-sentinel', ...secured(master), lines }))
      const set = new RedisSentinels(started.slice(0, replicas + 1), started.slice(replicas + 1))
      await set.settled(replicas)
      return set
    } catch (error) {
      for (const each of started) await each.close()
      throw error
    }
  }

  /** As kombu takes it: `sentinel://host:port/0;sentinel://host:port/0`; the name goes into `master_name`. */
  get url(): string {
    return this.sentinels.map((sentinel) => `sentinel://127.0.0.1:${sentinel.port}/0`).join(';')
  }

  /** The server that the sentinels call master now. */
  async master(): Promise<RedisServer> {
    const address = await this.ask<string[]>('get-master-addr-by-name', this.masterName)
    const found = this.servers.find((server) => server.port === Number(address?.[1]))
    if (found === undefined) throw new Error(`no server of this set is master: ${String(address)}`)
    return found
  }

  /** Has the sentinels promote a replica; resolves with the new master when all sentinels know it. */
  async failover(): Promise<RedisServer> {
    const before = await this.master()
    await this.ask('failover', this.masterName)
    return this.switched(before)
  }

  /** Resolves with the new master once every sentinel names another than `before`; bounded by `timeoutMs`. */
  async switched(before: RedisServer, timeoutMs = 30_000): Promise<RedisServer> {
    const end = performance.now() + timeoutMs
    for (;;) {
      const ports = new Set<number>()
      for (const sentinel of this.sentinels) {
        const address = await this.ask<string[]>('get-master-addr-by-name', this.masterName, sentinel)
        ports.add(Number(address?.[1]))
      }
      if (ports.size === 1 && !ports.has(before.port)) {
        const master = await this.master()
        const client = master.client()
        const role = await client.role()
        client.disconnect()
        if (role[0] === 'master') return master
      }
      if (performance.now() > end) throw new Error(`the sentinels chose no new master in ${timeoutMs} ms`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  private async settled(replicas: number): Promise<void> {
    const end = performance.now() + startBoundMs
    for (;;) {
      let known = 0
      for (const sentinel of this.sentinels) {
        const slaves = await this.ask<unknown[]>('replicas', this.masterName, sentinel)
        const others = await this.ask<unknown[]>('sentinels', this.masterName, sentinel)
        if (slaves.length === replicas && others.length === this.sentinels.length - 1) known++
      }
      if (known === this.sentinels.length) return
      if (performance.now() > end) throw new Error('the sentinels did not find each other')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  private async ask<T>(command: string, name: string, sentinel = this.sentinels[0]): Promise<T> {
    if (sentinel === undefined) throw new Error('no sentinel was started')
    const client = sentinel.client()
    try {
      return (await client.call('SENTINEL', command, name)) as T
    } finally {
      client.disconnect()
    }
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((server) => server.close()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** TLS as that server has it, with its certificates. */
function secured({ certificates }: RedisServer): RedisServerOptions {
  return certificates === undefined ? {} : { tls: true, certificates }
}

/** A port of 127.0.0.1 that nobody listens on now. */
export async function freePort(): Promise<number> {
  // Somebody may be connecting already: to a server that is about to listen on the port that was found just before.
  const probe = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

/** Makes a CA and a certificate for 127.0.0.1 and localhost with openssl; the files stand in `folder`. */
export function makeCertificates(folder: string): TestCertificates {
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  const files = { ca: join(folder, 'ca.pem'), cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const newKey = ['req', '-newkey', 'rsa:2048', '-nodes']
  openssl(
    ...newKey,
    '-x509',
    '-days',
    '2',
    '-subj',
    '/CN=celeriac test CA',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  )
  openssl(...newKey, '-subj', '/CN=localhost', '-keyout', 'key.pem', '-out', 'request.pem')
  writeFileSync(join(folder, 'names.txt'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names.txt']
  openssl('x509', '-req', '-in', 'request.pem', '-days', '2', ...signing, '-out', 'cert.pem')
  return files
}

function clientTls({ ca, cert, key }: TestCertificates): { ca: Buffer; cert: Buffer; key: Buffer } {
  return { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) }
}
