/**
 * What must happen on the server in one step, in Lua (Redis 6.2 or newer).
 *
 * Rule 1: a message is in a queue's list or in `unacked`, at every instant: a script that pops also records.
 * Rule 2: `unacked` holds what kombu writes: field delivery_tag, value JSON `[envelope, exchange, routing_key]`; score in
 *         `unacked_index` = the server's time in seconds. The envelope's bytes are not changed.
 * Rule 3: the MARK. A value that we wrote ends in 40 characters of white space, which JSON readers pass over: 24 name
 *         the connection, 16 the claim. Whoever takes the message up again writes another value. So "still ours" is
 *         "still ends in our mark", for every settling and renewal: no message of somebody else is ever settled.
 * Rule 4: a message that came through an exchange is held under a tag of our own making, and so is a second one with a
 *         tag that is held already: kombu gives the copies of one publish to several queues one tag (wire-format L6),
 *         and a Python process that takes up another copy later writes its entry over that of the first. Nothing reads
 *         the tag inside the envelope after that. What came through the default exchange has one copy only.
 * Rule 5: who waits. At most four connections watch a queue (`_celeriac.waiting.<queue>`); the others are idle
 *         (`_celeriac.idle.<queue>`) and are woken one by one, on a channel of their own: when a watcher became busy and
 *         leaves, and when a claim left something behind. So one push does not wake a whole cluster. Entries of the dead
 *         run out or are passed over: PUBLISH says that nobody listens.
 * Rule 6: PARKED. A message that waits for a later time keeps its place in `unacked`, but its mark is nobody's: it is not
 *         renewed. Two clocks bring it back shortly before its time: `_celeriac.parked.<queue>` (score = then), from which
 *         a connection with room takes it straight into its hands, soonest first; and its score in `unacked_index`
 *         (then, less the visibility timeout), by which kombu returns it to its queue. Whichever comes second finds
 *         the mark gone.
 * Rule 7: what is no envelope goes with its bytes into a list of its own in the same step.
 * Rule 8: a script that fails is not undone, and any command may be refused: the key is of another type, the user may not.
 *         So a message is put into its new place first, and taken from the old one when that was done.
 * Rule 9: HANDOVER. A task's next messages, its result and its own acknowledgement are one script, fenced by the mark: it is
 *         acknowledged if and only if the rest was done. Each part that is refused undoes the earlier ones.
 */

/** Length of a mark, and of the part that names the connection. */
export const markLength = 40
/** The part of a mark that all claims of one connection share. */
export const ownerMarkLength = 24

/**
 * Scores a microsecond apart, oldest first: whoever restores goes by the score, and so keeps the order.
 */
export const scoring = `
local time = redis.call('TIME')
local function score(i)
  return string.format('%.6f', tonumber(time[1]) + (tonumber(time[2]) + i) / 1000000)
end
`

/** A first write that needs no memory: after it, Redis lets a script write on although memory has run out. */
export const begun = "redis.call('ZREM', KEYS[2], '')"
