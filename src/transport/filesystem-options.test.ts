import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { filesystemOptions } from './filesystem-options.js'

describe('filesystemOptions', () => {
  it('TST-022 has the folders of kombu when the URL names none', () => {
    expect(filesystemOptions('filesystem://', {}, '/work')).toMatchObject({
      dataIn: '/work/data_in',
      dataOut: '/work/data_out',
      control: '/work/control',
      processed: '/work/processed',
      storeProcessed: false,
      pollMs: 1000,
      fsync: false,
    })
  })

  it('reads a path in the URL as one folder both ways, with the others inside it', () => {
    expect(filesystemOptions('filesystem://./var/broker', {}, '/work')).toMatchObject({
      dataIn: '/work/var/broker',
      dataOut: '/work/var/broker',
      control: '/work/var/broker/control',
      processed: '/work/var/broker/processed',
    })
    expect(filesystemOptions('filesystem:///abs', {}, '/work').dataIn).toBe('/abs')
  })

  it('lets each option win over the URL', () => {
    const given = {
      data_folder_in: 'in',
      data_folder_out: '/out',
      control_folder: 'control',
      processed_folder: 'done',
      store_processed: true,
      polling_interval: 0.25,
      visibility_timeout: 20,
      deadletter_queue: 'dead',
      body_encoding: 'utf-8',
    }
    expect(filesystemOptions('filesystem:///abs', given, '/work')).toEqual({
      dataIn: '/work/in',
      dataOut: '/out',
      control: '/work/control',
      processed: '/work/done',
      storeProcessed: true,
      pollMs: 250,
      visibilityTimeoutMs: 20_000,
      leaseIntervalMs: 2000,
      fsync: false,
      deadletterQueue: 'dead',
      bodyEncoding: 'utf-8',
    })
  })

  it('names the option that cannot be', () => {
    const wrong = {
      data_folder_in: 5,
      polling_interval: 0,
      visibility_timeout: 'long',
      body_encoding: 'rot13',
    }
    for (const [option, value] of Object.entries(wrong)) {
      const read = (): unknown => filesystemOptions('filesystem://', { [option]: value }, '/work')
      expect(read).toThrow(ConfigError)
      expect(read).toThrow(option)
    }
  })
})
