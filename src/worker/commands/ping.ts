import { type ControlCommand, ok } from './command.js'

/** `ping`: the worker is there. */
export const ping: ControlCommand = { name: 'ping', required: [], run: () => ok('pong') }
