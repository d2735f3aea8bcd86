import type { ControlCommand } from './command.js'
import { ping } from './ping.js'
import { rateLimit } from './rate-limit.js'
import { revoke, terminate } from './revoke.js'
import { shutdown } from './shutdown.js'
import { timeLimit } from './time-limit.js'

/** The commands that every worker obeys, by name. */
export const builtinCommands: ReadonlyMap<string, ControlCommand> = new Map(
  [ping, revoke, terminate, shutdown, rateLimit, timeLimit].map((command) => [command.name, command]),
)
