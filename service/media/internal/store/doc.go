// Package store keeps what is known of media: ids, content, thumbnails, and how much users have uploaded. The bytes are in a
// blob store.
//
// Rows are locked in the order uploader, content, media, thumbnail, loose_blob.
package store
