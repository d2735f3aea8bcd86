import { filesystemKind } from './brokers.js'
import { describePythonToNode } from './python-to-node.suite.js'

describePythonToNode(filesystemKind)
