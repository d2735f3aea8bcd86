import { Command } from 'commander'
import { afterEach, describe, expect, it } from 'vitest'
import { envOption } from './global-options.js'

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
