/** Loads a peer from where the benchmarks installed it (`BENCH_PEERS`), at the version of peers/package-lock.json. */
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.BENCH_PEERS}/package.json`)

/** The CommonJS exports of a peer. */
export function peer(name) {
  return require(name)
}

/** Host, port and database of `BENCH_URL`. */
export function redisAddress() {
  const url = new URL(process.env.BENCH_URL)
  return { host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1) || 0) }
}
