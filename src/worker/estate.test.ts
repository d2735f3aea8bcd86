import { describe, expect, it } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { BrokerUnavailableError } from '../errors.js'
import { openTransport } from '../transport/open.js'
import type { RedisClient } from '../transport/redis-client.js'
import { useRedis } from '../transport/redis-rig.conformance.js'
import type { Transport } from '../transport/transport.js'
import { gate, Trial, until } from './trial.test.setup.js'

describe.skipIf(noRedis)(`what a lost connection held (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  useRedis((rig) => {
    ;({ server, admin } = rig)
  })

  const trialOn = (url: string | string[]): Trial =>
    new Trial({ brokerUrl: url, brokerTransportOptions: { visibility_timeout: 3600 } })
  const held = async (): Promise<unknown> => admin.run('HLEN', 'unacked')
  const cutAll = async (): Promise<void> => {
    const mine = String(await admin.run('CLIENT', 'ID'))
    for (const [, id] of String(await admin.run('CLIENT', 'LIST')).matchAll(/^id=(\d+) /gm))
      if (id !== mine) await admin.run('CLIENT', 'KILL', 'ID', id as string)
  }

  /** A late-acknowledged task that runs until it is told to go on. */
  const waitingTask = (trial: Trial) => {
    const going = gate()
    const wait = {
      runs: 0,
      open: going.open,
      task: trial.app.task('t.wait', { acksLate: true }, async () => {
        wait.runs += 1
        await going.opened
      }),
    }
    return wait
  }

  it('WRK-089 PUB-076 runs what it had fetched within seconds, each once, in its order, marked as it was', async () => {
    await using trial = trialOn(server.url)
    const ran: string[] = []
    const redelivered: boolean[] = []
    const running = gate()
    const wait = trial.app.task('t.wait', { acksLate: true }, () => running.opened)
    const note = trial.app.task('t.note', { bind: true }, (self, what: string) => {
      redelivered.push(self.request.deliveryInfo.redelivered)
      ran.push(what)
    })
    const limited = trial.app.task('t.limited', { rateLimit: '1/h' }, (what: string) => {
      ran.push(what)
    })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 20 })
    await limited.delay('allowed')
    await until('it ran', () => ran.length === 1)
    await wait.delay()
    await until('the first runs', () => worker.ledger.active().length === 1)
    const names = ['a', 'b', 'c', 'd']
    for (const name of names) await note.delay(name)
    await note.applyAsync({ args: ['urgent'], priority: 0 })
    await note.applyAsync({ args: ['not urgent'], priority: 9 })
    await note.applyAsync({ args: ['due'], countdown: 1 })
    await limited.delay('over the limit')
    await until('all are held', () => worker.ledger.size === 9)
    await cutAll()
    await until('it has them again', async () => trial.logged(/^Gave back 8 messages/).length === 1)
    await until('it holds them', () => worker.ledger.size === 9)
    running.open()
    await until('they ran', () => ran.length === 8)
    expect(ran.filter((name) => name !== 'due')).toEqual(['allowed', ...names, 'urgent', 'not urgent'])
    expect(redelivered).toEqual(redelivered.map(() => false))
    worker.rateLimit('t.limited', null)
    await until('all ran', () => ran.length === 9)
    await until('nothing is held', async () => (await held()) === 0)
    expect(trial.logged(/Couldn't/)).toEqual([])
  })

  it('WRK-090 acknowledges a task that ran through the loss by the next connection, so that it is not run again', async () => {
    await using trial = trialOn(server.url)
    const wait = waitingTask(trial)
    const worker = await trial.started({ concurrency: 2 })
    const [first, second] = [await wait.task.delay(), await wait.task.delay()]
    await until('both run', () => wait.runs === 2)
    await cutAll()
    await until('they are taken over', () => trial.logged(/^Took over 2 messages/).length === 1)
    wait.open()
    for (const { id } of [first, second])
      await until('it is done', async () => (await trial.state(id)) === 'SUCCESS')
    await until('nothing is held', async () => (await held()) === 0 && worker.ledger.size === 0)
    expect(wait.runs).toBe(2)
    expect(await trial.app.control.purge()).toBe(0)
    expect(trial.logged(/Couldn't/)).toEqual([])
  })

  it('WRK-090 PUB-075 keeps the lease of what it runs through a loss, so that nobody else runs it too', async () => {
    await using trial = new Trial({
      brokerUrl: server.url,
      brokerTransportOptions: { visibility_timeout: 1 },
    })
    const wait = waitingTask(trial)
    const worker = await trial.started({ concurrency: 3 })
    const { id } = await wait.task.delay()
    await until('it runs', () => wait.runs === 1)
    for (const cut of [1, 2]) {
      await cutAll()
      const cutAt = Number(((await admin.run('TIME')) as string[])[0])
      await until(
        'its message is taken over',
        () => trial.logged(/^Took over 1 message of a lost connection/).length === cut,
      )
      // Three times the visibility timeout after the loss, or until somebody has had it again.
      await until('it is renewed', async () => {
        const [, score = 0] = (await admin.run('ZRANGE', 'unacked_index', 0, 0, 'WITHSCORES')) as string[]
        return wait.runs > 1 || Number(score) > cutAt + 3
      })
      expect(wait.runs).toBe(1)
      expect(worker.ledger.find(id)?.state).toBe('running')
    }
    wait.open()
    await until('it is done', async () => (await trial.state(id)) === 'SUCCESS')
    await until('nothing is held', async () => (await held()) === 0 && worker.ledger.size === 0)
    expect(wait.runs).toBe(1)
    expect(await trial.app.control.purge()).toBe(0)
    expect(trial.logged(/Couldn't|may run twice/)).toEqual([])
  })

  it('WRK-090 PUB-075 takes over what it runs before it looks itself for what was abandoned', async () => {
    await using trial = trialOn(server.url)
    const wait = waitingTask(trial)
    const worker = await trial.started({ concurrency: 3 })
    const { id } = await wait.task.delay()
    await until('it runs', () => wait.runs === 1)
    // As after a server that stood still for longer than the visibility timeout.
    const [tag] = (await admin.run('ZRANGE', 'unacked_index', 0, 0)) as string[]
    await admin.run('ZADD', 'unacked_index', 1, tag as string)
    await cutAll()
    await until('it is connected again', () => trial.logged(/^Connected to/).length === 2)
    expect(trial.logged(/^Took over 1 message/)).toHaveLength(1)
    wait.open()
    await until('nothing is held', async () => (await held()) === 0 && worker.ledger.size === 0)
    expect(wait.runs).toBe(1)
    expect(await trial.state(id)).toBe('SUCCESS')
    expect(await trial.app.control.purge()).toBe(0)
  })

  it('WRK-090 takes an acknowledgement for done that was cut off after the broker had taken it', async () => {
    const proxy = await TcpProxy.start(server.port)
    try {
      await using trial = trialOn(server.urlAt(proxy.port))
      const running = gate()
      const wait = trial.app.task('t.wait', { acksLate: true }, () => running.opened)
      const first = trial.app.task('t.first', { acksLate: true }, () => 1)
      const worker = await trial.started({ concurrency: 1 })
      // So that the server knows the script.
      const { id } = await first.delay()
      await until('one is done', async () => (await trial.state(id)) === 'SUCCESS' && (await held()) === 0)
      await wait.delay()
      await until('it runs', () => worker.ledger.active().length === 1)
      proxy.mute()
      running.open()
      await until('the broker has it', async () => (await held()) === 0)
      proxy.heal()
      await until('it is over', () => worker.ledger.size === 0)
      expect(trial.logged(/Couldn't/)).toEqual([])
    } finally {
      await proxy.close()
    }
  })

  it('WRK-090 acknowledges what ends at the very moment at which it is taken over', async () => {
    await using trial = trialOn(server.url)
    const [running, answering] = [gate(), gate()]
    let adopted = 0
    const open = (url: string): Transport => ({
      connect: async (asked, options) => {
        const connection = await openTransport(url).connect(asked, options)
        const adopt = connection.adopt?.bind(connection)
        connection.adopt = async (lost) => {
          const found = (await adopt?.(lost)) ?? []
          adopted += 1
          await answering.opened
          return found
        }
        return connection
      },
    })
    const wait = trial.app.task('t.wait', { acksLate: true }, () => running.opened)
    const worker = await trial.started({ openTransport: open })
    const { id } = await wait.delay()
    await until('it runs', () => worker.ledger.active().length === 1)
    await cutAll()
    await until('the broker has done it', () => adopted === 1)
    running.open()
    await until('it ends', () => worker.ledger.find(id)?.isAcknowledged)
    expect(await held()).toBe(1)
    answering.open()
    await until('nothing is held', async () => (await held()) === 0 && worker.ledger.size === 0)
    expect(trial.logged(/Couldn't/)).toEqual([])
  })

  it('WRK-090 keeps what it took over when the connection that took it is lost before it consumes', async () => {
    await using trial = trialOn(server.url)
    let connections = 0
    const open = (url: string): Transport => ({
      connect: async (asked, options) => {
        const connection = await openTransport(url).connect(asked, options)
        connections += 1
        if (connections === 2) connection.consume = () => Promise.reject(new BrokerUnavailableError('lost'))
        return connection
      },
    })
    const wait = waitingTask(trial)
    const worker = await trial.started({ openTransport: open, concurrency: 3 })
    const { id } = await wait.task.delay()
    await until('it runs', () => worker.ledger.active().length === 1)
    await cutAll()
    await until('it is connected again', () => trial.logged(/^Connected to/).length === 2)
    expect(connections).toBe(3)
    expect(trial.logged(/^Took over 1 message/)).toHaveLength(2)
    wait.open()
    await until('nothing is held', async () => (await held()) === 0 && worker.ledger.size === 0)
    expect(wait.runs).toBe(1)
    expect(await trial.state(id)).toBe('SUCCESS')
    expect(await trial.app.control.purge()).toBe(0)
    expect(trial.logged(/Couldn't/)).toEqual([])
  })

  it('ACK-027 gives back by its new connection what it took over and a cold shutdown cut short', async () => {
    await using trial = trialOn(server.url)
    const started: string[] = []
    const wait = trial.app.task('t.wait', { acksLate: true, bind: true }, (self) => {
      started.push(self.request.id ?? '')
      return new Promise<string>(() => {})
    })
    const worker = await trial.started({ concurrency: 1 })
    const { id } = await wait.delay()
    await until('it runs', () => started.length === 1)
    await cutAll()
    await until('it is taken over', () => trial.logged(/^Took over 1 message/).length === 1)
    await worker.stop({ how: 'cold' })
    expect(await held()).toBe(0)
    expect(await trial.app.control.purge()).toBe(1)
    expect(started).toEqual([id])
  })

  it('WRK-090 says so when somebody else has taken it meanwhile, and leaves it to that one', async () => {
    await using trial = trialOn(server.url)
    const wait = waitingTask(trial)
    const worker = await trial.started({ concurrency: 1 })
    await wait.task.delay()
    await wait.task.delay()
    await until('one runs, one waits', () => wait.runs === 1 && worker.ledger.size === 2)
    // As a Python process takes both up: the same entry without our mark.
    const pairs = (await admin.run('HGETALL', 'unacked')) as string[]
    for (let at = 0; at < pairs.length; at += 2)
      await admin.run('HSET', 'unacked', pairs[at] as string, (pairs[at + 1] as string).trimEnd())
    await cutAll()
    await until('it is connected again', () => trial.logged(/^Gave back 0 messages/).length === 1)
    expect(trial.logged(/^Task t\.wait\[.*\] runs on, .*: it may run twice/, 'warn')).toHaveLength(1)
    wait.open()
    await until('it says so', () => trial.logged(/Couldn't ack/, 'error').length === 1)
    const [line] = trial.logged(/Couldn't ack/)
    expect(String(line?.fields['err'])).toMatch(/went to another consumer meanwhile/)
    await until('nothing is held here', () => worker.ledger.size === 0)
    expect(await held()).toBe(2)
    expect(wait.runs).toBe(1)
  })

  it('ACK-028 WRK-091 gives back at once what it cancelled because of the loss', async () => {
    await using trial = new Trial({
      brokerUrl: server.url,
      workerCancelLongRunningTasksOnConnectionLoss: true,
    })
    const runs: boolean[] = []
    const task = trial.app.task('t.late', { acksLate: true, bind: true }, (self) => {
      runs.push(self.request.deliveryInfo.redelivered)
      return runs.length > 1 ? 'done' : new Promise<string>(() => {})
    })
    await trial.started()
    const { id } = await task.delay()
    await until('it runs', () => runs.length === 1)
    await cutAll()
    await until('it ran again', async () => (await trial.state(id)) === 'SUCCESS')
    expect(runs).toEqual([false, true])
    await until('nothing is held', async () => (await held()) === 0)
  })

  it('WRK-089 runs what it had fetched after a restart of the server', async () => {
    await using mortal = await RedisServer.start({ appendonly: true })
    await using trial = trialOn(mortal.url)
    const running = gate()
    const ran: number[] = []
    const wait = trial.app.task('t.wait', { acksLate: true }, () => running.opened)
    const note = trial.app.task('t.note', (what: number) => {
      ran.push(what)
    })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 20 })
    const { id } = await wait.delay()
    for (let at = 0; at < 10; at += 1) await note.delay(at)
    await until('all are held', () => worker.ledger.size === 11)
    await mortal.kill()
    // It ends while there is nobody to tell.
    await until('the loss is noticed', () => worker.ledger.find(id)?.state === 'orphaned')
    running.open()
    await until('it is done', async () => (await trial.state(id)) === 'SUCCESS')
    await mortal.restart()
    await until('the rest ran', () => ran.length === 10)
    expect(ran).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    const after = mortal.client()
    await until('nothing is held', async () => (await after.hlen('unacked')) === 0)
    after.disconnect()
  })

  it('WRK-087 WRK-089 leaves nothing behind with a broker that it comes back to after another', async () => {
    await using a = await RedisServer.start({ appendonly: true })
    await using b = await RedisServer.start({ appendonly: true })
    await using trial = trialOn([a.url, b.url])
    const gates = { early: gate(), late: gate() }
    const ran: string[] = []
    const wait = trial.app.task('t.wait', { acksLate: true }, async (which: 'early' | 'late') => {
      ran.push(which)
      await gates[which].opened
    })
    const note = trial.app.task('t.note', (what: string) => {
      ran.push(what)
    })
    const worker = await trial.started({ concurrency: 2, prefetchMultiplier: 20 })
    const early = await wait.delay('early')
    const late = await wait.delay('late')
    await until('both run', () => ran.length === 2)
    for (const name of ['x', 'y', 'z']) await note.delay(name)
    await until('all are held', () => worker.ledger.size === 5)
    await a.kill()
    await until(
      'it says what stays',
      () => trial.logged(/^5 messages .* stay with redis:/, 'warn').length === 1,
    )
    await until('it consumes from the other', () => trial.logged(/^Connected to/).length === 2)
    // It ends while the worker is with the other broker.
    gates.early.open()
    await until('it is told', () => trial.logged(/Couldn't ack/, 'error').length === 1)
    expect(String(trial.logged(/Couldn't ack/)[0]?.fields['err'])).toMatch(/connected to another broker/)
    expect(worker.ledger.find(early.id)).toBeUndefined()
    await a.restart()
    await b.kill()
    await until('it is back and they ran', () => ran.length === 5)
    expect(ran).toEqual(['early', 'late', 'x', 'y', 'z'])
    expect(trial.logged(/^Took over 1 message /)).toHaveLength(1)
    expect(trial.logged(/^Settled 1 message /)).toHaveLength(1)
    gates.late.open()
    await until('it is done', async () => (await trial.state(late.id)) === 'SUCCESS')
    const after = a.client()
    await until('nothing is held', async () => (await after.hlen('unacked')) === 0)
    expect(await after.llen('celery')).toBe(0)
    after.disconnect()
    expect(trial.logged(/Couldn't/)).toHaveLength(1)
  })

  it('WRK-071 stops while it is cut off: what waits for a connection does not hold it up', async () => {
    await using mortal = await RedisServer.start({ appendonly: true })
    await using trial = trialOn(mortal.url)
    const running = gate()
    const wait = trial.app.task('t.wait', { acksLate: true }, () => running.opened)
    const worker = await trial.started({ concurrency: 1 })
    const { id } = await wait.delay()
    await wait.delay()
    await until('both are held', () => worker.ledger.size === 2)
    await mortal.kill()
    await until('the loss is noticed', () => worker.ledger.find(id)?.state === 'orphaned')
    running.open()
    await until('it waits to be told', () => worker.ledger.find(id)?.state === 'settled')
    await worker.stop()
    expect(trial.logged(/Couldn't ack/, 'error')).toHaveLength(1)
    await mortal.restart()
    const after = mortal.client()
    expect(await after.hlen('unacked')).toBe(2)
    after.disconnect()
  })
})
