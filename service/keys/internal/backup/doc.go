// Package backup is server-side key backup (/_matrix/client/v3/room_keys): encrypted copies of a user's room keys.
//
// A user has versions of which the newest is current: the only one that keys are stored in. Older ones can be read, changed
// and deleted; when the current one is deleted, the newest of those that are left is current. Versions are numbered on, and
// a number never comes back. Of two keys of a session the better one stays (is_verified, then the lower first_message_index,
// then the lower forwarded_count), whoever comes first and however many come at once. The etag of a version changes when
// keys in it do, and only then: a key that loses against the stored one changes nothing, nor does new auth_data.
//
// # Bounds
//
// A body that is larger than its route takes, auth_data or session_data of more than 64 KiB, and more keys in a request than
// Config.RequestKeys are 413 M_TOO_LARGE; nothing of such a request is stored, and its client may send the same in several.
// What would give a user more versions, keys or bytes than the Config says is 400 M_RESOURCE_LIMIT_EXCEEDED. Keys are
// stored in transactions of a thousand; of a request that fails in the middle some may be stored, and it can be repeated.
//
// What is deleted is gone at once for everybody; the rows of a deleted version, or of one that was emptied, are removed by Run.
// Answers with many keys are read and sent a page at a time; one whose keys are all deleted meanwhile breaks off.
package backup
