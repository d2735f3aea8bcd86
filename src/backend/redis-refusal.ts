import { BackendStoreError, BackendUnavailableError } from '../errors.js'

/** What the server said of one write among others: out of memory and the like may pass, another type does not. */
export function refusal(shownUrl: string, key: string, words: string): Error {
  const text = `The Redis server ${shownUrl} refused to store ${key}: ${words}`
  return /OOM|READONLY|MISCONF|NOREPLICAS|LOADING/.test(words)
    ? new BackendUnavailableError(text)
    : new BackendStoreError(`${text}. Delete the key, or use another global_keyprefix.`)
}
