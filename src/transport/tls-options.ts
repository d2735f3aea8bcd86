import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { ConfigError } from '../errors.js'

/**
 * Node's TLS options from kombu's `ssl_cert_reqs`, `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, `ssl_check_hostname`,
 * `ssl_keyfile_password`. The certificate is checked unless `ssl_cert_reqs` says otherwise. Throws `ConfigError`, also
 * for a file that cannot be read.
 */
export function tlsOptions(named: Readonly<Record<string, unknown>>): ConnectionOptions {
  const isVerified = requirement(named['ssl_cert_reqs'])
  const checksName = isVerified && !/^(false|0|no)$/i.test(String(named['ssl_check_hostname'] ?? true))
  const password = named['ssl_keyfile_password']
  return {
    rejectUnauthorized: isVerified,
    ...(checksName ? {} : { checkServerIdentity: () => undefined }),
    ...file('ca', named['ssl_ca_certs']),
    ...file('cert', named['ssl_certfile']),
    ...file('key', named['ssl_keyfile']),
    ...(typeof password === 'string' ? { passphrase: password } : {}),
  }
}

/** Python's `ssl.CERT_REQUIRED` is 2, `CERT_OPTIONAL` 1, `CERT_NONE` 0; a client that is optional still verifies. */
function requirement(value: unknown): boolean {
  const name = String(value ?? 'required')
    .toLowerCase()
    .replace(/^(ssl\.)?(verifymode\.)?cert_/, '')
  if (name === 'required' || name === 'optional' || name === '2' || name === '1') return true
  if (name === 'none' || name === '0') return false
  throw new ConfigError(`ssl_cert_reqs must be required, optional or none, not '${String(value)}'`)
}

function file(option: 'ca' | 'cert' | 'key', path: unknown): ConnectionOptions {
  if (typeof path !== 'string' || path === '') return {}
  try {
    return { [option]: readFileSync(path) }
  } catch (cause) {
    throw new ConfigError(`the certificate file '${path}' cannot be read; correct ssl_${option}`, { cause })
  }
}
