import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'

/** Lets a process of its own take `count` messages of a queue and kills it; resolves when it is dead. */
export async function killHolder(url: string, queue: string, count: number): Promise<void> {
  const script = `
    import { connect } from 'amqplib'
    const channel = await (await connect(process.env.URL)).createChannel()
    await channel.prefetch(${count})
    let got = 0
    await channel.consume(process.env.QUEUE, () => { if (++got === ${count}) console.log('holds') })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: resolve(import.meta.dirname, '..'),
    env: { ...process.env, URL: url, QUEUE: queue },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
