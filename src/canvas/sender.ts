import type { SignatureData } from '../../protocol/signature-data.js'

/** The one thing canvas asks of the app: send what a signature describes. */
export interface Sender {
  /** `options` are `applyAsync` options by Celery's wire names (`task_id`, `link_error`); they win over the signature's. */
  send(
    signature: SignatureData,
    options?: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly id: string; asTuple(): unknown }>
}
