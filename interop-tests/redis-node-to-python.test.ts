import { redisKind } from './brokers.js'
import { describeNodeToPython } from './node-to-python.suite.js'

describeNodeToPython(redisKind)
