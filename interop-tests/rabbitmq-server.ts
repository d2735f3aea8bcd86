/**
 * Real RabbitMQ servers for the tests, in containers where an engine answers (server-process.ts): each a node of its own
 * on free ports of 127.0.0.1 in a temporary folder, to be stopped, killed, paused and started again with the same data.
 * A start takes about five seconds: one per test file, and a virtual host per test (`addVhost`). A small shell beside
 * each server ends it and removes its folder when the test process is gone, however that came about.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { containerEngine } from './container-engine.js'
import { ProcessGuard } from './process-guard.js'
import { freePort, makeCertificates, type TestCertificates } from './redis-server.js'
import { startServer } from './server-process.js'
import { TestServer } from './test-server.js'

/** A release of RabbitMQ: the image that has it, and the folder of its programs where no container engine answers. */
export interface RabbitRelease {
  readonly image: string
  /** Without one they are looked for in Debian's folder and on PATH. */
  readonly programs?: string | undefined
}

/** Debian's wrappers in /usr/sbin change the user and the folder; these do not. */
const debianScripts = '/usr/lib/rabbitmq/bin'
const servers = join(import.meta.dirname, '..', '.servers')

/**
 * What the tests start: the machine's own. `CELERIAC_RABBITMQ_IMAGE` names another image, `CELERIAC_RABBITMQ_PROGRAMS`
 * another folder, such as `.servers/rabbitmq-trixie/bin` for RabbitMQ 4.0.
 */
const usualRelease: RabbitRelease = {
  image: process.env.CELERIAC_RABBITMQ_IMAGE ?? 'rabbitmq:3.13',
  programs: process.env.CELERIAC_RABBITMQ_PROGRAMS,
}

/** Those of RabbitMQ 4 that the tests know, by name, from where scripts/rabbitmq-4.sh lays them. */
export const rabbit4 = {
  '4.0': { image: 'rabbitmq:4.0', programs: join(servers, 'rabbitmq-trixie', 'bin') },
  '4.3': { image: 'rabbitmq:4.3', programs: join(servers, 'rabbitmq-forky', 'bin') },
} as const satisfies Readonly<Record<string, RabbitRelease>>

/** As `noRabbit`, of one of `rabbit4`. */
export function noRelease({ programs = '' }: RabbitRelease): string | undefined {
  return process.env.CI || containerEngine || existsSync(programs)
    ? undefined
    : 'scripts/rabbitmq-4.sh could not lay RabbitMQ 4 here, which takes the packages of Debian'
}

function script({ programs }: RabbitRelease, name: 'rabbitmq-server' | 'rabbitmqctl' | 'epmd'): string {
  if (containerEngine !== undefined) return name
  if (programs !== undefined) return resolve(programs, name)
  return existsSync(join(debianScripts, name)) ? join(debianScripts, name) : name
}

/**
 * Why tests that need RabbitMQ cannot run here, for `describe.skipIf(noRabbit)`; undefined when they can. In CI always
 * undefined: there a missing server is a failure.
 */
export const noRabbit: string | undefined =
  process.env.CI ||
  containerEngine ||
  spawnSync('sh', [
    '-c',
    `command -v ${script(usualRelease, 'rabbitmq-server')} && command -v ${script(usualRelease, 'epmd')}`,
  ]).status === 0
    ? undefined
    : 'rabbitmq-server is not installed (apt-get install rabbitmq-server, or brew install rabbitmq)'

/** What a server is started with; everything else is RabbitMQ's default, without plugins. */
export interface RabbitServerOptions {
  /** Lines of rabbitmq.conf: `{ consumer_timeout: 2000, frame_max: 8192 }`. */
  readonly extra?: Readonly<Record<string, string | number | boolean>>
  /** A second listener with TLS, with a certificate of a test CA; `client` demands a certificate too. */
  readonly tls?: boolean | 'client'
  /** Plugins that are enabled, such as `rabbitmq_auth_mechanism_ssl`. */
  readonly plugins?: readonly string[]
  /** One of `rabbit4`; without it the usual one. */
  readonly release?: RabbitRelease
}

const startBoundMs = 60_000
const run = promisify(execFile)

