/** The door `celeriac/worker`. */

export type { Request } from './request.js'
export type { RequestState } from './request-state.js'
export { Worker } from './worker.js'
export type { WorkerApp } from './worker-app.js'
export type { Banner, Shutdown, StopOptions, WorkerExit, WorkerOptions } from './worker-options.js'
