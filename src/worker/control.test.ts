import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { decodeControlReply, encodeControlRequest } from '../../protocol/control.js'
import { ResultSet } from '../backend/result-set.js'
import { BrokerUnavailableError, TaskRevokedError } from '../errors.js'
import { FakeClock } from '../testing/fake-clock.js'
import { openTransport } from '../transport/open.js'
import type { Connection, Transport } from '../transport/transport.js'
import { type ControlCommand, noReply, ok } from './commands/command.js'
import { RemoteControl } from './control.js'
import { gate, Trial, until } from './trial.test.setup.js'

const mailbox = 'w@test.celery.pidbox'

/** The real transport; `change` may take away what a broker can do. */
function transportWith(change: (connection: Connection) => Connection): (url: string) => Transport {
  return (url) => ({
    connect: async (asked, options) => change(await openTransport(url).connect(asked, options)),
  })
}

/** Puts bytes into the exchange of all mailboxes, whatever they are. */
async function shout(trial: Trial, body: string, headers: Record<string, unknown> = {}): Promise<void> {
  const broker = await trial.broker()
  await broker.declare({
    exchanges: [{ name: 'celery.pidbox', type: 'fanout', durable: false }],
    queues: [],
    bindings: [],
  })
  const envelope = {
    body: Buffer.from(body),
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    headers,
    properties: {},
  }
  await broker.publish([{ envelope, to: { exchange: 'celery.pidbox', routingKey: '' } }])
}

/** Remote control with commands of the test's own, on a connection that notes the queues it deletes. */
async function commanded(
  trial: Trial,
  commands: Readonly<Record<string, ControlCommand['run']>>,
  how: { isRestart?: boolean; publish?: Connection['publish']; required?: readonly string[] } = {},
): Promise<{ control: RemoteControl; deleted: string[] }> {
  const deleted: string[] = []
  const control = new RemoteControl({
    app: trial.app,
    worker: trial.worker(),
    logger: trial.app.logger,
    commands: new Map(
      Object.entries(commands).map(([name, run]) => [name, { name, required: how.required ?? [], run }]),
    ),
  })
  const connection = await trial.broker()
  await control.attach(
    {
      ...forwarded(connection),
      ...(how.publish === undefined ? {} : { publish: how.publish }),
      deleteQueue: (queue) => {
        deleted.push(queue)
        return connection.deleteQueue(queue)
      },
    },
    how.isRestart ?? false,
  )
  return { control, deleted }
}

