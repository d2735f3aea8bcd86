/** What the servers of tests have in common: each is a test's own, to be stopped, killed, paused, and started again. */
import { type ServerProcess, stopServer } from './server-process.js'

/** One of them. */
export abstract class TestServer implements AsyncDisposable {
  protected child: ServerProcess | undefined
  protected output = ''
  /** Milliseconds that an orderly end may take. */
  protected abstract readonly patienceMs: number

  /** Starts it on its ports with its data; resolves when it answers. */
  protected abstract launch(): Promise<void>
  /** Ends it and removes its folder. */
  abstract close(): Promise<void>

  /** The process id of the running server; undefined while it is stopped. */
  get pid(): number | undefined {
    return this.child?.pid
  }

  /** What the server printed, over all its starts. */
  get log(): string {
    return this.output
  }

  /** Ends the server in order (SIGTERM) or with another signal. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const { child } = this
    this.child = undefined
    await stopServer(child, signal, this.patienceMs)
  }

  /** SIGKILL; resolves when it is gone. `restart()` brings it back. */
  async kill(): Promise<void> {
    await this.stop('SIGKILL')
  }

  /** Stops the server when it runs, and starts it on the same ports with the same data. */
  async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.stop(signal)
    await this.launch()
  }

  /** SIGSTOP: the server keeps its connections and answers nothing until `resume()`. */
  pause(): void {
    this.child?.kill('SIGSTOP')
  }

  /** SIGCONT. */
  resume(): void {
    this.child?.kill('SIGCONT')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