/** One running server. */
export class RabbitServer extends TestServer {
  protected override readonly patienceMs = 20_000
  readonly port: number
  /** `amqp://guest:guest@127.0.0.1:<port>//`: all rights on the default virtual host. */
  readonly url: string
  /** `amqps://` on the listener with TLS; undefined without `tls`. */
  readonly tlsUrl: string | undefined
  /** Set with `tls`; `cert` and `key` serve a client as well. */
  readonly certificates: TestCertificates | undefined
  readonly folder: string
  private readonly tlsPort: number
  private readonly release: RabbitRelease
  private readonly guard: ProcessGuard
  private readonly environment: Readonly<Record<string, string>>
  private readonly epmdPort: number
  private epmd: ChildProcess | undefined

  private constructor(ports: readonly number[], options: RabbitServerOptions) {
    super()
    const [port = 0, distPort = 0, epmdPort = 0, tlsPort = 0] = ports
    this.release = options.release ?? usualRelease
    this.port = port
    this.epmdPort = epmdPort
    this.tlsPort = tlsPort
    this.url = `amqp://guest:guest@127.0.0.1:${port}//`
    this.tlsUrl = options.tls ? `amqps://guest:guest@127.0.0.1:${tlsPort}//` : undefined
    this.folder = mkdtempSync(join(tmpdir(), 'celeriac-rabbitmq-'))
    this.guard = new ProcessGuard(this.folder)
    this.certificates = options.tls ? makeCertificates(this.folder) : undefined
    writeFileSync(join(this.folder, 'rabbitmq.conf'), `${this.configuration(options).join('\n')}\n`)
    writeFileSync(join(this.folder, 'enabled_plugins'), `[${(options.plugins ?? []).join(', ')}].\n`)
    writeFileSync(join(this.folder, '.erlang.cookie'), randomBytes(12).toString('hex'), { mode: 0o600 })
    this.environment = {
      HOME: this.folder,
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_NODENAME: `celeriac-${port}@localhost`,
      RABBITMQ_MNESIA_BASE: join(this.folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(this.folder, 'log'),
      RABBITMQ_CONFIG_FILE: join(this.folder, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(this.folder, 'enabled_plugins'),
      RABBITMQ_DIST_PORT: String(distPort),
      // Two threads that do not spin while they wait: tests share few cores.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none',
      // The script becomes the server instead of standing in front of it: signals reach it.
      RUNNING_UNDER_SYSTEMD: 'true',
    }
  }

  /** Starts a server and resolves when it takes connections; rejects with what it printed after 60 s. */
  static async start(options: RabbitServerOptions = {}): Promise<RabbitServer> {
    for (let attempt = 1; ; attempt++) {
      const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()])
      const server = new RabbitServer(ports, options)
      try {
        await server.launch()
        return server
      } catch (error) {
        const taken = /eaddrinuse|port .* in use/i.test(server.output)
        await server.close()
        if (!taken || attempt === 5) throw error
      }
    }
  }

  /** Of this server, such as `4.3.6`. */
  get version(): string {
    return /RabbitMQ (\d+\.\d+\.\d+)/.exec(this.output)?.[1] ?? ''
  }

  /** The URL of a virtual host, for a user of it. */
  urlOf(vhost: string, user = 'guest', password = user): string {
    return `amqp://${user}:${password}@127.0.0.1:${this.port}/${encodeURIComponent(vhost)}`
  }

  private configuration({ extra = {}, tls }: RabbitServerOptions): string[] {
    const conf = [
      `listeners.tcp.1 = 127.0.0.1:${this.port}`,
      'disk_free_limit.absolute = 1MB',
      'log.console = true',
      'log.console.level = info',
      'log.file = false',
    ]
    if (this.certificates) {
      const { ca, cert, key } = this.certificates
      conf.push(`listeners.ssl.1 = 127.0.0.1:${this.tlsPort}`, `ssl_options.cacertfile = ${ca}`)
      conf.push(`ssl_options.certfile = ${cert}`, `ssl_options.keyfile = ${key}`)
      if (tls === 'client')
        conf.push('ssl_options.verify = verify_peer', 'ssl_options.fail_if_no_peer_cert = true')
    }
    for (const [name, value] of Object.entries(extra)) conf.push(`${name} = ${value}`)
    return conf
  }

