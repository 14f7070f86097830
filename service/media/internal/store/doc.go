// Package store keeps what is known of media: ids, content, thumbnails, previews of web pages, and how much users have uploaded. The
// bytes are in a blob store.
//
// Rows are locked in the order uploader, preview, content, thumbnail, loose_blob; a media under its uploader, or, where it is nobody's,
// under its preview. Only the holder of a lease removes many contents at once.
package store
