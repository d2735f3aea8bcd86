/** The Node client of the demo: sends to both workers and prints what they return. */
import { kw, RemoteTaskError } from 'celeriac'
import { add, app, charge, pyAdd, pyFail, resize } from './app.js'

const timeout = 30
const show = (where: string, what: string, value: unknown): void =>
  console.log(`${where}  ${what}  ${JSON.stringify(value)}`)

const sum = await add.delay(2, 3)
show('node -> node', 'node.add(2, 3)', await sum.get({ timeout }))
const charged = await charge.applyAsync({ args: ['o-1'], kwargs: { amount: 5 }, countdown: 1 })
show('node -> node', "node.charge('o-1', amount=5) after 1 s", await charged.get({ timeout }))

if (process.argv.includes('--with-python')) {
  const total = await pyAdd.delay(40, 2)
  show('node -> python', 'py.add(40, 2)', await total.get({ timeout }))
  const resized = await resize.delay('a.png', kw({ width: 100 }))
  show('node -> python', "py.resize('a.png', width=100)", await resized.get({ timeout }))
  const failing = await pyFail.delay('PaymentError')
  try {
    await failing.get({ timeout })
  } catch (error) {
    if (!(error instanceof RemoteTaskError)) throw error
    show('node -> python', `py.fail raised ${error.excType}`, error.args)
  }
}
await app.close()
