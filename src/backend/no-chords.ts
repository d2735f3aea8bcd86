/** Why a chord with `rpc://` results is refused, in the words of `celery/backends/rpc.py` E_NO_CHORD_SUPPORT. */
export const noChordsOverRpc = `The "rpc" result backend does not support chords!

Note that a group chained with a task is also upgraded to be a chord,
as this pattern requires synchronization.

Result backends that supports chords: Redis, Database, Memcached, and more.`
