import type { SignatureData } from '../../protocol/signature-data.js'
import { signatureFromData } from './algebra.js'
import { Outbox } from './outbox.js'
import type { SignatureApp } from './signature-app.js'

/**
 * Sends what each of many signatures describes, in order and in one batch; `options` are by Celery's wire names. With
 * `taskAlwaysEager` they run here, one after the other. Throws as `delay` of a task does.
 */
export async function sendSignatures(
  app: SignatureApp,
  signatures: readonly SignatureData[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const members = signatures.map((data) => signatureFromData(app, data))
  if (app.canvas.alwaysEager) {
    for (const member of members) await member.applyWire({ options })
    return
  }
  const outbox = new Outbox()
  for (const member of members) member.plan({ options }, outbox)
  await outbox.send(app)
}