describe('remote control of a worker', () => {
  it('CTL-001 CTL-004 CTL-007 CTL-008 answers ping under its node name, and the reply queue is gone after it', async () => {
    const declared: string[] = []
    const deleted: string[] = []
    const open = transportWith((connection) => ({
      ...forwarded(connection),
      declare: (topology) => {
        declared.push(...topology.queues.map(({ name }) => name))
        return connection.declare(topology)
      },
      deleteQueue: (queue) => {
        deleted.push(queue)
        return connection.deleteQueue(queue)
      },
    }))
    await using trial = new Trial({ openTransport: open })
    const worker = await trial.started()
    expect(declared).toContain(mailbox)
    expect(await trial.app.control.ping({ timeout: 0.5, limit: 1 })).toEqual([{ 'w@test': { ok: 'pong' } }])
    const replies = declared.filter((name) => name.endsWith('.reply.celery.pidbox'))
    expect(replies).toHaveLength(1)
    expect(deleted).toEqual(replies)
    await worker.stop()
    expect(deleted).toEqual([...replies, mailbox])
  })

  it('CTL-012 CTL-013 collects one reply from each worker until silence, and ends early at the limit', async () => {
    await using trial = new Trial()
    await trial.started({ hostname: 'a@test' })
    await trial.started({ hostname: 'b@test' })
    const all = await trial.app.control.ping({ timeout: 0.3 })
    expect(all.flatMap((one) => Object.keys(one)).toSorted()).toEqual(['a@test', 'b@test'])
    const one = await trial.app.control.ping({ timeout: 60, limit: 1 })
    expect(one).toHaveLength(1)
    const chosen = await trial.app.control.ping({ timeout: 60, destination: ['b@test'] })
    expect(chosen).toEqual([{ 'b@test': { ok: 'pong' } }])
    expect(await trial.app.control.ping({ timeout: 0.05, destination: ['nobody@test'] })).toEqual([])
    expect(await trial.app.control.broadcast('ping')).toEqual([])
  })

  it('CTL-006 runs a command only where destination or pattern say so', async () => {
    await using trial = new Trial()
    await trial.started({ hostname: 'a@one' })
    await trial.started({ hostname: 'b@two' })
    const ask = async (options: object): Promise<string[]> =>
      (await trial.app.control.ping({ timeout: 0.2, ...options })).flatMap((one) => Object.keys(one))
    expect(await ask({ pattern: '*@two', matcher: 'glob' })).toEqual(['b@two'])
    expect(await ask({ pattern: 'a@', matcher: 'pcre' })).toEqual(['a@one'])
    expect(await ask({ pattern: '*@two', matcher: 'glob', destination: ['a@one'] })).toEqual(['a@one'])
    await expect(ask({ pattern: '*@two' })).rejects.toThrow('pattern and matcher go together')
    await expect(ask({ destination: 'a@one' })).rejects.toThrow('destination must be a list')
  })

  it('CTL-010 replies with the error of an unknown command and of missing arguments, in Python words', async () => {
    await using trial = new Trial()
    await trial.started()
    const ask = async (command: string, args: object = {}): Promise<unknown> => {
      const [reply] = await trial.app.control.broadcast(
        command,
        { ...args },
        { reply: true, limit: 1, timeout: 5 },
      )
      return reply?.['w@test']
    }
    expect(await ask('nope')).toEqual({ error: "KeyError('nope')" })
    expect(await ask('toString')).toEqual({ error: "KeyError('toString')" })
    expect(await ask('revoke')).toEqual({
      error: `TypeError("revoke() missing 1 required positional argument: 'task_id'")`,
    })
    expect(await ask('rate_limit')).toEqual({
      error: `TypeError("rate_limit() missing 2 required positional arguments: 'task_name' and 'rate_limit'")`,
    })
    expect(await ask('ping', { anything: 1 })).toEqual({ ok: 'pong' })
    expect(trial.logged(/^pidbox command error: KeyError\('nope'\)/, 'error')).toHaveLength(1)
  })

  it('CTL-009 CTL-010 CTL-011 CTL-019 null replies are sent, surplus arguments refused, and unwritable or silent replies left out', async () => {
    await using trial = new Trial()
    const worker = trial.worker()
    const command = (
      name: string,
      run: ControlCommand['run'],
      optional?: readonly string[],
    ): ControlCommand => ({
      name,
      required: [],
      run,
      ...(optional === undefined ? {} : { optional }),
    })
    const commands = [
      command('nothing', () => undefined, ['known']),
      command('silent', () => noReply),
      command('unwritable', () => ({ at: () => 1 })),
      command('throws', () => {
        throw new RangeError("it's wrong")
      }),
    ]
    const control = new RemoteControl({
      app: trial.app,
      worker,
      logger: trial.app.logger,
      commands: new Map(commands.map((one) => [one.name, one])),
    })
    const broker = await trial.broker()
    await control.attach(broker, false)
    const ask = async (name: string, args: Record<string, unknown> = {}): Promise<unknown> => {
      const replies = await trial.app.control.broadcast(name, args, { reply: true, timeout: 0.1, limit: 1 })
      return replies.length === 0 ? 'no reply' : replies[0]?.['w@test']
    }
    expect(await ask('nothing')).toBeNull()
    expect(await ask('nothing', { known: 1 })).toBeNull()
    expect(await ask('nothing', { other: 1 })).toEqual({
      error: `TypeError("nothing() got an unexpected keyword argument 'other'")`,
    })
    expect(await ask('silent')).toBe('no reply')
    expect(await ask('unwritable')).toBe('no reply')
    expect(await ask('throws')).toEqual({ error: `RangeError("it's wrong")` })
    expect(trial.logged(/^The reply to a remote control command .* could not be sent/, 'warn')).toHaveLength(
      1,
    )
    await control.detach()
  })

  it('CTL-005 obeys a command whose expires header has passed', async () => {
    await using trial = new Trial()
    const worker = await trial.started()
    const body = {
      method: 'revoke',
      arguments: { task_id: 'old' },
      destination: null,
      pattern: null,
      matcher: null,
    }
    await shout(trial, JSON.stringify(body), { clock: 1, expires: 1 })
    await until('it is stored', async () => (await trial.state('old')) === 'REVOKED')
    expect(worker.ledger.size).toBe(0)
  })

  it('CTL-015 CTL-008 lets the logical clock go on from the sender, and tells its own with the reply', async () => {
    await using trial = new Trial()
    await trial.started()
    const broker = await trial.broker()
    const reply = { name: 'reply.celery.pidbox', type: 'direct', durable: false } as const
    await broker.declare({
      exchanges: [reply],
      queues: [],
      bindings: [{ from: reply.name, to: { queue: 'mine' }, routingKey: 'me' }],
    })
    const { codec } = trial.app
    const { body } = encodeControlRequest(
      {
        method: 'ping',
        arguments: {},
        clock: 0,
        expires: 0,
        ticket: 'T',
        replyTo: { exchange: reply.name, routingKey: 'me' },
      },
      { codec, serializer: 'json' },
    )
    await shout(trial, Buffer.from(body).toString(), { clock: 1000, expires: 0 })
    await until('it has answered', async () => (await broker.queueLength('mine')) === 1)
    const delivery = await broker.get('mine')
    const accept = codec.accepting(['json'])
    const answer = decodeControlReply(delivery?.envelope ?? expect.fail(), { codec, accept })
    expect(answer).toEqual({ replies: { 'w@test': { ok: 'pong' } }, ticket: 'T', clock: 1002 })
    await delivery?.ack()
  })

  it('goes on working, and listening, after messages that are no commands', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 1)
    await trial.started()
    const bad = ['', 'null', '[]', '{}', '{"method": 5}', '{"method": "ping", "arguments": 3}', '{"method":']
    for (const body of bad) await shout(trial, body)
    await shout(trial, '{"method": "ping", "pattern": "(", "matcher": "pcre"}')
    await shout(trial, '{"method": "ping", "pattern": "x", "matcher": "nope"}')
    await shout(trial, '{"method": "ping", "reply_to": {"exchange": "celery.pidbox", "routing_key": "x"}}')
    await shout(trial, '{"method": "revoke", "arguments": {"task_id": {"a": 1}}}', {
      clock: 'x',
      expires: [],
    })
    expect(await trial.app.control.ping({ timeout: 5, limit: 1 })).toHaveLength(1)
    const id = await trial.send('t.ok')
    await until('the task ran', async () => (await trial.state(id)) === 'SUCCESS')
    expect(trial.logged(/^A remote control message cannot be read/, 'error')).toHaveLength(bad.length)
    expect(trial.logged(/^Control command error/, 'error')).toHaveLength(2)
    expect(trial.logged(/could not be sent/, 'warn')).toHaveLength(1)
  })

  it('CTL-018 has no mailbox without worker_enable_remote_control, nor on a broker without fanout', async () => {
    await using off = new Trial({ workerEnableRemoteControl: false })
    await off.started()
    expect(await off.app.control.ping({ timeout: 0.05 })).toEqual([])

    const withoutFanout = transportWith((connection) => ({
      ...forwarded(connection),
      capabilities: { ...connection.capabilities, fanout: false },
    }))
    await using plain = new Trial({ openTransport: withoutFanout })
    plain.app.task('t.ok', () => 1)
    await plain.started()
    await expect(plain.app.control.ping()).rejects.toThrow('has no fanout exchanges')
    await expect(plain.app.control.revoke('x')).rejects.toThrow('has no fanout exchanges')
    const id = await plain.send('t.ok')
    await until('it works', async () => (await plain.state(id)) === 'SUCCESS')
  })

  it('CTL-001 hears commands again after a reconnection', async () => {
    const connections: Connection[] = []
    await using trial = new Trial()
    await trial.started({
      openTransport: transportWith((connection) => {
        connections.push(connection)
        return connection
      }),
    })
    await connections[0]?.close()
    await until('it is back', () => connections.length === 2 && trial.logged(/^Connected to/).length === 2)
    expect(await trial.app.control.ping({ timeout: 5, limit: 1 })).toEqual([{ 'w@test': { ok: 'pong' } }])
  })

  it('works without remote control when its mailbox is refused, and says so', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 1)
    const broker = await trial.broker()
    await trial.started({
      openTransport: transportWith((connection) => ({
        ...forwarded(connection),
        declare: (topology) =>
          topology.queues.some(({ name }) => name === mailbox)
            ? Promise.reject(new Error('RESOURCE_LOCKED'))
            : connection.declare(topology),
      })),
    })
    expect(trial.logged(/the worker goes without remote control/, 'error')).toHaveLength(1)
    const id = await trial.send('t.ok')
    await until('it works', async () => (await trial.state(id)) === 'SUCCESS')
    expect(await broker.queueLength(mailbox)).toBe(0)
  })

  it('WRK-087 tries again when the broker is lost while the mailbox is declared', async () => {
    await using trial = new Trial()
    let refusals = 1
    await trial.started({
      openTransport: transportWith((connection) => ({
        ...forwarded(connection),
        declare: (topology) => {
          const isMailbox = topology.queues.some(({ name }) => name === mailbox)
          if (!isMailbox || refusals === 0) return connection.declare(topology)
          refusals -= 1
          return Promise.reject(new BrokerUnavailableError('gone'))
        },
      })),
    })
    expect(trial.logged(/Cannot connect to .*: gone\./, 'error')).toHaveLength(1)
    expect(await trial.app.control.ping({ timeout: 5, limit: 1 })).toHaveLength(1)
  })

  it('a command that takes its time holds up neither other commands nor tasks, and is waited for at the end', async () => {
    await using trial = new Trial()
    const worker = trial.worker()
    const slow = gate()
    const commands: ControlCommand[] = [
      { name: 'slow', required: [], run: () => slow.opened.then(() => ok('at last')) },
      { name: 'quick', required: [], run: () => ok('at once') },
    ]
    const control = new RemoteControl({
      app: trial.app,
      worker,
      logger: trial.app.logger,
      commands: new Map(commands.map((one) => [one.name, one])),
    })
    await control.attach(await trial.broker(), false)
    const options = { reply: true, limit: 1, timeout: 5 }
    const first = trial.app.control.broadcast('slow', {}, options)
    expect(await trial.app.control.broadcast('quick', {}, options)).toEqual([{ 'w@test': { ok: 'at once' } }])
    const detached = control.detach()
    slow.open()
    expect(await first).toEqual([{ 'w@test': { ok: 'at last' } }])
    await detached
    await trial.app.control.broadcast('quick')
    expect(await trial.waiting(mailbox)).toBe(0)
  })

  it('stops listening at once when it is detached, and keeps its mailbox until what runs has ended, 2 s at most', async () => {
    const clock = new FakeClock()
    for (const endsInTime of [true, false]) {
      await using trial = new Trial({ clock })
      const slow = gate()
      const begun: string[] = []
      const { control, deleted } = await commanded(trial, {
        slow: () => {
          begun.push('slow')
          return slow.opened
        },
        quick: () => void begun.push('quick'),
      })
      await shout(trial, '{"method": "slow"}')
      await until('it runs', () => begun.length === 1)
      let isDetached = false
      const detached = control.detach().then(() => {
        isDetached = true
      })
      await clock.advance(1999)
      await shout(trial, '{"method": "quick"}')
      await clock.advance(0)
      expect([isDetached, deleted, begun]).toEqual([false, [], ['slow']])
      if (endsInTime) slow.open()
      else await clock.advance(1)
      await detached
      expect([deleted, begun]).toEqual([[mailbox], ['slow']])
      slow.open()
    }
  })

  it('forgets a command that has ended', async () => {
    await using trial = new Trial()
    let runs = 0
    const count = (): void => {
      runs += 1
    }
    const { control } = await commanded(trial, { count })
    for (let sent = 0; sent < 10; sent += 1) await shout(trial, '{"method": "count"}')
    await until('all have run', () => runs === 10)
    await until('nothing is held of them', () => control['running'].size === 0)
    await control.detach()
  })

  it('CTL-001 obeys after a reconnection what was sent meanwhile, and what was sent before its start not', async () => {
    for (const isRestart of [true, false]) {
      await using trial = new Trial()
      const broker = await trial.broker()
      await broker.declare({
        exchanges: [{ name: 'celery.pidbox', type: 'fanout', durable: false }],
        queues: [],
        bindings: [{ from: 'celery.pidbox', to: { queue: mailbox }, routingKey: '' }],
      })
      await shout(trial, '{"method": "note", "arguments": {"of": "before"}}')
      const noted: unknown[] = []
      const note: ControlCommand['run'] = (_context, args) => void noted.push(args['of'])
      const { control } = await commanded(trial, { note }, { isRestart })
      await shout(trial, '{"method": "note", "arguments": {"of": "after"}}')
      await until('the last is noted', () => noted.includes('after'))
      expect(noted).toEqual(isRestart ? ['before', 'after'] : ['after'])
      await control.detach()
    }
  })

  it('gives a reply up that the broker does not take within 5 s, and says so', async () => {
    const clock = new FakeClock()
    await using trial = new Trial({ clock })
    let isAsked = false
    const publish: Connection['publish'] = (_messages, options) =>
      new Promise((_resolve, reject) => {
        isAsked = true
        options?.signal?.addEventListener('abort', () => reject(options.signal?.reason))
      })
    const { control } = await commanded(trial, { hello: () => ok('hello') }, { publish })
    await shout(
      trial,
      '{"method": "hello", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "x"}}',
    )
    await until('it replies', () => isAsked)
    await clock.advance(4999)
    expect(trial.logged(/could not be sent/)).toEqual([])
    await clock.advance(1)
    expect(trial.logged(/could not be sent/, 'warn')).toHaveLength(1)
    await control.detach()
  })

  it('CTL-010 says what is missing as Python does, also of three, and logs a long command cut', async () => {
    await using trial = new Trial()
    const { control } = await commanded(trial, { picky: () => ok('never') }, { required: ['a', 'b', 'c'] })
    const long = 'x'.repeat(10_000)
    const [reply] = await trial.app.control.broadcast(
      'picky',
      { other: long },
      { reply: true, limit: 1, timeout: 5 },
    )
    expect(reply?.['w@test']).toEqual({
      error: `TypeError("picky() missing 3 required positional arguments: 'a', 'b', and 'c'")`,
    })
    const [line] = trial.logged(/^pidbox received method picky\(other='xxx/, 'debug')
    expect(line?.text).toMatch(/x\.\.\.\) \[reply_to:/)
    expect(line?.text.length).toBeLessThan(700)
    await control.detach()
  })

  it('drops what was sent to its name before it was there: an old shutdown ends no new worker', async () => {
    await using trial = new Trial()
    const broker = await trial.broker()
    await broker.declare({
      exchanges: [{ name: 'celery.pidbox', type: 'fanout', durable: false }],
      queues: [],
      bindings: [{ from: 'celery.pidbox', to: { queue: mailbox }, routingKey: '' }],
    })
    await trial.app.control.shutdown()
    expect(await broker.queueLength(mailbox)).toBe(1)
    const worker = await trial.started()
    expect(await trial.app.control.ping({ timeout: 5, limit: 1 })).toHaveLength(1)
    expect(worker.exitCode).toBeUndefined()
    await worker.stop()
    await trial.app.control.broadcast('ping')
    expect(await broker.queueLength(mailbox)).toBe(0)
  })

  it('ends the waiting for replies when its signal aborts, and frees the reply queue', async () => {
    const deleted: string[] = []
    const sent = gate()
    const open = transportWith((connection) => ({
      ...forwarded(connection),
      publish: async (messages, options) => {
        await connection.publish(messages, options)
        sent.open()
      },
      deleteQueue: (queue) => {
        deleted.push(queue)
        return connection.deleteQueue(queue)
      },
    }))
    await using trial = new Trial({ openTransport: open })
    const stop = new AbortController()
    const asked = trial.app.control.ping({ timeout: 60, signal: stop.signal })
    await sent.opened
    stop.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
    expect(deleted).toHaveLength(1)
    await expect(trial.app.control.ping({ signal: stop.signal })).rejects.toThrow('enough')
  })
})

