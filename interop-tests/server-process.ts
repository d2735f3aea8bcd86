/**
 * A server program of a test: an installed one as a child process, or one in a container of its own where an engine
 * answers (container-engine.ts). Both listen on the same ports of this machine, keep their data in the same folder, and
 * take the same signals.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { containerEngine } from './container-engine.js'

/** What is started. */
export interface ServerProgram {
  /** The installed program; in a container, the program of that name in `image`. */
  readonly program: string
  readonly args: readonly string[]
  /** The image that has it. */
  readonly image: string
  readonly cwd: string
  /** Further folders that it reads, such as that of another server's certificates. */
  readonly reads?: readonly string[]
  /** Variables beyond those of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Called with what it prints. */
  onOutput(text: string): void
}

/** A server that was started. */
export interface ServerProcess {
  /** As seen from this process. */
  readonly pid: number
  /** Settles with its exit code or signal, and never rejects. */
  readonly ended: Promise<number | string>
  readonly hasEnded: boolean
  /** Nothing happens when it has ended. */
  kill(signal: NodeJS.Signals): void
  /** Runs a program of the server's own beside it and gives what that printed; rejects when it fails. */
  exec?(command: readonly string[]): Promise<string>
}

/** Starts it; rejects when it cannot be started at all. One that ends at once has been started. */
export function startServer(program: ServerProgram): Promise<ServerProcess> {
  return containerEngine === undefined ? startChild(program) : startContainer(program)
}

/** Ends it by `signal`, and by SIGKILL when it has not ended after `patienceMs`. Resolves when it is gone. */
export async function stopServer(
  server: ServerProcess | undefined,
  signal: NodeJS.Signals,
  patienceMs: number,
): Promise<void> {
  if (server === undefined || server.hasEnded) return
  server.kill(signal)
  // A paused one takes signals only then.
  server.kill('SIGCONT')
  const late = setTimeout(() => server.kill('SIGKILL'), patienceMs)
  await server.ended
  clearTimeout(late)
}

async function startChild({ program, args, cwd, env, onOutput }: ServerProgram): Promise<ServerProcess> {
  const child: ChildProcess = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => onOutput(chunk.toString()))
  let hasEnded = false
  const ended = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => {
      hasEnded = true
      resolve(code ?? signal ?? 'nothing')
    })
  })
  await once(child, 'spawn')
  return {
    pid: child.pid as number,
    ended,
    get hasEnded() {
      return hasEnded
    },
    kill: (signal) => void child.kill(signal),
  }
}

async function startContainer(what: ServerProgram): Promise<ServerProcess> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const folders = [...new Set([what.cwd, ...(what.reads ?? [])])]
  class SelfRemovingContainer extends GenericContainer {
    /** `withAutoRemove` is only for those that are stopped by testcontainers itself. */
    protected override hostConfig = { AutoRemove: true }
  }
  const started = await new SelfRemovingContainer(what.image)
    .withEntrypoint([what.program])
    .withCommand([...what.args])
    .withEnvironment({ ...what.env })
    .withNetworkMode('host')
    // What it writes into the folder is to be ours.
    .withUser(`${process.getuid?.()}:${process.getgid?.()}`)
    .withBindMounts(folders.map((folder) => ({ source: folder, target: folder, mode: 'rw' })))
    .withWorkingDir(what.cwd)
    .withLogConsumer((stream: Readable) => stream.on('data', (chunk) => what.onOutput(String(chunk))))
    // Whoever starts it waits for its port. When this process is gone, its guard kills the server, and so ends the
    // container: no reaper is needed.
    .withWaitStrategy(Wait.forListeningPorts())
    .withAutoCleanup(false)
    .start()
  const container = containerEngine?.container.getById(started.getId())
  if (container === undefined) throw new Error('the container engine has gone')
  const { State } = await container.inspect()
  let hasEnded = false
  const end = (how: number | string): number | string => {
    hasEnded = true
    return how
  }
  const ended = container.wait().then(
    ({ StatusCode }: { StatusCode: number }) => end(StatusCode),
    () => end('removed'),
  )
  return {
    pid: State.Pid,
    ended,
    get hasEnded() {
      return hasEnded
    },
    kill: (signal) => {
      if (!hasEnded) signalProcess(State.Pid, signal)
    },
    exec: async (command) => {
      const { exitCode, output } = await started.exec([...command])
      if (exitCode !== 0) throw new Error(`${command.join(' ')} ended with ${exitCode}: ${output}`)
      return output
    },
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
