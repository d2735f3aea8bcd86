import { Command } from 'commander'
import { afterEach, describe, expect, it } from 'vitest'
import { appOf, envOption, outputOf, type Terminal } from './global-options.js'

const names = ['CELERIAC_TEST_PURGE', 'CELERIAC_TEST_QUEUE', 'CELERIAC_TEST_OTHER'] as const
const [purgeName, queueName, otherName] = names
afterEach(() => {
  for (const name of names) delete process.env[name]
})

/** The options that a command sees with `env` around it. */
function parsed(env: Readonly<Record<string, string>>, args: readonly string[] = []): object {
  Object.assign(process.env, env)
  return new Command()
    .addOption(envOption('--purge', '', process.env, purgeName))
    .addOption(envOption('--queue <name>', '', process.env, queueName, otherName))
    .parse(args, { from: 'user' })
    .opts()
}

describe('CLI-001 options from the environment', () => {
  it('are taken where the command line does not say', () => {
    expect(parsed({ [queueName]: 'a' })).toEqual({ queue: 'a' })
    expect(parsed({ [queueName]: 'a' }, ['--queue', 'b'])).toEqual({ queue: 'b' })
  })

  it('go by the first of their names that is set', () => {
    expect(parsed({ [otherName]: 'b' })).toEqual({ queue: 'b' })
    expect(parsed({ [queueName]: 'a', [otherName]: 'b' })).toEqual({ queue: 'a' })
  })

  it('are not said by an empty value, as a compose file gives it', () => {
    expect(parsed({ [queueName]: '', [purgeName]: '' })).toEqual({})
  })

  it.each(['1', 'true', 'Yes', 'on'])('turn a flag on with %s', (value) => {
    expect(parsed({ [purgeName]: value })).toEqual({ purge: true })
  })

  it.each(['0', 'false', 'no', 'off'])('leave a flag off with %s', (value) => {
    expect(parsed({ [purgeName]: value })).toEqual({})
  })
})

/** This process's streams as a terminal with `env`. */
function terminal(env: NodeJS.ProcessEnv, isTTY = true): Terminal {
  const { stdin, stderr } = process
  return { env, stdin, stderr, stdout: Object.assign(Object.create(process.stdout), { isTTY }) }
}

describe('CLI-001 what the global options do', () => {
  it.each([
    ['on a terminal', { color: true }, terminal({}), true],
    ['not with --no-color', { color: false }, terminal({}), false],
    ['not with NO_COLOR, whatever it says', { color: true }, terminal({ NO_COLOR: '0' }), false],
    ['not into a file or a pipe', { color: true }, terminal({}, false), false],
  ])('colours the output %s', (_where, options, place, isColored) => {
    expect(outputOf(options, place).color).toBe(isColored)
  })

  it('gives the broker and the result backend of the options to the app, over the environment', async () => {
    const names = ['CELERY_BROKER_URL', 'CELERY_RESULT_BACKEND'] as const
    const before = names.map((name) => process.env[name])
    try {
      for (const name of names) process.env[name] = 'memory://wrong/'
      const app = await appOf(
        { color: false, broker: 'memory://right/', resultBackend: 'cache+memory://' },
        terminal(process.env),
      )
      expect(app.conf).toMatchObject({ brokerUrl: 'memory://right/', resultBackend: 'cache+memory://' })
      await app.close()
    } finally {
      for (const [index, name] of names.entries()) {
        const value = before[index]
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
  })
})
