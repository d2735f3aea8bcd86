import { it } from 'vitest'
import type { BrokerKind } from './brokers.js'

/** A test that reads a result in another process than the one that asked for it; says so where that cannot be. */
export function whenShared(kind: BrokerKind, title: string, test: () => Promise<void>): void {
  if (kind.sharesResults) it(title, test)
  else it.skip(`${title} (only the process that asked can read an rpc result)`, test)
}
