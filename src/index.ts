/** The public names of celeriac, and nothing else. Importing it does nothing. */
export * from '../protocol/errors.js'
export type { ResultMeta, TaskState } from '../protocol/result-meta.js'
export type { Codec, Serializer } from '../protocol/serializers.js'
export type { SignatureData } from '../protocol/signature-data.js'
export {
  DateTime,
  Decimal,
  date,
  datetime,
  decimal,
  Float,
  float,
  PlainDate,
  PlainTime,
  TimeDelta,
  Tuple,
  time,
  tuple,
  Uuid,
  uuid,
} from '../protocol/values.js'
export type { Annotation, AnnotationEntry, Annotator } from './app/annotations.js'
export { App, type SendTaskOptions } from './app/app.js'
export type { AppOptions, AppParts } from './app/app-options.js'
export type { Chords } from './app/chords.js'
export type { BroadcastOptions, CommandOptions, Control, RevokeCommandOptions } from './app/control.js'
export type { ControlAnswer } from './app/control-replies.js'
export type { ExecuteInterceptor, Interceptors, PublishInterceptor } from './app/interceptors.js'
export type { ExchangeType, QueueDeclaration, QueueOptions } from './app/queue-declaration.js'
export type { RemoteTask, RemoteTypes } from './app/remote-task.js'
export type { Route, RouteFunction, RouteMap, RouteValue } from './app/router.js'
export type { StandardSchema } from './app/schema.js'
export type { SendRequest, Sent } from './app/send-request.js'
export type { Settings, SettingsInput } from './app/settings.js'
export type { CallableTask, Task } from './app/task.js'
export { TaskBase, type TaskSelf } from './app/task-base.js'
export type { TaskCall } from './app/task-handle.js'
export type { SharedOptions, TaskDefinition } from './app/task-options.js'
export type { TaskRegistry } from './app/task-registry.js'
export type { CloseOptions } from './app/under-way.js'
export { AbortableAsyncResult } from './backend/abortable-result.js'
export { allowJoinResult } from './backend/allow-join.js'
export type { AnyResult, GetOptions, ResultTuple, WaitOptions } from './backend/any-result.js'
export { AsyncResult, type Progress, type TaskGetOptions } from './backend/async-result.js'
export type { ResultBackend } from './backend/backend.js'
export { EagerResult } from './backend/eager-result.js'
export type { GroupProgress, ProgressStream } from './backend/group-progress.js'
export { GroupResult } from './backend/group-result.js'
export { MemoryResults } from './backend/memory.js'
export type { PendingChord, PendingOptions } from './backend/pending-chord.js'
export type { RevokeOptions } from './backend/result-context.js'
export { ResultSet } from './backend/result-set.js'
export { signatureFromData } from './canvas/algebra.js'
export { chain, chord, group } from './canvas/build.js'
export type { AnySignature } from './canvas/canvas-types.js'
export { Chain } from './canvas/chain.js'
export { Chord } from './canvas/chord.js'
export { Group } from './canvas/group.js'
export { type Kw, kw } from './canvas/kw.js'
export { Chunks, Mapped } from './canvas/mapping.js'
export type { Linkable, RetryPolicy, SendOptions } from './canvas/send-options.js'
export { Signature } from './canvas/signature.js'
export type { Stampable, StampingVisitor, StampOptions, Stamps } from './canvas/stamps.js'
export type { Clock } from './clock.js'
export * from './errors.js'
export {
  currentTask,
  type RequestInfo,
  type RetryOptions,
  type StateChange,
  type TaskContext,
} from './execution/context.js'
export type { ErrorMatcher, TaskHandlers, TaskOptions } from './execution/host.js'
export type { Outcome } from './execution/outcome.js'
export type { TaskRequest } from './execution/request.js'
export type { Logger } from './logger.js'
export type { Service } from './service.js'
export type { Received, Receiver, Signal, SignalPayloads, Signals } from './signals.js'
export { Celery } from './worker/celery.js'
export type { Worker } from './worker/worker.js'
export type { Banner, Shutdown, StopOptions, WorkerExit, WorkerOptions } from './worker/worker-options.js'
