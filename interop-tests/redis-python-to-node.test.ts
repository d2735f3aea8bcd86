import { redisKind } from './brokers.js'
import { describePythonToNode } from './python-to-node.suite.js'

describePythonToNode(redisKind)
