// Package sync is the service that shows each user's clients what happens: /sync, and what belongs to a user and not to a
// room. It owns the log "sync" (account data, tags, push rules, read marks, filters) and, in memory only, who types.
//
// It follows the room log of the service room, and its own. What connected users need of both is in memory (package
// internal/live); what lies further back it asks the service room for, over gRPC: UserRooms when a user comes into
// memory, Timeline, State, StrippedState and Receipts where the rings do not reach back to a client's token, Notes and EventsAt
// what unread events are counted by. It also follows both logs of the service keys (package internal/devices) and asks it for
// what waits for a device. It is called by the gateway over HTTP, and over gRPC by services that follow its log.
//
// # Invariants
//
//   - next_batch is made from positions that were applied before the answer was put together: what it covers was shown.
//   - The same token gives the same answer again, whichever instance answers.
//   - A token that means nothing here (another epoch, a position beyond the head) gives all rooms anew, never an error.
//   - A message to a device that was accepted before an encrypted event comes with it or earlier, as long as keys answers.
//   - Without keys rooms are answered, and nothing of what keys would have told is lost.
//   - A user's own changes are written to the log before the request that makes them is answered.
//
// # Where things are
//
//	service.go follow.go grpc.go      wiring, following the logs
//	request.go poll.go drain.go       one /sync: parse, wait, end
//	turns.go                          how many large answers are put together at once
//	events.go                         one /events: a room from outside
//	answer.go rooms.go                put together: which rooms come, and from where
//	joined.go                         a joined room, from memory
//	fill.go                           what many will need of the time before, read once for all
//	gap.go whole.go left.go far.go    a room from its owner: since a token, as if for the first time, once left
//	invited.go                        invites and knocks
//	lazy.go summary.go                members on demand, summaries
//	unread.go look.go reader.go       unread counts: which events, judged by the push rules
//	counter.go checkpoint.go          what was counted, in memory and stored
//	keys.go answerkeys.go             counts of keys, messages to devices
//	devicelists.go                    whose device lists changed
//	keysfollow.go                     following the logs of keys, and being without them
//	write.go ephemeral.go entries.go  JSON
//	keyed.go                          what is asked of a room's owner
//	carry.go                          settings that follow users to a room that replaces another
//	accountdata.go tags.go pushrules.go filters.go receipts.go typing.go   the other routes
//	internal/live                     what is in memory
//	internal/devices                  what is in memory of the logs of keys
//	internal/userlog                  the log "sync"
package sync
