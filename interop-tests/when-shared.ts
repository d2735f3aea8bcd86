import { it } from 'vitest'
import type { BrokerKind } from './brokers.js'

/** A test that looks at results beside the one `get` of the one who asked; says so where that cannot be. */
export function whenShared(kind: BrokerKind, title: string, test: () => Promise<void>): void {
  if (kind.sharesResults) it(title, test)
  else it.skip(`${title} (an rpc result is a message to the one who asked: no store to look at)`, test)
}
