/** The two programs of redis-wire-identity.test.ts, each with a Redis of its own. */
import { RedisServer } from './redis-server.js'
import { Monitor } from './redis-wire-identity-monitor.js'
import { type Connected, celeriacProgram, celeryProgram, type Program } from './wire-identity-programs.js'

/** One program, its server, and what was said to it. */
export interface Side extends Program {
  readonly server: RedisServer
  readonly monitor: Monitor
}

/** Celery, driven over standard input. */
export function pythonSide(): Promise<Side> {
  return side(celeryProgram)
}

/** celeriac, in this process. */
export function nodeSide(): Promise<Side> {
  return side(celeriacProgram)
}

async function side(start: (connected: Connected) => Promise<Program>): Promise<Side> {
  const server = await RedisServer.start()
  const monitor = await Monitor.start(server)
  const program = await start({ broker_url: server.url, result_backend: server.url })
  return {
    ...program,
    server,
    monitor,
    async close() {
      await program.close()
      monitor.close()
      await server.close()
    },
  }
}
