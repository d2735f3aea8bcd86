import { afterAll } from 'vitest'
import { RabbitKind } from './brokers.js'
import { describePythonToNode } from './python-to-node.suite.js'

const kind = new RabbitKind()
afterAll(() => kind.stop())

describePythonToNode(kind)