describe('commands', () => {
  it('CTL-040 RES-006 WRK-035 revoke stores REVOKED at once, also for ids that nobody knows, with children null', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 1)
    await trial.started()
    const replies = await trial.app.control.revoke(['u1', 'u2'], { reply: true, limit: 1, timeout: 5 })
    expect(replies).toEqual([{ 'w@test': { ok: "tasks {'u1', 'u2'} flagged as revoked" } }])
    for (const id of ['u1', 'u2']) {
      expect(await trial.meta(id)).toMatchObject({
        state: 'REVOKED',
        children: undefined,
        traceback: undefined,
        result: { type: 'TaskRevokedError', module: 'celery.exceptions', args: ['revoked'] },
      })
    }
    await trial.send('t.ok', { id: 'u1' })
    await until(
      'it is dropped',
      () => trial.logged(/^Discarding revoked task: t\.ok\[u1\]/, 'info').length === 1,
    )
    await until('it is stored again', async () => (await trial.meta('u1'))?.children !== undefined)
    expect(await trial.state('u1')).toBe('REVOKED')
    expect(trial.logged(/^Tasks flagged as revoked: u1, u2$/, 'info')).toHaveLength(1)
  })

  it('CTL-040 revoke without ids, and with one id as a text, answers as Celery does', async () => {
    await using trial = new Trial()
    await trial.started()
    const ask = (args: Record<string, unknown>) =>
      trial.app.control.broadcast('revoke', args, { reply: true, limit: 1, timeout: 5 })
    expect(await ask({ task_id: [] })).toEqual([{ 'w@test': { ok: 'tasks set() flagged as revoked' } }])
    expect(await ask({ task_id: 'one' })).toEqual([{ 'w@test': { ok: "tasks {'one'} flagged as revoked" } }])
    expect(await ask({ task_id: null, terminate: true })).toEqual([
      { 'w@test': { ok: 'terminate: tasks unknown' } },
    ])
  })

  it('CTL-040 RES-005 revoke does not overwrite a SUCCESS', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 7)
    await trial.started()
    const result = await trial.app.sendTask('t.ok')
    expect(await result.get({ timeout: 8 })).toBe(7)
    await result.revoke({ wait: true, timeout: 0.2 })
    expect(await trial.meta(result.id)).toMatchObject({ state: 'SUCCESS', result: 7 })
  })

  it('RES-055 ACK-023 WRK-035 result.revoke({ wait }) keeps a task with an ETA from running', async () => {
    await using trial = new Trial()
    let runs = 0
    trial.app.task('t.later', () => {
      runs += 1
    })
    const worker = await trial.started()
    const result = await trial.app.sendTask('t.later', { countdown: 0.5 })
    await until('it waits', () => worker.ledger.find(result.id)?.state === 'waiting')
    await result.revoke({ wait: true, timeout: 0.2 })
    expect(await result.state()).toBe('REVOKED')
    await until('it is settled', () => worker.ledger.size === 0)
    expect(runs).toBe(0)
    await expect(result.get({ timeout: 1 })).rejects.toThrow(TaskRevokedError)
    expect(await trial.waiting()).toBe(0)
  })

  it('CTL-041 CTL-042 ACK-025 WRK-107 terminate aborts the running task, stores REVOKED terminated, and tells task_revoked', async () => {
    await using trial = new Trial()
    const aborted = gate()
    const told: unknown[] = []
    trial.app.signals.taskRevoked.connect(({ terminated, signum, expired }) => {
      told.push({ terminated, signum, expired })
    })
    trial.app.task('t.long', { bind: true }, (self) => {
      self.signal.addEventListener('abort', () => aborted.open())
      return new Promise<never>(() => {})
    })
    const worker = await trial.started()
    const id = await trial.send('t.long')
    await until('it runs', () => worker.ledger.find(id)?.isAcknowledged)
    const replies = await trial.app.control.terminate(id, {
      signal: 'KILL',
      reply: true,
      limit: 1,
      timeout: 5,
    })
    expect(replies).toEqual([{ 'w@test': { ok: `terminate: ${id}` } }])
    await aborted.opened
    await until('it is settled', () => worker.ledger.size === 0)
    expect(await trial.meta(id)).toMatchObject({ state: 'REVOKED', result: { args: ['terminated'] } })
    await until('it is told', () => told.length === 1)
    expect(told).toEqual([{ terminated: true, signum: 'SIGKILL', expired: false }])
    expect(trial.logged(new RegExp(`^Terminating ${id} \\(SIGKILL\\)`), 'info')).toHaveLength(1)
    const again = await trial.app.control.terminate(id, { reply: true, limit: 1, timeout: 5 })
    expect(again).toEqual([{ 'w@test': { ok: 'terminate: tasks unknown' } }])
  })

  it('CTL-042 terminate of a task that has not started drops it when its turn comes', async () => {
    await using trial = new Trial()
    const running = gate()
    let runs = 0
    trial.app.task('t.wait', () => running.opened)
    trial.app.task('t.next', () => {
      runs += 1
    })
    const worker = await trial.started({ concurrency: 1 })
    await trial.send('t.wait')
    await until('it runs', () => worker.ledger.active().length === 1)
    const id = await trial.send('t.next')
    await until('the next is held', () => worker.ledger.find(id) !== undefined)
    const replies = await trial.app.control.terminate(id, { reply: true, limit: 1, timeout: 5 })
    expect(replies).toEqual([{ 'w@test': { ok: `terminate: ${id}` } }])
    running.open()
    await until('it is settled', () => worker.ledger.size === 0)
    expect(runs).toBe(0)
    expect(await trial.state(id)).toBe('REVOKED')
  })

  it('CTL-042 refuses a signal that there is not, with the ids revoked all the same', async () => {
    await using trial = new Trial()
    await trial.started()
    const ask = async (signal: unknown) =>
      (
        await trial.app.control.broadcast(
          'revoke',
          { task_id: 'x', terminate: true, signal },
          { reply: true, limit: 1, timeout: 5 },
        )
      )[0]?.['w@test']
    expect(await ask('SIGNOPE')).toEqual({
      error: `AttributeError("module 'signal' has no attribute 'SIGNOPE'")`,
    })
    expect(await ask('sigterm')).toEqual({ error: "TypeError('signal name must be uppercase string.')" })
    expect(await ask(15)).toEqual({ ok: 'terminate: tasks unknown' })
    expect(await trial.state('x')).toBe('REVOKED')
  })

  it('CTL-045 WRK-045 rate_limit sets, ends and refuses rates', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 1)
    const worker = await trial.started()
    const ask = async (rate: string | number | null, name = 't.ok') =>
      (await trial.app.control.rateLimit(name, rate, { reply: true, limit: 1, timeout: 5 }))[0]?.['w@test']
    expect(await ask('1/h')).toEqual({ ok: 'new rate limit set successfully' })
    await trial.send('t.ok')
    const second = await trial.send('t.ok')
    await until('the second is held back', () => worker.ledger.find(second)?.state === 'throttled')
    expect(await ask('abc/s')).toEqual({
      error: `Invalid rate limit string: ValueError("could not convert string to float: 'abc'")`,
    })
    expect(await ask('1/x')).toEqual({ error: "KeyError('x')" })
    expect(await ask('1/s', 't.nope')).toEqual({ error: 'unknown task' })
    expect(worker.ledger.find(second)?.state).toBe('throttled')
    expect(await ask(null)).toEqual({ ok: 'rate limit disabled successfully' })
    await until('the second ran', async () => (await trial.state(second)) === 'SUCCESS')
  })

  it('CTL-045 setting one limit fills every bucket again', async () => {
    await using trial = new Trial()
    trial.app.task('t.a', { rateLimit: '1/h' }, () => 1)
    trial.app.task('t.b', () => 1)
    const worker = await trial.started()
    await trial.send('t.a')
    const second = await trial.send('t.a')
    await until('the second is held back', () => worker.ledger.find(second)?.state === 'throttled')
    await trial.app.control.rateLimit('t.b', '5/m')
    await until('the second ran', async () => (await trial.state(second)) === 'SUCCESS')
  })

  it('CTL-046 time_limit sets the limits of what starts afterwards, and what is left out is taken away', async () => {
    await using trial = new Trial()
    trial.app.task(
      't.long',
      { bind: true, softTimeLimit: 60 },
      (self) =>
        new Promise<never>((_resolve, reject) => {
          self.signal.addEventListener('abort', () => reject(self.signal.reason))
        }),
    )
    const worker = await trial.started()
    const options = { reply: true, limit: 1, timeout: 5 }
    const set = await trial.app.control.timeLimit('t.long', { soft: 0.05 }, options)
    expect(set).toEqual([{ 'w@test': { ok: 'time limits set successfully' } }])
    const id = await trial.send('t.long')
    await until('it is over', async () => (await trial.state(id)) === 'FAILURE')
    expect(await trial.meta(id)).toMatchObject({ result: { type: 'SoftTimeLimitExceeded' } })
    await trial.app.control.timeLimit('t.long', {}, options)
    const unlimited = await trial.send('t.long')
    await until('it runs', () => worker.ledger.find(unlimited)?.isActive)
    expect(worker.ledger.find(unlimited)?.limits).toEqual({ soft: undefined, hard: undefined })
    expect(await trial.app.control.timeLimit('t.nope', {}, options)).toEqual([
      { 'w@test': { error: 'unknown task' } },
    ])
    const wrong = await trial.app.control.broadcast('time_limit', { task_name: 't.long', soft: 'x' }, options)
    expect(wrong[0]?.['w@test']).toMatchObject({ error: expect.stringContaining('TypeError') })
  })

  it('CTL-011 CTL-053 WRK-083 shutdown stops the worker warm, without a reply', async () => {
    await using trial = new Trial()
    const running = gate()
    trial.app.task('t.wait', () => running.opened)
    const worker = await trial.started()
    const id = await trial.send('t.wait')
    await until('it runs', () => worker.ledger.find(id)?.isAcknowledged)
    expect(await trial.app.control.broadcast('shutdown', {}, { reply: true, timeout: 0.1 })).toEqual([])
    expect(trial.logged(/^Got shutdown from remote$/, 'warn')).toHaveLength(1)
    expect(worker.exitCode).toBeUndefined()
    running.open()
    expect(await worker.stopped).toMatchObject({ code: 0, reason: 'stopped' })
    expect(await trial.state(id)).toBe('SUCCESS')
  })

  it('answers while it drains: a task that keeps a warm shutdown waiting can be terminated', async () => {
    await using trial = new Trial()
    trial.app.task('t.long', () => new Promise<never>(() => {}))
    const worker = await trial.started()
    const id = await trial.send('t.long')
    await until('it runs', () => worker.ledger.find(id)?.isAcknowledged)
    const stopped = worker.stop()
    await trial.app.control.terminate(id, { reply: true, limit: 1, timeout: 5 })
    await stopped
    expect(await trial.meta(id)).toMatchObject({ state: 'REVOKED', result: { args: ['terminated'] } })
  })

  it('CTL-057 purge removes what waits; CTL-058 a revoke that nobody hears is recorded nowhere', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 1)
    const id = await trial.send('t.ok')
    await trial.app.control.revoke(id)
    expect(await trial.meta(id)).toBeUndefined()
    await trial.started()
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    await using quiet = new Trial()
    await quiet.send('t.ok')
    await quiet.send('t.ok')
    expect(await quiet.app.control.purge()).toBe(2)
  })

  it('RES-071 revoking a set sends one command with the list of ids', async () => {
    await using trial = new Trial()
    const seen: unknown[] = []
    const worker = trial.worker()
    const spy: ControlCommand = {
      name: 'revoke',
      required: [],
      run: (_context, args) => {
        seen.push(args['task_id'])
        return ok('')
      },
    }
    const commands = new Map([['revoke', spy]])
    const control = new RemoteControl({ app: trial.app, worker, logger: trial.app.logger, commands })
    await control.attach(await trial.broker(), false)
    const set = new ResultSet([trial.app.asyncResult('a'), trial.app.asyncResult('b')], trial.app)
    await set.revoke({ wait: true, timeout: 0.1 })
    expect(seen).toEqual([['a', 'b']])
    await control.detach()
  })
})

/** A connection with all its methods as properties, so that some can be replaced. */
function forwarded(connection: Connection): Connection {
  return {
    capabilities: connection.capabilities,
    closed: connection.closed,
    declare: (topology) => connection.declare(topology),
    publish: (messages, options) => connection.publish(messages, options),
    consume: (queues, options) => connection.consume(queues, options),
    get: (queue) => connection.get(queue),
    queueLength: (queue) => connection.queueLength(queue),
    purge: (queue) => connection.purge(queue),
    deleteQueue: (queue) => connection.deleteQueue(queue),
    close: () => connection.close(),
  }
}
