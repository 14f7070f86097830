// Package follow has a service follow another one's log with durable cursors, from where it stopped and for as long as it may.
//
// The cursors are in the follower's own database. Where the log is not what was followed any more, since it was restored from a
// backup or ends before a cursor, following begins anew with the log's beginning, or, where what was before is of no use
// (Config.FromHead), with its head. It ends with its context only: whatever fails is tried again.
//
// Instances of a service that share a database should follow in turn, under a lease (platform/lease). A lease excludes nobody, so
// that steps must either be harmless when they are repeated, late ones too, or move the cursor in the transaction of what they
// do (Page.Advance), which fails where another instance was quicker.
package follow
