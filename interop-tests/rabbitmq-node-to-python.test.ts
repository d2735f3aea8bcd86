import { afterAll } from 'vitest'
import { RabbitKind } from './brokers.js'
import { describeNodeToPython } from './node-to-python.suite.js'

const kind = new RabbitKind()
afterAll(() => kind.stop())

describeNodeToPython(kind)
