import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { filesystemOptions } from './filesystem-options.js'

describe('filesystemOptions', () => {
  it('TST-022 has the folders of kombu when the URL names none', () => {
    expect(filesystemOptions('filesystem://', {}, '/srv/shop')).toMatchObject({
      dataIn: '/srv/shop/data_in',
      dataOut: '/srv/shop/data_out',
      control: '/srv/shop/control',
      processed: '/srv/shop/processed',
      storeProcessed: false,
      pollMs: 1000,
      fsync: false,
    })
  })

  it('reads a path in the URL as one folder both ways, with the others inside it', () => {
    expect(filesystemOptions('filesystem://./var/broker', {}, '/srv/shop')).toMatchObject({
      dataIn: '/srv/shop/var/broker',
      dataOut: '/srv/shop/var/broker',
      control: '/srv/shop/var/broker/control',
      processed: '/srv/shop/var/broker/processed',
    })
    expect(filesystemOptions('filesystem:///abs', {}, '/srv/shop').dataIn).toBe('/abs')
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
    expect(filesystemOptions('filesystem:///abs', given, '/srv/shop')).toEqual({
      dataIn: '/srv/shop/in',
      dataOut: '/out',
      control: '/srv/shop/control',
      processed: '/srv/shop/done',
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
      const read = (): unknown => filesystemOptions('filesystem://', { [option]: value }, '/srv/shop')
      expect(read).toThrow(ConfigError)
      expect(read).toThrow(option)
    }
  })
})