  /** The name service of Erlang nodes, one for this server: the usual one stays behind as a daemon. */
  private async launchEpmd(): Promise<void> {
    // In a container it dies with the server.
    if (this.epmd !== undefined || containerEngine !== undefined) return
    const env = { ...process.env, ...this.environment }
    const epmd = spawn(script(this.release, 'epmd'), ['-port', String(this.epmdPort)], {
      env,
      stdio: 'ignore',
    })
    this.epmd = epmd
    epmd.on('error', () => {})
    if (!(await answers(this.epmdPort, performance.now() + 5000, () => epmd.exitCode !== null)))
      throw new Error('epmd (of Erlang) could not be started')
  }

  protected override async launch(): Promise<void> {
    await this.launchEpmd()
    const child = await startServer({
      program: script(this.release, 'rabbitmq-server'),
      args: [],
      image: this.release.image,
      cwd: this.folder,
      env: this.environment,
      onOutput: (text) => {
        this.output += text
      },
    })
    this.child = child
    let failure: string | undefined
    void child.ended.then((how) => (failure = `ended with ${how}`))
    this.guard.watch([child.pid, this.epmd?.pid].filter((pid) => pid !== undefined))
    const end = performance.now() + startBoundMs
    if (await answers(this.port, end, () => failure !== undefined)) return
    throw new Error(
      `rabbitmq-server ${failure ?? `took no connection in ${startBoundMs} ms`}; it printed:\n${this.output}`,
    )
  }

  /** Runs `rabbitmqctl` on this server and gives what it printed (half a second each). */
  async ctl(...args: string[]): Promise<string> {
    const command = [script(this.release, 'rabbitmqctl'), '-q', ...args] as const
    if (this.child?.exec !== undefined) return this.child.exec(command)
    const env = { ...process.env, ...this.environment }
    const { stdout } = await run(command[0], command.slice(1), { cwd: this.folder, env, timeout: 60_000 })
    return stdout
  }

  /** Makes a virtual host on which guest has all rights, and gives its URL; the name is unique when not given. */
  async addVhost(name: string = randomUUID()): Promise<string> {
    // One expression: each call of rabbitmqctl starts an Erlang machine of its own.
    const host = `<<"${name}">>`
    await this.ctl(
      'eval',
      `rabbit_vhost:add(${host}, <<"test">>), ` +
        `rabbit_auth_backend_internal:set_permissions(<<"guest">>, ${host}, <<".*">>, <<".*">>, <<".*">>, <<"test">>).`,
    )
    return this.urlOf(name)
  }

  /** Makes a user with the three patterns of rights (all, when not given) on a virtual host. */
  async addUser(
    name: string,
    password: string,
    { vhost = '/', configure = '.*', write = '.*', read = '.*' } = {},
  ): Promise<void> {
    await this.ctl('add_user', name, password)
    await this.ctl('set_permissions', '-p', vhost, name, configure, write, read)
  }

  /** Raises the memory alarm, which blocks every connection that publishes, or clears it. */
  async memoryAlarm(isRaised: boolean): Promise<void> {
    await this.ctl('set_vm_memory_high_watermark', isRaised ? '0' : '0.9')
  }

  /** Has the server close every connection, giving `reason`. */
  async closeConnections(reason = 'test'): Promise<void> {
    await this.ctl('close_all_connections', '--global', reason)
  }

  /** Ends the server and removes its folder. */
  override async close(): Promise<void> {
    await this.stop('SIGKILL')
    const { epmd } = this
    if (epmd !== undefined && epmd.exitCode === null && epmd.signalCode === null) {
      const exited = once(epmd, 'exit')
      epmd.kill('SIGKILL')
      await exited
    }
    await this.guard.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Whether the port takes a connection before `end` (of `performance.now()`) and before `isOver`. */
async function answers(port: number, end: number, isOver: () => boolean): Promise<boolean> {
  while (performance.now() < end && !isOver()) {
    const socket = connect({ host: '127.0.0.1', port })
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (isOpen) return true
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return false
}
